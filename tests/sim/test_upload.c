/* Real agents and the real core over a link that is cut after so many bytes, again and again: the
 * update arrives, with the bits that it would have had, for little more than its own bytes. And
 * clients that do not keep to the rules. */
#include "base/rng.h"
#include "client/agent.h"
#include "net/frame.h"
#include "server/core.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    VALUES = 500000,
    BYTES = 4 * VALUES,
    CHUNKS = 1 + (BYTES - 1) / MSG_CHUNK,
    CLIENTS = 2,
    PER_CONNECTION = 4096, /* bytes of Hello and Ready, and around parts, at most */
};
#define RUN_ID "0123456789abcdef"
#define UNCUT SIZE_MAX

struct side {
    struct agent *agent;
    uint64_t conn; /* 0: none */
    size_t left;   /* bytes that still pass on this connection */
    size_t sent, cuts;
    unsigned heard[MSG_TYPES];
    enum msg_reason reason; /* of the last receipt */
};
static struct run_spec spec;
static struct schema schema;
static struct core *core;
static struct side side[CLIENTS];
static size_t allowance; /* bytes up a connection */
static int64_t now;
static uint64_t conns;
static float *theta;
static struct hash result;
static uint32_t commits;
static unsigned char *update;

static void fini(void)
{
    for (int k = 0; k < CLIENTS; k++)
        agent_close(side[k].agent);
    core_close(core);
    schema_release(&schema);
    free(theta);
    free(update);
}

TestSuite(upload, .fini = fini);

static void begin(size_t bytes_a_connection, bool scaffold)
{
    struct err e;
    allowance = bytes_a_connection;
    spec = (struct run_spec){.task.name = (char *)(uintptr_t) "text",
                             .peft.method = (char *)(uintptr_t) "lora",
                             .federation = {.clients = CLIENTS,
                                            .per_round = CLIENTS,
                                            .rounds = 1,
                                            .deadline_s = 3600,
                                            .scaffold = scaffold,
                                            .seed = 42}};
    schema_init(&schema);
    cr_assert_eq(schema_add(&schema, "a", SCOPE_GLOBAL, true, 1, (int64_t[]){VALUES}, &e), 0);
    schema_seal(&schema);
    theta = calloc(VALUES, sizeof *theta);
    update = malloc(2 * (size_t)BYTES);
    const struct core_config c = {.spec = &spec,
                                  .schema = &schema,
                                  .model = hash_of("model", 5),
                                  .run_id = RUN_ID,
                                  .params = theta};
    cr_assert_eq(core_open(&core, &c, now, &e), 0, "%s", e.text);
    for (int k = 0; k < CLIENTS; k++) {
        char name[16];
        snprintf(name, sizeof name, "client-%d", k);
        cr_assert_eq(agent_open(&side[k].agent, name, (uint64_t)k, now, &e), 0);
    }
}

/* --- the link ------------------------------------------------------------------------------- */

static void cut(struct side *s)
{
    const struct err why = {ERR_NET, "cut"};
    uint64_t conn = s->conn;
    s->conn = 0;
    s->cuts++;
    core_disconnected(core, conn, now);
    agent_disconnected(s->agent, &why, now);
}

/* What is cut in the middle of a frame never arrives, but was sent. */
static void send_up(struct side *s, const struct msg *m)
{
    struct buf b;
    struct arena mem;
    struct msg back;
    struct err e;
    buf_init(&b, msg_limit(m->type, VALUES));
    cr_assert_eq(msg_encode(m, &b), 0);
    size_t n = FRAME_HEADER + buf_size(&b);
    cr_assert_leq(buf_size(&b), core_limit(core, s->conn, (uint8_t)m->type), "%s",
                  msg_type_name(m->type));
    if (n > s->left) {
        s->sent += s->left;
        cut(s);
    } else {
        s->sent += n;
        s->left -= n;
        arena_init(&mem, buf_size(&b) + MSG_SLACK);
        cr_assert_eq(msg_decode(m->type, buf_bytes(&b), buf_size(&b), &mem, &back, &e), 0, "%s",
                     e.text);
        core_message(core, s->conn, &back, now);
        arena_release(&mem);
    }
    buf_release(&b);
}

static void train(struct side *s)
{
    struct rng r = rng_stream(1, 0, (uint32_t)(s - side), RNG_TEST);
    for (size_t i = 0; i < VALUES; i++)
        theta[i] = (float)rng_normal(&r);
    tensorset_pack(&schema, theta, update);
    memcpy(update + BYTES, update, BYTES);
    struct agent_result t = {.params = update,
                             .len = BYTES,
                             .control = spec.federation.scaffold ? update + BYTES : NULL,
                             .control_len = spec.federation.scaffold ? BYTES : 0,
                             .samples = 10,
                             .steps = 1};
    agent_trained(s->agent, &t, now);
}

