/* The inside of the server process, shared by its files: server.c (birth, signals, death),
 * runner.c (one run), runners.c (all of them), peers.c (connections), commit.c and journal.c (the
 * disk), live.c (status questions), observe.c (counters, audit log), reload.c (SIGHUP), drain.c
 * (SIGTERM). All of it runs on the loop's thread, but for the functions that store, one in commit.c
 * and one in journal.c; of one run they never run at the same time, since its core has nothing else
 * stored while updates are. */
#ifndef SERVER_SERVER_STATE_H
#define SERVER_SERVER_STATE_H

#include "base/buf.h"
#include "net/link.h"
#include "server/enroll.h"
#include "server/observe.h"
#include "server/runner.h"

enum { SERVER_SIGNALS = 3 };

/* A connection, of a client or of a device that enrols. */
struct peer {
    struct server *server;
    struct link *link;
    uint64_t number; /* the core's conn */
    enum metrics_port port;
    bool up;               /* TLS is */
    bool known;            /* it is up, and no device that enrols */
    uint64_t since;        /* loop's time when it was up, ms */
    struct runner *runner; /* of the run that it is for; NULL: there has been no Hello */
    uint64_t task;         /* number of a task that it has not answered; 0: none. The earliest is
                              the one that its client works at */
    uint64_t renewed; /* loop's time of its last renewal, ms; 0: none, or it was asked for one */
    struct hash given_by; /* the CA of the certificate that it was given in this connection */
    char name[IDENTITY_MAX_NAME + 1]; /* from the certificate */
    char address[64];
};

struct peers {
    struct peer **peer; /* ascending by number */
    size_t n, cap;
    uint64_t last;
    uint64_t tasks;      /* given so far */
    uv_timer_t patience; /* with those that have not said Hello */
    struct buf out;      /* what is a client's own of a message being sent */
    size_t burst;        /* bytes handed to links since the loop last turned */
    uv_timer_t turn;
};

/* All runs, ascending by name. */
struct runners {
    struct runner *runner[MSG_MAX_RUNS];
    size_t n;
};

struct server {
    const struct server_config *config;
    const struct server_config *live; /* the same, or read anew: log, metrics, drain_s */
    struct conf *fresh;               /* owns what was read anew; NULL: nothing was */
    uv_loop_t loop;
    struct runners runners;
    struct core_uploads uploads;
    struct store *people; /* for the loop */
    struct enroll enroll;
    struct tls_context *tls, *enroll_tls;
    struct listener *listener, *enroll_listener;
    uint16_t port, enroll_port;
    uv_timer_t drain;
    uv_signal_t signal[SERVER_SIGNALS];
    uv_pipe_t status;
    struct peers peers;
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

/* runners.c. Opens all runs that there are. The configuration's own must open; others that do not
 * are put aside. ERR_STATE: there is none; errors of runner_open, runs_list. */
int runners_open(struct server *s, struct err *e) MUST_CHECK;
/* Takes up new runs, heeds what operators want of the others, and tries again what was put aside.
 */
void runners_reload(struct server *s);
/* The run that a connection is for, by its name, or when that is NULL the first that is not over
 * and has no connection of this client, else the first that is over; NULL: there is none. */
struct runner *runners_find(const struct server *s, const char *name, const char *client);
/* Whether there are runs, and nothing is left to do in any of them. */
bool runners_over(const struct server *s);
bool runners_idle(const struct server *s);
void runners_drain(struct server *s);
/* Closes handles; then, after the loop, frees. */
void runners_end(struct server *s);
void runners_free(struct server *s);

/* peers.c */
/* Sends a message. The connection is given up when it cannot be queued: its peer does not read, or
 * memory is short. */
void peers_post(struct peer *q, const struct msg *m);
int peers_listen(struct server *s, struct err *e) MUST_CHECK;
/* Carries out what the run's core decided, and sets the timer for its next deadline. What is much
 * to send (the result, to ten thousand clients at once) is sent in bursts, so that other clients
 * are heard meanwhile: the rest stays due in the core until the loop has turned. */
void peers_pump(struct runner *r);
/* Tells clients which runs there are. */
void peers_announce(struct server *s);
/* Whether a client has a connection for this run. */
bool peers_seated(const struct server *s, const struct runner *r, const char *client);
/* Clients, not connections. */
size_t peers_clients(const struct server *s);
/* Appends to a text of fixed size: which of the clients that this run waits for work for another
 * one. */
void peers_busy(const struct runner *r, char *text, size_t size);
/* Ends connections that no core knows: in their handshake, before their Hello, or enrolling. */
void peers_close_strangers(struct server *s);
void peers_release(struct server *s);

/* commit.c: stores a round, or who is selected in one, on a worker thread, tried until it succeeds;
 * then tells the core. */
void commit_round(struct runner *r, const struct core_commit *commit);
/* Computes a round's result on a worker thread, and tells the core. */
void commit_aggregate(struct runner *r);
void commit_attempt(struct runner *r, const struct core_attempt *attempt);
bool commit_idle(const struct runner *r);
/* Gives up what failed and waits to be tried again. */
void commit_abandon(struct runner *r);
/* Why the last attempt failed, while the next is waited for; NULL: there is no trouble. */
const char *commit_trouble(const struct runner *r);

/* journal.c: stores an update on a worker thread, together with others that wait, then tells the
 * core. */
void journal_put(struct runner *r, const struct core_update *update);
/* Why updates cannot be stored; NULL: they can. */
const char *journal_trouble(const struct runner *r);
void journal_release(struct journal *j);

/* live.c: the Unix-domain socket that `fedpet-server status` asks. Failure is logged; the server
 * goes on without. */
void live_open(struct server *s);
enum { LIVE_STATE = 1024 }; /* bytes of a state in words */
/* What a run waits for: core_status, who is busy elsewhere, or why it is put aside. */
void live_state(const struct runner *r, char *text, size_t size);

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
