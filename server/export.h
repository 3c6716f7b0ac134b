/* A round's parameters as an adapter directory. */
#ifndef SERVER_EXPORT_H
#define SERVER_EXPORT_H

#include "server/runs.h"

/* round: "1", "2", ...; "0": the initial values; "latest"; "best"; NULL: the run's result as of
 * now, its best round with federation.best, if one has been scored, else the latest. as: an adapter
 * format, or NULL (struct adapter_info). Writes dir and says after how many rounds that is.
 * ERR_USAGE: no such round; ERR_STATE: the run has not begun, or was begun with another
 * specification, or none is the best yet; errors of run_open, store_params and peft_save. */
int export_round(const struct runs_reader *r, const char *round, const char *as, const char *dir,
                 uint32_t *rounds, struct err *e) MUST_CHECK;

#endif
