/*
 * Netlink sockets for Node. Every failure is a value, a negative errno; only a wrong type of argument throws.
 *
 *   open(protocol, bufferBytes, messageBytes, hear)   a socket, or an errno
 *   bufferSizes(socket)                               [SO_SNDBUF, SO_RCVBUF], as the kernel counts them
 *   join(socket, group, program)                      listens to what a classic BPF filter, an array of struct sock_filter,
 *                                                     lets through of a multicast group
 *   send(socket, bytes)                               sends to the kernel
 *   hold(socket, held)                                whether it keeps the process alive
 *   close(socket)
 *   trim()                                            returns to the system what the C library has freed and keeps: not a
 *                                                     subject of netlink, but not worth a second addon
 *
 * `hear` gets each message from the kernel as a Buffer, cut off at `messageBytes`, or an errno if receiving failed. The socket
 * stays usable then: after ENOBUFS, messages are missing.
 *
 * - The kernel chooses the port: a process that guesses a port and takes it first would deny us a socket.
 * - Only messages from the kernel count: a process with CAP_NET_ADMIN may send to any port, but the kernel rejects that where the
 *   socket is connected (netlink_getsockbyportid() of net/netlink/af_netlink.c), and multicast messages name their sender.
 * - After READS messages the event loop has its turn: a flood must not keep it.
 * - A socket that has joined a group has NETLINK_NO_ENOBUFS, and the kernel counts what it drops. Without it the kernel returns
 *   ENOBUFS once, and then silently drops all messages until everything is read.
 *
 * Node-API and these functions of libuv, which each node exports and whose binary interface is that of libuv 1: so one binary
 * serves every version of Node. libuv's headers are not part of Node-API's, hence the declarations.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <malloc.h>
#include <node_api.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SOL_NETLINK
#define SOL_NETLINK 270
#endif

typedef struct uv_handle_s uv_handle_t;
typedef void (*poll_callback)(uv_handle_t *handle, int status, int events);
extern size_t uv_handle_size(int type);
extern int uv_poll_init(struct uv_loop_s *loop, uv_handle_t *handle, int fd);
extern int uv_poll_start(uv_handle_t *handle, int events, poll_callback callback);
extern void uv_close(uv_handle_t *handle, void (*closed)(uv_handle_t *handle));
extern void uv_ref(uv_handle_t *handle);
extern void uv_unref(uv_handle_t *handle);
extern void *uv_handle_get_data(const uv_handle_t *handle);
extern void uv_handle_set_data(uv_handle_t *handle, void *data);

/* UV_POLL of enum uv_handle_type, and UV_READABLE of enum uv_poll_event. */
enum { UV_POLL = 8, UV_READABLE = 1 };

enum { READS = 16 };

struct netlink_socket {
	int fd;
	uv_handle_t *poll;
	napi_env env;
	napi_async_context context;
	napi_ref hear;
	size_t message_bytes;
	/* Whether the kernel only counts what it drops, and the count at the last look. */
	bool counts_drops;
	uint32_t drops;
	/* Memory has two users, libuv until it has closed the handle, and JavaScript until its value is collected. */
	int users;
	char message[];
};

static void release(struct netlink_socket *socket)
{
	if (--socket->users == 0)
		free(socket);
}

static void on_closed(uv_handle_t *poll)
{
	release(uv_handle_get_data(poll));
	free(poll);
}

/* Does nothing the second time. */
static void close_socket(struct netlink_socket *socket)
{
	if (socket->fd < 0)
		return;
	uv_close(socket->poll, on_closed);
	close(socket->fd);
	socket->fd = -1;
	napi_delete_reference(socket->env, socket->hear);
	napi_async_destroy(socket->env, socket->context);
}

static void on_environment_end(void *data)
{
	close_socket(data);
}

static void on_collected(napi_env env, void *data, void *hint)
{
	struct netlink_socket *socket = data;

	(void)hint;
	napi_remove_env_cleanup_hook(env, on_environment_end, socket);
	close_socket(socket);
	release(socket);
}

/* Calls `hear` with a message or, without one, with an errno. */
static void tell(struct netlink_socket *socket, const char *bytes, ssize_t length)
{
	napi_env env = socket->env;
	napi_handle_scope scope;
	napi_value hear, argument, receiver, error;
	napi_status status;
	bool is_thrown = false;

	if (napi_open_handle_scope(env, &scope) != napi_ok)
		return;
	status = length < 0 ? napi_create_int32(env, (int32_t)length, &argument) :
			      napi_create_buffer_copy(env, (size_t)length, bytes, NULL, &argument);
	if (status == napi_ok && napi_get_reference_value(env, socket->hear, &hear) == napi_ok &&
	    napi_get_global(env, &receiver) == napi_ok)
		napi_make_callback(env, socket->context, receiver, hear, 1, &argument, NULL);
	/* An exception of JavaScript has no caller here: it is an uncaught one. */
	if (napi_is_exception_pending(env, &is_thrown) == napi_ok && is_thrown &&
	    napi_get_and_clear_last_exception(env, &error) == napi_ok)
		napi_fatal_exception(env, error);
	napi_close_handle_scope(env, scope);
}

