/* The inside of the agent, shared by agent.c (connection, time, work) and agent_message.c (what the
 * server says). Nobody else includes it. */
#ifndef CLIENT_AGENT_STATE_H
#define CLIENT_AGENT_STATE_H

#include "base/arena.h"
#include "base/rng.h"
#include "client/agent.h"

enum {
    QUEUE = 8, /* no event causes more outputs */
    NAME_SIZE = 256,
    METRIC_NAME_SIZE = 64,
};

/* Where the connection is. */
enum state { WAITING, DIALING, GREETING, PREPARING, READY, OVER, STATES };

/* What the shell is doing for us; it goes on while the connection comes and goes. */
enum work { IDLE, OPENING, TRAINING };

struct run {
    bool known;
    struct arena mem;           /* owns welcome's strings */
    struct msg_welcome welcome; /* as last seen */
    bool prepared;              /* the shell has model, data and peft open for it */
    uint64_t samples;
    size_t packed;
};

/* A task, with its own copy of the parameters. */
struct task {
    bool known;
    uint32_t round, counted;
    struct hash base; /* of params: the same round from other parameters is another task */
    unsigned char *params, *control; /* len bytes each, one block; control may be NULL */
    size_t len;
};

/* A trained update: offered until a receipt settles it, and kept beyond that until another task
 * begins, so that a server which asks for it again (it lost it, or selected anew) gets it at once.
 */
struct kept {
    bool known, settled;
    bool sent;    /* on the present connection */
    size_t there; /* bytes of it that the server has said it has */
    struct hash base;
    struct msg_update update;
    unsigned char *params; /* and control, one block */
    char metric_name[MSG_MAX_METRICS][METRIC_NAME_SIZE];
};

struct agent {
    char name[NAME_SIZE];
    enum state state;
    agent_time wake;   /* WAITING: when to dial; GREETING: when to give up */
    struct rng jitter; /* of the back-off */
    agent_time since;  /* when the last Welcome came */
    unsigned lost;     /* connections failed or lost since the last that was of use */
    unsigned failed;   /* trainings failed since the last that did not */
    uint32_t floor;    /* the earliest round that a Task on this connection may have */

    enum work work;
    enum msg_pause paused; /* why the shell puts the outstanding training off */
    bool cancelled;        /* AGENT_CANCEL was given for the outstanding training */
    struct run run, next;  /* next: to be prepared as soon as `work` is done */
    struct task job, then; /* then: to be trained as soon as `work` is done */
    struct agent_job out;  /* job as the shell sees it */
    struct kept kept;
    size_t part_bytes;

    struct msg_finish finish;
    unsigned char *final; /* finish.params */
    bool finished;
    struct err why; /* the last trouble; when OVER, the reason */

    struct agent_out queue[QUEUE];
    unsigned first, queued;
};

struct agent_out *agent_emit(struct agent *a, enum agent_out_kind kind);
void agent_send(struct agent *a, const struct msg *m);
/* A message and the end of the connection; `text` must live until the outputs are drained. */
void agent_say_goodbye(struct agent *a, enum msg_reason reason, const char *text);
/* Dials again after a back-off. */
void agent_back_off(struct agent *a, agent_time now);
/* Dials again when the server has said, give or take a second. */
void agent_come_back(struct agent *a, uint32_t seconds, agent_time now);
/* Ends this connection for a reason that the server is told, and comes back later. */
void agent_break_off(struct agent *a, enum msg_reason reason, int code, const char *text,
                     agent_time now);
/* Ends for good, because of a->why, once the shell has answered what it was asked. */
void agent_end(struct agent *a);
/* Asks the shell for what waits for it to be free. */
void agent_go_on(struct agent *a);
void agent_cancel(struct agent *a);
/* Tasks of rounds before `round` are no longer wanted. */
void agent_withdraw(struct agent *a, uint32_t round);
/* Sends the kept update, or asks where to go on with one that is too long for a message. */
void agent_offer(struct agent *a);
/* Sends what comes next of it: bytes from `offset`, or the update when they are all there. */
void agent_send_part(struct agent *a, size_t offset);
/* Sends Ready, and offers an update that is still wanted. */
void agent_announce(struct agent *a);
/* A malloc'ed copy of one after the other; NULL without memory. */
unsigned char *agent_copy(struct msg_bytes a, struct msg_bytes b);
/* Decodes parameters of this run that came in a message, with `control` behind them: *out is
 * malloc'ed. ERR_NOMEM; ERR_PROTO: they are not as many as the run has. */
int agent_decode(const struct agent *a, uint32_t coding, struct msg_bytes params,
                 struct msg_bytes control, unsigned char **out, struct err *e) MUST_CHECK;
/* Bytes of control variates that go with parameters of this run. */
size_t agent_control(const struct agent *a);
/* True between agent_connected and the end of the connection. */
bool agent_linked(const struct agent *a);

void agent_drop_run(struct run *r);
void agent_drop_task(struct task *t);
void agent_drop_kept(struct kept *k);

#endif
