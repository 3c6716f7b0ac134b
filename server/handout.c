#include "server/handout.h"
#include "codec/coding.h"

void handout_release(struct handout *h)
{
    for (int i = 0; i < 2; i++)
        shared_drop(h->form[i]);
    *h = (struct handout){0};
}

static struct shared *encode(const struct msg *m, size_t limit)
{
    struct buf b;
    buf_init(&b, limit);
    struct shared *made = msg_encode_same(m, &b) == 0 ? shared_take(&b) : NULL;
    buf_release(&b);
    return made;
}

int handout_find(struct handout *h, const struct msg *m, size_t limit, struct shared **same,
                 struct err *e)
{
    bool task = m->type == MSG_TASK;
    *same = NULL;
    if (!task && m->type != MSG_FINISH)
        return 0;
    uint32_t round = task ? m->task.round : m->finish.rounds;
    uint32_t coding = task ? m->task.coding : m->finish.coding;
    if (h->type != m->type || h->round != round)
        handout_release(h);
    h->type = m->type;
    h->round = round;
    *same = h->form[coding != CODING_PLAIN];
    if (*same == NULL)
        *same = h->form[coding != CODING_PLAIN] = encode(m, limit);
    return *same != NULL
               ? 0
               : err_set(e, ERR_NOMEM, "no memory to encode a %s", msg_type_name(m->type));
}
