#include "base/file.h"
#include "net/identity.h"
#include "server/papers.h"
#include "server/server_state.h"
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { EXPIRY_WARNING_DAYS = 30, DAY = 86400, RENEWAL_PAUSE_MS = 60 * 1000 };

/* What the certificates on disk make. */
struct admission {
    struct enroll enroll;
    struct tls_context *clients, *devices;
};

static void forget(struct admission *a)
{
    tls_context_close(a->clients);
    tls_context_close(a->devices);
    enroll_close(&a->enroll);
}

static int open_tls(struct admission *a, const struct server_config *c, struct err *e)
{
    char crl[PATH_MAX];
    struct tls_files files = {
        .ca = c->identity.ca, .cert = c->identity.cert, .key = c->identity.key};
    int rc = papers_crl_path(c, crl, sizeof crl, e);
    if (rc == 0)
        rc = tls_context_open(&a->devices, TLS_ENROLL_SERVER, &files, e);
    files.crl = crl;
    return rc == 0 ? tls_context_open(&a->clients, TLS_SERVER, &files, e) : rc;
}

static int read_all(struct admission *a, struct server *s, struct err *e)
{
    const struct server_config *c = s->config;
    struct admission fresh = {0};
    int rc = papers_recover(c, e);
    if (rc == 0)
        rc = enroll_open(&fresh.enroll, c, s->people, e);
    if (rc == 0)
        rc = papers_write_crl(c, &fresh.enroll.ca, s->people, (int64_t)time(NULL), e);
    if (rc == 0)
        rc = open_tls(&fresh, c, e);
    if (rc == 0)
        *a = fresh;
    else
        forget(&fresh);
    return rc;
}

static void warn_of_expiry(const char *path)
{
    char *pem;
    int64_t expiry;
    if (file_read(path, PAPERS_PEM_LIMIT, &pem, NULL, NULL) != 0)
        return;
    if (identity_expiry(pem, &expiry, NULL) == 0 &&
        expiry - (int64_t)time(NULL) < EXPIRY_WARNING_DAYS * DAY)
        log_warn("certificate expires soon file=%s days=%" PRId64, path,
                 (expiry - (int64_t)time(NULL)) / DAY);
    free(pem);
}

static void take_over(struct server *s, const struct admission *a)
{
    s->enroll = a->enroll;
    s->tls = a->clients;
    s->enroll_tls = a->devices;
    warn_of_expiry(s->config->identity.ca);
    warn_of_expiry(s->config->identity.cert);
}

int admission_open(struct server *s, struct err *e)
{
    struct admission a;
    int rc = read_all(&a, s, e);
    if (rc == 0)
        take_over(s, &a);
    return rc;
}

void admission_release(struct server *s)
{
    struct admission a = {s->enroll, s->tls, s->enroll_tls};
    forget(&a);
}

/* --- who is let in --- */

bool admission_allows(struct peer *q, const char *name, const char **reason)
{
    struct server *s = q->server;
    struct err e = {0};
    bool revoked = false;
    if (!identity_name_ok(name))
        *reason = "bad name";
    else if (!enroll_allows(&s->live->allow, name))
        *reason = "not on the list";
    else if (store_revoked(s->people, name, &revoked, &e) != 0)
        *reason = "the database cannot be read";
    else if (revoked)
        *reason = "revoked";
    else
        return true;
    if (e.code != 0)
        log_error("client not checked reason=\"%s\"", e.text);
    return false;
}

static void cut(struct peer *q, const char *reason)
{
    log_warn("client cut off client=%s address=%s reason=\"%s\"", q->name, q->address, reason);
    observe_refused(q, q->name, reason);
    link_close(q->link);
}

/* Some 0.1 ms a peer: a server with 10,000 of them is busy for a second. */
static void check_all(struct server *s)
{
    for (size_t i = 0; i < s->peers.n; i++) {
        struct peer *q = s->peers.peer[i];
        const char *reason;
        struct err e;
        if (!q->known)
            continue;
        if (link_recheck(q->link, s->tls, &e) != 0)
            cut(q, e.text);
        else if (!admission_allows(q, q->name, &reason))
            cut(q, reason);
        else
            admission_urge(q);
    }
}

void admission_reload(struct server *s)
{
    struct admission old = {s->enroll, s->tls, s->enroll_tls}, fresh;
    struct err e = {0};
    s->enroll.allow = &s->live->allow;
    s->enroll.replaced = false;
    if (read_all(&fresh, s, &e) != 0) {
        log_error("certificates not reloaded, the old ones stay in use reason=\"%s\"", e.text);
        return;
    }
    fresh.enroll.allow = &s->live->allow;
    listener_set_tls(s->listener, fresh.clients);
    listener_set_tls(s->enroll_listener, fresh.devices);
    take_over(s, &fresh);
    forget(&old);
    log_info("certificates reloaded");
    check_all(s);
}

/* --- renewal --- */

/* A client has a connection a run, and one certificate. */
static bool is_first(const struct peer *q)
{
    const struct peers *p = &q->server->peers;
    for (size_t i = 0; i < p->n && p->peer[i] != q; i++)
        if (strcmp(p->peer[i]->name, q->name) == 0)
            return false;
    return true;
}

void admission_urge(struct peer *q)
{
    const struct hash *signer = &q->server->enroll.signer;
    struct hash ca;
    if (!link_peer_ca(q->link, &ca) || hash_same(&ca, signer) || hash_same(&q->given_by, signer) ||
        !is_first(q))
        return;
    q->renewed = 0;
    peers_post(q, &(struct msg){.type = MSG_RENEW});
}

void admission_renew(struct peer *q, const struct msg_renew *request, struct arena *mem)
{
    struct server *s = q->server;
    struct err e = {0};
    struct msg answer;
    uint64_t now = uv_now(&s->loop);
    int rc = 0;
    if (q->renewed != 0 && now - q->renewed < RENEWAL_PAUSE_MS)
        rc = err_set(&e, ERR_REFUSED, "it has been given one a moment ago");
    else if (request->csr_pem == NULL)
        rc = err_set(&e, ERR_REFUSED, "there is no signing request");
    else
        rc = enroll_renew(&s->enroll, request, q->name, (int64_t)time(NULL), mem, &answer, &e);
    if (rc != 0) {
        log_warn("certificate not renewed client=%s reason=\"%s\"", q->name, e.text);
        return;
    }
    q->renewed = now;
    q->given_by = s->enroll.signer;
    log_info("certificate renewed client=%s", q->name);
    observe_event(s, "renewed", json_pack("{s:s}", "client", q->name));
    peers_post(q, &answer);
}
