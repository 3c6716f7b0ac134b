/* Every field of every message, one fault at a time: a value that an honest peer would not send is
 * refused, and the message names the field. */
#include "proto/msg.h"

#include "random_msg.h"

#include <math.h>

enum { SLACK = 64 << 10 };

/* A message that is right in every field. */
struct sample {
    struct maker maker;
    struct msg m;
};

static void sample_init(struct sample *s, enum msg_type type)
{
    maker_init(&s->maker, (uint64_t)type);
    s->m = random_msg(&s->maker, type);
}

static int send_over(const struct msg *m, struct err *e)
{
    struct buf b;
    struct arena mem;
    struct msg out;
    buf_init(&b, SIZE_MAX);
    cr_assert_eq(msg_encode(m, &b), 0);
    arena_init(&mem, buf_size(&b) + SLACK);
    int rc = msg_decode(m->type, buf_bytes(&b), buf_size(&b), &mem, &out, e);
    arena_release(&mem);
    buf_release(&b);
    return rc;
}

#define REFUSED(type, field, ...)                                                                  \
    do {                                                                                           \
        struct sample s;                                                                           \
        struct err e = {0};                                                                        \
        sample_init(&s, type);                                                                     \
        cr_assert_eq(send_over(&s.m, &e), 0, "%s", e.text);                                        \
        __VA_ARGS__;                                                                               \
        cr_assert_eq(send_over(&s.m, &e), ERR_PROTO, "%s", #__VA_ARGS__);                          \
        cr_assert(strstr(e.text, field), "%s: %s", #__VA_ARGS__, e.text);                          \
        arena_release(&s.maker.mem);                                                               \
    } while (0)

#define HELLO(field, ...) REFUSED(MSG_HELLO, "Hello." field, s.m.hello.__VA_ARGS__)
#define WELCOME(field, ...) REFUSED(MSG_WELCOME, "Welcome." field, s.m.welcome.__VA_ARGS__)
#define SPEC(field, ...) REFUSED(MSG_WELCOME, "Welcome." field, s.m.welcome.spec.__VA_ARGS__)
#define TASK(field, ...) REFUSED(MSG_TASK, "Task." field, s.m.task.__VA_ARGS__)
#define UPDATE(field, ...) REFUSED(MSG_UPDATE, "Update." field, s.m.update.__VA_ARGS__)

static char empty[] = "", two_lines[] = "a\nb", yes[] = "yes";
static char long_text[MSG_MAX_TEXT + 2], long_pem[MSG_MAX_PEM + 2];
static char *one_empty[] = {empty}, *too_many[MSG_MAX_RUNS + 1];

static void fill(void)
{
    memset(long_text, 'a', sizeof long_text - 1);
    memset(long_pem, 'a', sizeof long_pem - 1);
    for (size_t i = 0; i < sizeof too_many / sizeof *too_many; i++)
        too_many[i] = yes;
}

Test(msg_checks, texts, .init = fill)
{
    HELLO("software", software = "");
    HELLO("software", software = NULL);
    HELLO("software", software = long_text);
    HELLO("software", software = "two\nlines");
    HELLO("software", software = "bell\a");
    HELLO("software", software = "del\x7f");
    HELLO("software", software = "c1 \xc2\x85");
    HELLO("software", software = "overlong \xc0\xaf");
    HELLO("software", software = "overlong \xe0\x80\xaf");
    HELLO("software", software = "overlong \xf0\x80\x80\xaf");
    HELLO("software", software = "surrogate \xed\xa0\x80");
    HELLO("software", software = "beyond \xf4\x90\x80\x80");
    HELLO("software", software = "beyond \xf8\x88\x80\x80\x80");
    HELLO("software", software = "cut \xe4\xb8");
    HELLO("software", software = "stray \x80");
    REFUSED(MSG_GOODBYE, "Goodbye.text", s.m.goodbye.text = "\x1b[2J");
    REFUSED(MSG_RECEIPT, "Receipt.text", s.m.receipt.text = long_text);
    REFUSED(MSG_ENROLL, "Enroll.token", s.m.enroll.token = "");
    REFUSED(MSG_ENROLL, "Enroll.csr_pem", s.m.enroll.csr_pem = "");
    REFUSED(MSG_ENROLL, "Enroll.csr_pem", s.m.enroll.csr_pem = long_pem);
    REFUSED(MSG_ENROLL, "Enroll.csr_pem", s.m.enroll.csr_pem = "a\tb");
    REFUSED(MSG_RENEW, "Renew.csr_pem", s.m.renew.csr_pem = long_pem);
    REFUSED(MSG_RENEW, "Renew.csr_pem", s.m.renew.csr_pem = "a\tb");
    REFUSED(MSG_PAUSED, "Paused.why", s.m.paused.why = PAUSES);
    REFUSED(MSG_IDENTITY, "Identity.name", s.m.identity.name = "");
    REFUSED(MSG_IDENTITY, "Identity.cert_pem", s.m.identity.cert_pem = long_pem);
    REFUSED(MSG_IDENTITY, "Identity.ca_pem", s.m.identity.ca_pem = "");
}

Test(msg_checks, identity_of_the_run, .init = fill)
{
    TASK("run_id", run_id = "0011223344556677 ");
    TASK("run_id", run_id = "001122334455667");
    TASK("run_id", run_id = "00112233445566FF");
    TASK("run_id", run_id = "");
    UPDATE("run_id", run_id = "xyz");
    WELCOME("run_id", run_id = "xyz");
    REFUSED(MSG_FINISH, "Finish.run_id", s.m.finish.run_id = "xyz");
    HELLO("run", run = "Upper");
    HELLO("run", run = "../up");
    HELLO("run", run = long_text);
    WELCOME("name", name = "a/b");
    REFUSED(MSG_RUNS, "Runs.names", s.m.runs = (struct msg_runs){one_empty, 1});
    REFUSED(MSG_RUNS, "Runs.names", s.m.runs = (struct msg_runs){too_many, MSG_MAX_RUNS + 1});
    HELLO("protocol", protocol = 0);
    WELCOME("protocol", protocol = 0);
    WELCOME("next_round", next_round = 1000001);
    TASK("round", round = 1000001);
    TASK("deadline_ms", deadline_ms = UINT64_MAX);
}

Test(msg_checks, parameters_and_numbers)
{
    TASK("params", params.len = 0);
    TASK("params", coding = 0; s.m.task.params.len = 3);
    UPDATE("params", params.len = 0);
    UPDATE("params", coding = 0; s.m.update.params.len -= 1);
    TASK("control", control = (s.m.task.params); s.m.task.control.len = 3);
    TASK("counted", counted = 1000001);
    UPDATE("params_length", coding = 0; s.m.update.uploaded = true; s.m.update.params.len -= 1);
    UPDATE("control_length", uploaded = true; s.m.update.control.len = 5);
    REFUSED(MSG_PART, "Part.length", s.m.part.length = 0);
    REFUSED(MSG_PART, "Part.length", s.m.part.length = (size_t)1 << 32);
    REFUSED(MSG_PART, "Part.offset", s.m.part.offset = s.m.part.length + 1);
    const struct msg_bytes some = {(const unsigned char *)long_pem, 100};
    REFUSED(MSG_PART, "Part.data", s.m.part.data = some; s.m.part.length = 120;
            s.m.part.offset = 21);
    unsigned char *chunk = calloc(1, MSG_CHUNK + 1);
    const struct msg_bytes long_chunk = {chunk, MSG_CHUNK + 1};
    REFUSED(MSG_PART, "Part.data", s.m.part.data = long_chunk; s.m.part.offset = 0;
            s.m.part.length = 2 * MSG_CHUNK);
    free(chunk);
    REFUSED(MSG_PROCEED, "Proceed.offset", s.m.proceed.offset = (size_t)1 << 32);
    UPDATE("control", control = (s.m.update.params); s.m.update.control.len = 5);
    REFUSED(MSG_FINISH, "Finish.params", s.m.finish.coding = 0; s.m.finish.params.len = 2);
    REFUSED(MSG_FINISH, "Finish.params", s.m.finish.params.len = 0);
    SPEC("federation.top_k", federation.top_k = 1.5);
    SPEC("federation.top_k", federation.top_k = -0.1);
    SPEC("federation.upload", federation.upload = two_lines);
    SPEC("federation.aggregator", federation.aggregator = (enum aggregation)5);
    SPEC("federation.clip_norm", federation.clip_norm = -1);
    SPEC("federation.max_update_norm", federation.max_update_norm = (double)NAN);
    SPEC("federation.krum_keep", federation.krum_keep = UINT32_MAX);
    UPDATE("train_loss", train_loss = (double)NAN);
    UPDATE("train_loss", train_loss = (double)-INFINITY);
    UPDATE("seconds", seconds = -1);
    UPDATE("seconds", seconds = (double)INFINITY);
    UPDATE("metrics.value", n_metrics = 1;
           s.m.update.metric[0] = (struct msg_metric){"m", (double)NAN, 1});
    UPDATE("metrics.name", n_metrics = 1; s.m.update.metric[0] = (struct msg_metric){"", 1, 1});
    REFUSED(MSG_RECEIPT, "Receipt.reason", s.m.receipt.reason = REASONS);
    REFUSED(MSG_GOODBYE, "Goodbye.reason", s.m.goodbye.reason = (enum msg_reason) - 1);
}

Test(msg_checks, what_to_train)
{
    static char *unnamed[] = {yes, empty};
    SPEC("task.name", task.name = empty);
    SPEC("task.label", task.label = two_lines);
    SPEC("task.classes", task.n_labels = 2; s.m.welcome.spec.task.labels = unnamed);
    SPEC("task.classes", task.n_labels = MSG_MAX_LABELS + 1; s.m.welcome.spec.task.labels = NULL);
}

Test(msg_checks, how_to_train)
{
    SPEC("peft.method", peft.method = empty);
    SPEC("peft.r", peft.r = 0);
    SPEC("peft.r", peft.r = 1025);
    SPEC("peft.alpha", peft.alpha = 0);
    SPEC("peft.alpha", peft.alpha = (double)NAN);
    SPEC("peft.dropout", peft.dropout = 1);
    SPEC("peft.dropout", peft.dropout = -0.1);
    SPEC("peft.targets", peft.targets = 1u << LIN_SITES);
    SPEC("local.epochs", local.epochs = 0; s.m.welcome.spec.local.steps = 0);
    SPEC("local.epochs", local.epochs = 1000001);
    SPEC("local.steps", local.steps = 1000000001);
    SPEC("local.batch_size", local.batch_size = 0);
    SPEC("local.accumulate", local.accumulate = 0);
    SPEC("local.max_length", local.max_length = 2);
    SPEC("local.optimizer", local.optimizer = (enum optimizer)3);
    SPEC("local.schedule", local.schedule = (enum lr_schedule) - 1);
    SPEC("local.lr", local.lr = -1e-3);
    SPEC("local.lr", local.lr = (double)INFINITY);
    SPEC("local.weight_decay", local.weight_decay = -1);
    SPEC("local.beta1", local.beta1 = 1);
    SPEC("local.beta2", local.beta2 = (double)NAN);
    SPEC("local.eps", local.eps = -1);
    SPEC("local.warmup", local.warmup = 1);
    SPEC("local.max_grad_norm", local.max_grad_norm = -1);
    SPEC("local.model_dropout", local.model_dropout = -0.5);
    SPEC("local.model_dropout", local.model_dropout = 1);
}

Test(msg_checks, who_takes_part)
{
    SPEC("federation.clients", federation.clients = 0);
    SPEC("federation.per_round", federation.per_round = 0);
    SPEC("federation.over_select", federation.over_select = -1);
    SPEC("federation.mode", federation.mode = (enum round_mode)2);
    SPEC("federation.concurrency", federation.concurrency = UINT32_MAX);
    SPEC("federation.max_staleness", federation.max_staleness = 1000001);
    SPEC("federation.quorum", federation.quorum = UINT32_MAX);
    SPEC("federation.rounds", federation.rounds = 1000001);
    SPEC("federation.deadline_s", federation.deadline_s = 604801);
    SPEC("federation.partition", federation.partition = (enum partition_kind)5);
    SPEC("federation.alpha", federation.alpha = (double)NAN);
    SPEC("federation.column", federation.column = two_lines);
}

/* ---- faults that our own encoder cannot make --------------------------------------------------
 */

static int bytes(enum msg_type type, const char *b, size_t n, struct err *e)
{
    struct arena mem;
    struct msg out;
    arena_init(&mem, n + SLACK);
    int rc = msg_decode(type, (const unsigned char *)b, n, &mem, &out, e);
    arena_release(&mem);
    return rc;
}

Test(msg_checks, hashes_have_32_bytes)
{
    char ready[2 + 33 + 2 + 32] = "\x0a\x20";
    struct err e = {0};
    memset(ready + 2, 7, 32);
    memcpy(ready + 34, "\x12\x20", 2);
    cr_assert_eq(bytes(MSG_READY, ready, 68, &e), 0, "%s", e.text);
    cr_assert_eq(bytes(MSG_READY, ready, 34, &e), ERR_PROTO);
    cr_assert(strstr(e.text, "Ready.model: not 32 bytes"), "%s", e.text);
    ready[1] = 0x1f;
    memcpy(ready + 33, "\x12\x20", 2);
    cr_assert_eq(bytes(MSG_READY, ready, 67, &e), ERR_PROTO);
    cr_assert(strstr(e.text, "Ready.schema: not 32 bytes"), "%s", e.text);
}

Test(msg_checks, missing_parts_and_strange_types)
{
    struct err e = {0};
    cr_assert_eq(bytes(MSG_WELCOME, "", 0, &e), ERR_PROTO);
    cr_assert(strstr(e.text, "missing"), "%s", e.text);
    cr_assert_eq(bytes(MSG_TYPES, "", 0, &e), ERR_PROTO);
    cr_assert_eq(bytes((enum msg_type)0, "", 0, &e), ERR_PROTO);
    cr_assert_eq(bytes(MSG_PING, "", 0, &e), 0);
    cr_assert_eq(bytes(MSG_PONG, "\xff", 1, &e), ERR_PROTO);
    /* 17 metrics where 16 may be. */
    char many[17 * 2];
    for (int i = 0; i < 17; i++)
        memcpy(many + 2 * i, "\x4a\x00", 2);
    cr_assert_eq(bytes(MSG_UPDATE, many, sizeof many, &e), ERR_PROTO);
    cr_assert(strstr(e.text, "Update.metrics: too many"), "%s", e.text);
}
