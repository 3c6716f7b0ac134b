/* The device's identity: three files in one folder that change together, and their renewal while
 * the daemon runs. No socket: client.c is its shell.
 *
 * The new key is made here and never leaves; until the server has answered it is in memory only.
 * The switch is that of net/fileset.h: killed at any point, the daemon has either the old identity
 * or the new one, and both are good. */
#ifndef CLIENT_ROTATION_H
#define CLIENT_ROTATION_H

#include "net/fileset.h"
#include "net/identity.h"
#include "net/tls.h"
#include "proto/msg.h"

enum { ROTATION_KEY, ROTATION_CERT, ROTATION_CA, ROTATION_FILES };

struct rotation {
    char path[ROTATION_FILES][PATH_MAX];
    char name[IDENTITY_MAX_NAME + 1]; /* from the certificate */
    int64_t begins, ends;             /* of the certificate, Unix seconds */
    struct identity pending;          /* key and request; NULL: none is under way */
};

/* Finishes a switch that was interrupted. ERR_IO: the folder's name is too long, or it cannot be
 * written; files that are not there are none of this function's business. */
int rotation_init(struct rotation *r, const char *dir, struct err *e) MUST_CHECK;
/* Reads name and dates. ERR_IO, ERR_TLS. */
int rotation_read(struct rotation *r, struct err *e) MUST_CHECK;
void rotation_release(struct rotation *r);
/* Keys and trust of the present files. ERR_IO, ERR_TLS. */
int rotation_tls(const struct rotation *r, struct tls_context **out, struct err *e) MUST_CHECK;

/* Whether two thirds of the certificate's time are over, and it is not too late. */
bool rotation_due(const struct rotation *r, int64_t now);
/* Makes a key and a request for it, which *m, a Renew, borrows until rotation_accept or
 * rotation_forget. ERR_STATE: one is under way; ERR_TLS. */
int rotation_request(struct rotation *r, struct msg *m, struct err *e) MUST_CHECK;
/* Nothing will come of the request that is under way. */
void rotation_forget(struct rotation *r);
/* Replaces the identity by the one that the server signed. ERR_TLS: it is not for this name and
 * this key, or of none of the CAs that came with it: the old one stays; ERR_IO, ERR_STATE: there
 * was no request. */
int rotation_accept(struct rotation *r, const struct msg_identity *m, struct err *e) MUST_CHECK;
/* The same with a key from elsewhere, for a folder that may be empty. */
int rotation_install(struct rotation *r, const char *key, const struct msg_identity *m,
                     struct err *e) MUST_CHECK;

#endif
