/* The server's own papers, as its commands change them: what is on disk afterwards, what refuses,
 * and what a kill leaves behind. */
#include "base/log.h"
#include "folder.h"
#include "net/fileset.h"
#include "net/tls.h"
#include "server/init.h"
#include "server/papers.h"
#include <time.h>

struct desk {
    struct folder folder;
    struct server_config config;
};

static void desk_open(struct desk *d)
{
    struct err e = {0};
    const char *host = "localhost";
    log_setup("test", stderr, LOG_ERROR, false);
    *d = (struct desk){.folder = folder_make()};
    cr_assert_eq(init_folder(d->folder.path, &host, 1, &e), 0, "%s", e.text);
    d->config.state = strdup(d->folder.path);
    d->config.identity.ca = strdup(folder_file(&d->folder, "ca.pem"));
    d->config.identity.ca_key = strdup(folder_file(&d->folder, "ca.key"));
    d->config.identity.cert = strdup(folder_file(&d->folder, "server.pem"));
    d->config.identity.key = strdup(folder_file(&d->folder, "server.key"));
}

static void desk_close(struct desk *d)
{
    free(d->config.state);
    free(d->config.identity.ca);
    free(d->config.identity.ca_key);
    free(d->config.identity.cert);
    free(d->config.identity.key);
    folder_remove(&d->folder);
}

static char *text_of(const char *path)
{
    char *text = NULL;
    struct err e = {0};
    cr_assert_eq(file_read(path, PAPERS_PEM_LIMIT, &text, NULL, &e), 0, "%s", e.text);
    return text;
}

static struct hash digest_of(const char *path)
{
    char *text = text_of(path);
    struct hash h = hash_of(text, strlen(text));
    free(text);
    return h;
}

static bool same(struct hash a, struct hash b)
{
    return hash_same(&a, &b);
}

/* What `run` will do with them. */
static void expect_usable(const struct desk *d)
{
    struct tls_context *c = NULL;
    struct err e = {0};
    const struct tls_files f = {.ca = d->config.identity.ca,
                                .cert = d->config.identity.cert,
                                .key = d->config.identity.key};
    cr_assert_eq(tls_context_open(&c, TLS_SERVER, &f, &e), 0, "%s", e.text);
    tls_context_close(c);
}

static size_t number_of_cas(const struct desk *d)
{
    size_t n = 0;
    char *pem = text_of(d->config.identity.ca);
    cr_assert_eq(identity_count(pem, &n, NULL), 0);
    free(pem);
    return n;
}

Test(papers, renewal_changes_key_and_certificate_together)
{
    struct desk d;
    struct err e = {0};
    desk_open(&d);
    struct hash cert = digest_of(d.config.identity.cert), key = digest_of(d.config.identity.key),
                ca = digest_of(d.config.identity.ca);
    cr_assert_eq(papers_renew(&d.config, time(NULL), &e), 0, "%s", e.text);
    cr_assert_not(same(cert, digest_of(d.config.identity.cert)));
    cr_assert_not(same(key, digest_of(d.config.identity.key)));
    cr_assert(same(ca, digest_of(d.config.identity.ca)));
    expect_usable(&d);
    desk_close(&d);
}

Test(papers, a_new_ca_comes_in_three_steps_in_this_order)
{
    struct desk d;
    struct err e = {0};
    struct identity ca = {0};
    struct hash first, pin;
    int64_t now = time(NULL);
    desk_open(&d);
    cr_assert_eq(papers_retire(&d.config, &e), ERR_STATE);
    cr_assert_not_null(strstr(e.text, "no old one"), "%s", e.text);
    cr_assert_eq(papers_ca(&d.config, &ca, &e), 0);
    cr_assert_eq(identity_fingerprint(ca.cert, &first, &e), 0);
    identity_release(&ca);

    cr_assert_eq(papers_roll(&d.config, now, &e), 0, "%s", e.text);
    cr_assert_eq(number_of_cas(&d), 2);
    expect_usable(&d);
    cr_assert_eq(papers_roll(&d.config, now, &e), ERR_STATE);
    cr_assert_eq(papers_retire(&d.config, &e), ERR_STATE);
    cr_assert_not_null(strstr(e.text, "renew it first"), "%s", e.text);
    /* Devices still pin the CA that the server can show. */
    cr_assert_eq(papers_ca(&d.config, &ca, &e), 0);
    cr_assert_eq(papers_pin(&d.config, &ca, &pin, &e), 0);
    cr_assert(hash_same(&pin, &first));

    cr_assert_eq(papers_renew(&d.config, now, &e), 0, "%s", e.text);
    cr_assert_eq(papers_pin(&d.config, &ca, &pin, &e), 0);
    cr_assert_not(hash_same(&pin, &first));
    identity_release(&ca);

    cr_assert_eq(papers_retire(&d.config, &e), 0, "%s", e.text);
    cr_assert_eq(number_of_cas(&d), 1);
    expect_usable(&d);
    cr_assert_eq(papers_ca(&d.config, &ca, &e), 0);
    cr_assert_not(identity_has(ca.cert, &first));
    cr_assert_eq(identity_check_pair(&ca, &e), 0, "%s", e.text);
    identity_release(&ca);
    desk_close(&d);
}

