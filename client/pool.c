#include "client/pool.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct worker {
    struct pool *pool;
    unsigned number;
    pthread_t thread;
};

struct pool {
    pthread_mutex_t lock;
    pthread_cond_t begin, end;
    unsigned loops;  /* begun so far: a worker joins each one once */
    unsigned active; /* workers that have not left the present loop */
    bool closing;

    pool_work_fn work; /* the present loop */
    void *ctx;
    size_t n;
    atomic_size_t next;

    unsigned threads; /* started: workers 1 to `threads` */
    struct worker *worker;
};

static void take_iterations(struct pool *p, unsigned worker)
{
    size_t i;
    while ((i = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed)) < p->n)
        p->work(p->ctx, worker, i);
}

static void *worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    unsigned joined = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!p->closing && p->loops == joined)
            pthread_cond_wait(&p->begin, &p->lock);
        if (p->closing)
            break;
        joined = p->loops;
        pthread_mutex_unlock(&p->lock);
        take_iterations(p, w->number);
        pthread_mutex_lock(&p->lock);
        if (--p->active == 0)
            pthread_cond_signal(&p->end);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

void pool_run(struct pool *p, size_t n, pool_work_fn work, void *ctx)
{
    pthread_mutex_lock(&p->lock);
    p->work = work;
    p->ctx = ctx;
    p->n = n;
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    p->active = p->threads;
    p->loops++;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);

    take_iterations(p, 0);

    pthread_mutex_lock(&p->lock);
    while (p->active > 0)
        pthread_cond_wait(&p->end, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

int pool_open(struct pool **out, unsigned threads, struct err *e)
{
    struct pool *p = calloc(1, sizeof *p);
    struct worker *worker = calloc(threads, sizeof *worker);
    if (!p || !worker) {
        free(p);
        free(worker);
        return err_set(e, ERR_NOMEM, "out of memory for %u threads", threads);
    }
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->begin, NULL);
    pthread_cond_init(&p->end, NULL);
    p->worker = worker;
    for (unsigned i = 1; i < threads; i++) {
        worker[i] = (struct worker){.pool = p, .number = i};
        int rc = pthread_create(&worker[i].thread, NULL, worker_main, &worker[i]);
        if (rc) {
            pool_close(p);
            return err_sys(e, ERR_INTERNAL, rc, "cannot start thread %u of %u", i + 1, threads);
        }
        p->threads = i;
    }
    *out = p;
    return 0;
}

void pool_close(struct pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    pthread_cond_broadcast(&p->begin);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 1; i <= p->threads; i++)
        pthread_join(p->worker[i].thread, NULL);
    pthread_cond_destroy(&p->begin);
    pthread_cond_destroy(&p->end);
    pthread_mutex_destroy(&p->lock);
    free(p->worker);
    free(p);
}
