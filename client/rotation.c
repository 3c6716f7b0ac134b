#include "client/rotation.h"
#include "base/file.h"
#include <stdlib.h>
#include <string.h>

enum { CERT_LIMIT = 1 << 16 };

static int files(const struct rotation *r, struct fileset *set, struct err *e)
{
    static const mode_t modes[ROTATION_FILES] = {0600, 0600, 0600};
    const char *const path[ROTATION_FILES] = {r->path[0], r->path[1], r->path[2]};
    return fileset_init(set, path, modes, ROTATION_FILES, e);
}

int rotation_init(struct rotation *r, const char *dir, struct err *e)
{
    static const char *const names[ROTATION_FILES] = {
        [ROTATION_KEY] = "key.pem", [ROTATION_CERT] = "cert.pem", [ROTATION_CA] = "ca.pem"};
    struct fileset set;
    int rc = 0;
    memset(r, 0, sizeof *r);
    for (int i = 0; i < ROTATION_FILES && !rc; i++)
        rc = file_join(r->path[i], PATH_MAX, dir, names[i], e);
    if (!rc)
        rc = files(r, &set, e);
    return rc ? rc : fileset_recover(&set, e);
}

int rotation_read(struct rotation *r, struct err *e)
{
    char *pem;
    int rc = file_read(r->path[ROTATION_CERT], CERT_LIMIT, &pem, NULL, e);
    if (rc)
        return rc;
    rc = identity_common_name(pem, r->name, e);
    if (!rc)
        rc = identity_validity(pem, &r->begins, &r->ends, e);
    free(pem);
    return rc ? err_wrap(e, "%s", r->path[ROTATION_CERT]) : 0;
}

void rotation_release(struct rotation *r)
{
    rotation_forget(r);
}

int rotation_tls(const struct rotation *r, struct tls_context **out, struct err *e)
{
    const struct tls_files f = {
        .ca = r->path[ROTATION_CA], .cert = r->path[ROTATION_CERT], .key = r->path[ROTATION_KEY]};
    return tls_context_open(out, TLS_CLIENT, &f, e);
}

bool rotation_due(const struct rotation *r, int64_t now)
{
    return now < r->ends && now - r->begins > (r->ends - r->begins) / 3 * 2;
}

int rotation_request(struct rotation *r, struct msg *m, struct err *e)
{
    if (r->pending.key)
        return err_set(e, ERR_STATE, "a renewal is under way");
    int rc = identity_make_csr(&r->pending, r->name, e);
    if (!rc)
        *m = (struct msg){.type = MSG_RENEW, .renew = {r->pending.cert}};
    return rc;
}

void rotation_forget(struct rotation *r)
{
    identity_release(&r->pending);
}

int rotation_install(struct rotation *r, const char *key, const struct msg_identity *m,
                     struct err *e)
{
    const struct identity id = {.key = (char *)(uintptr_t)key,
                                .cert = (char *)(uintptr_t)m->cert_pem};
    const char *const text[ROTATION_FILES] = {key, m->cert_pem, m->ca_pem};
    struct fileset set;
    size_t place;
    int rc = identity_check_pair(&id, e);
    if (!rc)
        rc = identity_issuer(m->cert_pem, m->ca_pem, &place, NULL, e);
    if (!rc)
        rc = files(r, &set, e);
    if (!rc)
        rc = fileset_replace(&set, text, e);
    return rc ? rc : rotation_read(r, e);
}

int rotation_accept(struct rotation *r, const struct msg_identity *m, struct err *e)
{
    char name[IDENTITY_MAX_NAME + 1];
    if (!r->pending.key)
        return err_set(e, ERR_STATE, "nobody has asked for a certificate");
    int rc = identity_common_name(m->cert_pem, name, e);
    if (!rc && strcmp(name, r->name) != 0)
        rc = err_set(e, ERR_TLS, "the certificate is for %s", name);
    if (!rc)
        rc = rotation_install(r, r->pending.key, m, e);
    rotation_forget(r);
    return rc;
}
