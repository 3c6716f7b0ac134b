/* The inside of the daemon, shared by client.c (connection, decisions, birth and death) and
 * client_work.c (the worker thread, and trainings that wait for a gate). Nobody else includes it.
 * All of it runs on the loop's thread, but for what `struct work` says. */
#ifndef CLIENT_CLIENT_STATE_H
#define CLIENT_CLIENT_STATE_H

#include "client/agent.h"
#include "client/client.h"
#include "client/gatekeeper.h"
#include "client/rotation.h"
#include "client/session.h"
#include "net/link.h"
#include <stdatomic.h>
#include <uv.h>

/* What runs on the worker thread, one at a time and in order: the only user of session and
 * trainer. */
struct work {
    enum { WORK_PREPARE, WORK_TRAIN, WORK_SAVE } kind;
    struct client *client;
    uv_work_t request;
    const struct msg_welcome *welcome; /* PREPARE; the agent's until it is answered */
    const struct agent_job *job;       /* TRAIN; the same */
    struct agent_result result;        /* of TRAIN */
    unsigned char *params;             /* SAVE: owned */
    size_t len;
    enum msg_reason reason; /* of a failed PREPARE */
    struct err error;
    struct work *next;
};

struct client {
    const struct client_config *config;
    bool once;
    char host[LINK_MAX_HOST];
    uint16_t port;

    uv_loop_t loop;
    uv_timer_t timer, renewal;
    uv_signal_t signal[2];
    struct rotation identity;
    struct tls_context *tls;
    struct link *link; /* the present one; older ones may still be closing */
    bool link_up;
    struct agent *agent;
    struct err end;   /* why it stopped */
    struct err unfit; /* why the last preparation failed; code 0: it did not */
    struct err fatal; /* trouble that the agent knows nothing of */
    bool welcomed;    /* by the server, once */

    struct backbone backbone;
    struct trainer *trainer;
    struct session *session;
    struct work *first, **last; /* first: at work */

    struct gatekeeper gates;
    const struct agent_job *job; /* to be trained: the agent's until it is answered; NULL: none */
    bool training;               /* the worker is at it, or will be; else it waits for a gate */
    bool unwanted;               /* the agent has cancelled it */
    atomic_bool cancel;          /* for the worker: it is not to go on now */
};

agent_time client_now(struct client *c);
/* Carries out what the agent decided, then sleeps until its next deadline. */
void client_drain(struct client *c);

/* client_work.c: hands work to the worker thread; the agent is told how it went. */
void client_work_prepare(struct client *c, const struct msg_welcome *w);
void client_work_save(struct client *c, const struct msg_finish *f);
/* As soon as the gates allow; it is put off when one shuts. */
void client_work_train(struct client *c, const struct agent_job *job);
void client_work_cancel(struct client *c);
/* A gate has shut, or all are open (client/gatekeeper.h). */
void client_work_gate(void *client);

#endif
