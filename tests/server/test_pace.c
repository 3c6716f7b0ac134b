/* Pace steering: what the formula promises, and a crowd on a virtual clock that keeps to it. */
#include "server/core.h"
#include "server/pace.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Test(pace, waits_grow_with_the_population_and_have_a_bound)
{
    struct pace p;
    pace_init(&p, 1);
    pace_round(&p, 40);
    double sum = 0;
    uint32_t most = 0;
    for (int i = 0; i < 10000; i++) {
        uint32_t wait = pace_return(&p, 10000, 100);
        cr_assert_geq(wait, PACE_LEAST_S);
        cr_assert_leq(wait, PACE_LEAST_S + 4000); /* 2 W, W = 40 * 10000 / 200 */
        most = wait > most ? wait : most;
        sum += wait;
    }
    cr_expect_float_eq(sum / 10000, PACE_LEAST_S + 2000, 50);
    cr_expect_gt(most, 3900);
    for (int i = 0; i < 1000; i++)
        cr_assert_leq(pace_return(&p, 100000000, 1), PACE_LEAST_S + 2 * PACE_MOST_S);
}

Test(pace, follows_the_duration_of_rounds)
{
    struct pace p;
    pace_init(&p, 1);
    cr_expect_eq(p.round_s, PACE_FIRST_S);
    pace_round(&p, 8);
    cr_expect_eq(p.round_s, 8);
    pace_round(&p, 16);
    cr_expect_eq(p.round_s, 10);
}

Test(pace, who_is_sent_away_together_comes_back_one_by_one)
{
    enum { N = 10000, SECONDS = N / PACE_RATE + 2 };
    struct pace p;
    unsigned at[SECONDS] = {0}, most = 0;
    pace_init(&p, 1);
    for (int i = 0; i < N; i++) {
        uint32_t wait = pace_spread(&p, 10, N);
        cr_assert(wait >= 10 && wait < 10 + SECONDS);
        unsigned n = ++at[wait - 10];
        most = n > most ? n : most;
    }
    cr_expect_lt(most, 2 * PACE_RATE);
    cr_expect_eq(pace_spread(&p, 10, 0), 10);
}

/* --- a crowd ---------------------------------------------------------------------------------- */

enum { CROWD = 10000, WANTED = 100, ROOM = 300, HOURS = 3, MINUTES = 60 * HOURS };

struct one {
    uint64_t conn;
    core_time next; /* when it connects, or has trained */
    bool here, training;
    uint32_t round;
    unsigned results;
};
struct crowd {
    struct run_spec spec;
    struct schema schema;
    struct core *core;
    struct one one[CROWD];
    uint64_t conns;
    core_time now;
    unsigned arrivals[MINUTES + 1], commits, told_to_end;
    size_t present, most_present;
    uint32_t longest; /* wait that anybody was told, after the first round */
    float params[4];
};

static void leave(struct crowd *c, struct one *o, uint32_t seconds)
{
    if (seconds > c->longest)
        c->longest = seconds;
    o->next = c->now + 1000 * (core_time)seconds;
    o->here = o->training = false;
    core_disconnected(c->core, o->conn, c->now);
    c->present--;
}

static void obey(struct crowd *c, const struct core_out *out)
{
    struct one *o = &c->one[out->conn % CROWD];
    if (out->kind == OUT_SEND && out->msg.type == MSG_TASK) {
        o->training = true;
        o->round = out->msg.task.round;
        o->next = c->now + 10000 + (core_time)(out->conn % 7919) * 4; /* 10 to 42 s */
    } else if (out->kind == OUT_SEND && out->msg.type == MSG_GOODBYE) {
        leave(c, o, out->msg.goodbye.retry_after_s);
        if (o->results > 0 && out->msg.goodbye.retry_after_s > 0)
            cr_assert_geq(out->msg.goodbye.retry_after_s, 6 * 3600);
        if (out->msg.goodbye.retry_after_s == 0) {
            c->told_to_end++;
            o->next = CORE_NEVER;
        }
    } else if (out->kind == OUT_SEND && out->msg.type == MSG_FINISH) {
        o->results++;
    } else if (out->kind == OUT_SEND && out->msg.type == MSG_RECEIPT &&
               msg_withdraws(&out->msg.receipt)) {
        o->training = false;
    } else if (out->kind == OUT_BEGIN) {
        core_begun(c->core, c->now);
    } else if (out->kind == OUT_STORE) {
        core_stored(c->core, out->update->client, true, c->now);
    } else if (out->kind == OUT_AGGREGATE) {
        core_aggregate(c->core);
        core_aggregated(c->core, c->now);
    } else if (out->kind == OUT_COMMIT) {
        c->commits++;
        cr_assert_eq(out->commit->n, WANTED);
        core_committed(c->core, c->now);
    }
}

static void drain(struct crowd *c)
{
    struct core_out out;
    while (core_next(c->core, &out))
        obey(c, &out);
}

static void say(struct crowd *c, const struct one *o, const struct msg *m)
{
    core_message(c->core, o->conn, m, c->now);
    drain(c);
}

static void arrive(struct crowd *c, struct one *o)
{
    size_t k = (size_t)(o - c->one);
    char name[16];
    snprintf(name, sizeof name, "c%06zu", k);
    c->arrivals[c->now / 60000]++;
    o->conn = ++c->conns * CROWD + k;
    o->here = true;
    c->present++;
    core_connected(c->core, o->conn, name, c->now);
    drain(c);
    c->most_present = c->present > c->most_present ? c->present : c->most_present;
    if (o->here)
        say(c, o, &(struct msg){.type = MSG_HELLO, .hello = {MSG_PROTOCOL, "test"}});
    if (o->here)
        say(c, o,
            &(struct msg){.type = MSG_READY,
                          .ready = {c->schema.hash, hash_of("model", 5), .samples = 10}});
}

