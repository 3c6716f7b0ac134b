/* The inside of a store, shared by its files. */
#ifndef SERVER_STORE_STATE_H
#define SERVER_STORE_STATE_H

#include "server/sql.h"
#include "server/store.h"

struct store {
    struct sql sql;
    char *path;
};

/* Ends a transaction that failed. */
void store_rollback(struct store *s);
/* Reads a hash from a column; false when it is none. */
bool store_hash(sqlite3_stmt *st, int column, struct hash *out);

/* Part of a commit's transaction: what the next round needs of this one beside the parameters. */
int store_put_carried(struct store *s, const struct core_commit *c, struct err *e) MUST_CHECK;

#endif
