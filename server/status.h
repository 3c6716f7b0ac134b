/* What `fedpet-server status` knows: the store's rounds, and the live state of the server, if one
 * runs. */
#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H

#include "server/config.h"
#include "server/store.h"
#include <jansson.h>

/* {"live": {...} or null, "runs": [...]}; "live" is what the server answers on its socket in the
 * state folder (live.c), "runs" has {"name", "state", "task", "method", "rounds", "done", "now",
 * "trouble"} of each run; of one that cannot be read, "damaged" is the state, and why the trouble.
 * With `name`, all that is known of that run comes before: the same keys, and "run_id",
 * "parameters", "parameter_bytes", "best": {"round", "score", "metric"} or null, "refusals",
 * "absent", "history": an object a committed round, with its metrics and each client's
 * contribution. *out is the caller's to json_decref. Errors of runs_read and runs_list; ERR_NOMEM.
 */
int status_collect(json_t **out, const struct server_config *c, const char *name,
                   struct err *e) MUST_CHECK;
/* "live" alone, NULL: no server answers in this state folder. */
json_t *status_live(const char *state);
/* The same for people: of the run, with at most so many of its last rounds; or of all runs. */
void status_print(const json_t *status, size_t rounds);
/* Appends to an array the rounds that are committed, from round `from` (from 0) on. */
int status_history(struct store *store, uint32_t from, json_t *history, struct err *e) MUST_CHECK;
/* A line a round, and what stands above. */
void status_print_head(void);
void status_print_round(const json_t *round, double parameter_bytes);
/* A line a run. */
void status_print_runs(const json_t *status);

#endif