static void obey_agent(struct side *s, const struct agent_out *out)
{
    switch (out->kind) {
    case AGENT_CONNECT:
        s->conn = ++conns * CLIENTS + (uint64_t)(s - side);
        s->left = allowance;
        core_connected(core, s->conn, s - side ? "client-1" : "client-0", now);
        agent_connected(s->agent, now);
        break;
    case AGENT_SEND:
        if (s->conn)
            send_up(s, &out->msg);
        break;
    case AGENT_DISCONNECT:
        if (s->conn)
            core_disconnected(core, s->conn, now);
        s->conn = 0;
        break;
    case AGENT_PREPARE:
        agent_prepared(s->agent, schema.hash, schema.packed, hash_of("model", 5), 10, now);
        break;
    case AGENT_TRAIN:
        train(s);
        break;
    default:
        break;
    }
}

static void obey_core(const struct core_out *out)
{
    struct side *s = out->conn ? &side[out->conn % CLIENTS] : NULL;
    bool here = s && s->conn == out->conn;
    switch (out->kind) {
    case OUT_SEND:
        if (!here)
            break;
        s->heard[out->msg.type]++;
        if (out->msg.type == MSG_RECEIPT)
            s->reason = out->msg.receipt.reason;
        agent_message(s->agent, &out->msg, now);
        break;
    case OUT_CLOSE:
        core_disconnected(core, out->conn, now);
        if (here) {
            const struct err clean = {0};
            s->conn = 0;
            agent_disconnected(s->agent, &clean, now);
        }
        break;
    case OUT_BEGIN:
        core_begun(core, now);
        break;
    case OUT_STORE:
        core_stored(core, out->update->client, true, now);
        break;
    case OUT_AGGREGATE:
        core_aggregate(core);
        core_aggregated(core, now);
        break;
    case OUT_COMMIT:
        commits++;
        result = out->commit->hash;
        core_committed(core, now);
        break;
    case OUT_FINISHED:
        break;
    }
}

/* Until nobody has anything to say. */
static void settle(void)
{
    struct agent_out said;
    struct core_out out;
    bool busy = true;
    while (busy) {
        busy = false;
        for (int k = 0; k < CLIENTS; k++)
            while (agent_next(side[k].agent, &said)) {
                busy = true;
                obey_agent(&side[k], &said);
            }
        if (core_next(core, &out)) {
            busy = true;
            obey_core(&out);
        }
    }
}

static void run(void)
{
    for (int i = 0; i < 1000 && commits == 0; i++) {
        settle();
        int64_t next = AGENT_NEVER;
        for (int k = 0; k < CLIENTS; k++) {
            int64_t at = agent_deadline(side[k].agent);
            next = at < next ? at : next;
        }
        if (next != AGENT_NEVER && next > now)
            now = next;
        for (int k = 0; k < CLIENTS; k++)
            agent_tick(side[k].agent, now);
    }
    cr_assert_eq(commits, 1, "the updates never arrived");
}

static struct hash result_with(size_t bytes_a_connection, bool scaffold)
{
    fini();
    memset(side, 0, sizeof side);
    commits = 0;
    begin(bytes_a_connection, scaffold);
    run();
    return result;
}

/* --- good clients --------------------------------------------------------------------------- */

static void check_cuts(bool scaffold)
{
    const size_t whole = scaffold ? 2 * (size_t)BYTES : BYTES;
    struct hash undisturbed = result_with(UNCUT, scaffold);
    for (int k = 0; k < CLIENTS; k++) {
        cr_assert_eq(side[k].cuts, 0);
        cr_assert_lt(side[k].sent, whole + PER_CONNECTION);
        cr_assert_eq(side[k].heard[MSG_PROCEED], 1 + (whole + MSG_CHUNK - 1) / MSG_CHUNK);
    }
    static const size_t every[] = {MSG_CHUNK + PER_CONNECTION, MSG_CHUNK * 3 / 2,
                                   2 * MSG_CHUNK + 100, BYTES - 1};
    for (size_t i = 0; i < sizeof every / sizeof *every; i++) {
        struct hash cut_often = result_with(every[i], scaffold);
        cr_assert(hash_same(&cut_often, &undisturbed), "cut every %zu bytes", every[i]);
        for (int k = 0; k < CLIENTS; k++) {
            const struct side *s = &side[k];
            cr_assert_gt(s->cuts, 0);
            cr_assert_leq(s->sent, whole + s->cuts * MSG_CHUNK + (s->cuts + 1) * PER_CONNECTION,
                          "%zu bytes for %zu, %zu cuts", s->sent, whole, s->cuts);
        }
    }
}

