/* Enrolment: a one-time token and a signing request in, a certificate out. No socket: server.c and
 * tests are its shells. */
#ifndef SERVER_ENROLL_H
#define SERVER_ENROLL_H

#include "net/identity.h"
#include "proto/msg.h"
#include "server/config.h"
#include "server/papers.h"
#include "server/store.h"

enum {
    ENROLL_MAX_LINKS = 64, /* devices at a time ... */
    ENROLL_MAX_PER_ADDRESS = 16,
    ENROLL_MS = 10000, /* for a device that is connected to ask */
};

struct enroll {
    struct identity ca;            /* all that are trusted; the first signs */
    struct hash fingerprint;       /* of the CA that devices pin: papers_pin */
    struct hash signer;            /* of the first */
    const struct name_list *allow; /* borrowed; n 0: any name */
    struct store *store;           /* borrowed */
    bool replaced; /* since last asked: a certificate was revoked, because its client has another */
};

/* Reads the CA's certificate and key, and finds out which CA the server's certificate is of.
 * ERR_IO, ERR_TLS. */
int enroll_open(struct enroll *r, const struct server_config *c, struct store *store,
                struct err *e) MUST_CHECK;
void enroll_close(struct enroll *r);

/* Whether a name may enrol and connect: it matches one of the patterns (fnmatch(3)), or there are
 * none. */
bool enroll_allows(const struct name_list *allow, const char *name);

/* The answer to a request: an Identity, whose name is the token's, or else the one that the device
 * asks for; or a Goodbye that says why not. A token made for a name revokes what certificates that
 * name had before. An enrolment is on disk before its certificate is
 * handed out; a token is used up by success only. Strings of *answer live in `mem`. `now` in Unix
 * seconds. */
void enroll_answer(struct enroll *r, const struct msg_enroll *request, int64_t now,
                   struct arena *mem, struct msg *answer);
/* The answer to a client that has shown a certificate for `name` and asks for another: an Identity.
 * The old one stays good until it ends, since the client may die before it has the new one. The
 * same errors as those of signing and storing, ERR_REFUSED for a name that is not allowed (any
 * more): then there is no answer. */
int enroll_renew(struct enroll *r, const struct msg_renew *request, const char *name, int64_t now,
                 struct arena *mem, struct msg *answer, struct err *e) MUST_CHECK;

#endif
