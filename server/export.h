/* A round's parameters as an adapter directory. */
#ifndef SERVER_EXPORT_H
#define SERVER_EXPORT_H

#include "server/config.h"
#include "server/store.h"

/* round: "1", "2", ...; "0": the initial values; "latest"; "best"; NULL: the run's result as of
 * now, its best round with federation.best, if one has been scored, else the latest. as: an adapter
 * format, or NULL (struct adapter_info). Writes dir and says after how many rounds that is.
 * ERR_USAGE: no such round; ERR_STATE: no run, or not the one that the configuration describes, or
 * none is the best yet; errors of run_open, store_params and peft_save. */
int export_round(struct store *store, const struct server_config *c, const char *round,
                 const char *as, const char *dir, uint32_t *rounds, struct err *e) MUST_CHECK;

#endif
