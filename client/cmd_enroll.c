#include "base/file.h"
#include "client/cmd.h"
#include "client/rotation.h"
#include "net/identity.h"
#include "net/link.h"
#include "net/token.h"
#include "proto/msg.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 30 * 1000 };

struct enrolment {
    const char *dir;
    struct identity id; /* key and signing request */
    struct token token;
    const char *token_text;
    struct rotation files;

    uv_loop_t loop;
    uv_timer_t timer;
    struct link *link;
    bool done;
    struct err error;
};

/* --- files ---------------------------------------------------------------------------------- */

static int check_absent(const struct rotation *r, struct err *e)
{
    for (size_t i = 0; i < ROTATION_FILES; i++)
        if (file_exists(r->path[i]))
            return err_set(e, ERR_IO, "%s: exists already: move it away, or give another %s",
                           r->path[i], "--identity");
    return 0;
}

static int accept_identity(struct enrolment *n, const struct msg_identity *m, struct err *e)
{
    if (!identity_has(m->ca_pem, &n->token.ca))
        return err_set(e, ERR_TLS, "the server sent another CA than the token names");
    int rc = file_mkdirs(n->dir, 0700, e);
    if (!rc)
        rc = rotation_install(&n->files, n->id.key, m, e);
    if (!rc)
        printf("enrolled as %s: identity in %s\n", n->files.name, n->dir);
    return rc;
}

/* --- the conversation ----------------------------------------------------------------------- */

static void stop(struct enrolment *n)
{
    struct link *l = n->link;
    n->link = NULL;
    if (l)
        link_close(l);
    if (!uv_is_closing((uv_handle_t *)&n->timer))
        uv_close((uv_handle_t *)&n->timer, NULL);
}

static void on_up(struct link *l, const char *peer, void *ctx)
{
    (void)peer;
    struct enrolment *n = ctx;
    struct buf out;
    const struct msg m = {.type = MSG_ENROLL,
                          .enroll = {.token = n->token_text, .csr_pem = n->id.cert}};
    buf_init(&out, msg_limit(MSG_ENROLL, 0));
    int rc = msg_encode(&m, &out);
    if (rc)
        err_set(&n->error, rc, "cannot encode the request");
    else
        rc = link_send(l, MSG_ENROLL, buf_bytes(&out), buf_size(&out), &n->error);
    buf_release(&out);
    if (rc)
        stop(n);
}

static size_t on_limit(void *ctx, uint8_t type)
{
    (void)ctx;
    return type == MSG_IDENTITY || type == MSG_GOODBYE ? msg_limit((enum msg_type)type, 0) : 0;
}

static int on_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    (void)l;
    struct enrolment *n = ctx;
    struct arena mem;
    struct msg m;
    if (n->done)
        return 0;
    arena_init(&mem, f->len + MSG_SLACK);
    int rc = msg_decode((enum msg_type)f->type, f->payload, f->len, &mem, &m, e);
    if (!rc) {
        n->done = true;
        if (m.type == MSG_IDENTITY)
            (void)!accept_identity(n, &m.identity, &n->error);
        else
            err_set(&n->error, ERR_REFUSED, "the server refuses: %s%s%s",
                    msg_reason_name(m.goodbye.reason), m.goodbye.text ? ": " : "",
                    m.goodbye.text ? m.goodbye.text : "");
        stop(n);
    }
    arena_release(&mem);
    return rc;
}

static void on_down(struct link *l, const struct err *e, void *ctx)
{
    (void)l;
    struct enrolment *n = ctx;
    n->link = NULL;
    if (!n->done) {
        n->done = true;
        if (e->code)
            n->error = *e;
        else
            err_set(&n->error, ERR_NET, "the server closed the connection without an answer");
    }
    stop(n);
}

static void on_timer(uv_timer_t *timer)
{
    struct enrolment *n = timer->data;
    n->done = true;
    err_set(&n->error, ERR_NET, "no answer within %d s", ANSWER_MS / 1000);
    stop(n);
}

static int converse(struct enrolment *n, const char *server, struct tls_context *tls, struct err *e)
{
    static const struct link_events events = {
        .up = on_up, .frame = on_frame, .limit = on_limit, .down = on_down};
    char host[LINK_MAX_HOST];
    uint16_t port;
    int rc = link_parse_address(server, host, &port, e);
    if (rc)
        return rc;
    rc = uv_loop_init(&n->loop);
    if (rc)
        return err_set(e, ERR_INTERNAL, "cannot make an event loop: %s", uv_strerror(rc));
    uv_timer_init(&n->loop, &n->timer);
    n->timer.data = n;
    uv_timer_start(&n->timer, on_timer, ANSWER_MS, 0);
    if (link_connect(&n->link, &n->loop, host, port, tls, &events, n, &n->error))
        stop(n);
    uv_run(&n->loop, UV_RUN_DEFAULT);
    uv_loop_close(&n->loop);
    if (!n->error.code)
        return 0;
    *e = n->error;
    return err_wrap(e, "%s", server);
}

static int enrol(struct enrolment *n, const char *server, const char *name, struct err *e)
{
    char fingerprint[HASH_HEX];
    struct tls_context *tls = NULL;
    int rc = token_parse(n->token_text, &n->token, e);
    if (!rc)
        rc = rotation_init(&n->files, n->dir, e);
    if (!rc)
        rc = check_absent(&n->files, e);
    if (!rc)
        rc = identity_make_csr(&n->id, name, e);
    if (rc)
        return rc;
    hash_hex(&n->token.ca, fingerprint);
    const struct tls_files files = {.ca_sha256 = fingerprint};
    rc = tls_context_open(&tls, TLS_ENROLL_CLIENT, &files, e);
    if (!rc)
        rc = converse(n, server, tls, e);
    tls_context_close(tls);
    return rc;
}

int cmd_enroll(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *server = NULL, *token = NULL, *dir = NULL, *name = NULL;
    const struct cli_option options[] = {
        {"server", 's', CLI_STRING, "HOST:PORT", "the server's enrolment address", &server},
        {"token", 't', CLI_STRING, "TOKEN", "as `fedpet-server token` printed it", &token},
        {"identity", 'i', CLI_STRING, "DIR", "folder for key.pem, cert.pem and ca.pem", &dir},
        {"name", 'n', CLI_STRING, "NAME", "asked for; default: this host's name", &name},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(server, "server", e)) ||
        (rc = cli_need(token, "token", e)) || (rc = cli_need(dir, "identity", e)))
        return rc;
    char host[IDENTITY_MAX_NAME + 1] = "client";
    if (!name && !gethostname(host, sizeof host - 1) && identity_name_ok(host))
        name = host;
    struct enrolment n = {.dir = dir, .token_text = token};
    rc = enrol(&n, server, name ? name : host, e);
    identity_release(&n.id);
    return rc;
}
