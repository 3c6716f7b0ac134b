#include "proto/msg.h"

#include "random_msg.h"

#include <math.h>
#include <stdio.h>

enum { SLACK = 64 << 10, SEEDS = 200 };

static struct buf encode(const struct msg *m)
{
    struct buf b;
    buf_init(&b, SIZE_MAX);
    cr_assert_eq(msg_encode(m, &b), 0);
    return b;
}

static int decode(enum msg_type type, const void *bytes, size_t len, struct arena *mem,
                  struct msg *out, struct err *e)
{
    arena_init(mem, len + SLACK);
    return msg_decode(type, bytes, len, mem, out, e);
}

Test(msg, every_message_comes_back_as_it_was)
{
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct maker maker;
        maker_init(&maker, seed);
        for (enum msg_type type = MSG_HELLO; type < MSG_TYPES; type++) {
            struct msg m = random_msg(&maker, type), back;
            struct err e = {0};
            struct arena mem;
            struct buf b = encode(&m);
            cr_assert_eq(decode(type, buf_bytes(&b), buf_size(&b), &mem, &back, &e), 0, "%s",
                         e.text);
            cr_assert(same(&m, &back), "%s of seed %d", msg_type_name(type), (int)seed);
            cr_assert_leq(buf_size(&b), msg_limit(type, 2 * MAX_PARAMS));
            arena_release(&mem);
            buf_release(&b);
        }
        arena_release(&maker.mem);
    }
}

/* Decodes bytes that were spoilt: they are refused, or they are another message that has a clean
 * form of its own. */
static bool refused_or_sound(enum msg_type type, const unsigned char *bytes, size_t len)
{
    struct msg m = {.type = MSG_TYPES}, back;
    struct err e = {0};
    struct arena mem, again;
    bool ok = decode(type, bytes, len, &mem, &m, &e) == 0;
    if (ok) {
        struct buf b = encode(&m);
        cr_assert_eq(decode(type, buf_bytes(&b), buf_size(&b), &again, &back, &e), 0, "%s", e.text);
        cr_assert(same(&m, &back));
        arena_release(&again);
        buf_release(&b);
    } else {
        cr_assert_eq(e.code, ERR_PROTO);
        cr_assert_eq(m.type, MSG_TYPES, "output touched");
    }
    arena_release(&mem);
    return ok;
}

Test(msg, truncated_and_flipped_bytes_are_refused_or_sound)
{
    struct maker maker;
    maker_init(&maker, 4711);
    for (enum msg_type type = MSG_HELLO; type < MSG_TYPES; type++) {
        struct msg m = random_msg(&maker, type);
        struct buf b = encode(&m);
        size_t n = buf_size(&b), step = 1 + n / 700;
        unsigned char *bytes = malloc(n + 1);
        for (size_t cut = 0; cut < n; cut += step) {
            /* A copy of its exact size, so that a sanitizer sees every byte too far. */
            unsigned char *part = malloc(cut ? cut : 1);
            memcpy(part, buf_bytes(&b), cut);
            refused_or_sound(type, part, cut);
            free(part);
        }
        for (size_t bit = 0; bit < 8 * n; bit += step) {
            memcpy(bytes, buf_bytes(&b), n);
            bytes[bit / 8] ^= (unsigned char)(1 << bit % 8);
            refused_or_sound(type, bytes, n);
        }
        free(bytes);
        buf_release(&b);
    }
    arena_release(&maker.mem);
}

Test(msg, noise_is_refused_or_sound)
{
    struct maker maker;
    unsigned char noise[200];
    maker_init(&maker, 99);
    for (int i = 0; i < 20000; i++) {
        size_t n = below(&maker, sizeof noise);
        for (size_t k = 0; k < n; k++)
            noise[k] = (unsigned char)rng_u32(&maker.rng);
        refused_or_sound((enum msg_type)below(&maker, MSG_TYPES + 2), noise, n);
    }
}

/* ---- the wire format must not change silently -------------------------------------------------
 */

static void golden(const struct msg *m, const void *bytes, size_t n)
{
    struct buf b = encode(m);
    cr_assert_eq(buf_size(&b), n);
    if (n)
        cr_assert_arr_eq(buf_bytes(&b), bytes, n);
    buf_release(&b);
}

