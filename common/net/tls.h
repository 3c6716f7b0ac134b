/* TLS 1.3 (RFC 8446) as a sans-I/O engine: ciphertext in, plaintext out, and back.
 * No socket, no clock of its own. The same engine runs under libuv (link), in the simulator and in
 * tests. */
#ifndef NET_TLS_H
#define NET_TLS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keys and trust of one side; shared by its connections. */
struct tls_context;
enum tls_role {
    TLS_CLIENT, /* presents cert and key, requires a server certificate for the dialled name */
    TLS_SERVER, /* requires a client certificate signed by ca */
    TLS_ENROLL_CLIENT, /* no certificate yet: trusts the CA with the pinned fingerprint, which the
                        * server shows, for a server certificate of the dialled name */
    TLS_ENROLL_SERVER, /* presents its certificate and the CA, asks none */
};
struct tls_files {
    const char *ca, *cert, *key; /* PEM paths; NULL where the role has none. `ca` may hold several
                                  * certificates, `cert` its own and then those that lead to ca */
    const char *crl; /* NULL, or revocation lists of every CA in `ca` (identity_make_crl): then no
                      * revoked certificate of a peer is accepted */
    const char *ca_sha256; /* TLS_ENROLL_CLIENT: hex fingerprint (of the DER) of the CA */
};
/* TLS 1.3 only, keys and hashes of at least 112 bits, no compression, no early data, no
 * renegotiation, no session tickets. ERR_TLS naming file and fault (expired, not yet valid, key
 * does not match); ERR_IO. A key file that its group or others may read or write is warned about.
 */
int tls_context_open(struct tls_context **out, enum tls_role role, const struct tls_files *f,
                     struct err *e) MUST_CHECK;

/* Connections live on without their context. */
void tls_context_close(struct tls_context *c);

/* One connection. `name`: for clients, the server name to check against its certificate (host name
 * or IP); else NULL. ERR_TLS: no name to check; ERR_NOMEM. */
struct tls;
int tls_open(struct tls **out, struct tls_context *c, const char *name, struct err *e) MUST_CHECK;
void tls_close(struct tls *t);

/* Bytes that came from the network. Appends decrypted bytes to `plain`, and whatever must be
 * answered to `cipher` (flushed completely). ERR_TLS (the alert to send is in `cipher`; nothing
 * more can be done with t), ERR_NOMEM when a buffer's limit is reached: `plain` needs room for one
 * record (16 KiB) more than it will hold. *closed: the peer ended the stream cleanly; what came
 * after that is dropped. A stream that ends without it was cut, which only the owner of the socket
 * can see. */
int tls_feed(struct tls *t, const void *in, size_t n, struct buf *plain, struct buf *cipher,
             bool *closed, struct err *e) MUST_CHECK;
/* Starts the handshake (clients), or does nothing. */
int tls_start(struct tls *t, struct buf *cipher, struct err *e) MUST_CHECK;
/* Encrypts n bytes into `cipher`, completely or not at all: in records of TLS_RECORD bytes, but for
 * the last. ERR_STATE before tls_ready; ERR_NOMEM. */
enum { TLS_RECORD = 16384 }; /* the most that a record holds (RFC 8446, 5.1) */
int tls_send(struct tls *t, const void *bytes, size_t n, struct buf *cipher,
             struct err *e) MUST_CHECK;
/* Bytes that tls_send makes of n: each record adds a header, its type and a tag of 16 bytes, which
 * all cipher suites in use have (RFC 8446, 5.2). */
size_t tls_sealed(size_t n);
/* close_notify. */
void tls_end(struct tls *t, struct buf *cipher);

bool tls_ready(const struct tls *t);
/* Whether the peer's certificate would still be accepted by these keys and trust, and now: 0, or
 * ERR_TLS saying why not (revoked, expired, its CA no longer trusted). Peers without one pass. */
int tls_recheck(const struct tls *t, struct tls_context *c, struct err *e) MUST_CHECK;
/* Fingerprint of the CA that vouches for the peer's certificate; false before tls_ready and without
 * a certificate. */
bool tls_peer_ca(const struct tls *t, struct hash *out);
/* Common name of the verified peer certificate (identity_name_ok); "" before tls_ready, for clients
 * without certificate and for servers whose name is no such name. Valid while t lives. */
const char *tls_peer(const struct tls *t);

#endif
