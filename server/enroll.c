#include "server/enroll.h"
#include "base/file.h"
#include "net/token.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PEM_LIMIT = 64 * 1024 };

int enroll_open(struct enroll *r, const struct server_config *c, struct store *store, struct err *e)
{
    *r = (struct enroll){.store = store};
    int rc = file_read(c->identity.ca, PEM_LIMIT, &r->ca.cert, NULL, e);
    if (rc == 0)
        rc = file_read(c->identity.ca_key, PEM_LIMIT, &r->ca.key, NULL, e);
    if (rc == 0 && (rc = identity_fingerprint(r->ca.cert, &r->fingerprint, e)) != 0)
        err_wrap(e, "%s", c->identity.ca);
    if (rc != 0)
        enroll_close(r);
    return rc;
}

void enroll_close(struct enroll *r)
{
    identity_release(&r->ca);
    *r = (struct enroll){0};
}

/* Which name a valid token entitles to. ERR_REFUSED; ERR_TLS: the device asks for no fit name. */
static int settle_name(struct enroll *r, const struct msg_enroll *request,
                       const struct hash *digest, int64_t now, char name[IDENTITY_MAX_NAME + 1],
                       struct err *e)
{
    char *bound = NULL;
    int rc = store_token_check(r->store, digest, now, &bound, e);
    if (rc == 0 && bound != NULL)
        snprintf(name, IDENTITY_MAX_NAME + 1, "%s", bound);
    else if (rc == 0)
        rc = identity_csr_name(request->csr_pem, name, e);
    free(bound);
    return rc;
}

static int sign_and_enter(struct enroll *r, const struct msg_enroll *request,
                          const struct hash *digest, int64_t now, char **cert,
                          char name[IDENTITY_MAX_NAME + 1], struct err *e)
{
    struct hash fingerprint;
    char *signed_pem = NULL;
    int rc = settle_name(r, request, digest, now, name, e);
    if (rc == 0)
        rc = identity_sign_csr(&signed_pem, &r->ca, request->csr_pem, name, now, ENROLL_CLIENT_DAYS,
                               e);
    if (rc == 0)
        rc = identity_fingerprint(signed_pem, &fingerprint, e);
    if (rc == 0)
        rc = store_enroll(r->store, digest, name, &fingerprint, now, e);
    if (rc != 0) {
        free(signed_pem);
        return rc;
    }
    *cert = signed_pem;
    return 0;
}

static enum msg_reason reason_of(int code)
{
    switch (code) {
    case ERR_REFUSED:
        return REASON_TOKEN;
    case ERR_CONFIG:
    case ERR_TLS:
        return REASON_IDENTITY;
    default:
        return REASON_INTERNAL;
    }
}

static void say_no(struct msg *answer, struct arena *mem, const struct err *e)
{
    enum msg_reason reason = reason_of(e->code);
    /* Paths and the like of this machine are nobody else's business. */
    char *text = reason == REASON_INTERNAL ? NULL : arena_strdup(mem, e->text);
    *answer = (struct msg){
        .type = MSG_GOODBYE,
        .goodbye = {reason, text != NULL ? text : "the server cannot enrol clients now", 0},
    };
}

void enroll_answer(struct enroll *r, const struct msg_enroll *request, int64_t now,
                   struct arena *mem, struct msg *answer)
{
    struct err e = {0};
    struct token token;
    char name[IDENTITY_MAX_NAME + 1], *cert = NULL;
    int rc = token_parse(request->token, &token, NULL);
    if (rc != 0)
        rc = err_set(&e, ERR_REFUSED, "this is not a token");
    else if (!hash_same(&token.ca, &r->fingerprint))
        rc = err_set(&e, ERR_REFUSED, "this token is for another server");
    if (rc == 0) {
        struct hash digest = token_digest(&token);
        rc = sign_and_enter(r, request, &digest, now, &cert, name, &e);
    }
    if (rc != 0) {
        log_warn("enrolment refused reason=\"%s\"", e.text);
        say_no(answer, mem, &e);
        return;
    }
    log_info("client enrolled client=%s", name);
    *answer = (struct msg){
        .type = MSG_IDENTITY,
        .identity = {arena_strdup(mem, name), arena_strdup(mem, cert), r->ca.cert},
    };
    free(cert);
}
