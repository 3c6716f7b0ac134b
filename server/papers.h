/* The server's own papers on disk: its key and certificate, the CA's, and the revocation lists that
 * follow from the store. What changes two files changes them together (net/fileset.h). No command
 * line, no loop: cmd_ca.c, admission.c and tests are its shells.
 *
 * From one CA to the next, without a device that must enrol again:
 * 1. papers_roll: a new CA beside the old one. The new one signs what is asked for from now on,
 * both are trusted, and the server's certificate is still the old CA's, which all devices trust.
 * Each device that is or comes online is asked to renew, and is then given both CAs to trust.
 * 2. papers_renew, when all devices have done so: the server's certificate is the new CA's.
 * 3. papers_retire: the old CA is forgotten. */
#ifndef SERVER_PAPERS_H
#define SERVER_PAPERS_H

#include "net/identity.h"
#include "server/config.h"
#include "server/store.h"

enum {
    PAPERS_CA_DAYS = 3650,
    PAPERS_SERVER_DAYS = 825,
    PAPERS_CLIENT_DAYS = 730,
    PAPERS_PEM_LIMIT = 64 * 1024,
};

/* Finishes what a command that was killed had begun. To be called before the papers are read.
 * ERR_IO. */
int papers_recover(const struct server_config *c, struct err *e) MUST_CHECK;
/* Reads the CA's certificates and keys; to be released with identity_release. ERR_IO, ERR_TLS. */
int papers_ca(const struct server_config *c, struct identity *ca, struct err *e) MUST_CHECK;
/* Which CA vouches for the server's own certificate: the one that a device can pin. ERR_IO,
 * ERR_TLS: none of the CAs. */
int papers_pin(const struct server_config *c, const struct identity *ca, struct hash *out,
               struct err *e) MUST_CHECK;

/* `now` in Unix seconds. All three leave either the old papers or the new ones. */
int papers_renew(const struct server_config *c, int64_t now, struct err *e) MUST_CHECK;
/* ERR_STATE: there are two CAs already. */
int papers_roll(const struct server_config *c, int64_t now, struct err *e) MUST_CHECK;
/* ERR_STATE: there is but one CA, or the server's certificate is still the old one's. */
int papers_retire(const struct server_config *c, struct err *e) MUST_CHECK;

/* Where the revocation lists are: in the state folder. ERR_IO: path too long. */
int papers_crl_path(const struct server_config *c, char *out, size_t size,
                    struct err *e) MUST_CHECK;
/* Writes them from what the store says. ERR_IO, ERR_TLS, ERR_NOMEM. */
int papers_write_crl(const struct server_config *c, const struct identity *ca, struct store *store,
                     int64_t now, struct err *e) MUST_CHECK;

#endif
