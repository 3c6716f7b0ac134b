#include "sim/trust.h"
#include "base/file.h"
#include "net/identity.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { TRUST_DAYS = 30 }; /* longer than any simulation */

struct trust {
    char dir[64]; /* empty: not made */
    struct identity ca;
    struct tls_context *server;
    int64_t now;
};

static int path_in(const struct trust *t, const char *name, char out[PATH_MAX], struct err *e)
{
    return file_join(out, PATH_MAX, t->dir, name, e);
}

static int write_pem(const struct trust *t, const char *name, const char *pem, char path[PATH_MAX],
                     struct err *e)
{
    int rc = path_in(t, name, path, e);
    return rc ? rc : file_write(path, pem, strlen(pem), 0600, e);
}

/* A context from PEM texts, by way of files, as in a deployment. The files go at once. */
static int context_from(const struct trust *t, enum tls_role role, const char *key,
                        const char *cert, struct tls_context **out, struct err *e)
{
    char ca_path[PATH_MAX], key_path[PATH_MAX], cert_path[PATH_MAX];
    int rc = path_in(t, "ca.pem", ca_path, e);
    if (!rc)
        rc = write_pem(t, "key.pem", key, key_path, e);
    if (!rc)
        rc = write_pem(t, "cert.pem", cert, cert_path, e);
    if (!rc) {
        struct tls_files files = {.ca = ca_path, .cert = cert_path, .key = key_path};
        rc = tls_context_open(out, role, &files, e);
        unlink(key_path);
        unlink(cert_path);
    }
    return rc;
}

static int make_all(struct trust *t, struct err *e)
{
    const char *host = TRUST_SERVER;
    const char *tmp = getenv("TMPDIR");
    char path[PATH_MAX];
    struct identity server = {0};
    if (snprintf(t->dir, sizeof t->dir, "%s/fedpet-sim-XXXXXX", tmp ? tmp : "/tmp") >=
        (int)sizeof t->dir) {
        t->dir[0] = '\0';
        return err_set(e, ERR_IO, "TMPDIR is too long a path: %s", tmp);
    }
    if (!mkdtemp(t->dir)) {
        int rc = err_sys(e, ERR_IO, errno, "cannot make %s", t->dir);
        t->dir[0] = '\0';
        return rc;
    }
    int rc = identity_make_ca(&t->ca, "simulation", t->now, TRUST_DAYS, e);
    if (!rc)
        rc = write_pem(t, "ca.pem", t->ca.cert, path, e);
    if (!rc)
        rc = identity_make_server(&server, &t->ca, &host, 1, t->now, TRUST_DAYS, e);
    if (!rc)
        rc = context_from(t, TLS_SERVER, server.key, server.cert, &t->server, e);
    identity_release(&server);
    return rc;
}

int trust_open(struct trust **out, struct err *e)
{
    struct trust *t = calloc(1, sizeof *t);
    if (!t)
        return err_set(e, ERR_NOMEM, "no memory for certificates");
    t->now = (int64_t)time(
        NULL); /* validity of certificates is about the real clock; results do not depend on it */
    int rc = make_all(t, e);
    if (rc)
        trust_close(t);
    else
        *out = t;
    return rc;
}

void trust_close(struct trust *t)
{
    if (!t)
        return;
    tls_context_close(t->server);
    identity_release(&t->ca);
    char path[PATH_MAX];
    if (t->dir[0] && path_in(t, "ca.pem", path, NULL) == 0) {
        unlink(path);
        rmdir(t->dir);
    }
    free(t);
}

struct tls_context *trust_server(struct trust *t)
{
    return t->server;
}

int trust_client(struct trust *t, const char *name, struct tls_context **out, struct err *e)
{
    struct identity id = {0};
    char *cert = NULL;
    int rc = identity_make_csr(&id, name, e);
    if (!rc)
        rc = identity_sign_csr(&cert, &t->ca, id.cert, name, t->now, TRUST_DAYS, e);
    if (!rc)
        rc = context_from(t, TLS_CLIENT, id.key, cert, out, e);
    free(cert);
    identity_release(&id);
    return rc;
}
