/* The daemon's local states (struct local_pair), kept on disk over crashes. So a round that is
 * repeated after kill -9 gives the same update again, and an update that came too late leaves no
 * trace: SCAFFOLD's control variates stay those that the server knows of.
 *
 * One file, replaced atomically after each training and before its update is offered; a SHA-256 at
 * its end tells a damaged one. It holds one run; another run's is ignored and replaced. */
#ifndef CLIENT_JOURNAL_H
#define CLIENT_JOURNAL_H

#include "base/hash.h"
#include "client/local_state.h"

#define JOURNAL_FILE "local-state"

struct journal;
/* Reads the journal of this run in the folder `dir`, if there is one; count: values of the schema.
 * ERR_IO: unreadable or damaged; ERR_NOMEM. */
int journal_open(struct journal **out, const char *dir, const char *run_id,
                 const struct hash *schema, const struct run_spec *spec, size_t count,
                 struct err *e) MUST_CHECK;
void journal_close(struct journal *j);

/* As local_pair_begin. */
struct local_state *journal_begin(struct journal *j, uint32_t counted, bool *lost);
/* As local_pair_end: on disk when this returns. ERR_IO, ERR_NOMEM: the
 * training must not be used; journal_begin starts it again. */
int journal_commit(struct journal *j, uint32_t round, struct err *e) MUST_CHECK;

#endif
