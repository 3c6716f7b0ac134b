/* A server's core in the hands of strangers: connections come, say what they like, go, and come
 * back, while the disk takes its time. The input: quorum, what is held back, aggregator; then one
 * event after the other, a byte each that names it and the client, and what it needs behind it.
 * Whatever happens, rounds go forward one by one, and their values are finite. */
#include "../server/world.h"
#include "scratch.h"

enum { CLIENTS = 6, PER_ROUND = 3, ROUNDS = 5 };

struct input {
    const uint8_t *at;
    size_t left;
};

static uint8_t take(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

/* A message of any bytes, as the link would hand it over. */
static void say_anything(struct world *w, int k, struct input *in)
{
    enum msg_type type = (enum msg_type)take(in);
    size_t len = take(in);
    len = len < in->left ? len : in->left;
    struct arena mem;
    struct msg m;
    struct err e = {0};
    arena_init(&mem, len + MSG_SLACK);
    if (len <= core_limit(w->core, w->client[k].conn, (uint8_t)type) &&
        msg_decode(type, in->at, len, &mem, &m, &e) == 0)
        world_say(w, k, &m);
    arena_release(&mem);
    in->at += len;
    in->left -= len;
}

/* An update that is right, but for a byte of its parameters and one of its head, under an id that
 * fits or does not. */
static void say_update(struct world *w, int k, struct input *in)
{
    unsigned char packed[4 * WORLD_VALUES];
    struct msg m = world_update(w, k, core_round(w->core), packed);
    uint8_t place = take(in), change = take(in), head = take(in);
    packed[place % (4 * w->schema.packed)] ^= change;
    m.update.round += head & 3;
    m.update.samples *= head >> 2 & 3;
    m.update.params.len -= head >> 4 & 7;
    if (head < 128)
        m.update.update_id = msg_update_id(&m.update, w->client[k].name);
    world_say(w, k, &m);
}

/* A right update in parts: any piece of it, the question where to go on, or its end. */
static void say_part(struct world *w, int k, struct input *in)
{
    unsigned char packed[4 * WORLD_VALUES];
    struct msg u = world_update(w, k, core_round(w->core), packed);
    size_t length = u.update.params.len, at = take(in) % (length + 1), n = take(in) % (length + 1);
    n = n < length - at ? n : length - at;
    uint8_t how = take(in);
    u.update.round += how >> 4 & 1;
    u.update.update_id = msg_update_id(&u.update, w->client[k].name);
    struct msg m = {.type = MSG_PART,
                    .part = {u.update.run_id,
                             u.update.round,
                             u.update.update_id,
                             length + (how >> 5 & 1),
                             at,
                             {packed + at, n}}};
    u.update.uploaded = true;
    u.update.params.data = u.update.control.data = NULL;
    world_say(w, k, how % 4 == 3 ? &u : &m);
}

static void event(struct world *w, struct input *in)
{
    uint8_t what = take(in);
    int k = what % 16 % CLIENTS;
    bool here = w->client[k].conn != 0, asked = w->client[k].heard[MSG_TASK] > 0;
    switch (what / 16) {
    case 0:
        world_connect(w, k);
        break;
    case 1:
        world_disconnect(w, k);
        break;
    case 2:
        world_hello(w, k);
        break;
    case 3:
        world_ready(w, k);
        break;
    case 4:
        if (here && asked)
            world_deliver(w, k, w->client[k].task_round);
        break;
    case 5:
        say_part(w, k, in);
        break;
    case 6:
        say_update(w, k, in);
        break;
    case 7:
        say_anything(w, k, in);
        break;
    case 8:
        world_pass(w, 1000 * (core_time)take(in));
        break;
    case 9:
        world_commit(w);
        break;
    case 10:
        world_stored(w, k, what % 2 == 0);
        break;
    case 11:
        core_begun(w->core, w->now);
        world_drain(w);
        break;
    case 12:
        core_observe(w->core, w->client[k].conn);
        break;
    case 13:
        core_traffic(w->core, w->client[k].conn, w->last_conn * 100, w->last_conn * 90);
        break;
    case 14:
        core_drain(w->core, w->now);
        world_drain(w);
        break;
    default:
        world_join(w, k);
        break;
    }
}

static void check(const struct world *w, uint32_t before)
{
    char text[512];
    uint32_t round = core_round(w->core);
    if (round < before || round > before + 1 || round > ROUNDS || w->commits > round + 1)
        abort();
    for (int i = 0; i < WORLD_VALUES; i++)
        if (!isfinite(core_params(w->core)[i]))
            abort();
    core_status(w->core, w->now, text, sizeof text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world w;
    struct input in = {data, size};
    uint8_t quorum = take(&in) % (PER_ROUND + 1), held = take(&in);
    enum aggregation how = (enum aggregation)(take(&in) % (AGGREGATION_KRUM + 1));
    if (how ==
        AGGREGATION_KRUM) /* chooses among three or more: settings that ask for less are refused */
        quorum = PER_ROUND;
    world_open(&w, CLIENTS, PER_ROUND, quorum, ROUNDS);
    world_aggregate(&w, how);
    w.hold = held & 1;
    w.hold_updates = held & 2;
    w.hold_begin = held & 4;
    while (in.left > 0 && !core_finished(w.core)) {
        uint32_t before = core_round(w.core);
        event(&w, &in);
        check(&w, before);
    }
    world_close(&w);
    return 0;
}
