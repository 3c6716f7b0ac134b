/* The server as a process: libuv around the core. Sockets, timers, signals and the disk are here;
 * what is decided is decided in core.c. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "server/config.h"

/* Listens, does the rounds of all runs, answers enrolments and status questions until SIGTERM or
 * SIGINT, or, with exit_when_done, until all runs are over; when one of them has failed, in any
 * case. SIGHUP reads certificates and configuration anew, and looks for new runs and for what
 * operators want of the others. SIGTERM and SIGINT finish the commit in progress, refuse what is
 * new and tell the clients to come back; after drain_s seconds the process exits with ERR_STATE, by
 * a second signal at once. Whatever it returns, every committed round is on disk. ERR_STATE:
 * another server uses the state folder, or it holds another run; ERR_NET: cannot listen; ERR_TLS,
 * ERR_IO, ERR_MODEL, ERR_CONFIG, ERR_NOMEM. */
int server_run(const struct server_config *c, struct err *e) MUST_CHECK;

/* Files in the state folder. */
#define SERVER_DATABASE "fedpet.db"
#define SERVER_RUNS "runs"
#define SERVER_SOCKET "status.sock"
#define SERVER_LOCK "lock"

#endif
