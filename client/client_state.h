/* The inside of the daemon, shared by its files: client.c (birth, certificate, signals, death),
 * station.c (a run's connection) and work.c (what is done on the worker thread, and trainings
 * that wait for it or for a gate). */
#ifndef CLIENT_CLIENT_STATE_H
#define CLIENT_CLIENT_STATE_H

#include "client/agent.h"
#include "client/client_config.h"
#include "client/gatekeeper.h"
#include "client/rotation.h"
#include "client/session.h"
#include "net/link.h"
#include <uv.h>

struct client;

/* A run that this daemon takes part in: an agent, its connection, and what it has open. One that
 * has ended stays, so that its run is not begun again. */
struct station {
    struct client *client;
    char name[SPEC_MAX_NAME + 1]; /* the run's; "": the server is to choose */
    struct agent *agent;
    struct link *link; /* the present one; older ones may still be closing */
    bool up;
    uv_timer_t timer;
    struct session *session;     /* the worker thread's */
    const struct agent_job *job; /* to be trained: the agent's until it is answered; NULL: none */
    uint64_t turn;               /* the job's: those that came earlier are trained earlier */
    bool training;               /* the worker is at it, or will be; else it waits for a gate */
    bool unwanted;               /* the agent has cancelled it */
    atomic_bool cancel;          /* for the worker: it is not to go on now */
    struct err unfit;            /* why the last preparation failed; code 0: it did not */
    bool ended;
    struct err end; /* why; code 0: in good order */
};

struct work;

struct client {
    const struct client_config *config;
    bool once;
    char host[LINK_MAX_HOST];
    uint16_t port;

    uv_loop_t loop;
    uv_timer_t renewal;
    uv_timer_t quiet; /* since the start or the last work */
    uv_signal_t signal[2];
    struct rotation identity;
    struct tls_context *tls;
    struct station *asking; /* whose connection has our request for a certificate; NULL: none */
    struct station *station[MSG_MAX_RUNS];
    size_t n;
    struct err fatal; /* trouble that no agent knows of */
    bool welcomed;    /* by the server, once */
    bool stopping;

    struct backbone backbone;
    struct trainer *trainer;
    struct work *first, **last; /* first: at work */
    struct gatekeeper gates;    /* they shut for all runs alike */
    uint64_t turns;             /* jobs so far */
};

agent_time client_now(struct client *c);
/* Ends all stations. */
void client_stop(struct client *c);
/* Ends the loop if no station is left. */
void client_end_if_idle(struct client *c);
/* A connection is up, is gone, or brought a message about certificates (true: it was one). */
void client_renew_if_due(struct client *c, struct station *st);
void client_forget_request(struct client *c, const struct station *st);
bool client_papers_message(struct client *c, struct station *st, const struct msg *m);

/* station.c. Begins to take part in a run ("": which the server chooses), unless it has been begun
 * before. ERR_NOMEM; ERR_STATE: in too many. */
int station_begin(struct client *c, const char *name, struct err *e) MUST_CHECK;
/* Carries out what the agent decided, then sleeps until its next deadline. */
void station_drain(struct station *st);
void station_send(struct station *st, const struct msg *m);
void station_free(struct station *st);

/* work.c: one thing at a time, in the order in which it was asked for, whatever the run.
 * The agent is told when it is done. What is given is the agent's, and valid until then. */
void work_prepare(struct station *st, const struct msg_welcome *w);
/* As soon as the gates allow; it is put off when one shuts. */
void work_train(struct station *st, const struct agent_job *job);
void work_cancel(struct station *st);
/* A gate has shut, or all are open (client/gatekeeper.h). */
void work_gate(void *client);
void work_save(struct station *st, const struct msg_finish *f);
/* All sessions, and the backbone, rest after config's rest_after_s without work from now on. */
void work_rest_later(struct client *c);

#endif
