/* The inside of the server process, shared by its files: server.c (birth, signals, death), peers.c
 * (connections), commit.c and journal.c (the disk), live.c (status questions), observe.c (counters,
 * audit log), reload.c (SIGHUP), drain.c (SIGTERM). All of it runs on the loop's thread, but for
 * the functions that store, one in commit.c and one in journal.c; they never run at the same time,
 * since the core has nothing else stored while updates are. */
#ifndef SERVER_SERVER_STATE_H
#define SERVER_SERVER_STATE_H

#include "base/buf.h"
#include "net/link.h"
#include "server/core.h"
#include "server/enroll.h"
#include "server/observe.h"
#include "server/run.h"
#include "server/store.h"
#include <uv.h>

enum { SERVER_SIGNALS = 3 };

struct server;

/* A connection, of a client or of a device that enrols. */
struct peer {
    struct server *server;
    struct link *link;
    uint64_t number; /* the core's conn */
    enum metrics_port port;
    bool up;          /* TLS is */
    uint64_t renewed; /* loop's time of its last renewal, ms; 0: none, or it was asked for one */
    struct hash given_by; /* the CA of the certificate that it was given in this connection */
    bool known;           /* to the core: it is up, and no device that enrols */
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

/* What is tried until it is stored: the selection or the end of a round, once it is computed. */
struct committer {
    uv_work_t work;
    bool aggregating;
    uv_timer_t retry;
    const struct core_attempt *attempt; /* being stored, or to be tried again; NULL: none */
    const struct core_commit *commit;   /* the same */
    bool working, failing;
    const char **client;
    size_t n_clients;
    int rc;
    double seconds; /* that the last attempt took */
    struct err err;
};

struct updates {
    const struct core_update **update; /* the core's until it is told */
    size_t n, cap;
};
struct journal {
    uv_work_t work;
    struct updates queue, batch; /* to be stored; being stored */
    bool working, failing;
    int rc;
    double seconds; /* that the last batch took */
    struct err err;
};

struct server {
    const struct server_config *config;
    const struct server_config *live; /* the same, or read anew: log, metrics, drain_s */
    struct conf *fresh;               /* owns what was read anew; NULL: nothing was */
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
    uv_timer_t timer, drain;
    uv_signal_t signal[SERVER_SIGNALS];
    uv_pipe_t status;
    struct peers peers;
    struct committer committer;
    struct journal journal;
    struct observe observe;
    int lock; /* file descriptor; -1: none */
    bool stopping, ended;
    struct err failure;
};

/* admission.c: certificates, and who is let in by them. */
int admission_open(struct server *s, struct err *e) MUST_CHECK;
void admission_release(struct server *s);
/* Reads certificates and revocations anew, and cuts the connections of those who would no longer be
 * let in. Nobody else notices. On failure, which is logged, the old ones stay in use. */
void admission_reload(struct server *s);
/* Whether the client that this peer's certificate names may come in; *reason is why not. */
bool admission_allows(struct peer *q, const char *name, const char **reason);
/* Asks the peer to renew its certificate if another CA signs them now. */
void admission_urge(struct peer *q);
/* Answers a client's Renew. */
void admission_renew(struct peer *q, const struct msg_renew *request, struct arena *mem);

/* peers.c */
/* Sends a message. The connection is given up when it cannot be queued: its peer does not read, or
 * memory is short. */
void peers_post(struct peer *q, const struct msg *m);
int peers_listen(struct server *s, struct err *e) MUST_CHECK;
/* Carries out what the core decided, and sets the timer for its next deadline. */
void peers_pump(struct server *s);
/* Ends connections that the core does not know: in their handshake, or enrolling. */
void peers_close_strangers(struct server *s);
void peers_release(struct server *s);

/* commit.c: stores a round, or who is selected in one, on a worker thread, tried until it succeeds;
 * then tells the core. */
void commit_round(struct server *s, const struct core_commit *commit);
/* Computes a round's result on a worker thread, and tells the core. */
void commit_aggregate(struct server *s);
void commit_attempt(struct server *s, const struct core_attempt *attempt);
bool commit_idle(const struct server *s);
/* Gives up what failed and waits to be tried again. */
void commit_abandon(struct server *s);
/* Why the last attempt failed, while the next is waited for; NULL: there is no trouble. */
const char *commit_trouble(const struct server *s);

/* journal.c: stores an update on a worker thread, together with others that wait, then tells the
 * core. */
void journal_put(struct server *s, const struct core_update *update);
/* Why updates cannot be stored; NULL: they can. */
const char *journal_trouble(const struct server *s);
void journal_release(struct journal *j);

/* live.c: the Unix-domain socket that `fedpet-server status` asks. Failure is logged; the server
 * goes on without. */
void live_open(struct server *s);

/* reload.c: takes over what of the configuration can be changed in a running server. */
void reload_settings(struct server *s);

/* drain.c: a stopping server is given live->drain_s seconds; or none, by a second signal. */
void drain_begin(struct server *s);
void drain_now(struct server *s, int number);

/* server.c */
void server_stop(struct server *s);
/* What keeps the server from its work, for people; NULL: nothing. */
const char *server_trouble(const struct server *s);
/* Lets the loop end once nothing is left to be waited for. */
void server_end_if_idle(struct server *s);

#endif