/* How many messages the kernel has dropped since the socket was opened; unknown before Linux 4.12. */
static uint32_t dropped(const struct netlink_socket *socket)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 };
	socklen_t length = sizeof(memory);

	getsockopt(socket->fd, SOL_SOCKET, SO_MEMINFO, memory, &length);
	return memory[SK_MEMINFO_DROPS];
}

/* Passes on up to READS messages. `hear` may close the socket. */
static void read_messages(struct netlink_socket *socket)
{
	for (int reads = 0; reads < READS && socket->fd >= 0; reads++) {
		struct sockaddr_nl sender = { 0 };
		socklen_t sender_bytes = sizeof(sender);
		ssize_t length = recvfrom(socket->fd, socket->message, socket->message_bytes, MSG_DONTWAIT,
					  (struct sockaddr *)&sender, &sender_bytes);

		if (length < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (length < 0)
			tell(socket, NULL, -errno);
		else if (sender_bytes >= sizeof(sender) && sender.nl_pid == 0)
			tell(socket, socket->message, length);
	}
}

/* There is something to read; a dropped message always follows one that can be read, so it is noticed here. */
static void on_readable(uv_handle_t *poll, int status, int events)
{
	struct netlink_socket *socket = uv_handle_get_data(poll);
	uint32_t drops;

	(void)status;
	(void)events;
	read_messages(socket);
	if (socket->fd < 0 || !socket->counts_drops)
		return;
	drops = dropped(socket);
	if (drops == socket->drops)
		return;
	socket->drops = drops;
	tell(socket, NULL, -ENOBUFS);
}

static const struct sockaddr_nl KERNEL = { .nl_family = AF_NETLINK };

/* The descriptor of a socket that is connected with the kernel, or an errno. */
static int connect_socket(int protocol, int buffer_bytes)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
	int on = 1, error;

	if (fd < 0)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&KERNEL, sizeof(KERNEL)) == 0 &&
	    /* An error does not repeat the rejected message: answers to a large batch stay small. */
	    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof(on)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof(buffer_bytes)) == 0 &&
	    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes)) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* The socket as a JavaScript value, or an errno. A failure frees everything. */
static int open_socket(napi_env env, int fd, uint32_t message_bytes, napi_value hear, napi_value *result)
{
	struct netlink_socket *socket = calloc(1, sizeof(*socket) + message_bytes);
	uv_handle_t *poll = malloc(uv_handle_size(UV_POLL));
	struct uv_loop_s *loop;
	napi_value name;
	int error = -ENOMEM;

	if (socket == NULL || poll == NULL || napi_get_uv_event_loop(env, &loop) != napi_ok)
		goto failed;
	*socket = (struct netlink_socket){ .fd = fd, .poll = poll, .env = env, .message_bytes = message_bytes };
	error = uv_poll_init(loop, poll, fd);
	if (error != 0)
		goto failed;
	/* From here on close_socket() frees the rest. */
	uv_handle_set_data(poll, socket);
	socket->users = 2;
	if (napi_create_reference(env, hear, 1, &socket->hear) != napi_ok ||
	    napi_create_string_utf8(env, "netlink", NAPI_AUTO_LENGTH, &name) != napi_ok ||
	    napi_async_init(env, NULL, name, &socket->context) != napi_ok ||
	    napi_add_env_cleanup_hook(env, on_environment_end, socket) != napi_ok ||
	    napi_create_external(env, socket, on_collected, NULL, result) != napi_ok) {
		close_socket(socket);
		release(socket);
		return -ENOMEM;
	}
	error = uv_poll_start(poll, UV_READABLE, on_readable);
	uv_unref(poll);
	if (error != 0)
		close_socket(socket);
	return error;
failed:
	close(fd);
	free(poll);
	free(socket);
	return error;
}

static napi_value number(napi_env env, int value)
{
	napi_value result;

	return napi_create_int32(env, value, &result) == napi_ok ? result : NULL;
}

static napi_value wrong_arguments(napi_env env)
{
	napi_throw_type_error(env, NULL, "wrong arguments");
	return NULL;
}

static napi_value call_open(napi_env env, napi_callback_info info)
{
	size_t count = 4;
	napi_value arguments[4], result;
	napi_valuetype type;
	int32_t protocol, buffer_bytes;
	uint32_t message_bytes;
	int fd, error;

	if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count != 4 ||
	    napi_get_value_int32(env, arguments[0], &protocol) != napi_ok ||
	    napi_get_value_int32(env, arguments[1], &buffer_bytes) != napi_ok ||
	    napi_get_value_uint32(env, arguments[2], &message_bytes) != napi_ok || message_bytes > 1 << 20 ||
	    napi_typeof(env, arguments[3], &type) != napi_ok || type != napi_function)
		return wrong_arguments(env);
	fd = connect_socket(protocol, buffer_bytes);
	if (fd < 0)
		return number(env, fd);
	error = open_socket(env, fd, message_bytes, arguments[3], &result);
	return error == 0 ? result : number(env, error);
}

