/* The inside of a store, shared by its files. */
#ifndef SERVER_STORE_STATE_H
#define SERVER_STORE_STATE_H

#include "server/sql.h"
#include "server/store.h"

struct store {
    struct sql sql;
    char *path;
    uint32_t journal_rounds, params_rounds; /* store_keep */
};

/* Ends a transaction that failed. */
void store_rollback(struct store *s);
/* Reads a hash from a column; false when it is none. */
bool store_hash(sqlite3_stmt *st, int column, struct hash *out);

/* The names in the column `client` of "TABLE" or "TABLE WHERE ...", as store_roster gives them. */
int store_names(struct store *s, const char *from, char ***out, size_t *n,
                struct err *e) MUST_CHECK;

/* Parts of a transaction. What the next round needs of this one beside the parameters: */
int store_put_carried(struct store *s, const struct core_commit *c, struct err *e) MUST_CHECK;
int store_put_roster(struct store *s, const char *const *client, size_t n,
                     struct err *e) MUST_CHECK;
/* Removes what need not be kept after the commit of `round`. */
int store_prune(struct store *s, uint32_t round, const struct best *best, struct err *e) MUST_CHECK;

#endif
