#include "client/crew.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct worker {
    struct crew *crew;
    unsigned number;
    pthread_t thread;
};

struct crew {
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    unsigned loops;  /* begun so far: a worker joins each one once */
    unsigned active; /* workers that have not left the present loop */
    bool closing;

    crew_work_fn work; /* the present loop */
    void *ctx;
    size_t n;
    atomic_size_t next;

    unsigned threads; /* started: workers 1 to `threads` */
    struct worker *worker;
};

static void take_iterations(struct crew *c, unsigned worker)
{
    size_t i;
    while ((i = atomic_fetch_add_explicit(&c->next, 1, memory_order_relaxed)) < c->n)
        c->work(c->ctx, worker, i);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct crew *c = w->crew;
    unsigned joined = 0;
    pthread_mutex_lock(&c->lock);
    for (;;) {
        while (!c->closing && c->loops == joined)
            pthread_cond_wait(&c->begin, &c->lock);
        if (c->closing)
            break;
        joined = c->loops;
        pthread_mutex_unlock(&c->lock);
        take_iterations(c, w->number);
        pthread_mutex_lock(&c->lock);
        if (--c->active == 0)
            pthread_cond_signal(&c->end);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

void crew_run(struct crew *c, size_t n, crew_work_fn work, void *ctx)
{
    pthread_mutex_lock(&c->lock);
    c->work = work;
    c->ctx = ctx;
    c->n = n;
    atomic_store_explicit(&c->next, 0, memory_order_relaxed);
    c->active = c->threads;
    c->loops++;
    pthread_cond_broadcast(&c->begin);
    pthread_mutex_unlock(&c->lock);

    take_iterations(c, 0);

    pthread_mutex_lock(&c->lock);
    while (c->active > 0)
        pthread_cond_wait(&c->end, &c->lock);
    pthread_mutex_unlock(&c->lock);
}

int crew_open(struct crew **out, unsigned threads, struct err *e)
{
    struct crew *c = calloc(1, sizeof *c);
    struct worker *worker = calloc(threads, sizeof *worker);
    if (!c || !worker) {
        free(c);
        free(worker);
        return err_set(e, ERR_NOMEM, "out of memory for %u threads", threads);
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->begin, NULL);
    pthread_cond_init(&c->end, NULL);
    c->worker = worker;
    for (unsigned i = 1; i < threads; i++) {
        worker[i] = (struct worker){.crew = c, .number = i};
        int rc = pthread_create(&worker[i].thread, NULL, worker_main, &worker[i]);
        if (rc) {
            crew_close(c);
            return err_sys(e, ERR_INTERNAL, rc, "cannot start thread %u of %u", i + 1, threads);
        }
        c->threads = i;
    }
    *out = c;
    return 0;
}

void crew_close(struct crew *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_cond_broadcast(&c->begin);
    pthread_mutex_unlock(&c->lock);
    for (unsigned i = 1; i <= c->threads; i++)
        pthread_join(c->worker[i].thread, NULL);
    pthread_cond_destroy(&c->begin);
    pthread_cond_destroy(&c->end);
    pthread_mutex_destroy(&c->lock);
    free(c->worker);
    free(c);
}