static void deliver(struct crowd *c, struct one *o)
{
    float values[4] = {0.1F, 0.2F, 0.3F, 0.4F};
    unsigned char packed[sizeof values];
    char name[16];
    snprintf(name, sizeof name, "c%06zu", (size_t)(o - c->one));
    tensorset_pack(&c->schema, values, packed);
    struct msg m = {.type = MSG_UPDATE,
                    .update = {.run_id = "0123456789abcdef",
                               .round = o->round,
                               .schema = c->schema.hash,
                               .samples = 10,
                               .params = {packed, sizeof packed}}};
    m.update.update_id = msg_update_id(&m.update, name);
    o->training = false;
    say(c, o, &m);
}

static void open_crowd(struct crowd *c, uint32_t rounds, bool ends)
{
    struct err e = {0};
    *c = (struct crowd){.spec.federation = {.clients = CROWD,
                                            .per_round = WANTED,
                                            .over_select = 1.3,
                                            .rounds = rounds,
                                            .deadline_s = 120,
                                            .seed = 1}};
    schema_init(&c->schema);
    cr_assert_eq(schema_add(&c->schema, "a", SCOPE_GLOBAL, true, 1, (int64_t[]){4}, NULL), 0);
    schema_seal(&c->schema);
    const struct core_config config = {.spec = &c->spec,
                                       .schema = &c->schema,
                                       .model = hash_of("model", 5),
                                       .run_id = "0123456789abcdef",
                                       .room = ROOM,
                                       .ends = ends,
                                       .params = c->params};
    cr_assert_eq(core_open(&c->core, &config, 0, &e), 0, "%s", e.text);
}

/* One second of the crowd's life. */
static void live(struct crowd *c)
{
    for (size_t k = 0; k < CROWD; k++) {
        struct one *o = &c->one[k];
        if (o->next > c->now || (o->here && !o->training))
            continue;
        if (o->here)
            deliver(c, o);
        else
            arrive(c, o);
    }
    core_tick(c->core, c->now);
    drain(c);
}

/* 10,000 clients, of whom a round takes 100; all of them are switched on in the same second. */
Test(pace, a_crowd_comes_as_often_as_rounds_need_it)
{
    struct crowd *c = malloc(sizeof *c);
    open_crowd(c, 100000, false);
    for (c->now = 0; c->now < (core_time)MINUTES * 60000; c->now += 1000)
        live(c);
    cr_expect_eq(c->told_to_end, 0);
    /* The slowest of the hundred quickest takes some 35 s: the rounds are never kept waiting. */
    double round_s = 3600.0 * HOURS / c->commits;
    cr_expect_lt(round_s, 45, "a round takes %g s", round_s);
    /* The formula's rate, 2 * 130 / T; the first second was our doing, and what is told before the
     * first round has been measured is a guess. */
    double rate = PACE_SPARE * 130 / round_s;
    for (int m = 1; m < MINUTES; m++)
        cr_expect_lt(c->arrivals[m], 1.5 * 60 * rate, "minute %d: %u arrivals", m, c->arrivals[m]);
    unsigned last_hour = 0;
    for (int m = MINUTES - 60; m < MINUTES; m++)
        last_hour += c->arrivals[m];
    cr_expect_lt(last_hour, 1.2 * 3600 * rate);
    cr_expect_leq(c->longest, PACE_LEAST_S + 2 * PACE_FIRST_S * CROWD / (PACE_SPARE * 130));
    cr_expect_leq(c->most_present, ROOM, "%zu are here", c->most_present);
    cr_expect_eq(core_refusals(c->core)[REASON_LATE], 0);
    core_close(c->core);
    schema_release(&c->schema);
    free(c);
}

/* Nobody reconnects for ever: within three hours everybody comes once for the result, and is told
 * of no time before six more, or of none. */
static void check_end(bool ends)
{
    struct crowd *c = malloc(sizeof *c);
    open_crowd(c, 2, ends);
    for (c->now = 0; c->now < (core_time)MINUTES * 60000; c->now += 1000)
        live(c);
    unsigned have = 0;
    for (size_t k = 0; k < CROWD; k++) {
        cr_assert_leq(c->one[k].results, 1);
        have += c->one[k].results;
    }
    cr_expect_eq(have, CROWD);
    cr_expect_eq(c->told_to_end, ends ? CROWD : 0);
    core_close(c->core);
    schema_release(&c->schema);
    free(c);
}

Test(pace, who_has_the_result_is_told_to_come_back_hours_later)
{
    check_end(false);
}

Test(pace, who_has_the_result_of_a_server_that_ends_is_told_to_end)
{
    check_end(true);
}

Test(pace, fewer_places_than_a_round_selects_are_a_mistake_of_the_configuration)
{
    struct crowd *c = malloc(sizeof *c);
    struct core *core;
    struct err e = {0};
    open_crowd(c, 100000, false);
    const struct core_config config = {
        .spec = &c->spec, .schema = &c->schema, .room = 129, .params = c->params};
    cr_assert_eq(core_open(&core, &config, 0, &e), ERR_CONFIG);
    cr_assert_str_eq(e.text, "max_clients is 129, fewer than the 130 clients that a round selects");
    core_close(c->core);
    schema_release(&c->schema);
    free(c);
}
