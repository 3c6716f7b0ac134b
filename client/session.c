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

/* What the classes of a run's parameters are. */
struct classes {
    enum head_kind head;
    uint32_t n;
    const char *const *name; /* NULL for regression */
};

struct session {
    struct backbone *backbone;
    const struct client_config *config;
    char dir[PATH_MAX];
    struct arena mem; /* owns the strings of welcome and classes */
    struct msg_welcome welcome;
    struct classes classes;
    struct outbox_key key;
    struct outbox outbox; /* as found on disk */
    bool has_outbox;
    bool open; /* what follows is; it is all zeros at rest */

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

static int split_data(struct session *s, struct err *e)
{
    const struct msg_welcome *w = &s->welcome;
    size_t n = s->data->n;
    s->n_held = (size_t)(s->config->validation * (double)n);
    s->n_train = n - s->n_held;
    s->index = malloc((n ? n : 1) * sizeof *s->index);
    if (!s->index)
        return err_set(e, ERR_NOMEM, "out of memory for %zu examples", n);
    for (size_t i = 0; i < n; i++)
        s->index[i] = (uint32_t)i;
    if (s->n_held > 0) {
        struct rng r = rng_stream(w->spec.federation.seed, 0, w->index, RNG_SPLIT);
        rng_shuffle(&r, s->index, n);
        qsort(s->index, s->n_train, sizeof *s->index, by_number);
    }
    return 0;
}

static int open_data(struct session *s, struct err *e)
{
    struct task_spec task = s->welcome.spec.task;
    task.data = s->config->data;
    int rc = backbone_read(s->backbone, &task, SPLIT_TRAIN, s->welcome.spec.local.max_length, NULL,
                           &s->data, e);
    if (!rc)
        rc = split_data(s, e);
    return rc ? rc : task_metric(&task, s->data->n_labels, &s->metric, e);
}

/* The classes are those of the data with which the run begins, whatever it is later. */
static int take_classes(struct session *s, struct err *e)
{
    const struct dataset *d = s->data;
    const char **name = d->label_name ? arena_calloc(&s->mem, d->n_labels, sizeof *name) : NULL;
    for (uint32_t i = 0; name && i < d->n_labels; i++)
        if (!(name[i] = arena_strdup(&s->mem, d->label_name[i])))
            name = NULL;
    if (d->label_name && !name)
        return err_set(e, ERR_NOMEM, "out of memory for %u labels", d->n_labels);
    s->classes = (struct classes){d->head, d->n_labels, name};
    return 0;
}

static int check_classes(const struct session *s, struct err *e)
{
    const struct dataset *d = s->data;
    bool same = d->n_labels == s->classes.n;
    for (uint32_t i = 0; same && d->label_name && i < d->n_labels; i++)
        same = strcmp(d->label_name[i], s->classes.name[i]) == 0;
    return same ? 0
                : err_set(e, ERR_DATA,
                          "%s: its labels have changed since this run began, and the run's "
                          "parameters do not fit it any more: restore it, or leave the run",
                          s->config->data);
}

static int open_peft(struct session *s, struct err *e)
{
    const struct run_spec *spec = &s->welcome.spec;
    int rc = peft_open(&s->peft, s->backbone->model, &spec->peft, &spec->local, s->classes.head,
                       s->classes.n, e);
    if (rc)
        return rc;
    const struct schema *schema = peft_schema(s->peft);
    s->initial = malloc(schema->count * sizeof *s->initial);
    s->theta = malloc(schema->count * sizeof *s->theta);
    if (!s->initial || !s->theta)
        return err_set(e, ERR_NOMEM, "out of memory for %zu parameters", schema->count);
    peft_init(s->peft, spec->federation.seed, s->initial);
    return upload_open(&s->upload, spec, schema, e);
}

/* What the client keeps between rounds. */
static int open_state(struct session *s, struct err *e)
{
    const struct run_spec *spec = &s->welcome.spec;
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
    return journal_open(&s->journal, s->dir, s->welcome.run_id, &schema->hash, spec, schema->count,
                        e);
}

/* What is damaged is trained again: that is no reason to stay away. */
static int open_outbox(struct session *s, struct err *e)
{
    const struct msg_welcome *w = &s->welcome;
    const struct schema *schema = peft_schema(s->peft);
    s->key = (struct outbox_key){.index = w->index,
                                 .schema = schema->hash,
                                 .len = 4 * schema->packed,
                                 .scaffold = w->spec.federation.scaffold};
    snprintf(s->key.run_id, sizeof s->key.run_id, "%s", w->run_id);
    int rc = outbox_read(&s->outbox, s->dir, &s->key, &s->has_outbox, e);
    if (rc != ERR_IO)
        return rc;
    log_warn("the last update is lost: %s", e->text);
    return 0;
}

static void close_parts(struct session *s)
{
    peft_close(s->peft);
    dataset_close(s->data);
    session_trim(s);
    free(s->index);
    free(s->initial);
    free(s->theta);
    upload_close(&s->upload);
    journal_close(s->journal);
    free(s->control);
    free(s->change);
    free(s->packed_control);
    memset((char *)s + offsetof(struct session, open), 0,
           sizeof *s - offsetof(struct session, open));
}

static int open_run(struct session *s, const char *dir, const struct msg_welcome *w,
                    enum msg_reason *reason, struct err *e)
{
    *reason = REASON_INTERNAL;
    if (snprintf(s->dir, sizeof s->dir, "%s", dir) >= (int)sizeof s->dir)
        return err_set(e, ERR_IO, "%s: the path is too long", dir);
    s->welcome = *w;
    if (!msg_welcome_own(&s->welcome, &s->mem))
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = open_data(s, e);
    *reason = rc == ERR_MODEL ? REASON_MODEL : REASON_DATA;
    if (!rc)
        rc = take_classes(s, e);
    if (rc)
        return rc;
    *reason = REASON_MODEL;
    if ((rc = open_peft(s, e)))
        return rc;
    *reason = REASON_INTERNAL;
    rc = open_state(s, e);
    if (!rc)
        rc = open_outbox(s, e);
    s->open = !rc;
    return rc;
}

int session_open(struct session **out, struct backbone *b, const struct client_config *c,
                 const char *dir, const struct msg_welcome *w, enum msg_reason *reason,
                 struct err *e)
{
    struct session *s = calloc(1, sizeof *s);
    *reason = REASON_INTERNAL;
    if (!s)
        return err_set(e, ERR_NOMEM, "out of memory");
    s->backbone = b;
    s->config = c;
    arena_init(&s->mem, ARENA_NO_CAP);
    int rc = open_run(s, dir, w, reason, e);
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

void session_rest(struct session *s)
{
    close_parts(s);
    outbox_close(&s->outbox);
    s->has_outbox = false;
}

void session_close(struct session *s)
{
    if (!s)
        return;
    session_rest(s);
    arena_release(&s->mem);
    free(s);
}

static int wake(struct session *s, struct err *e)
{
    if (s->open)
        return 0;
    int rc = open_data(s, e);
    if (!rc)
        rc = check_classes(s, e);
    if (!rc)
        rc = open_peft(s, e);
    if (!rc)
        rc = open_state(s, e);
    if (rc)
        close_parts(s);
    s->open = !rc;
    return rc;
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
    uint32_t every = s->welcome.spec.federation.evaluate_every;
    if (s->n_held == 0 || (every > 0 && round % every != 0))
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
                     s->welcome.run_id, "round", (int)job->round, "base", hex, "counted",
                     (int)job->counted, "client", (int)job->index, "examples", (int)s->n_train);
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
    const struct run_spec *spec = &s->welcome.spec;
    const struct schema *schema = peft_schema(s->peft);
    struct train_result trained;
    struct train_job train = {.peft = s->peft,
                              .data = s->data,
                              .index = s->index,
                              .n = s->n_train,
                              .local = &spec->local,
                              .seed = spec->federation.seed,
                              .round = job->round,
                              .rounds = spec->federation.rounds,
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
    const char *dir = s->dir;
    struct agent_result result = {0};
    struct savepoint savepoint;
    struct pace pace = {.cancel = cancel};
    int rc = wake(s, e);
    if (rc)
        return rc;
    const struct schema *schema = peft_schema(s->peft);
    throttle_begin(&pace.throttle, s->config->cpu_share, client_threads(s->config->threads));
    memcpy(s->theta, s->initial, schema->count * sizeof *s->theta);
    rc = tensorset_unpack(schema, job->params, job->len, s->theta, e);
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

static int save(struct session *s, const unsigned char *params, size_t len, struct err *e)
{
    char name[32], folder[PATH_MAX], link[PATH_MAX];
    const struct adapter_info info = {.task = s->welcome.spec.task.name,
                                      .labels = s->classes.name,
                                      .n_labels = s->classes.n,
                                      .max_length = s->welcome.spec.local.max_length};
    snprintf(name, sizeof name, "adapter-%s", s->welcome.run_id);
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

int session_save(struct session *s, const unsigned char *params, size_t len, struct err *e)
{
    int rc = s->open ? 0 : open_peft(s, e);
    if (!rc)
        rc = save(s, params, len, e);
    if (!s->open)
        close_parts(s);
    return rc;
}
