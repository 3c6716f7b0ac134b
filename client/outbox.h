/* The update that this daemon has trained and the server may not have: on disk before it is
 * offered, so that it can be offered again, the same bytes, after the daemon was killed. One file,
 * replaced atomically by the next update; a SHA-256 at its end tells a damaged one. */
#ifndef CLIENT_OUTBOX_H
#define CLIENT_OUTBOX_H

#include "base/hash.h"
#include "client/agent.h"

#define OUTBOX_FILE "update"

/* Whose update it is: one for anything else is ignored. */
struct outbox_key {
    char run_id[17];
    uint32_t index; /* of the client */
    struct hash schema;
    size_t len;    /* of the packed parameters in bytes, before they are encoded */
    bool scaffold; /* a change of the control variate, as long, goes with them */
};
/* An update read back; result points into it. */
struct outbox {
    uint32_t round;
    struct hash base; /* of the parameters that the training began with */
    struct agent_result result;
    unsigned char *bytes;
    char (*names)[64];
};

/* On disk when this returns. ERR_IO, ERR_NOMEM. */
int outbox_write(const char *dir, const struct outbox_key *key, uint32_t round,
                 const struct hash *base, const struct agent_result *r, struct err *e) MUST_CHECK;
/* *found false: there is none for this key. ERR_IO: unreadable or damaged; ERR_NOMEM. */
int outbox_read(struct outbox *o, const char *dir, const struct outbox_key *key, bool *found,
                struct err *e) MUST_CHECK;
void outbox_close(struct outbox *o);
/* Nobody will ask for it again. */
void outbox_remove(const char *dir);

#endif
