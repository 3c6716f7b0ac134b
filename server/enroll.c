#include "server/enroll.h"
#include "net/token.h"
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int enroll_open(struct enroll *r, const struct server_config *c, struct store *store, struct err *e)
{
    *r = (struct enroll){.allow = &c->allow, .store = store};
    int rc = papers_ca(c, &r->ca, e);
    if (rc == 0 && (rc = identity_fingerprint(r->ca.cert, &r->signer, e)) != 0)
        err_wrap(e, "%s", c->identity.ca);
    if (rc == 0)
        rc = papers_pin(c, &r->ca, &r->fingerprint, e);
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

bool enroll_allows(const struct name_list *allow, const char *name)
{
    bool found = allow->n == 0;
    for (size_t i = 0; i < allow->n && !found; i++)
        found = fnmatch(allow->name[i], name, 0) == 0;
    return found;
}

/* A certificate for the key of a request, entered in the books. */
static int sign(struct enroll *r, const char *csr_pem, const char *name, int64_t now, char **cert,
                struct store_certificate *entry, struct err *e)
{
    char *pem = NULL;
    *entry = (struct store_certificate){.client = name, .issuer = r->signer, .given = now};
    if (!enroll_allows(r->allow, name))
        return err_set(e, ERR_REFUSED, "the name %s is not on this server's list", name);
    int rc = identity_sign_csr(&pem, &r->ca, csr_pem, name, now, PAPERS_CLIENT_DAYS, e);
    if (rc == 0)
        rc = identity_serial(pem, entry->serial, e);
    if (rc == 0)
        rc = identity_expiry(pem, &entry->expires, e);
    if (rc == 0)
        rc = store_certificate(r->store, entry, e);
    if (rc == 0)
        *cert = pem;
    else
        free(pem);
    return rc;
}

static int sign_and_enter(struct enroll *r, const struct msg_enroll *request,
                          const struct hash *digest, int64_t now, char **cert,
                          char name[IDENTITY_MAX_NAME + 1], struct err *e)
{
    struct hash fingerprint;
    struct store_certificate entry;
    char *signed_pem = NULL;
    bool replaced = false;
    int rc = settle_name(r, request, digest, now, name, e);
    if (rc == 0)
        rc = sign(r, request->csr_pem, name, now, &signed_pem, &entry, e);
    if (rc == 0)
        rc = identity_fingerprint(signed_pem, &fingerprint, e);
    if (rc == 0)
        rc = store_enroll(r->store, digest, name, &fingerprint, now, e);
    if (rc == 0)
        rc = store_supersede(r->store, name, entry.serial, now, &replaced, e);
    if (rc != 0) {
        free(signed_pem);
        return rc;
    }
    r->replaced |= replaced;
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
    else if (!identity_has(r->ca.cert, &token.ca))
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

int enroll_renew(struct enroll *r, const struct msg_renew *request, const char *name, int64_t now,
                 struct arena *mem, struct msg *answer, struct err *e)
{
    struct store_certificate entry;
    char *cert;
    int rc = sign(r, request->csr_pem, name, now, &cert, &entry, e);
    if (rc != 0)
        return rc;
    *answer = (struct msg){
        .type = MSG_IDENTITY,
        .identity = {arena_strdup(mem, name), arena_strdup(mem, cert), r->ca.cert},
    };
    free(cert);
    return 0;
}
