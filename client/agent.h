/* The client daemon's brain, without I/O: (state, event, now) -> (state, outputs). libuv
 * (client.c), the simulator and tests are its shells: they report events by calls, and drain
 * agent_next() after each.
 *
 * Reconnects with exponential back-off and full jitter (Brooker, "Exponential Backoff And Jitter",
 * 2015): a uniform wait up to 1 s that doubles to 5 min. What resets it is not a Welcome but a
 * connection that was of use: one that settled an update or carried a part of it, or lasted a
 * minute; else a server that fails after its Welcome would be dialled every second. When the server
 * says when to come back, the client comes then, within a second, and that is no failure. Model and
 * data are prepared once a run. Training goes on while the connection is away; its update is
 * offered again after a reconnect until a receipt settles it, and kept until another task begins:
 * the same task never trains twice. Work that a newer task, another run or the end makes useless is
 * cancelled, and so is that of a task which the server withdraws, or of a round that it says is
 * over. */
#ifndef CLIENT_AGENT_H
#define CLIENT_AGENT_H

#include "base/err.h"
#include "base/spec.h"
#include "base/tensorset.h"
#include "proto/msg.h"
#include <stdbool.h>
#include <stdint.h>

typedef int64_t agent_time; /* ms, monotonic */
#define AGENT_NEVER INT64_MAX

enum agent_out_kind {
    AGENT_CONNECT,    /* dial the server */
    AGENT_SEND,       /* msg; what it points to stays valid until the next call but agent_next */
    AGENT_DISCONNECT, /* end the connection after what was sent; its end is no event any more */
    AGENT_PREPARE,    /* open model, peft and data for welcome->spec, then agent_prepared() or
                         agent_unfit(); welcome stays valid until then */
    AGENT_TRAIN,  /* train from job->params (packed), then agent_trained() or agent_failed(); job
                     stays valid until then */
    AGENT_CANCEL, /* the outstanding TRAIN is no longer wanted: answer it early if you can; ignoring
                     this is right, only slower */
    AGENT_FINISHED, /* the run is over: finish->params are the final values, packed, valid until the
                       next call but agent_next; save the adapter */
    AGENT_STOPPED,  /* nothing more will happen: refused for good; or, with why->code 0, asked to
                       stop  or let go after the end of the run */
};
struct agent_job {
    char run_id[17];
    uint32_t round, index; /* names the random streams, with spec->federation.seed */
    uint32_t counted;      /* of the task (proto/msg.h): what was kept then goes on */
    const unsigned char *params;
    size_t len;
    const unsigned char *control; /* SCAFFOLD: len bytes; else NULL */
};
/* What training gave, on disk by now if the shell has one. metric names are at most 63 bytes. */
struct agent_result {
    const unsigned char *params; /* as client/upload.h encodes them */
    size_t len;
    uint32_t coding;
    const unsigned char *control; /* SCAFFOLD: packed; else NULL, and its length 0 */
    size_t control_len;
    uint64_t samples, steps;
    double train_loss, seconds;
    size_t n_metrics;
    struct msg_metric metric[MSG_MAX_METRICS];
};
struct agent_out {
    enum agent_out_kind kind;
    struct msg msg;                    /* AGENT_SEND */
    const struct msg_welcome *welcome; /* AGENT_PREPARE */
    const struct agent_job *job;       /* AGENT_TRAIN */
    const struct msg_finish *finish;   /* AGENT_FINISHED */
    struct err why;                    /* AGENT_STOPPED */
};

struct agent;
/* `name`: this client's certificate name. `jitter_seed`: for back-off only. Wants to connect at
 * once: its first deadline is `now`. ERR_NOMEM. */
int agent_open(struct agent **out, const char *name, uint64_t jitter_seed, agent_time now,
               struct err *e) MUST_CHECK;
void agent_close(struct agent *a);
/* Updates of more bytes than this go in parts of it: MSG_CHUNK, or fewer. */
void agent_part_bytes(struct agent *a, size_t bytes);

void agent_connected(struct agent *a, agent_time now);
void agent_disconnected(struct agent *a, const struct err *why, agent_time now);
void agent_message(struct agent *a, const struct msg *m, agent_time now);
/* AGENT_PREPARE's answers: the schema, its packed size and the model that this client has, and its
 * number of training samples; or why it cannot take part, which ends the agent. */
void agent_prepared(struct agent *a, struct hash schema, size_t packed, struct hash model,
                    uint64_t samples, agent_time now);
/* Before agent_prepared: an update that this client trained for this run in an earlier life, from
 * parameters with that hash. It is copied, and offered as if it had been trained just now: the same
 * bytes have the same id. Without memory it is trained again when the server asks. */
void agent_restore(struct agent *a, uint32_t round, const struct hash *base,
                   const struct agent_result *r);
void agent_unfit(struct agent *a, enum msg_reason reason, const char *text, agent_time now);
/* AGENT_TRAIN's answers; the result is copied. After a failure the server is told, and the
 * connection made anew after a back-off. */
void agent_trained(struct agent *a, const struct agent_result *r, agent_time now);
void agent_failed(struct agent *a, const struct err *why, agent_time now);
/* The shell has put an outstanding TRAIN off, for this reason; PAUSE_NONE: no longer. The server is
 * told so that people can see it; nothing else depends on it. */
void agent_paused(struct agent *a, enum msg_pause why);
/* Frees the settled update and the final values. For a shell that knows that nobody will ask for
 * them again: the simulator, where many agents share one memory. */
void agent_forget(struct agent *a);
/* Connected, and ready for tasks, with none to do and no update kept: a new agent would be the same
 * after Hello, Welcome and Ready. */
bool agent_idle(const struct agent *a);
void agent_tick(struct agent *a, agent_time now);
/* Says goodbye and ends; AGENT_STOPPED comes when outstanding work has been answered. */
void agent_stop(struct agent *a, agent_time now);

/* The next output; false when there is none. */
bool agent_next(struct agent *a, struct agent_out *out);
/* When agent_tick wants to be called next, or AGENT_NEVER. */
agent_time agent_deadline(const struct agent *a);
/* The longest payload of a frame type that is acceptable now; 0: none (net/link). */
size_t agent_limit(const struct agent *a, uint8_t type);

#endif
