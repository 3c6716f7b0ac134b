/* What survives a restart. Of a run: its committed rounds, who took part, and the journal: who is
 * selected in the round under way, and the updates that came. Of the server: tokens, enrolled
 * clients, certificates. Each run has a file of its own, and so has the server (server/runs.h);
 * they have the same tables, of which the others' stay empty. A file is an SQLite database;
 * whatever returns 0 after writing is on disk: committed to the write-ahead log, and
 * that synced by fdatasync. So it outlives the process, killed at any point, and a power cut, if
 * disk and file system keep what they have said to be synced. A cut in the middle of a transaction
 * undoes it, as if it had never been begun.
 *
 * A store belongs to one run. Its identity is a hash of everything that a client's result depends
 * on; a server that is configured otherwise is refused, so that rounds of different experiments
 * never mix. A store is used by one thread at a time; several may be open on one file. */
#ifndef SERVER_STORE_H
#define SERVER_STORE_H

#include "base/err.h"
#include "base/tensorset.h"
#include "net/identity.h"
#include "server/core.h"
#include "server/tally.h"

enum store_mode {
    STORE_WRITE, /* creates the file when it is not there */
    STORE_READ,  /* beside a running server, too */
};

struct store;
/* ERR_IO: cannot be opened or created, damaged, no store at all (STORE_READ), or made by a newer
 * release; ERR_NOMEM. A store of an older release is converted, or with STORE_READ refused. */
int store_open(struct store **out, const char *path, enum store_mode mode,
               struct err *e) MUST_CHECK;
void store_close(struct store *s);
/* What is read from now on is of one moment, that of the first reading, whatever is written beside
 * it; until store_close, which should be soon: meanwhile the writer's log cannot begin anew.
 * ERR_IO.
 */
int store_freeze(struct store *s, struct err *e) MUST_CHECK;

/* How much of the past is kept: the journals of the last `journal_rounds` committed rounds, and the
 * parameters of the last `params_rounds` and of the best one; 0: of all. As many as a replay of
 * those journals needs are kept anyway. Without this call: no journal, all parameters. */
void store_keep(struct store *s, uint32_t journal_rounds, uint32_t params_rounds);
/* Space of what is removed is used again for what comes, so the file stays as large as it ever had
 * to be; this gives back what is free when that is more than half of it. It may take a while. */
int store_compact(struct store *s, struct err *e) MUST_CHECK;

/* --- the run --- */

/* What the operator wants to become of the run: the numbers are in the file. */
enum store_wish { WISH_GO_ON = 0, WISH_PAUSE = 1, WISH_STOP = 2 };
struct store_run {
    char run_id[17];
    struct hash identity;
    uint64_t parameters; /* values that travel: 4 bytes each */
    uint32_t rounds;     /* how many are to be done, by the last server's configuration */
    uint32_t next;       /* the first round that is not committed */
    bool begun;          /* a round of it has been */
    enum store_wish wish;
};
/* Goes on with the stored run, or enters this one when the store has none with a committed round:
 * then run_id is used, else replaced by the stored one. `next` is filled in. ERR_STATE when the
 * store has rounds of another identity. */
int store_begin(struct store *s, struct store_run *run, struct err *e) MUST_CHECK;
/* The stored run; *found false when there is none yet. */
int store_run(struct store *s, struct store_run *run, bool *found, struct err *e) MUST_CHECK;

/* ERR_STATE: there is no run; ERR_IO. */
int store_wish(struct store *s, enum store_wish wish, struct err *e) MUST_CHECK;

/* One transaction: the round, its contributions and metrics, the names of all clients ready so
 * far, the state that the server carries on, and which round is the best; what is no longer to be
 * kept goes. All or nothing: ERR_IO when the disk is full, say; it may be tried again. */
int store_commit(struct store *s, const struct schema *schema, const struct core_commit *c,
                 const char *const *client, size_t n, struct err *e) MUST_CHECK;
/* Global values after a committed round, over `params` (schema->count: LOCAL tensors keep their
 * value). ERR_USAGE: not committed, or no longer kept; ERR_IO: the bytes do not have the stored
 * SHA-256. */
int store_params(struct store *s, const struct schema *schema, uint32_t round, float *params,
                 struct err *e) MUST_CHECK;
/* The n values of core_commit.state, committed with `round`: the last, or one whose successor has a
 * journal. ERR_IO: there are none, or
 * not so many, or they do not have the stored SHA-256; `state` is then of no use. They are stored
 * in this machine's byte order. */
int store_carried(struct store *s, uint32_t round, double *state, size_t n,
                  struct err *e) MUST_CHECK;
/* The best round as of the last commit, and by which metric: "" if by none of the clients'. */
struct store_best {
    struct best best;
    char metric[TALLY_NAME];
};
int store_best(struct store *s, struct store_best *out, struct err *e) MUST_CHECK;
/* Names of clients that have been ready in this run: *out is one block, freed by the caller with
 * free(). */
