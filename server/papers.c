#include "server/papers.h"
#include "base/file.h"
#include "net/fileset.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { CERT, KEY, PAIR };

static const mode_t modes[PAIR] = {[CERT] = 0644, [KEY] = 0600};
#define CRL_FILE "crl.pem"

/* --- files --- */

static int own_files(const struct server_config *c, struct fileset *s, struct err *e)
{
    return fileset_init(s, (const char *const[PAIR]){c->identity.cert, c->identity.key}, modes,
                        PAIR, e);
}

static int ca_files(const struct server_config *c, struct fileset *s, struct err *e)
{
    return fileset_init(s, (const char *const[PAIR]){c->identity.ca, c->identity.ca_key}, modes,
                        PAIR, e);
}

static int replace(const struct fileset *s, const struct identity *with, struct err *e)
{
    return fileset_replace(s, (const char *const[PAIR]){with->cert, with->key}, e);
}

int papers_recover(const struct server_config *c, struct err *e)
{
    struct fileset own, ca;
    int rc = own_files(c, &own, e);
    if (rc == 0)
        rc = ca_files(c, &ca, e);
    if (rc == 0)
        rc = fileset_recover(&ca, e);
    return rc == 0 ? fileset_recover(&own, e) : rc;
}

int papers_ca(const struct server_config *c, struct identity *ca, struct err *e)
{
    struct identity read = {0};
    int rc = file_read(c->identity.ca, PAPERS_PEM_LIMIT, &read.cert, NULL, e);
    if (rc == 0)
        rc = file_read(c->identity.ca_key, PAPERS_PEM_LIMIT, &read.key, NULL, e);
    if (rc == 0)
        *ca = read;
    else
        identity_release(&read);
    return rc;
}

/* Which of the CAs signed the server's certificate. */
static int own_issuer(const struct server_config *c, const struct identity *ca, size_t *place,
                      struct hash *fingerprint, struct err *e)
{
    char *own;
    int rc = file_read(c->identity.cert, PAPERS_PEM_LIMIT, &own, NULL, e);
    if (rc != 0)
        return rc;
    rc = identity_issuer(own, ca->cert, place, fingerprint, e);
    free(own);
    return rc == 0 ? 0 : err_wrap(e, "%s", c->identity.cert);
}

int papers_pin(const struct server_config *c, const struct identity *ca, struct hash *out,
               struct err *e)
{
    size_t place;
    return own_issuer(c, ca, &place, out, e);
}

/* --- change --- */

int papers_renew(const struct server_config *c, int64_t now, struct err *e)
{
    struct identity ca = {0}, fresh = {0};
    struct fileset own;
    char *old = NULL;
    int rc = papers_recover(c, e);
    if (rc == 0)
        rc = own_files(c, &own, e);
    if (rc == 0)
        rc = papers_ca(c, &ca, e);
    if (rc == 0)
        rc = file_read(c->identity.cert, PAPERS_PEM_LIMIT, &old, NULL, e);
    if (rc == 0)
        rc = identity_renew_server(&fresh, &ca, old, now, PAPERS_SERVER_DAYS, e);
    if (rc == 0)
        rc = replace(&own, &fresh, e);
    free(old);
    identity_release(&fresh);
    identity_release(&ca);
    return rc;
}

/* The CA's papers, and that there are n of them. */
static int expect_cas(const struct server_config *c, struct identity *ca, size_t n,
                      const char *otherwise, struct err *e)
{
    size_t there;
    int rc = papers_recover(c, e);
    if (rc == 0)
        rc = papers_ca(c, ca, e);
    if (rc == 0)
        rc = identity_count(ca->cert, &there, e);
    if (rc == 0 && there != n)
        rc = err_set(e, ERR_STATE, "%s: %zu CAs: %s", c->identity.ca, there, otherwise);
    return rc;
}

int papers_roll(const struct server_config *c, int64_t now, struct err *e)
{
    struct identity ca = {0}, next = {0}, both = {0};
    struct fileset files;
    char name[IDENTITY_MAX_NAME + 1];
    int rc = expect_cas(c, &ca, 1, "retire the old one first", e);
    if (rc == 0)
        rc = ca_files(c, &files, e);
    if (rc == 0)
        rc = identity_common_name(ca.cert, name, e);
    if (rc == 0)
        rc = identity_make_ca(&next, name, now, PAPERS_CA_DAYS, e);
    if (rc == 0)
        rc = identity_bundle(&both, &next, &ca, e);
    if (rc == 0)
        rc = replace(&files, &both, e);
    identity_release(&both);
    identity_release(&next);
    identity_release(&ca);
    return rc;
}

int papers_retire(const struct server_config *c, struct err *e)
{
    struct identity ca = {0}, first = {0};
    struct fileset files;
    size_t place = 0;
    int rc = expect_cas(c, &ca, 2, "there is no old one to retire", e);
    if (rc == 0)
        rc = own_issuer(c, &ca, &place, NULL, e);
    if (rc == 0 && place != 0)
        rc = err_set(e, ERR_STATE,
                     "%s: the old CA's, without which no device would trust it: renew it first",
                     c->identity.cert);
    if (rc == 0)
        rc = ca_files(c, &files, e);
    if (rc == 0)
        rc = identity_first(&first, &ca, e);
    if (rc == 0)
        rc = replace(&files, &first, e);
    identity_release(&first);
    identity_release(&ca);
    return rc;
}

/* --- revocation --- */

struct revoked {
    struct store_certificate *item;
    size_t n, cap;
};

static int add_revoked(void *ctx, const struct store_certificate *c)
{
    struct revoked *r = ctx;
    if (c->revoked == 0)
        return 0;
    if (r->n == r->cap) {
        size_t cap = r->cap == 0 ? 64 : 2 * r->cap;
        struct store_certificate *more = realloc(r->item, cap * sizeof *more);
        if (more == NULL)
            return ERR_NOMEM;
        r->item = more;
        r->cap = cap;
    }
    r->item[r->n++] = *c;
    return 0;
}

int papers_crl_path(const struct server_config *c, char *out, size_t size, struct err *e)
{
    return file_join(out, size, c->state, CRL_FILE, e);
}

static int make_crl(const struct identity *ca, const struct revoked *r, int64_t now, char **pem,
                    struct err *e)
{
    struct identity_revocation *list = malloc((r->n + 1) * sizeof *list);
    if (list == NULL)
        return err_set(e, ERR_NOMEM, "no memory for %zu revocations", r->n);
    for (size_t i = 0; i < r->n; i++)
        list[i] = (struct identity_revocation){r->item[i].serial, r->item[i].revoked};
    int rc = identity_make_crl(pem, ca, list, r->n, now, e);
    free(list);
    return rc;
}

int papers_write_crl(const struct server_config *c, const struct identity *ca, struct store *store,
                     int64_t now, struct err *e)
{
    char path[PATH_MAX], *pem = NULL;
    struct revoked r = {0};
    int rc = papers_crl_path(c, path, sizeof path, e);
    if (rc == 0 && (rc = store_certificates(store, now, add_revoked, &r, e)) == ERR_NOMEM)
        err_set(e, ERR_NOMEM, "no memory for %zu revocations", r.n);
    if (rc == 0)
        rc = make_crl(ca, &r, now, &pem, e);
    if (rc == 0)
        rc = file_write(path, pem, strlen(pem), 0644, e);
    free(pem);
    free(r.item);
    return rc;
}
