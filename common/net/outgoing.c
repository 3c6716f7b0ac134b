#include "net/outgoing.h"

#include "net/frame.h"
#include "net/tls.h"

#include <assert.h>
#include <stdlib.h>

struct parcel {
    struct parcel *next;
    struct buf head; /* the frame's header, too */
    struct shared *tail;
    size_t gone; /* of both */
};

static size_t tail_size(const struct parcel *p)
{
    return p->tail ? p->tail->len : 0;
}

static void parcel_free(struct parcel *p)
{
    buf_release(&p->head);
    shared_drop(p->tail);
    free(p);
}

static struct parcel *parcel_make(uint8_t type, const void *head, size_t len, size_t tail)
{
    struct parcel *p = calloc(1, sizeof *p);
    if (!p || len > SIZE_MAX - FRAME_HEADER || tail > SIZE_MAX - len) {
        free(p);
        return NULL;
    }
    buf_init(&p->head, FRAME_HEADER + len);
    if (!buf_reserve(&p->head, FRAME_HEADER + len) || frame_begin(&p->head, type, len + tail) ||
        buf_append(&p->head, head, len)) {
        parcel_free(p);
        return NULL;
    }
    return p;
}

int outgoing_add(struct outgoing *q, uint8_t type, const void *head, size_t len,
                 struct shared *tail, struct err *e)
{
    struct parcel *p = parcel_make(type, head, len, tail ? tail->len : 0);
    if (!p)
        return err_set(e, ERR_NOMEM, "no memory for a frame of %zu bytes", len);
    p->tail = tail ? shared_hold(tail) : NULL;
    if (q->last)
        q->last->next = p;
    else
        q->first = p;
    q->last = p;
    q->frames++;
    q->sealed += tls_sealed(buf_size(&p->head)) + tls_sealed(tail_size(p));
    return 0;
}

size_t outgoing_next(const struct outgoing *q, size_t most, const unsigned char **bytes)
{
    const struct parcel *p = q->first;
    if (!p)
        return 0;
    size_t head = buf_size(&p->head), left;
    if (p->gone < head) {
        *bytes = buf_bytes(&p->head) + p->gone;
        left = head - p->gone;
    } else {
        *bytes = p->tail->data + (p->gone - head);
        left = p->tail->len - (p->gone - head);
    }
    /* Whole records, but for the last: so what is left needs as many bytes as was said. */
    most = (most + TLS_RECORD - 1) / TLS_RECORD * TLS_RECORD;
    return left < most ? left : most;
}

void outgoing_gone(struct outgoing *q, size_t n)
{
    struct parcel *p = q->first;
    p->gone += n;
    q->sealed -= tls_sealed(n);
    assert(p->gone <= buf_size(&p->head) + tail_size(p));
    if (p->gone < buf_size(&p->head) + tail_size(p))
        return;
    q->first = p->next;
    if (!q->first)
        q->last = NULL;
    q->frames--;
    parcel_free(p);
}

size_t outgoing_owned(const struct outgoing *q)
{
    size_t bytes = 0;
    for (const struct parcel *p = q->first; p; p = p->next)
        bytes += sizeof *p + p->head.cap;
    return bytes;
}

void outgoing_release(struct outgoing *q)
{
    while (q->first) {
        struct parcel *p = q->first;
        q->first = p->next;
        parcel_free(p);
    }
    *q = (struct outgoing){0};
}