int store_roster(struct store *s, char ***out, size_t *n, struct err *e) MUST_CHECK;
/* Of those n clients, in that order: 1 + the last committed round that has an update of it; 0:
 * none. */
int store_counted(struct store *s, uint32_t *counted, size_t n, struct err *e) MUST_CHECK;

struct store_round {
    uint32_t round, attempt, selected, refused;
    uint32_t updates;
    uint64_t samples;
    double train_loss, seconds;
    int64_t committed; /* Unix ms */
    struct hash hash;
    uint64_t bytes_up, bytes_down; /* of all its clients */
};
/* Calls `row` for each committed round from `from` on, in order, until it returns non-zero. */
int store_rounds(struct store *s, uint32_t from, int (*row)(void *ctx, const struct store_round *r),
                 void *ctx, struct err *e) MUST_CHECK;
/* The same for the contributions of one round (client names are valid during the call), and for its
 * metrics. */
int store_contributions(struct store *s, uint32_t round,
                        int (*row)(void *ctx, const struct core_contribution *c), void *ctx,
                        struct err *e) MUST_CHECK;
int store_metrics(struct store *s, uint32_t round,
                  int (*row)(void *ctx, const struct msg_metric *m), void *ctx,
                  struct err *e) MUST_CHECK;

/* --- the journal --- */

/* Who is selected, and the names of all clients ready so far, in one transaction. What came in an
 * earlier attempt at the same round is forgotten. */
int store_attempt(struct store *s, const struct core_attempt *a, const char *const *client,
                  size_t n, struct err *e) MUST_CHECK;
/* n updates in one transaction. */
int store_updates(struct store *s, const struct core_update *const *update, size_t n,
                  struct err *e) MUST_CHECK;
/* Who was selected in a round, its last attempt; names as of store_roster. *found false: no attempt
 * of it is stored, or no longer. */
struct store_selection {
    struct core_attempt attempt;
    char **names; /* attempt.client, to be freed */
};
int store_selection(struct store *s, uint32_t round, struct store_selection *out, bool *found,
                    struct err *e) MUST_CHECK;
/* The updates of a round, sorted by client, until `row` returns non-zero, which is then the result.
 * What the row points to is valid during the call. Nothing but the form is checked: the update's id
 * tells whether its bytes are right. */
typedef int (*store_update_row)(void *ctx, const struct core_update *u, struct err *e);
int store_journal(struct store *s, const char *run_id, const struct hash *schema, uint32_t round,
                  store_update_row row, void *ctx, struct err *e) MUST_CHECK;

/* --- who may take part --- */

/* A token that expires at Unix second `expires`, for `client` or, when NULL, for any name. */
int store_token(struct store *s, const struct hash *digest, const char *client, int64_t now,
                int64_t expires, struct err *e) MUST_CHECK;
/* Checks a token without using it up. ERR_REFUSED: unknown, used or expired. *client: the name it
 * is for, malloc'ed, or NULL. */
int store_token_check(struct store *s, const struct hash *digest, int64_t now, char **client,
                      struct err *e) MUST_CHECK;
/* Uses a token up and enters the client, in one transaction. ERR_REFUSED as above, or the name is
 * taken by another device: only a token made for that very name replaces it. */
int store_enroll(struct store *s, const struct hash *digest, const char *client,
                 const struct hash *fingerprint, int64_t now, struct err *e) MUST_CHECK;
/* Whether a client has been revoked by its name, and not enrolled since. */
int store_revoked(struct store *s, const char *client, bool *revoked, struct err *e) MUST_CHECK;
/* Revokes a client by name and, with it, all its certificates; or one certificate by its serial
 * number. ERR_USAGE: nobody of that name was given a certificate, no such certificate was given. */
int store_revoke(struct store *s, const char *client, int64_t now, struct err *e) MUST_CHECK;
int store_revoke_serial(struct store *s, const char *serial, int64_t now, struct err *e) MUST_CHECK;

/* A certificate that a client was given. Times in Unix seconds. */
struct store_certificate {
    char serial[IDENTITY_SERIAL];
    const char *client;
    struct hash issuer; /* fingerprint of the CA */
    int64_t given, expires;
    int64_t revoked; /* 0: it is not */
};
/* Enters one before it is handed out. */
int store_certificate(struct store *s, const struct store_certificate *c, struct err *e) MUST_CHECK;
/* Revokes all certificates of a client but one; *any: there were some that had not been. */
int store_supersede(struct store *s, const char *client, const char *serial, int64_t now, bool *any,
                    struct err *e) MUST_CHECK;
/* Calls `row` for every certificate that has not expired, by client and then by age, until it
 * returns non-zero, which is then returned. Strings are valid during the call. */
int store_certificates(struct store *s, int64_t now,
                       int (*row)(void *ctx, const struct store_certificate *c), void *ctx,
                       struct err *e) MUST_CHECK;

#endif
