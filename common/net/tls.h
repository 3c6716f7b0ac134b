/* TLS 1.3 (RFC 8446) as a sans-I/O engine over memory BIOs: ciphertext in, plaintext out, and back.
 * No socket, no clock of its own. The same engine runs under libuv (link), in the simulator and in
 * tests. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keys and trust of one side; shared by its connections. */
struct tls_context;
enum tls_role {
    TLS_CLIENT, /* presents cert and key, requires a server certificate for the dialled name */
    TLS_SERVER, /* requires a client certificate signed by ca */
    TLS_ENROLL_CLIENT, /* no certificate yet: accepts any chain whose CA has the pinned fingerprint
                        */
    TLS_ENROLL_SERVER, /* presents its certificate and the CA, asks none */
};
struct tls_files {
    const char *ca, *cert, *key; /* PEM paths; NULL where the role has none */
    const char *ca_sha256;       /* TLS_ENROLL_CLIENT: hex fingerprint (of the DER) of the CA */
};
/* TLS 1.3 only, no compression, no early data, no renegotiation, no session tickets. ERR_TLS naming
 * file and fault (expired, not yet valid, key does not match); ERR_IO. A key file readable by
 * others is warned about. */
int tls_context_open(struct tls_context **out, enum tls_role role, const struct tls_files *f,
                     struct err *e) MUST_CHECK;
void tls_context_close(struct tls_context *c);

/* One connection. `name`: for clients, the server name to check against its certificate (host name
 * or IP); else NULL. */
struct tls;
int tls_open(struct tls **out, struct tls_context *c, const char *name, struct err *e) MUST_CHECK;
void tls_close(struct tls *t);

/* Bytes that came from the network. Appends decrypted bytes to `plain`, and whatever must be
 * answered to `cipher` (flushed completely). ERR_TLS (alert sent is in `cipher` too), ERR_NOMEM
 * when a buffer's limit is reached. *closed: the peer ended the stream cleanly. */
int tls_feed(struct tls *t, const void *in, size_t n, struct buf *plain, struct buf *cipher,
             bool *closed, struct err *e) MUST_CHECK;
/* Starts the handshake (clients), or does nothing. */
int tls_start(struct tls *t, struct buf *cipher, struct err *e) MUST_CHECK;
/* Encrypts n bytes into `cipher`, completely. Only when tls_ready. */
int tls_send(struct tls *t, const void *bytes, size_t n, struct buf *cipher,
             struct err *e) MUST_CHECK;
/* close_notify. */
void tls_end(struct tls *t, struct buf *cipher);

bool tls_ready(const struct tls *t);
/* Common name of the verified peer certificate, "" when it has none; valid while t lives. */
const char *tls_peer(const struct tls *t);

#endif
