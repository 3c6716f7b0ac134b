#include "sim/workers.h"
#include "client/upload.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* First in, first out. */
struct queue {
    struct work *head, **tail;
};

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
    pthread_mutex_t lock; /* guards the queues and stopping */
    pthread_cond_t pushed, finished;
    struct queue waiting, done;
    bool stopping;
    size_t busy;            /* touched by the owner's thread alone */
    struct work *popped;    /* lent to the owner until the next pop */
    struct worker worker[]; /* config.threads */
};

static void queue_init(struct queue *q)
{
    q->head = NULL;
    q->tail = &q->head;
}

static void queue_put(struct queue *q, struct work *w)
{
    w->next = NULL;
    *q->tail = w;
    q->tail = &w->next;
}

static struct work *queue_get(struct queue *q)
{
    struct work *w = q->head;
    if (w) {
        q->head = w->next;
        if (!q->head)
            q->tail = &q->head;
    }
    return w;
}

static void work_free(struct work *w)
{
    if (w)
        free(w->params);
    free(w);
}

static void do_work(struct worker *self, struct work *w)
{
    const struct workers_config *c = &self->pool->config;
    const struct schema *s = self->pool->schema;
    memcpy(self->theta, c->initial, s->count * sizeof *self->theta);
    struct train_job job = {.peft = c->peft,
                            .data = c->data,
                            .index = w->index,
                            .n = w->n,
                            .local = &c->spec->local,
                            .seed = c->spec->federation.seed,
                            .round = w->round,
                            .rounds = c->spec->federation.rounds,
                            .client = w->client,
                            .state = w->state,
                            .control = self->control,
                            .control_change = self->change,
                            .cancel = c->cancel};
    if (tensorset_unpack(s, w->params, 4 * s->packed, self->theta, &w->error) ||
        (self->control &&
         tensorset_unpack(s, w->control, 4 * s->packed, self->control, &w->error)) ||
        trainer_fit(self->trainer, &job, self->theta, &w->result, &w->error))
        return;
    upload_encode(&self->upload, w->round, w->client, w->params, self->theta, w->state);
    memcpy(w->params, self->upload.bytes, self->upload.len);
    w->len = self->upload.len;
    w->coding = self->upload.coding;
    if (self->control)
        tensorset_pack(s, self->change, w->control);
}

static void *worker_main(void *arg)
{
    struct worker *self = arg;
    struct workers *pool = self->pool;
    pthread_mutex_lock(&pool->lock);
    while (!pool->stopping) {
        struct work *w = queue_get(&pool->waiting);
        if (!w) {
            pthread_cond_wait(&pool->pushed, &pool->lock);
            continue;
        }
        pthread_mutex_unlock(&pool->lock);
        do_work(self, w);
        pthread_mutex_lock(&pool->lock);
        queue_put(&pool->done, w);
        pthread_cond_signal(&pool->finished);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int worker_open(struct worker *self, struct workers *pool, struct err *e)
{
    self->pool = pool;
    int rc = trainer_open(&self->trainer, 1, pool->config.memory_limit / pool->config.threads, e);
    if (rc)
        return rc;
    size_t n = pool->schema->count;
    bool scaffold = pool->config.spec->federation.scaffold;
    self->theta = malloc(n * sizeof *self->theta);
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
    queue_init(&w->waiting);
    queue_init(&w->done);
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
    struct work *left;
    while ((left = queue_get(&w->waiting)) || (left = queue_get(&w->done)))
        work_free(left);
    work_free(w->popped);
    pthread_cond_destroy(&w->finished);
    pthread_cond_destroy(&w->pushed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}

int workers_push(struct workers *w, const struct agent_job *job, struct local_state *state,
                 const uint32_t *index, size_t n, struct err *e)
{
    struct work *work = calloc(1, sizeof *work);
    size_t room = coder_room(w->schema->packed); /* for the update, too */
    unsigned char *copy = malloc(job->control ? room + job->len : room);
    if (!work || !copy) {
        free(work);
        free(copy);
        return err_set(e, ERR_NOMEM, "no memory for the task of client %u", job->index);
    }
    *work = (struct work){.client = job->index,
                          .round = job->round,
                          .state = state,
                          .index = index,
                          .n = n,
                          .params = copy};
    memcpy(work->params, job->params, job->len);
    if (job->control) {
        work->control = copy + room;
        memcpy(work->control, job->control, job->len);
    }
    w->busy++;
    pthread_mutex_lock(&w->lock);
    queue_put(&w->waiting, work);
    pthread_cond_signal(&w->pushed);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

size_t workers_busy(const struct workers *w)
{
    return w->busy;
}

const struct work *workers_pop(struct workers *w)
{
    work_free(w->popped);
    pthread_mutex_lock(&w->lock);
    while (!(w->popped = queue_get(&w->done)))
        pthread_cond_wait(&w->finished, &w->lock);
    pthread_mutex_unlock(&w->lock);
    w->busy--;
    return w->popped;
}
