#include "sim/workers.h"
#include "base/vector.h"
#include "client/upload.h"
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct worker {
    struct workers *pool;
    struct trainer *trainer;
    float *theta;
    struct upload upload;
    float *control, *change; /* SCAFFOLD, else NULL */
    pthread_t thread;
    bool running;
};

struct workers {
    struct workers_config config;
    const struct schema *schema;
    pthread_mutex_t lock; /* guards the list, the progress of its works, and stopping */
    pthread_cond_t pushed, finished;
    struct work *first; /* by due, then by client; only the owner's thread changes the list */
    bool stopping;
    struct work *popped;    /* lent to the owner until the next pop */
    struct worker worker[]; /* config.threads */
};

static struct work *first_waiting(const struct workers *pool)
{
    struct work *w = pool->first;
    while (w && w->progress != WORK_WAITING)
        w = w->next;
    return w;
}

static void work_free(struct work *w)
{
    if (w)
        free(w->update);
    free(w);
}

/* A trainer speaks of its own limit. */
static void explain(const struct workers_config *c, struct err *e)
{
    if (e->code == ERR_NOMEM && c->memory.limit && c->threads > 1)
        err_wrap(e,
                 "each of %u threads has its share of --memory-limit, and fewer have larger ones",
                 c->threads);
}

/* So many updates are held as clients are ahead of virtual time, so each takes what it needs. */
static void keep_update(struct worker *self, struct work *w)
{
    const struct schema *s = self->pool->schema;
    const struct upload *u = &self->upload;
    w->update = vector_alloc(u->len + (self->control ? 4 * s->packed : 0), 1);
    if (!w->update) {
        err_set(&w->error, ERR_NOMEM, "no memory for the update of client %u", w->client);
        return;
    }
    memcpy(w->update, u->bytes, u->len);
    w->len = u->len;
    w->coding = u->coding;
    if (self->control) {
        w->control = w->update + w->len;
        tensorset_pack(s, self->change, w->control);
    }
}

static void do_work(struct worker *self, struct work *w)
{
    const struct agent_job *task = w->job;
    const struct workers_config *c = &self->pool->config;
    const struct schema *s = self->pool->schema;
    memcpy(self->theta, c->initial, s->count * sizeof *self->theta);
    struct train_job job = {.peft = c->peft,
                            .data = c->data,
                            .index = w->index,
                            .n = w->n,
                            .local = &c->spec->local,
                            .seed = c->spec->federation.seed,
                            .round = task->round,
                            .rounds = c->spec->federation.rounds,
                            .client = w->client,
                            .state = w->state,
                            .control = self->control,
                            .control_change = self->change,
                            .cancel = c->cancel};
    if (tensorset_unpack(s, task->params, 4 * s->packed, self->theta, &w->error) ||
        (self->control &&
         tensorset_unpack(s, task->control, 4 * s->packed, self->control, &w->error)) ||
        trainer_fit(self->trainer, &job, self->theta, &w->result, &w->error)) {
        explain(c, &w->error);
        return;
    }
    upload_encode(&self->upload, task->round, w->client, task->params, self->theta, w->state);
    keep_update(self, w);
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct workers *pool = self->pool;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        struct work *w = first_waiting(pool);
        if (!w) {
            pthread_cond_wait(&pool->pushed, &pool->lock);
            continue;
        }
        w->progress = WORK_RUNNING;
        pthread_mutex_unlock(&pool->lock);
        do_work(self, w);
        pthread_mutex_lock(&pool->lock);
        w->progress = WORK_DONE;
        pthread_cond_signal(&pool->finished);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int worker_open(struct worker *self, struct workers *pool, struct err *e)
{
    struct memory memory = pool->config.memory;
    self->pool = pool;
    memory.limit /= pool->config.threads;
    int rc = trainer_open(&self->trainer, 1, &memory, e);
    if (rc)
        return rc;
    size_t n = pool->schema->count;
    bool scaffold = pool->config.spec->federation.scaffold;
    self->theta = vector_alloc(n, sizeof *self->theta);
    self->control = scaffold ? calloc(n, sizeof *self->control) : NULL;
    self->change = scaffold ? malloc(n * sizeof *self->change) : NULL;
    if (!self->theta || (scaffold && (!self->control || !self->change)))
        return err_set(e, ERR_NOMEM, "no memory for %zu trainable parameters", n);
    rc = upload_open(&self->upload, pool->config.spec, pool->schema, e);
    if (rc)
        return rc;
    int no = pthread_create(&self->thread, NULL, worker_main, self);
    if (no)
        return err_sys(e, ERR_INTERNAL, no, "cannot start a worker thread");
    self->running = true;
    return 0;
}

int workers_open(struct workers **out, const struct workers_config *c, struct err *e)
{
    struct workers *w = calloc(1, sizeof *w + c->threads * sizeof w->worker[0]);
    if (!w)
        return err_set(e, ERR_NOMEM, "no memory for %u workers", c->threads);
    w->config = *c;
    w->schema = peft_schema(c->peft);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->pushed, NULL);
    pthread_cond_init(&w->finished, NULL);
    for (unsigned i = 0; i < c->threads; i++) {
        int rc = worker_open(&w->worker[i], w, e);
        if (rc) {
            workers_close(w);
            return rc;
        }
    }
    *out = w;
    return 0;
}

