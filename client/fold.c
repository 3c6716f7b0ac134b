#include "client/fold.h"
#include "base/vector.h"
#include <stdlib.h>
#include <string.h>

/* Where a thread that is ahead may go on. As many again cost nothing for adapters; of a whole
 * model's gradients there is one to spare. */
static size_t count_slots(size_t width, size_t threads)
{
    enum { WIDE = 1 << 20 };
    if (threads == 1)
        return 1;
    return threads + (width < WIDE ? threads : 1);
}

int fold_open(struct fold *f, size_t width, unsigned threads, struct err *e)
{
    size_t slots = count_slots(width, threads);
    memset(f, 0, sizeof *f);
    f->width = width;
    f->slots = slots;
    f->storage = vector_zeroed((slots + 1) * width, sizeof *f->storage);
    f->slot = calloc(slots, sizeof *f->slot);
    f->ready = calloc(slots, sizeof *f->ready);
    if (!f->storage || !f->slot || !f->ready) {
        free(f->storage);
        free(f->slot);
        free(f->ready);
        return err_set(e, ERR_NOMEM, "out of memory for gradients: %zu x %zu values", slots + 1,
                       width);
    }
    f->sum = f->storage;
    for (size_t k = 0; k < slots; k++)
        f->slot[k] = f->storage + (k + 1) * width;
    pthread_mutex_init(&f->lock, NULL);
    pthread_cond_init(&f->moved, NULL);
    return 0;
}

void fold_close(struct fold *f)
{
    if (!f->storage)
        return;
    pthread_cond_destroy(&f->moved);
    pthread_mutex_destroy(&f->lock);
    free(f->storage);
    free(f->slot);
    free(f->ready);
    memset(f, 0, sizeof *f);
}

void fold_reset(struct fold *f)
{
    f->next = 0;
}

real *fold_begin(struct fold *f, size_t i)
{
    pthread_mutex_lock(&f->lock);
    while (i >= f->next + f->slots)
        pthread_cond_wait(&f->moved, &f->lock);
    pthread_mutex_unlock(&f->lock);
    real *slot = f->slot[i % f->slots];
    memset(slot, 0, f->width * sizeof *slot);
    return slot;
}

static void add(real *restrict sum, const real *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sum[i] += x[i];
}

/* The first item is the sum so far: the two change places. */
static void add_item(struct fold *f, size_t slot)
{
    real *item = f->slot[slot];
    if (f->next > 0) {
        add(f->sum, item, f->width);
        return;
    }
    f->slot[slot] = f->sum;
    f->sum = item;
}

void fold_end(struct fold *f, size_t i)
{
    pthread_mutex_lock(&f->lock);
    f->ready[i % f->slots] = true;
    /* The thread that is adding sees this item too: the order is kept without anybody waiting. */
    if (!f->adding) {
        f->adding = true;
        for (size_t k; f->ready[k = f->next % f->slots];) {
            pthread_mutex_unlock(&f->lock);
            add_item(f, k);
            pthread_mutex_lock(&f->lock);
            f->ready[k] = false;
            f->next++;
            pthread_cond_broadcast(&f->moved);
        }
        f->adding = false;
    }
    pthread_mutex_unlock(&f->lock);
}
