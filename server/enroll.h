/* Enrolment: a one-time token and a signing request in, a certificate out. No socket: server.c and
 * tests are its shells. */
#ifndef SERVER_ENROLL_H
#define SERVER_ENROLL_H

#include "net/identity.h"
#include "proto/msg.h"
#include "server/config.h"
#include "server/store.h"

enum {
    ENROLL_CA_DAYS = 3650,
    ENROLL_SERVER_DAYS = 825,
    ENROLL_CLIENT_DAYS = 730,
    ENROLL_MAX_LINKS = 64, /* devices at a time */
};

struct enroll {
    struct identity ca;
    struct hash fingerprint; /* of the CA */
    struct store *store;     /* borrowed */
};

/* Reads the CA's certificate and key. ERR_IO, ERR_TLS. */
int enroll_open(struct enroll *r, const struct server_config *c, struct store *store,
                struct err *e) MUST_CHECK;
void enroll_close(struct enroll *r);

/* The answer to a request: an Identity, whose name is the token's, or else the one that the device
 * asks for; or a Goodbye that says why not. An enrolment is on disk before its certificate is
 * handed out; a token is used up by success only. Strings of *answer live in `mem`. `now` in Unix
 * seconds. */
void enroll_answer(struct enroll *r, const struct msg_enroll *request, int64_t now,
                   struct arena *mem, struct msg *answer);

#endif
