#include "server/http.h"
#include "base/log.h"
#include "net/link.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct http {
    struct MHD_Daemon *daemon;
    uv_poll_t poll;   /* on the daemon's epoll descriptor */
    uv_timer_t timer; /* its next time-out */
    unsigned handles; /* that libuv still holds */
    http_answer_fn answer;
    void *ctx;
    bool loopback;
};

/* --- answering --- */

static enum MHD_Result reply(struct MHD_Connection *c, struct http_page *page)
{
    struct MHD_Response *r = MHD_create_response_from_buffer(
        buf_size(&page->body), (void *)buf_bytes(&page->body), MHD_RESPMEM_MUST_COPY);
    if (r == NULL)
        return MHD_NO;
    enum MHD_Result done = MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, page->type);
    if (done == MHD_YES)
        done = MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (done == MHD_YES && page->status == MHD_HTTP_METHOD_NOT_ALLOWED)
        done = MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    if (done == MHD_YES)
        done = MHD_queue_response(c, page->status, r);
    MHD_destroy_response(r);
    return done;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **request)
{
    struct http *h = cls;
    struct http_page page = {.status = MHD_HTTP_NOT_FOUND, .type = "text/plain"};
    (void)version;
    (void)upload;
    if (*request == NULL) { /* only the head is here, and an answer now would cut the connection */
        *request = h;
        return MHD_YES;
    }
    if (*upload_size > 0)
        return MHD_NO;
    buf_init(&page.body, HTTP_MAX_PAGE);
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        page.status = MHD_HTTP_METHOD_NOT_ALLOWED;
    else if (h->answer(h->ctx, url, &page) != 0)
        page.status = MHD_HTTP_SERVICE_UNAVAILABLE;
    enum MHD_Result done = reply(c, &page);
    buf_release(&page.body);
    return done;
}

/* --- the loop --- */

static void on_time(uv_timer_t *timer);

static unsigned connections(const struct http *h)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);
    return info != NULL ? info->num_connections : 0;
}

static void work(struct http *h)
{
    MHD_UNSIGNED_LONG_LONG wait;
    unsigned before;
    do { /* once connections have ended, it listens again, but only in its next run */
        before = connections(h);
        MHD_run(h->daemon);
    } while (connections(h) < before);
    if (MHD_get_timeout(h->daemon, &wait) == MHD_YES)
        uv_timer_start(&h->timer, on_time, wait, 0);
    else
        uv_timer_stop(&h->timer);
}

static void on_time(uv_timer_t *timer)
{
    work(timer->data);
}

static void on_ready(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    work(poll->data);
}

static void complain(void *ctx, const char *fmt, va_list args) PRINTF_LIKE(2, 0);
static void complain(void *ctx, const char *fmt, va_list args)
{
    char text[512];
    (void)ctx;
    vsnprintf(text, sizeof text, fmt, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("metrics page text=\"%s\"", text);
}

/* --- opening --- */

static bool is_loopback(const struct sockaddr *at)
{
    if (at->sa_family == AF_INET6)
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)at)->sin6_addr);
    return ntohl(((const struct sockaddr_in *)at)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static int start(struct http *h, const struct sockaddr *at, const char *address, struct err *e)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_ERROR_LOG;
    if (at->sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    errno = 0;
    h->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, h, MHD_OPTION_EXTERNAL_LOGGER, complain, NULL,
        MHD_OPTION_SOCK_ADDR, at, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HTTP_MAX_REQUEST, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)HTTP_IDLE_S, MHD_OPTION_END);
    if (h->daemon == NULL)
        return err_sys(e, ERR_NET, errno, "cannot listen on %s", address);
    h->loopback = is_loopback(at);
    return 0;
}

static int resolve_and_start(struct http *h, uv_loop_t *loop, const char *address, struct err *e)
{
    char host[LINK_MAX_HOST], service[8];
    uint16_t port;
    int rc = link_parse_address(address, host, &port, e);
    if (rc != 0)
        return rc;
    snprintf(service, sizeof service, "%u", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    uv_getaddrinfo_t lookup;
    int status = uv_getaddrinfo(loop, &lookup, NULL, host, service, &hints);
    if (status < 0)
        return err_set(e, ERR_NET, "cannot listen on %s: %s", address, uv_strerror(status));
    rc = ERR_NET;
    for (const struct addrinfo *a = lookup.addrinfo; rc != 0 && a != NULL; a = a->ai_next)
        rc = start(h, a->ai_addr, address, e);
    uv_freeaddrinfo(lookup.addrinfo);
    return rc;
}

int http_open(struct http **out, uv_loop_t *loop, const char *address, http_answer_fn answer,
              void *ctx, struct err *e)
{
    struct http *h = calloc(1, sizeof *h);
    if (h == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    *h = (struct http){.answer = answer, .ctx = ctx};
    int rc = resolve_and_start(h, loop, address, e);
    if (rc != 0) {
        free(h);
        return rc;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    int status = info != NULL ? uv_poll_init(loop, &h->poll, info->epoll_fd) : UV_ENOSYS;
    if (status < 0) {
        MHD_stop_daemon(h->daemon);
        free(h);
        return err_set(e, ERR_NET, "%s: %s", address, uv_strerror(status));
    }
    uv_timer_init(loop, &h->timer);
    h->handles = 2;
    h->poll.data = h->timer.data = h;
    uv_poll_start(&h->poll, UV_READABLE, on_ready);
    *out = h;
    return 0;
}

uint16_t http_port(const struct http *h)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_BIND_PORT);
    return info != NULL ? info->port : 0;
}

bool http_loopback(const struct http *h)
{
    return h->loopback;
}

static void on_gone(uv_handle_t *handle)
{
    struct http *h = handle->data;
    if (--h->handles == 0)
        free(h);
}

void http_close(struct http *h)
{
    if (h == NULL)
        return;
    uv_poll_stop(&h->poll);
    MHD_stop_daemon(h->daemon);
    uv_close((uv_handle_t *)&h->poll, on_gone);
    uv_close((uv_handle_t *)&h->timer, on_gone);
}
