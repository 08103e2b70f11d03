/*
 * enter(path): moves the calling thread to the network namespace that a file is of, as /run/netns/NAME. Sockets that it opens and
 * processes that it starts belong there. Node cannot do this itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

static napi_value enter(napi_env env, napi_callback_info info)
{
	char path[4096] = "";
	size_t count = 1;
	napi_value argument;

	napi_get_cb_info(env, info, &count, &argument, NULL, NULL);
	napi_get_value_string_utf8(env, argument, path, sizeof(path), NULL);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET) != 0)
		napi_throw_error(env, NULL, strerror(errno));
	if (fd >= 0)
		close(fd);
	return NULL;
}

NAPI_MODULE_INIT()
{
	napi_value function;

	napi_create_function(env, "enter", NAPI_AUTO_LENGTH, enter, NULL, &function);
	napi_set_named_property(env, exports, "enter", function);
	return exports;
}