/* The socket that is the first of `count` arguments, still open. */
static struct netlink_socket *socket_of(napi_env env, napi_callback_info info, size_t count, napi_value *arguments)
{
	size_t given = count;
	void *socket;

	if (napi_get_cb_info(env, info, &given, arguments, NULL, NULL) == napi_ok && given == count &&
	    napi_get_value_external(env, arguments[0], &socket) == napi_ok)
		return socket;
	wrong_arguments(env);
	return NULL;
}

/* The bytes of a Buffer or Uint8Array. */
static bool bytes_of(napi_env env, napi_value value, void **bytes, size_t *length)
{
	napi_typedarray_type type;

	return napi_get_typedarray_info(env, value, &type, length, bytes, NULL, NULL) == napi_ok &&
	       type == napi_uint8_array;
}

static napi_value call_buffer_sizes(napi_env env, napi_callback_info info)
{
	static const int options[] = { SO_SNDBUF, SO_RCVBUF };
	napi_value argument, sizes;
	struct netlink_socket *socket = socket_of(env, info, 1, &argument);

	if (socket == NULL || napi_create_array_with_length(env, 2, &sizes) != napi_ok)
		return NULL;
	for (uint32_t i = 0; i < 2; i++) {
		int bytes = 0;
		socklen_t length = sizeof(bytes);

		getsockopt(socket->fd, SOL_SOCKET, options[i], &bytes, &length);
		napi_set_element(env, sizes, i, number(env, bytes));
	}
	return sizes;
}

static napi_value call_join(napi_env env, napi_callback_info info)
{
	napi_value arguments[3];
	struct netlink_socket *socket = socket_of(env, info, 3, arguments);
	struct sock_fprog program;
	uint32_t group;
	size_t length;
	void *bytes;
	int on = 1;

	if (socket == NULL)
		return NULL;
	if (napi_get_value_uint32(env, arguments[1], &group) != napi_ok ||
	    !bytes_of(env, arguments[2], &bytes, &length) || length / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return wrong_arguments(env);
	program.len = length / sizeof(struct sock_filter);
	program.filter = bytes;
	/* The filter first: the messages of the group could fill the buffer before. */
	if (setsockopt(socket->fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) != 0 ||
	    setsockopt(socket->fd, SOL_NETLINK, NETLINK_NO_ENOBUFS, &on, sizeof(on)) != 0 ||
	    setsockopt(socket->fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) != 0)
		return number(env, -errno);
	socket->counts_drops = true;
	return number(env, 0);
}

static napi_value call_send(napi_env env, napi_callback_info info)
{
	napi_value arguments[2];
	struct netlink_socket *socket = socket_of(env, info, 2, arguments);
	size_t length;
	void *bytes;

	if (socket == NULL)
		return NULL;
	if (!bytes_of(env, arguments[1], &bytes, &length))
		return wrong_arguments(env);
	if (send(socket->fd, bytes, length, 0) < 0)
		return number(env, -errno);
	return number(env, 0);
}

static napi_value call_hold(napi_env env, napi_callback_info info)
{
	napi_value arguments[2];
	struct netlink_socket *socket = socket_of(env, info, 2, arguments);
	bool held;

	if (socket == NULL)
		return NULL;
	if (napi_get_value_bool(env, arguments[1], &held) != napi_ok)
		return wrong_arguments(env);
	if (socket->fd >= 0)
		(held ? uv_ref : uv_unref)(socket->poll);
	return NULL;
}

static napi_value call_close(napi_env env, napi_callback_info info)
{
	napi_value argument;
	struct netlink_socket *socket = socket_of(env, info, 1, &argument);

	if (socket != NULL)
		close_socket(socket);
	return NULL;
}

static napi_value call_trim(napi_env env, napi_callback_info info)
{
	(void)env;
	(void)info;
#ifdef __GLIBC__
	malloc_trim(0);
#endif
	return NULL;
}

NAPI_MODULE_INIT()
{
	static const struct {
		const char *name;
		napi_callback call;
	} functions[] = {
		{ "open", call_open }, { "bufferSizes", call_buffer_sizes }, { "join", call_join },
		{ "send", call_send }, { "hold", call_hold },		     { "close", call_close },
		{ "trim", call_trim },
	};

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++) {
		napi_value function;

		if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].call, NULL,
					 &function) != napi_ok ||
		    napi_set_named_property(env, exports, functions[i].name, function) != napi_ok)
			return NULL;
	}
	return exports;
}
