/* What `fedpet-server status` knows: the store's rounds, and the live state of the server, if one
 * runs. */
#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H

#include "server/store.h"
#include <jansson.h>

/* {"run_id", "rounds", "done", "parameters", "parameter_bytes", "best": {"round", "score",
 * "metric"} or null, "live": {...} or null, "history": [...]}; "live" is what the server answers on
 * its socket in the folder `state` (live.c), "history" has an object a committed round, with its
 * metrics and each client's contribution. *out is the caller's to json_decref. ERR_IO, ERR_NOMEM.
 */
int status_collect(json_t **out, struct store *store, const char *state, struct err *e) MUST_CHECK;
/* "live" alone, NULL: no server answers in this state folder. */
json_t *status_live(const char *state);
/* The same for people, with at most so many of the last rounds. */
void status_print(const json_t *status, size_t rounds);

#endif