void workers_close(struct workers *w)
{
    if (!w)
        return;
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->pushed);
    pthread_mutex_unlock(&w->lock);
    for (unsigned i = 0; i < w->config.threads; i++) {
        if (w->worker[i].running)
            pthread_join(w->worker[i].thread, NULL);
        trainer_close(w->worker[i].trainer);
        free(w->worker[i].theta);
        upload_close(&w->worker[i].upload);
        free(w->worker[i].control);
        free(w->worker[i].change);
    }
    for (struct work *left = w->first, *next; left; left = next) {
        next = left->next;
        work_free(left);
    }
    work_free(w->popped);
    pthread_cond_destroy(&w->finished);
    pthread_cond_destroy(&w->pushed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

static bool before(const struct work *a, const struct work *b)
{
    return a->due != b->due ? a->due < b->due : a->client < b->client;
}

static void enlist(struct workers *w, struct work *work)
{
    struct work **at = &w->first;
    pthread_mutex_lock(&w->lock);
    while (*at && before(*at, work))
        at = &(*at)->next;
    work->next = *at;
    *at = work;
    pthread_cond_signal(&w->pushed);
    pthread_mutex_unlock(&w->lock);
}

int workers_push(struct workers *w, const struct agent_job *job, double due,
                 struct local_state *state, const uint32_t *index, size_t n, struct err *e)
{
    struct work *work = calloc(1, sizeof *work);
    if (!work)
        return err_set(e, ERR_NOMEM, "no memory for the task of client %u", job->index);
    *work = (struct work){
        .client = job->index, .job = job, .state = state, .index = index, .n = n, .due = due};
    enlist(w, work);
    return 0;
}

double workers_due(const struct workers *w)
{
    return w->first ? w->first->due : (double)INFINITY;
}

const struct work *workers_pop(struct workers *w)
{
    work_free(w->popped);
    pthread_mutex_lock(&w->lock);
    w->popped = w->first;
    while (w->popped->progress != WORK_DONE)
        pthread_cond_wait(&w->finished, &w->lock);
    w->first = w->popped->next;
    pthread_mutex_unlock(&w->lock);
    return w->popped;
}

void workers_drop(struct workers *w, uint32_t client)
{
    struct work **at = &w->first;
    while (*at && (*at)->client != client)
        at = &(*at)->next;
    struct work *work = *at;
    if (!work)
        return;
    pthread_mutex_lock(&w->lock);
    while (work->progress == WORK_RUNNING)
        pthread_cond_wait(&w->finished, &w->lock);
    *at = work->next;
    pthread_mutex_unlock(&w->lock);
    work_free(work);
}