Test(upload, a_link_that_is_cut_again_and_again)
{
    check_cuts(false);
}

Test(upload, control_variates_go_with_the_parts)
{
    check_cuts(true);
}

/* --- bad clients ---------------------------------------------------------------------------- */

/* Client 1 keeps to the rules; nobody plays client 0, who is connected and has its task. */
static void begin_hostile(void)
{
    const struct msg hello = {.type = MSG_HELLO, .hello = {MSG_PROTOCOL, "test"}};
    const struct msg ready = {
        .type = MSG_READY,
        .ready = {.schema = schema.hash, .model = hash_of("model", 5), .samples = 10}};
    agent_stop(side[0].agent, now);
    agent_tick(side[1].agent, now);
    settle();
    side[0].conn = ++conns * CLIENTS;
    core_connected(core, side[0].conn, "client-0", now);
    core_message(core, side[0].conn, &hello, now);
    core_message(core, side[0].conn, &ready, now);
    settle();
}

static struct msg part(size_t offset, size_t n)
{
    return (struct msg){.type = MSG_PART,
                        .part = {.run_id = RUN_ID,
                                 .update_id = hash_of("x", 1),
                                 .length = BYTES,
                                 .offset = offset,
                                 .data = {update, n}}};
}

static void say(const struct msg *m)
{
    core_message(core, side[0].conn, m, now);
    settle();
}

Test(upload, a_part_out_of_turn_ends_the_connection_and_nothing_else)
{
    begin(UNCUT, false);
    begin_hostile();
    const uint64_t *refusals = core_refusals(core);
    struct msg ask = part(0, 0), first = part(0, MSG_CHUNK), third = part(2 * MSG_CHUNK, 100);
    say(&first);
    cr_assert_eq(refusals[REASON_PART], 1);
    cr_assert_eq(side[0].conn, 0);
    begin_hostile();
    say(&ask);
    say(&first);
    cr_assert_eq(side[0].heard[MSG_PROCEED], 2);
    say(&third);
    cr_assert_eq(refusals[REASON_PART], 2);
    begin_hostile();
    say(&first); /* a duplicate */
    cr_assert_eq(refusals[REASON_PART], 3);
    begin_hostile();
    struct msg early = {.type = MSG_UPDATE,
                        .update = {.run_id = RUN_ID,
                                   .schema = schema.hash,
                                   .update_id = hash_of("x", 1),
                                   .samples = 10,
                                   .params = {NULL, BYTES},
                                   .uploaded = true}};
    say(&early);
    cr_assert_eq(refusals[REASON_PART], 4);
    begin_hostile();
    struct msg foreign = ask;
    foreign.part.round = 5;
    say(&foreign);
    cr_assert_eq(side[0].reason, REASON_ROUND); /* before a byte of it has come */
    foreign = ask;
    foreign.part.length = (size_t)BYTES * 2;
    say(&foreign);
    cr_assert_eq(side[0].reason, REASON_SHAPE);
    cr_assert_neq(side[0].conn, 0);
    cr_assert_eq(side[1].heard[MSG_RECEIPT], 1); /* the other client is served all the while */
    cr_assert_eq(side[1].reason, REASON_NONE);
}

Test(upload, bytes_that_are_not_the_updates_are_refused_when_all_are_there)
{
    begin(UNCUT, false);
    begin_hostile();
    struct msg p = part(0, 0);
    say(&p);
    memset(update, 0, BYTES);
    for (size_t at = 0; at < BYTES; at += MSG_CHUNK) {
        p = part(at, BYTES - at < MSG_CHUNK ? BYTES - at : MSG_CHUNK);
        say(&p);
    }
    struct msg m = {.type = MSG_UPDATE,
                    .update = {.run_id = RUN_ID,
                               .schema = schema.hash,
                               .update_id = hash_of("x", 1),
                               .samples = 10,
                               .params = {NULL, BYTES},
                               .uploaded = true}};
    say(&m);
    cr_assert_eq(side[0].reason, REASON_IDENTITY);
    say(&m); /* they are gone */
    cr_assert_eq(core_refusals(core)[REASON_PART], 1);
}