Test(msg, bytes_on_the_wire_are_fixed)
{
    struct msg hello = {.type = MSG_HELLO, .hello = {1, "fedpet-client 0.1.0"}};
    golden(&hello,
           "\x08\x01\x12\x13"
           "fedpet-client 0.1.0",
           23);

    struct msg task = {
        .type = MSG_TASK,
        .task = {"00112233445566ff", 300, 60000, {(const unsigned char *)"\0\0\x80\x3f", 4}}};
    golden(&task,
           "\x18\xe0\xd4\x03" /* first what is this client's own */
           "\x0a\x10"
           "00112233445566ff"
           "\x10\xac\x02\x22\x04\0\0\x80\x3f",
           31);

    struct msg bye = {.type = MSG_GOODBYE, .goodbye = {REASON_STOPPING, "later", 30}};
    golden(&bye, "\x08\x0e\x12\x05later\x18\x1e", 11);

    struct msg proceed = {.type = MSG_PROCEED, .proceed.offset = 300};
    golden(&proceed,
           "\x0a\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\xac\x02",
           37);

    struct msg part = {.type = MSG_PART,
                       .part = {.run_id = "00112233445566ff",
                                .round = 1,
                                .length = 3,
                                .offset = 1,
                                .data = {(const unsigned char *)"ab", 2}}};
    golden(&part,
           "\x0a\x10"
           "00112233445566ff"
           "\x10\x01\x1a\x20\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x20"
           "\x03\x28\x01\x32\x02"
           "ab",
           62);

    golden(&(struct msg){.type = MSG_PAUSED, .paused.why = PAUSE_BATTERY}, "\x08\x02", 2);

    golden(&(struct msg){.type = MSG_PING}, "", 0);
}

Test(msg, update_ids_are_fixed_and_tell_everything_apart)
{
    /* hashlib.sha256 over the same fields with their four-byte big-endian lengths. */
    static const char expected[] =
        "f7d7b0bcb3712a45297f9d9b1fb38f870eb26a788a09c5dc5e236e32d72b6e88";
    const struct msg_bytes p = {(const unsigned char *)"\0\0\x80\x3f", 4},
                           q = {(const unsigned char *)"\1\0\x80\x3f", 4};
    const struct msg_update u = {.run_id = "00112233445566ff", .round = 7, .params = p};
    struct msg_update run = u, round = u, params = u, control = u;
    struct hash id = msg_update_id(&u, "client-0001");
    char hex[HASH_HEX];
    hash_hex(&id, hex);
    cr_assert_str_eq(hex, expected);
    run.run_id = "00112233445566fe";
    round.round = 8;
    params.params = q;
    control.control = q;
    const struct hash other[] = {
        msg_update_id(&run, "client-0001"), msg_update_id(&round, "client-0001"),
        msg_update_id(&params, "client-0001"), msg_update_id(&control, "client-0001"),
        msg_update_id(&u, "client-0002")};
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        cr_assert(!hash_same(&id, &other[i]));
}

Test(msg, names_and_limits)
{
    for (enum msg_type t = MSG_HELLO; t < MSG_TYPES; t++) {
        cr_assert_str_neq(msg_type_name(t), "unknown");
        bool up = t == MSG_UPDATE || t == MSG_PART, down = t == MSG_TASK || t == MSG_FINISH;
        cr_assert_eq(msg_limit(t, 1000), up || down ? 4000 + 4096 : 65536);
        cr_assert_eq(msg_limit(t, 1000000), up ? MSG_CHUNK + 4096 : down ? 4000000 + 4096 : 65536);
    }
    cr_assert_eq(msg_limit((enum msg_type)0, 1000), 0);
    cr_assert_eq(msg_limit(MSG_TYPES, 1000), 0);
    cr_assert_eq(msg_limit((enum msg_type)255, 1000), 0);
    for (enum msg_reason r = REASON_NONE; r < REASONS; r++)
        cr_assert_str_neq(msg_reason_name(r), "unknown");
    cr_assert_str_eq(msg_reason_name(REASONS), "unknown");
    cr_assert_str_eq(msg_type_name(MSG_TYPES), "unknown");
}

/* ---- size ---------------------------------------------------------------------------------- */

