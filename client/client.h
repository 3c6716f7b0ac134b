/* The client daemon: the agent's shell of libuv, TLS, clock, disk and a worker thread. */
#ifndef CLIENT_CLIENT_H
#define CLIENT_CLIENT_H

#include "base/err.h"
#include "client/client_config.h"

/* Takes part in the server's run until it is refused for good, or SIGTERM or SIGINT comes: then
 * training ends at its next step. Base model, data and parameters stay open between rounds. `once`:
 * also ends when a run is finished and its adapter saved.
 *
 * 0 when it was asked to stop, or `once` is done, or the server let it go. Errors: of the model,
 * data or identity files; ERR_REFUSED by the server; ERR_NOMEM. A server that cannot be reached is
 * no error: it is tried again for ever. */
int client_run(const struct client_config *config, bool once, struct err *e) MUST_CHECK;

#endif
