/*
 * What the npm package `netlink` cannot do for a socket that listens to events, as one function for Node:
 *
 *   restrict(port, program): 0, or a negative errno
 *
 * finds this process's netfilter socket that is bound to the netlink port, and
 * - attaches a classic BPF program (a Buffer of struct sock_filter), so that the kernel drops what nobody wants to hear
 *   before it counts against the receive buffer: a restore of 20,000 rules is one message then, not 20,000;
 * - sets NETLINK_NO_ENOBUFS (netlink(7)): should the buffer overflow all the same, messages are lost, but the socket is
 *   not in error. An error would end the process (see budget.ts).
 *
 * Node-API only (no libuv, no C++), so that one binary serves every version of Node.
 */
#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <node_api.h>
#include <stdlib.h>
#include <sys/socket.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

/* The descriptor of the netfilter socket at `port`; the package does not tell it. */
static int find_socket(uint32_t port)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -ENOENT;

	if (directory == NULL)
		return -errno;
	while ((entry = readdir(directory)) != NULL) {
		struct sockaddr_nl address = { 0 };
		socklen_t length = sizeof(address);
		int protocol = -1;
		socklen_t protocol_length = sizeof(protocol);
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] == '.' || getsockname(fd, (struct sockaddr *)&address, &length) != 0)
			continue;
		if (address.nl_family != AF_NETLINK || address.nl_pid != port)
			continue;
		getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocol, &protocol_length);
		if (protocol != NETLINK_NETFILTER)
			continue;
		found = fd;
		break;
	}
	closedir(directory);
	return found;
}

static int restrict_socket(uint32_t port, struct sock_fprog *program)
{
	int fd = find_socket(port);
	int on = 1;

	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)) != 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, sizeof(*program)) != 0)
		return -errno;
	return 0;
}

static napi_value restrict_call(napi_env env, napi_callback_info info)
{
	size_t count = 2, bytes = 0;
	napi_value arguments[2], result;
	uint32_t port = 0;
	void *data = NULL;
	struct sock_fprog program;

	if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 2 ||
	    napi_get_value_uint32(env, arguments[0], &port) != napi_ok ||
	    napi_get_buffer_info(env, arguments[1], &data, &bytes) != napi_ok) {
		napi_throw_type_error(env, NULL, "restrict(port: number, program: Buffer)");
		return NULL;
	}
	program.len = bytes / sizeof(struct sock_filter);
	program.filter = data;
	napi_create_int32(env, restrict_socket(port, &program), &result);
	return result;
}

NAPI_MODULE_INIT()
{
	napi_value function;

	napi_create_function(env, "restrict", NAPI_AUTO_LENGTH, restrict_call, NULL, &function);
	napi_set_named_property(env, exports, "restrict", function);
	return exports;
}
