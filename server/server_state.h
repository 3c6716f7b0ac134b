/* The inside of the server process, shared by its files: server.c (birth, signals, death), peers.c
 * (connections), commit.c (the disk), live.c (status questions). All of it runs on the loop's
 * thread, but for the one function in commit.c that stores a round. */
#ifndef SERVER_SERVER_STATE_H
#define SERVER_SERVER_STATE_H

#include "base/buf.h"
#include "net/link.h"
#include "server/core.h"
#include "server/enroll.h"
#include "server/run.h"
#include "server/store.h"
#include <uv.h>

struct server;

/* A connection, of a client or of a device that enrols. */
struct peer {
    struct server *server;
    struct link *link;
    uint64_t number;                  /* the core's conn */
    bool known;                       /* to the core: it is up, and no device that enrols */
    char name[IDENTITY_MAX_NAME + 1]; /* from the certificate */
    char address[64];
};

struct peers {
    struct peer **peer; /* ascending by number */
    size_t n, cap;
    uint64_t last;
    struct buf out; /* a message being encoded */
    bool pumping;
};

struct committer {
    uv_work_t work;
    uv_timer_t retry;
    const struct core_commit *commit; /* being stored, or to be tried again; NULL: none */
    bool working;
    const char **client;
    size_t n_clients;
    int rc;
    struct err err;
};

struct server {
    const struct server_config *config;
    struct run run;
    struct store_run stored;
    uv_loop_t loop;
    struct core *core;
    struct store *rounds; /* for the worker thread alone while it stores */
    struct store *people; /* for the loop */
    struct enroll enroll;
    struct tls_context *tls, *enroll_tls;
    struct listener *listener, *enroll_listener;
    uint16_t port, enroll_port;
    uv_timer_t timer;
    uv_signal_t signal[3];
    uv_pipe_t status;
    struct peers peers;
    struct committer committer;
    int lock; /* file descriptor; -1: none */
    bool stopping, ended;
    struct err failure;
};

/* peers.c */
int peers_listen(struct server *s, struct err *e) MUST_CHECK;
/* Carries out what the core decided, and sets the timer for its next deadline. */
void peers_pump(struct server *s);
/* Ends connections that the core does not know: in their handshake, or enrolling. */
void peers_close_strangers(struct server *s);
void peers_release(struct server *s);

/* commit.c: stores `commit` on a worker thread, as often as need be, then tells the core. */
void commit_begin(struct server *s, const struct core_commit *commit);
/* Gives up a commit that failed and waits to be tried again. */
void commit_abandon(struct server *s);

/* live.c: the Unix-domain socket that `fedpet-server status` asks. Failure is logged; the server
 * goes on without. */
void live_open(struct server *s);

/* server.c */
void server_stop(struct server *s);
/* Lets the loop end once nothing is left to be waited for. */
void server_end_if_idle(struct server *s);

#endif
