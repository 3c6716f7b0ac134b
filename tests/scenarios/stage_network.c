/* The network: connections that keep the order of messages, unless a fault has it otherwise. */
#include "stage_state.h"
#include <stdlib.h>

bool fault_strikes(struct stage *s, size_t i)
{
    const struct fault *f = &s->scenario->fault[i];
    if (s->calm || (f->times > 0 && s->done[i] >= f->times) || rng_uniform(&s->rng) >= f->rate)
        return false;
    s->done[i]++;
    s->out->happened[f->kind]++;
    return true;
}

/* The first fault that strikes a message; NULL: none. */
static const struct fault *strike(struct stage *s, int k, enum end from, enum msg_type type)
{
    for (size_t i = 0; i < s->scenario->n; i++) {
        const struct fault *f = &s->scenario->fault[i];
        bool side = f->from == SIDE_ANY || (f->from == SIDE_CLIENT) == (from == END_CLIENT);
        if (f->kind < FAULT_PARTITION && side && (f->message == 0 || f->message == type) &&
            (f->client < 0 || f->client == client_of(s, k)) && s->now >= f->at_ms &&
            fault_strikes(s, i))
            return f;
    }
    return NULL;
}

bool network_parted(struct stage *s, int k)
{
    for (size_t i = 0; i < s->scenario->n && !s->calm; i++) {
        const struct fault *f = &s->scenario->fault[i];
        if (f->kind == FAULT_PARTITION && (f->client < 0 || f->client == client_of(s, k)) &&
            s->now >= f->at_ms && s->now < f->at_ms + f->ms) {
            s->out->happened[FAULT_PARTITION] += s->done[i]++ == 0; /* a fault, however long */
            return true;
        }
    }
    return false;
}

static void notice(struct stage *s, int k, enum end end, int64_t after)
{
    struct event *x = stage_push(s, after, EVENT_BROKEN, k);
    x->conn = s->actor[k].road.conn;
    x->end = end;
}

void network_close(struct stage *s, int k, enum end by)
{
    struct road *r = &s->actor[k].road;
    enum end other = by == END_CLIENT ? END_SERVER : END_CLIENT;
    int64_t late = r->clear[by] - s->now;
    r->open[by] = false;
    if (r->open[other])
        notice(s, k, other, r->silent[by] ? SILENT_MS : late > LATENCY_MS ? late : LATENCY_MS);
}

static void lose_both(struct stage *s, int k, int64_t after)
{
    notice(s, k, END_CLIENT, after);
    notice(s, k, END_SERVER, after);
}

static struct event *put(struct stage *s, int k, enum end from, const struct msg *m, int64_t at)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 16);
    cr_assert_eq(msg_encode(m, &bytes), 0);
    struct event *x = stage_push(s, at - s->now, EVENT_MESSAGE, k);
    x->conn = s->actor[k].road.conn;
    x->end = from;
    x->type = m->type;
    x->len = buf_size(&bytes);
    x->bytes = malloc(x->len + 1);
    memcpy(x->bytes, buf_bytes(&bytes), x->len);
    buf_release(&bytes);
    return x;
}

void network_send(struct stage *s, int k, enum end from, const struct msg *m)
{
    struct road *r = &s->actor[k].road;
    if (!r->open[from] || r->silent[from])
        return;
    const struct fault *f = strike(s, k, from, m->type);
    enum fault_kind kind = f != NULL ? f->kind : FAULT_KINDS;
    int64_t at = s->now + LATENCY_MS + (kind == FAULT_DELAY ? f->ms : 0);
    at = at > r->clear[from] ? at : r->clear[from];
    if (kind == FAULT_DROP || network_parted(s, k)) {
        r->silent[from] = true;
        lose_both(s, k, SILENT_MS);
        return;
    }
    if (kind == FAULT_CUT) {
        r->silent[from] = true;
        lose_both(s, k, LATENCY_MS);
        return;
    }
    struct event *x = put(s, k, from, m, kind == FAULT_REORDER ? at + f->ms : at);
    if (kind == FAULT_CORRUPT && x->len > 0)
        x->bytes[rng_below(&s->rng, (uint32_t)x->len)] ^=
            (unsigned char)(1U << rng_below(&s->rng, 8));
    if (kind == FAULT_DUPLICATE)
        put(s, k, from, m, at);
    r->clear[from] = at;
}

void network_dial(struct stage *s, int k)
{
    stage_push(s, 2 * LATENCY_MS, EVENT_DIALLED, k);
}

void network_dialled(struct stage *s, const struct event *x)
{
    struct actor *a = &s->actor[x->k];
    const struct world *w = &play_of(s, x->k)->w;
    const struct err refused = {ERR_NET, "connection refused"};
    if (w->core == NULL || network_parted(s, x->k)) {
        agent_disconnected(a->agent, &refused, s->now);
        return;
    }
    a->road = (struct road){.conn = ++s->last_conn, .open = {true, true}};
    core_connected(w->core, a->road.conn, w->client[client_of(s, x->k)].name, s->now);
    agent_connected(a->agent, s->now);
}

/* The end that noticed tells its brain. */
static void tell_broken(struct stage *s, int k, enum end end, const struct err *why)
{
    struct actor *a = &s->actor[k];
    struct core *core = play_of(s, k)->w.core;
    a->road.open[end] = false;
    if (end == END_SERVER && core != NULL)
        core_disconnected(core, a->road.conn, s->now);
    else if (end == END_CLIENT && a->agent != NULL)
        agent_disconnected(a->agent, why, s->now);
}

void network_break(struct stage *s, const struct event *x)
{
    const struct road *r = &s->actor[x->k].road;
    const struct err why = {ERR_NET, "connection lost"};
    if (r->conn == x->conn && r->open[x->end])
        tell_broken(s, x->k, x->end, &why);
}

/* What the link does with bytes: length, form, and then the brain. False: it ends the connection.
 */
static bool take(struct stage *s, const struct event *x, enum end at)
{
    struct arena mem;
    struct msg m;
    struct err e = {0};
    struct core *core = play_of(s, x->k)->w.core;
    size_t limit = at == END_SERVER ? core_limit(core, x->conn, (uint8_t)x->type)
                                    : agent_limit(s->actor[x->k].agent, (uint8_t)x->type);
    if (limit == 0 || x->len > limit)
        return false;
    arena_init(&mem, x->len + MSG_SLACK);
    bool sound = msg_decode(x->type, x->bytes, x->len, &mem, &m, &e) == 0;
    if (sound && at == END_SERVER)
        core_message(core, x->conn, &m, s->now);
    else if (sound)
        agent_message(s->actor[x->k].agent, &m, s->now);
    arena_release(&mem);
    return sound;
}

void network_arrive(struct stage *s, const struct event *x)
{
    const struct road *r = &s->actor[x->k].road;
    enum end at = x->end == END_CLIENT ? END_SERVER : END_CLIENT;
    const struct err why = {ERR_PROTO, "not a message"};
    if (r->conn != x->conn || !r->open[at])
        return;
    if (!take(s, x, at)) {
        network_close(s, x->k, at);
        tell_broken(s, x->k, at, &why);
    }
}
