/* What the daemon holds open for one run: its data, split once into a training and a held-out part,
 * and the trainable parameters. Made and used on the worker thread.
 *
 * Between trainings it may rest: all of that is closed, and opened again by what needs it next.
 * What is kept of the run lies on disk in any case, so that waking up is what a new start of the
 * daemon is, but for the connection. */
#ifndef CLIENT_SESSION_H
#define CLIENT_SESSION_H

#include "base/err.h"
#include "client/agent.h"
#include "client/backbone.h"
#include "client/client_config.h"
#include "client/outbox.h"
#include "client/train.h"
#include <stdatomic.h>

struct session;

/* Opens data, method and journal for the run that a Welcome describes; what is kept of it lies in
 * the folder `dir`. Backbone and config are borrowed, the Welcome is copied. Which examples are
 * held out depends on the run's seed and the client's number only. On failure *reason says what to
 * tell the server. */
int session_open(struct session **out, struct backbone *b, const struct client_config *c,
                 const char *dir, const struct msg_welcome *w, enum msg_reason *reason,
                 struct err *e) MUST_CHECK;
void session_close(struct session *s);
/* Gives memory back that the next training takes again, and fills anew: what the encoder makes of
 * the examples. */
void session_trim(struct session *s);
/* Closes data, method and journal until session_train; what that gave is gone. */
void session_rest(struct session *s);

/* Of a session that does not rest. */
const struct schema *session_schema(const struct session *s);
size_t session_samples(const struct session *s); /* training examples */

/* The update that was trained for this run in an earlier life; NULL: none. Until the next call of
 * anything that is not const. */
const struct outbox *session_outbox(const struct session *s);

/* Trains from the job's parameters, and from what this client has kept since the round that
 * job->counted names; what it keeps from this one, and the update, are on disk when this returns. A
 * training that was killed goes on from its savepoint. r->params and
 * r->control point into the session and stay valid until the next call. In the first round and
 * then every federation.evaluate_every rounds, the job's parameters are scored before training on
 * the held-out examples, if any: that is r's metric. Rests between steps as config's cpu_share
 * asks. ERR_STATE: cancelled, at a step boundary, with a savepoint. ERR_DATA: the data's labels
 * changed while the session was at rest. Errors of session_open, tensorset_unpack, trainer_fit,
 * trainer_eval, journal_commit and outbox_write. */
int session_train(struct session *s, struct trainer *t, const struct agent_job *job,
                  const atomic_bool *cancel, struct agent_result *r, struct err *e) MUST_CHECK;

/* Saves packed parameters as a Hugging Face PEFT folder DIR/adapter-RUN, and points the symbolic
 * link DIR/adapter to it once it is complete; no update is kept any more. Needs no data: a session
 * at rest stays so. ERR_IO, ERR_PROTO, ERR_NOMEM. */
int session_save(struct session *s, const unsigned char *params, size_t len,
                 struct err *e) MUST_CHECK;

#endif
