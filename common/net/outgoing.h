/* Frames that wait to be sent, first come first, as plain bytes: what is a link's own as a copy,
 * and of what goes to many (net/link.h, link_send_shared) a reference. A link makes ciphertext of
 * them only as its socket takes it. */
#ifndef NET_OUTGOING_H
#define NET_OUTGOING_H

#include "base/err.h"
#include "base/shared.h"
#include <stdint.h>

struct parcel;
/* All zero: nothing waits. */
struct outgoing {
    struct parcel *first, *last;
    unsigned frames; /* that are not gone whole */
    uint64_t sealed; /* bytes that what waits will be as ciphertext (tls_sealed) */
};

/* Adds a frame with the payload `head`, len bytes, copied, and behind it `tail`, held until it has
 * gone; NULL: no tail. ERR_NOMEM, also for a payload that no frame can have: nothing is added. */
int outgoing_add(struct outgoing *q, uint8_t type, const void *head, size_t len,
                 struct shared *tail, struct err *e) MUST_CHECK;
/* The bytes to be sent next, which lie together, and how many they are: at least one record's where
 * there are as many, and `most` rounded up to whole records at most. 0: nothing waits. They stay
 * where they are until outgoing_gone has taken them from the front. */
size_t outgoing_next(const struct outgoing *q, size_t most, const unsigned char **bytes);
void outgoing_gone(struct outgoing *q, size_t n);
/* Bytes of memory that wait here, without what is shared. */
size_t outgoing_owned(const struct outgoing *q);
void outgoing_release(struct outgoing *q);

#endif
