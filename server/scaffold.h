/* SCAFFOLD's half at the server (Karimireddy et al. 2020, algorithm 1, line 17): the control
 * variate c, the mean over all N clients of theirs. A client's changes with each round that it
 * takes part in, and its update says how; c grows by the sum of the changes of the updates that
 * counted, over N. Clients that have never taken part count as 0, as the paper begins.
 *
 * The changes are summed in fixed point (server/aggregate.h), the same bits in any order. c itself
 * is kept in double among what the server carries from round to round, and so stored with each
 * commit. */
#ifndef SERVER_SCAFFOLD_H
#define SERVER_SCAFFOLD_H

#include "base/tensorset.h"
#include "proto/msg.h"

struct scaffold {
    const struct schema *wire; /* what travels; NULL: the run has no SCAFFOLD */
    uint32_t clients;          /* N */
    double *control;           /* c: wire->count values; borrowed */
    float *values;             /* wire->count: the change at hand */
    unsigned char *packed;     /* c as it travels, 4 * wire->count bytes */
    void *sum;                 /* of this round's changes */
    uint32_t added;
};

/* ERR_NOMEM. */
int scaffold_open(struct scaffold *s, const struct schema *wire, uint32_t clients, double *control,
                  struct err *e) MUST_CHECK;
void scaffold_close(struct scaffold *s);

/* A round begins, or begins again: no change is known. */
void scaffold_begin(struct scaffold *s);
/* The gate: whether this is a change of a control variate (SHAPE, NOT_FINITE: also a value out of
 * the fixed point's range); leaves it in s->values. */
enum msg_reason scaffold_check(struct scaffold *s, struct msg_bytes change);
/* Adds what scaffold_check accepted last. */
void scaffold_add(struct scaffold *s);
/* The round's updates are all there: c takes its changes in. */
void scaffold_step(struct scaffold *s);
/* What goes out with each task; empty without SCAFFOLD. */
struct msg_bytes scaffold_control(const struct scaffold *s);

#endif
