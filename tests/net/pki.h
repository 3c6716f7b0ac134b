/* A small federation's keys on disk, and pairs of TLS engines joined in memory: what the tests of
 * this folder share. */
#ifndef TESTS_NET_PKI_H
#define TESTS_NET_PKI_H

#include "base/file.h"
#include "net/identity.h"
#include "net/tls.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PKI_PATH = 64, PKI_DAYS = 30 };

struct pki {
    char dir[PKI_PATH / 2];
    struct identity ca;
    struct hash fingerprint;
    char ca_path[PKI_PATH], server_cert[PKI_PATH], server_key[PKI_PATH], client_cert[PKI_PATH],
        client_key[PKI_PATH];
};

static inline void pki_write(const struct pki *p, char path[PKI_PATH], const char *name,
                             const char *text)
{
    struct err e = {0};
    snprintf(path, PKI_PATH, "%s/%s", p->dir, name);
    cr_assert_eq(file_write(path, text, strlen(text), 0600, &e), 0, "%s", e.text);
}

/* A device's key and certificate as the two files. */
static inline void pki_enroll(const struct pki *p, const char *name, int64_t now,
                              char cert[PKI_PATH], char key[PKI_PATH])
{
    struct identity device = {0};
    struct err e = {0};
    char *pem = NULL, file[PKI_PATH / 2];
    cr_assert_eq(identity_make_csr(&device, name, &e), 0, "%s", e.text);
    cr_assert_eq(identity_sign_csr(&pem, &p->ca, device.cert, name, now, PKI_DAYS, &e), 0, "%s",
                 e.text);
    snprintf(file, sizeof file, "%.20s.pem", name);
    pki_write(p, cert, file, pem);
    snprintf(file, sizeof file, "%.20s.key", name);
    pki_write(p, key, file, device.key);
    free(pem);
    identity_release(&device);
}

static inline void pki_init(struct pki *p)
{
    static const char *const host[] = {"localhost", "127.0.0.1", "::1"};
    struct identity server = {0};
    struct err e = {0};
    int64_t now = time(NULL);
    *p = (struct pki){.dir = "/tmp/fedpet-net-XXXXXX"};
    cr_assert(mkdtemp(p->dir));
    cr_assert_eq(identity_make_ca(&p->ca, "test-ca", now, PKI_DAYS, &e), 0, "%s", e.text);
    cr_assert_eq(identity_fingerprint(p->ca.cert, &p->fingerprint, &e), 0, "%s", e.text);
    cr_assert_eq(identity_make_server(&server, &p->ca, host, 3, now, PKI_DAYS, &e), 0, "%s",
                 e.text);
    pki_write(p, p->ca_path, "ca.pem", p->ca.cert);
    pki_write(p, p->server_cert, "server.pem", server.cert);
    pki_write(p, p->server_key, "server.key", server.key);
    pki_enroll(p, "client-0001", now, p->client_cert, p->client_key);
    identity_release(&server);
}

static inline void pki_release(struct pki *p)
{
    char command[PKI_PATH];
    identity_release(&p->ca);
    static const char *const names[] = {"ca.pem",          "server.pem",      "server.key",
                                        "client-0001.pem", "client-0001.key", "other.pem",
                                        "other.key"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(command, sizeof command, "%s/%s", p->dir, names[i]);
        unlink(command);
    }
    rmdir(p->dir);
}

static inline struct tls_context *pki_context(enum tls_role role, const char *ca, const char *cert,
                                              const char *key)
{
    struct tls_context *c = NULL;
    struct err e = {0};
    struct tls_files f = {.ca = ca, .cert = cert, .key = key};
    cr_assert_eq(tls_context_open(&c, role, &f, &e), 0, "%s", e.text);
    return c;
}
static inline struct tls_context *pki_server(const struct pki *p)
{
    return pki_context(TLS_SERVER, p->ca_path, p->server_cert, p->server_key);
}
static inline struct tls_context *pki_client(const struct pki *p)
{
    return pki_context(TLS_CLIENT, p->ca_path, p->client_cert, p->client_key);
}

/* Deterministic bytes that differ at every place. */
static inline unsigned char *pki_noise(size_t n, uint32_t seed)
{
    unsigned char *b = malloc(n ? n : 1);
    cr_assert(b);
    for (size_t i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        b[i] = (unsigned char)(seed >> 24);
    }
    return b;
}

#endif
