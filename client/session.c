#include "client/session.h"
#include "base/file.h"
#include "base/log.h"
#include "base/rng.h"
#include "client/experiment.h"
#include "client/journal.h"
#include "client/savepoint.h"
#include "client/sweep.h"
#include "client/throttle.h"
#include "client/upload.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct session {
    const struct client_config *config;
    char dir[PATH_MAX];
    char run_id[17];
    struct outbox_key key;
    struct outbox outbox; /* as found on disk */
    bool has_outbox;
    uint64_t seed;
    uint32_t rounds, evaluate_every;
    struct local_spec local;
    char *task_name;
    struct dataset *data;
    uint32_t *index; /* the training examples, then the held-out ones */
    size_t n_train, n_held;
    struct rows features, held_features;
    enum metric metric;
    struct peft *peft;
    float *initial; /* values of the tensors that do not travel */
    float *theta;
    struct upload upload;          /* of the last result */
    struct journal *journal;       /* NULL: the run leaves nothing to keep */
    float *control, *change;       /* SCAFFOLD, else NULL: the server's control variate, and how the
                                      client's changed */
    unsigned char *packed_control; /* of the last result */
};

static int by_number(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static int split_data(struct session *s, double validation, uint32_t client, struct err *e)
{
    size_t n = s->data->n;
    s->n_held = (size_t)(validation * (double)n);
    s->n_train = n - s->n_held;
    s->index = malloc((n ? n : 1) * sizeof *s->index);
    if (!s->index)
        return err_set(e, ERR_NOMEM, "out of memory for %zu examples", n);
    for (size_t i = 0; i < n; i++)
        s->index[i] = (uint32_t)i;
    if (s->n_held > 0) {
        struct rng r = rng_stream(s->seed, 0, client, RNG_SPLIT);
        rng_shuffle(&r, s->index, n);
        qsort(s->index, s->n_train, sizeof *s->index, by_number);
    }
    return 0;
}

static int open_peft(struct session *s, const struct backbone *b, const struct run_spec *spec,
                     struct err *e)
{
    int rc =
        peft_open(&s->peft, b->model, &spec->peft, &s->local, s->data->head, s->data->n_labels, e);
    if (rc)
        return rc;
    const struct schema *schema = peft_schema(s->peft);
    s->initial = malloc(schema->count * sizeof *s->initial);
    s->theta = malloc(schema->count * sizeof *s->theta);
    if (!s->initial || !s->theta)
        return err_set(e, ERR_NOMEM, "out of memory for %zu parameters", schema->count);
    peft_init(s->peft, s->seed, s->initial);
    return upload_open(&s->upload, spec, schema, e);
}

/* What the client keeps between rounds. */
static int open_state(struct session *s, const struct run_spec *spec, struct err *e)
{
    const struct schema *schema = peft_schema(s->peft);
    if (!local_state_needed(spec))
        return 0;
    if (spec->federation.scaffold) {
        s->control = calloc(schema->count, sizeof *s->control);
        s->change = malloc(schema->count * sizeof *s->change);
        s->packed_control = malloc(4 * schema->packed);
        if (!s->control || !s->change || !s->packed_control)
            return err_set(e, ERR_NOMEM, "out of memory for %zu parameters", schema->count);
    }
    return journal_open(&s->journal, s->dir, s->run_id, &schema->hash, spec, schema->count, e);
}

/* What is damaged is trained again: that is no reason to stay away. */
static int open_outbox(struct session *s, const struct msg_welcome *w, struct err *e)
{
    const struct schema *schema = peft_schema(s->peft);
    s->key = (struct outbox_key){.index = w->index,
                                 .schema = schema->hash,
                                 .len = 4 * schema->packed,
                                 .scaffold = w->spec.federation.scaffold};
    snprintf(s->key.run_id, sizeof s->key.run_id, "%s", s->run_id);
    int rc = outbox_read(&s->outbox, s->dir, &s->key, &s->has_outbox, e);
    if (rc != ERR_IO)
        return rc;
    log_warn("the last update is lost: %s", e->text);
    return 0;
}

static int open_all(struct session *s, const struct backbone *b, const struct client_config *c,
                    const struct msg_welcome *w, enum msg_reason *reason, struct err *e)
{
    const struct run_spec *spec = &w->spec;
    struct task_spec task = spec->task;
    task.data = c->data;
    *reason = REASON_DATA;
    int rc = backbone_read(b, &task, SPLIT_TRAIN, s->local.max_length, NULL, &s->data, e);
    if (!rc)
        rc = split_data(s, c->validation, w->index, e);
    if (!rc)
        rc = task_metric(&task, s->data->n_labels, &s->metric, e);
    if (rc)
        return rc;
    *reason = REASON_MODEL;
    if ((rc = open_peft(s, b, spec, e)))
        return rc;
    *reason = REASON_INTERNAL;
    rc = open_state(s, spec, e);
    return rc ? rc : open_outbox(s, w, e);
}

int session_open(struct session **out, const struct backbone *b, const struct client_config *c,
                 const char *dir, const struct msg_welcome *w, enum msg_reason *reason,
                 struct err *e)
{
    *reason = REASON_INTERNAL;
    struct session *s = calloc(1, sizeof *s);
    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->config = c;
    if (snprintf(s->dir, sizeof s->dir, "%s", dir) >= (int)sizeof s->dir) {
        session_close(s);
        return err_set(e, ERR_IO, "%s: the path is too long", dir);
    }
    snprintf(s->run_id, sizeof s->run_id, "%s", w->run_id);
    s->seed = w->spec.federation.seed;
    s->rounds = w->spec.federation.rounds;
    s->evaluate_every = w->spec.federation.evaluate_every;
    s->local = w->spec.local;
    s->task_name = strdup(w->spec.task.name);
    int rc =
        s->task_name ? open_all(s, b, c, w, reason, e) : err_set(e, ERR_NOMEM, "out of memory");
    if (rc == ERR_NOMEM)
        *reason = REASON_INTERNAL;
    if (rc) {
        session_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void session_trim(struct session *s)
{
    sweep_release(&s->features);
    sweep_release(&s->held_features);
}

void session_close(struct session *s)
{
    if (!s)
        return;
    peft_close(s->peft);
    dataset_close(s->data);
    session_trim(s);
    free(s->task_name);
    free(s->index);
    free(s->initial);
    free(s->theta);
    upload_close(&s->upload);
    journal_close(s->journal);
    outbox_close(&s->outbox);
    free(s->control);
    free(s->change);
    free(s->packed_control);
    free(s);
}

const struct schema *session_schema(const struct session *s)
{
    return peft_schema(s->peft);
}

size_t session_samples(const struct session *s)
{
    return s->n_train;
}

const struct outbox *session_outbox(const struct session *s)
{
    return s->has_outbox ? &s->outbox : NULL;
}

/* s->theta: the parameters after `round` rounds. */
static int score_held_out(struct session *s, struct trainer *t, uint32_t round,
                          const atomic_bool *cancel, struct agent_result *r, struct err *e)
{
    struct score score;
    if (s->n_held == 0 || (s->evaluate_every > 0 && round % s->evaluate_every != 0))
        return 0;
    int rc = trainer_eval(t,
                          &(struct eval_job){.peft = s->peft,
                                             .data = s->data,
                                             .index = s->index + s->n_train,
                                             .n = s->n_held,
                                             .theta = s->theta,
                                             .cancel = cancel,
                                             .features = &s->held_features},
                          &score, NULL, NULL, e);
    if (rc)
        return rc;
    r->metric[r->n_metrics++] =
        (struct msg_metric){metric_name(s->metric), score_value(&score, s->metric), score.n};
    score_close(&score);
    return 0;
}

static struct local_state *take_state(struct session *s, uint32_t counted)
{
    bool lost;
    if (!s->journal)
        return NULL;
    struct local_state *state = journal_begin(s->journal, counted, &lost);
    if (lost)
        log_warn("what this client kept after round %" PRIu32 " is not here: it begins anew",
                 counted);
    return state;
}

/* A training by all that its course depends on and that may differ from one life to the next. */
static json_t *name_training(const struct session *s, const struct agent_job *job,
                             const struct hash *base)
{
    char hex[HASH_HEX];
    hash_hex(base, hex);
    return json_pack("{s:s, s:s, s:i, s:s, s:i, s:i, s:i}", "version", FEDPET_VERSION, "run",
                     s->run_id, "round", (int)job->round, "base", hex, "counted", (int)job->counted,
                     "client", (int)job->index, "examples", (int)s->n_train);
}

struct pace {
    struct throttle throttle;
    const atomic_bool *cancel;
};

static void rest(const struct train_progress *p, void *ctx)
{
    struct pace *pace = ctx;
    (void)p;
    throttle_rest(&pace->throttle, pace->cancel);
}

/* From s->theta as unpacked from the job to a result in s->upload. */
static int train_to_end(struct session *s, struct trainer *t, const struct agent_job *job,
                        struct pace *pace, struct savepoint *savepoint, struct agent_result *r,
                        struct err *e)
{
    const struct schema *schema = peft_schema(s->peft);
    struct train_result trained;
    struct train_job train = {.peft = s->peft,
                              .data = s->data,
                              .index = s->index,
                              .n = s->n_train,
                              .local = &s->local,
                              .seed = s->seed,
                              .round = job->round,
                              .rounds = s->rounds,
                              .client = job->index,
                              .state = take_state(s, job->counted),
                              .control = s->control,
                              .control_change = s->change,
                              .progress = rest,
                              .ctx = pace,
                              .cancel = pace->cancel,
                              .savepoint = savepoint,
                              .features = &s->features};
    int rc = trainer_fit(t, &train, s->theta, &trained, e);
    if (!rc)
        upload_encode(&s->upload, job->round, job->index, job->params, s->theta, train.state);
    if (!rc && s->journal)
        rc = journal_commit(s->journal, job->round, e);
    if (rc)
        return rc;
    r->params = s->upload.bytes;
    r->len = s->upload.len;
    r->coding = s->upload.coding;
    if (s->control) {
        tensorset_pack(schema, s->change, s->packed_control);
        r->control = s->packed_control;
        r->control_len = 4 * schema->packed;
    }
    r->samples = s->n_train;
    r->steps = trained.steps;
    r->train_loss = trained.loss;
    r->seconds = trained.seconds;
    return 0;
}

int session_train(struct session *s, struct trainer *t, const struct agent_job *job,
                  const atomic_bool *cancel, struct agent_result *r, struct err *e)
{
    const struct schema *schema = peft_schema(s->peft);
    const char *dir = s->dir;
    struct agent_result result = {0};
    struct savepoint savepoint;
    struct pace pace = {.cancel = cancel};
    throttle_begin(&pace.throttle, s->config->cpu_share, client_threads(s->config->threads));
    memcpy(s->theta, s->initial, schema->count * sizeof *s->theta);
    int rc = tensorset_unpack(schema, job->params, job->len, s->theta, e);
    if (!rc && s->control)
        rc = tensorset_unpack(schema, job->control, job->len, s->control, e);
    if (!rc)
        rc = score_held_out(s, t, job->round, cancel, &result, e);
    if (rc)
        return rc;
    throttle_rest(&pace.throttle, cancel);
    struct hash base = hash_of(job->params, job->len);
    rc = savepoint_open(&savepoint, dir, s->config->checkpoint_s, name_training(s, job, &base), e);
    if (rc)
        return rc;
    rc = train_to_end(s, t, job, &pace, &savepoint, &result, e);
    /* The journal first: an update that counts without it would leave the client behind. */
    if (!rc)
        rc = outbox_write(dir, &s->key, job->round, &base, &result, e);
    if (!rc) {
        savepoint_remove(&savepoint);
        *r = result;
    }
    savepoint_close(&savepoint);
    return rc;
}

/* Replaces the symbolic link `path`, at every moment to a whole adapter. */
static int point_to(const char *path, const char *target, struct err *e)
{
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof fresh, "%s.new", path) >= (int)sizeof fresh)
        return err_set(e, ERR_IO, "%s: the path is too long", path);
    if ((unlink(fresh) && errno != ENOENT) || symlink(target, fresh) || rename(fresh, path))
        return err_sys(e, ERR_IO, errno, "%s", path);
    return 0;
}

int session_save(struct session *s, const unsigned char *params, size_t len, struct err *e)
{
    const struct adapter_info info = {.task = s->task_name,
                                      .labels = s->data->label_name,
                                      .n_labels = s->data->n_labels,
                                      .max_length = s->local.max_length};
    char name[32], folder[PATH_MAX], link[PATH_MAX];
    snprintf(name, sizeof name, "adapter-%s", s->run_id);
    int rc = file_join(folder, sizeof folder, s->dir, name, e);
    if (!rc)
        rc = file_join(link, sizeof link, s->dir, "adapter", e);
    if (rc)
        return rc;
    memcpy(s->theta, s->initial, peft_schema(s->peft)->count * sizeof *s->theta);
    rc = tensorset_unpack(peft_schema(s->peft), params, len, s->theta, e);
    if (!rc)
        rc = peft_save(s->peft, s->theta, &info, folder, e);
    if (!rc)
        rc = point_to(link, name, e);
    if (!rc)
        outbox_remove(s->dir);
    return rc;
}