/* The command was killed with one of the two files replaced. */
Test(papers, half_a_renewal_is_finished_by_the_next_start)
{
    struct desk d;
    struct err e = {0};
    desk_open(&d);
    char *cert = text_of(d.config.identity.cert), *key = text_of(d.config.identity.key);
    cr_assert_eq(papers_renew(&d.config, time(NULL), &e), 0);
    char *new_cert = text_of(d.config.identity.cert), *new_key = text_of(d.config.identity.key);
    struct hash done = digest_of(d.config.identity.key);
    /* Back to the state in between. */
    cr_assert_eq(file_write(d.config.identity.key, key, strlen(key), 0600, &e), 0);
    char journal[16384];
    int n = snprintf(journal, sizeof journal, "fedpet fileset 1\n0 %zu\n%s1 %zu\n%s",
                     strlen(new_cert), new_cert, strlen(new_key), new_key);
    cr_assert(n > 0 && (size_t)n < sizeof journal);
    cr_assert_eq(
        file_write(folder_file(&d.folder, "server.pem.next"), journal, (size_t)n, 0600, &e), 0);
    struct tls_context *c = NULL;
    const struct tls_files f = {
        .ca = d.config.identity.ca, .cert = d.config.identity.cert, .key = d.config.identity.key};
    cr_assert_eq(tls_context_open(&c, TLS_SERVER, &f, &e), ERR_TLS, "they do not belong together");
    cr_assert_eq(papers_recover(&d.config, &e), 0, "%s", e.text);
    cr_assert(same(done, digest_of(d.config.identity.key)));
    expect_usable(&d);
    free(cert);
    free(key);
    free(new_cert);
    free(new_key);
    desk_close(&d);
}

Test(papers, a_server_certificate_of_another_ca_is_named)
{
    struct desk d, other;
    struct identity ca = {0};
    struct hash pin;
    struct err e = {0};
    desk_open(&d);
    desk_open(&other);
    cr_assert_eq(papers_ca(&other.config, &ca, &e), 0);
    cr_assert_eq(papers_pin(&d.config, &ca, &pin, &e), ERR_TLS);
    cr_assert_not_null(strstr(e.text, "server.pem"), "%s", e.text);
    identity_release(&ca);
    desk_close(&other);
    desk_close(&d);
}

static int enter(struct store *store, const char *serial, const char *client, int64_t expires,
                 struct err *e)
{
    struct store_certificate c = {
        .client = client, .issuer = hash_of("ca", 2), .given = 1, .expires = expires};
    snprintf(c.serial, sizeof c.serial, "%s", serial);
    return store_certificate(store, &c, e);
}

static int count_revoked(void *ctx, const struct store_certificate *c)
{
    *(unsigned *)ctx += c->revoked != 0;
    return 0;
}

Test(papers, revocations_reach_the_list_and_stay)
{
    struct desk d;
    struct store *store = NULL;
    struct identity ca = {0};
    struct err e = {0};
    int64_t now = time(NULL), later = now + 1000;
    unsigned n = 0;
    bool any = true;
    desk_open(&d);
    cr_assert_eq(papers_ca(&d.config, &ca, &e), 0);
    cr_assert_eq(store_open(&store, folder_file(&d.folder, "db"), STORE_WRITE, &e), 0);
    cr_assert_eq(enter(store, "01", "ann", later, &e), 0, "%s", e.text);
    cr_assert_eq(enter(store, "02", "ann", later, &e), 0);
    cr_assert_eq(enter(store, "03", "bob", later, &e), 0);
    cr_assert_eq(enter(store, "04", "bob", now - 1, &e), 0);
    cr_assert_neq(enter(store, "01", "eve", later, &e), 0, "a serial number is given once");
    cr_assert_eq(store_revoke_serial(store, "09", now, &e), ERR_USAGE);
    cr_assert_eq(store_revoke(store, "eve", now, &e), ERR_USAGE);
    cr_assert_eq(store_revoke_serial(store, "03", now, &e), 0);
    cr_assert_eq(store_supersede(store, "ann", "02", now, &any, &e), 0);
    cr_assert(any);
    cr_assert_eq(store_supersede(store, "ann", "02", now, &any, &e), 0);
    cr_assert_not(any);
    store_close(store);
    cr_assert_eq(store_open(&store, folder_file(&d.folder, "db"), STORE_WRITE, &e), 0);
    cr_assert_eq(store_certificates(store, now, count_revoked, &n, &e), 0);
    cr_assert_eq(n, 2);
    cr_assert_eq(papers_write_crl(&d.config, &ca, store, now, &e), 0, "%s", e.text);
    cr_assert(file_exists(folder_file(&d.folder, "crl.pem")));
    cr_assert_eq(store_revoke(store, "ann", now, &e), 0);
    n = 0;
    cr_assert_eq(store_certificates(store, now, count_revoked, &n, &e), 0);
    cr_assert_eq(n, 3);
    store_close(store);
    identity_release(&ca);
    desk_close(&d);
}