Test(msg, parameters_travel_with_little_around_them)
{
    enum { FLOATS = MSG_CHUNK / 4 };
    struct maker maker;
    struct arena mem;
    struct err e = {0};
    maker_init(&maker, 5);
    struct msg m = {.type = MSG_UPDATE}, back;
    m.update = random_update(&maker).update;
    m.update.uploaded = false;
    m.update.n_metrics = MSG_MAX_METRICS;
    for (size_t i = 0; i < MSG_MAX_METRICS; i++)
        m.update.metric[i] = (struct msg_metric){"metric_name_of_30_characters__", 0.5, UINT64_MAX};
    m.update.params = (struct msg_bytes){calloc(FLOATS, 4), FLOATS * sizeof(float)};
    m.update.control = (struct msg_bytes){0};
    struct buf b = encode(&m);
    cr_assert_leq(buf_size(&b), FLOATS * sizeof(float) + 1024);
    cr_assert_leq(buf_size(&b), msg_limit(MSG_UPDATE, FLOATS));
    cr_assert_eq(decode(MSG_UPDATE, buf_bytes(&b), buf_size(&b), &mem, &back, &e), 0, "%s", e.text);
    cr_assert_leq(mem.held, buf_size(&b) + SLACK);
    free((void *)(uintptr_t)m.update.params.data);
    arena_release(&mem);
    arena_release(&maker.mem);
    buf_release(&b);
}

Test(msg, buffers_that_are_too_small_stay_as_they_are)
{
    struct msg hello = {.type = MSG_HELLO, .hello = {1, "fedpet-client 0.1.0"}};
    struct buf b;
    buf_init(&b, 22);
    cr_assert_eq(msg_encode(&hello, &b), ERR_NOMEM);
    cr_assert_eq(buf_size(&b), 0);
    buf_release(&b);
}

Test(msg, frames_that_blow_up_in_memory_are_refused)
{
    enum { BOMB = 4096 };
    unsigned char fields[BOMB];
    struct arena mem;
    struct msg m;
    struct err e = {0};
    /* Two bytes each: field 15, which no message has, and its value. */
    for (size_t i = 0; i < BOMB; i += 2) {
        fields[i] = 15 << 3;
        fields[i + 1] = 0;
    }
    for (enum msg_type t = MSG_HELLO; t < MSG_TYPES; t++) {
        cr_assert_eq(decode(t, fields, BOMB, &mem, &m, &e), ERR_PROTO);
        cr_assert_leq(mem.held, BOMB + SLACK);
        arena_release(&mem);
    }
    /* Empty strings in a list cost two bytes on the wire and much more here. */
    for (size_t i = 0; i < BOMB; i += 2)
        fields[i] = 9 << 3 | 2;
    cr_assert_eq(decode(MSG_UPDATE, fields, BOMB, &mem, &m, &e), ERR_PROTO);
    cr_assert_leq(mem.held, BOMB + SLACK);
    arena_release(&mem);
}

Test(msg, a_few_unknown_fields_are_skipped)
{
    static const unsigned char newer[] = "\x08\x01\x12\x01x\x78\x05\x82\x01\x03"
                                         "abc";
    struct arena mem;
    struct msg m;
    struct err e = {0};
    cr_assert_eq(decode(MSG_HELLO, newer, sizeof newer - 1, &mem, &m, &e), 0, "%s", e.text);
    cr_assert_str_eq(m.hello.software, "x");
    arena_release(&mem);
}

Test(msg, the_largest_label_set_fits)
{
    struct maker maker;
    struct arena mem;
    struct err e = {0};
    struct msg back;
    maker_init(&maker, 6);
    struct msg m = random_msg(&maker, MSG_WELCOME);
    m.welcome.spec.task.n_labels = MSG_MAX_LABELS;
    m.welcome.spec.task.labels = arena_calloc(&maker.mem, MSG_MAX_LABELS + 1, sizeof(char *));
    for (int i = 0; i <= MSG_MAX_LABELS; i++)
        m.welcome.spec.task.labels[i] = arena_printf(&maker.mem, "class number %d", i);
    struct buf b = encode(&m);
    cr_assert_eq(decode(MSG_WELCOME, buf_bytes(&b), buf_size(&b), &mem, &back, &e), 0, "%s",
                 e.text);
    cr_assert(same(&m, &back));
    arena_release(&mem);
    buf_release(&b);
    m.welcome.spec.task.n_labels++;
    b = encode(&m);
    cr_assert_eq(decode(MSG_WELCOME, buf_bytes(&b), buf_size(&b), &mem, &back, &e), ERR_PROTO);
    arena_release(&mem);
    arena_release(&maker.mem);
    buf_release(&b);
}
