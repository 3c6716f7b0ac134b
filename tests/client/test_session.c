/* What the daemon keeps open for a run: the split of its data, training from a job, saving. */
#include "base/file.h"
#include "client/session.h"
#include "codec/coder.h"
#include "tests/client/toy.h"
#include <criterion/criterion.h>
#include <limits.h>
#include <malloc.h>

enum { ROWS = 60 };

static char dir[64], data[128], state[128];
static struct backbone backbone;
static struct client_config config;
static struct msg_welcome welcome;
static struct trainer *trainer;

static void write_at(const char *name, const char *text)
{
    char path[128];
    struct err e;
    snprintf(path, sizeof path, "%s/%s", dir, name);
    cr_assert_eq(file_write(path, text, strlen(text), 0644, &e), 0, "%s", e.text);
}

static void write_data(void)
{
    static char text[ROWS * 64];
    size_t n = 0;
    for (int i = 0; i < ROWS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "{\"text\": \"%s w%d w%d\", \"label\": \"%s\"}\n",
                              i % 3 ? "good" : "bad", i % 7, i % 5, i % 3 ? "yes" : "no");
    write_at("data.jsonl", text);
}

static void setup(void)
{
    static char *labels[] = {(char *)"no", (char *)"yes"};
    struct err e;
    snprintf(dir, sizeof dir, "/tmp/fedpet-session-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    const struct random_model shape = {.type = "bert",
                                       .layers = 1,
                                       .hidden = 16,
                                       .heads = 2,
                                       .ffn = 32,
                                       .vocab = 14,
                                       .positions = 32,
                                       .deviation = 0.1f,
                                       .seed = 1};
    cr_assert_eq(random_model_write(&shape, dir, &e), 0, "%s", e.text);
    write_at("vocab.txt",
             "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad\nw0\nw1\nw2\nw3\nw4\nw5\nw6\n");
    write_data();
    snprintf(data, sizeof data, "%s/data.jsonl", dir);
    snprintf(state, sizeof state, "%s/state", dir);
    cr_assert_eq(backbone_open(&backbone, dir, &e), 0, "%s", e.text);
    cr_assert_eq(trainer_open(&trainer, 2, NULL, &e), 0, "%s", e.text);
    cr_assert_eq(file_mkdirs(state, 0700, &e), 0, "%s", e.text);
    config = (struct client_config){.data = data, .state = state, .cpu_share = 1};
    welcome = (struct msg_welcome){.run_id = "0123456789abcdef", .index = 3};
    welcome.spec.task = (struct task_spec){.name = (char *)"text",
                                           .text = (char *)"text",
                                           .label = (char *)"label",
                                           .labels = labels,
                                           .n_labels = 2};
    welcome.spec.peft = (struct peft_spec){
        .method = (char *)"lora", .r = 2, .alpha = 4, .targets = 1 << LIN_QUERY | 1 << LIN_VALUE};
    welcome.spec.federation.seed = 17;
    welcome.spec.local = (struct local_spec){.epochs = 2,
                                             .batch_size = 8,
                                             .accumulate = 1,
                                             .max_length = 16,
                                             .lr = 0.01,
                                             .beta1 = 0.9,
                                             .beta2 = 0.999,
                                             .eps = 1e-8,
                                             .max_grad_norm = 1,
                                             .model_dropout = 0.1};
}

static void fini(void)
{
    char command[128];
    trainer_close(trainer);
    backbone_close(&backbone);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_expect_eq(system(command), 0);
}

TestSuite(session, .init = setup, .fini = fini);

static struct session *open_session(void)
{
    struct session *s;
    enum msg_reason reason;
    struct err e;
    cr_assert_eq(session_open(&s, &backbone, &config, state, &welcome, &reason, &e), 0, "%s",
                 e.text);
    return s;
}

static size_t packed_len; /* of what initial() gave last */

/* The parameters that everybody begins with, packed; the caller frees them. */
static unsigned char *initial(float **theta_out)
{
    struct peft *p;
    struct err e;
    cr_assert_eq(peft_open(&p, backbone.model, &welcome.spec.peft, &welcome.spec.local,
                           HEAD_SEQUENCE, 2, &e),
                 0);
    const struct schema *schema = peft_schema(p);
    float *theta = malloc(schema->count * sizeof *theta);
    packed_len = 4 * schema->packed;
    unsigned char *packed = malloc(packed_len);
    peft_init(p, welcome.spec.federation.seed, theta);
    tensorset_pack(schema, theta, packed);
    peft_close(p);
    if (theta_out)
        *theta_out = theta;
    else
        free(theta);
    return packed;
}

static struct agent_result train_on(struct session *s, const unsigned char *params,
                                    const unsigned char *control, uint32_t round, uint32_t counted)
{
    struct agent_job job = {.round = round,
                            .index = welcome.index,
                            .counted = counted,
                            .params = params,
                            .len = packed_len,
                            .control = control};
    struct agent_result r;
    struct err e;
    cr_assert_eq(session_train(s, trainer, &job, NULL, &r, &e), 0, "%s", e.text);
    return r;
}

static struct agent_result train(struct session *s, const unsigned char *params, uint32_t round)
{
    return train_on(s, params, NULL, round, 0);
}

Test(session, trains_as_the_trainer_does)
{
    struct session *s = open_session();
    float *theta;
    unsigned char *params = initial(&theta);
    cr_assert_eq(session_samples(s), ROWS);
    struct agent_result r = train(s, params, 5);
    cr_assert_eq(r.samples, ROWS);
    cr_assert_eq(r.steps, 16);
    cr_assert_eq(r.n_metrics, 0);

    struct dataset *d;
    struct peft *p;
    struct train_result plain;
    struct err e;
    cr_assert_eq(dataset_open(&d,
                              &(struct task_spec){.name = (char *)"text",
                                                  .data = data,
                                                  .text = (char *)"text",
                                                  .label = (char *)"label",
                                                  .labels = welcome.spec.task.labels,
                                                  .n_labels = 2},
                              SPLIT_TRAIN, backbone.tokenizer, 16, NULL, &e),
                 0, "%s", e.text);
    cr_assert_eq(peft_open(&p, backbone.model, &welcome.spec.peft, &welcome.spec.local,
                           HEAD_SEQUENCE, 2, &e),
                 0);
    const struct train_job job = {
        .peft = p, .data = d, .local = &welcome.spec.local, .seed = 17, .round = 5, .client = 3};
    cr_assert_eq(trainer_fit(trainer, &job, theta, &plain, &e), 0, "%s", e.text);
    unsigned char *expected = malloc(r.len);
    tensorset_pack(peft_schema(p), theta, expected);
    cr_assert_arr_eq(r.params, expected, r.len);
    cr_assert_eq(r.train_loss, plain.loss);

    peft_close(p);
    dataset_close(d);
    free(expected);
    free(theta);
    free(params);
    session_close(s);
}

Test(session, a_job_leaves_nothing_behind_for_the_next)
{
    struct session *s = open_session();
    unsigned char *params = initial(NULL);
    struct agent_result r = train(s, params, 0);
    unsigned char *first = malloc(r.len);
    memcpy(first, r.params, r.len);
    r = train(s, params, 1);
    cr_assert_arr_neq(r.params, first, r.len);
    r = train(s, params, 0);
    cr_assert_arr_eq(r.params, first, r.len);
    free(first);
    free(params);
    session_close(s);
}

/* As the server does. */
static void decode(const struct agent_result *r, const unsigned char *base, unsigned char *out)
{
    struct session *s = open_session();
    struct coder *c;
    struct err e;
    cr_assert_eq(coder_open(&c, session_schema(s)->packed, &e), 0);
    cr_assert_eq(coder_decode(c, r->coding, r->params, r->len, base, out, &e), 0, "%s", e.text);
    coder_close(c);
    session_close(s);
}

/* What comes after each training. KILL: the next is by a session that knows of the others only
 * what is on disk; REST: so does the same one. */
enum after { GO_ON, REST, KILL };

/* Three rounds with what a client keeps between them, each trained `times` times. The last result,
 * control variate behind it; the caller frees it. */
static unsigned char *three_rounds(int times, enum after after)
{
    struct session *s = open_session();
    size_t len = 4 * session_schema(s)->packed;
    unsigned char *params = initial(NULL), *control = calloc(1, len), *last = malloc(2 * len);
    for (uint32_t round = 0; round < 3; round++) {
        for (int i = 0; i < times; i++) {
            struct agent_result r = train_on(s, params, control, round, round);
            decode(&r, params, last);
            memcpy(last + len, r.control, len);
            if (after == REST) {
                session_rest(s);
                backbone_rest(&backbone);
            } else if (after == KILL) {
                session_close(s);
                s = open_session();
            }
        }
        memcpy(params, last, len);
        memcpy(control, last + len, len);
    }
    session_close(s);
    free(params);
    free(control);
    return last;
}

Test(session, a_repeated_round_goes_on_from_the_same_state)
{
    welcome.spec.local.carry_optimizer = true;
    welcome.spec.local.decay_over_run = true;
    welcome.spec.federation.scaffold = true;
    welcome.spec.federation.rounds = 3;
    struct session *s = open_session();
    size_t len = 2 * 4 * session_schema(s)->packed;
    session_close(s);
    unsigned char *straight = three_rounds(1, GO_ON), *repeated = three_rounds(2, GO_ON);
    unsigned char *killed = three_rounds(1, KILL), *both = three_rounds(3, KILL);
    unsigned char *rested = three_rounds(2, REST);
    cr_expect_arr_eq(repeated, straight, len);
    cr_expect_arr_eq(rested, straight, len);
    cr_expect_arr_eq(killed, straight, len);
    cr_expect_arr_eq(both, straight, len);
    welcome.spec.local.carry_optimizer = false;
    unsigned char *other = three_rounds(1, GO_ON);
    cr_expect_arr_neq(other, straight, len);
    free(straight);
    free(repeated);
    free(killed);
    free(both);
    free(rested);
    free(other);
}

/* What top-k leaves out survives as the rest does, and matters. */
Test(session, a_residual_is_kept_as_the_rest)
{
    welcome.spec.local.carry_optimizer = true;
    welcome.spec.federation.scaffold = true;
    welcome.spec.federation.rounds = 3;
    welcome.spec.federation.upload = (char *)(uintptr_t) "topk";
    welcome.spec.federation.top_k = 0.1;
    welcome.spec.federation.zstd = true;
    struct session *s = open_session();
    size_t len = 2 * 4 * session_schema(s)->packed;
    session_close(s);
    unsigned char *straight = three_rounds(1, GO_ON), *killed = three_rounds(2, KILL);
    unsigned char *rested = three_rounds(1, REST);
    cr_expect_arr_eq(killed, straight, len);
    cr_expect_arr_eq(rested, straight, len);
    welcome.spec.federation.top_k = 0.2;
    unsigned char *other = three_rounds(1, GO_ON);
    cr_expect_arr_neq(other, straight, len);
    free(straight);
    free(killed);
    free(rested);
    free(other);
}

Test(session, says_that_its_journal_is_damaged)
{
    struct session *s;
    enum msg_reason reason;
    struct err e;
    welcome.spec.local.carry_optimizer = true;
    write_at("state/local-state", "scribble");
    cr_assert_eq(session_open(&s, &backbone, &config, state, &welcome, &reason, &e), ERR_IO);
    cr_assert_eq(reason, REASON_INTERNAL);
    cr_assert_not_null(strstr(e.text, "local-state"), "%s", e.text);
}

Test(session, refuses_control_variates_that_are_not_finite)
{
    welcome.spec.federation.scaffold = true;
    struct session *s = open_session();
    size_t len = 4 * session_schema(s)->packed;
    unsigned char *params = initial(NULL), *control = calloc(1, len);
    struct agent_result r;
    struct err e;
    memset(control + len - 4, 0xff, 4);
    struct agent_job job = {.params = params, .len = len, .control = control};
    cr_assert_eq(session_train(s, trainer, &job, NULL, &r, &e), ERR_PROTO);
    free(params);
    free(control);
    session_close(s);
}

Test(session, holds_out_a_share_and_scores_on_it)
{
    config.validation = 0.25;
    welcome.spec.local.epochs = 10;
    struct session *s = open_session();
    unsigned char *params = initial(NULL);
    cr_assert_eq(session_samples(s), 45);
    struct agent_result r = train(s, params, 0);
    cr_assert_eq(r.samples, 45);
    cr_assert_eq(r.n_metrics, 1);
    cr_assert_str_eq(r.metric[0].name, "accuracy");
    cr_assert_eq(r.metric[0].weight, 15);
    double before = r.metric[0].value;
    cr_assert(before >= 0 && before <= 1);
    for (int i = 0; i < 8; i++) {
        memcpy(params, r.params, r.len);
        r = train(s, params, 1);
    }
    cr_assert_eq(r.metric[0].value, 1.0, "accuracy %g", r.metric[0].value);
    session_close(s);
    welcome.spec.federation.evaluate_every = 3;
    s = open_session();
    for (uint32_t round = 0; round < 7; round++) {
        r = train(s, params, round);
        cr_assert_eq(r.n_metrics, round % 3 == 0, "round %u", round);
    }
    free(params);
    session_close(s);
}

/* Of the heap; 0 where a sanitizer has its own. */
static size_t bytes_in_use(void)
{
    const struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

Test(session, what_a_frozen_encoder_makes_is_kept_until_its_memory_is_wanted)
{
    config.validation = 0.25;
    welcome.spec.peft.method = (char *)(uintptr_t) "head";
    welcome.spec.local.model_dropout = 0;
    struct session *s = open_session();
    const size_t rows = session_samples(s) * 16 * sizeof(float);
    unsigned char *params = initial(NULL);
    struct agent_result r = train(s, params, 0);
    unsigned char *first = malloc(r.len);
    memcpy(first, r.params, r.len);
    for (int life = 0; life < 2; life++) {
        size_t kept = bytes_in_use();
        session_trim(s);
        cr_expect(kept == 0 || bytes_in_use() + rows <= kept, "%zu, %zu", kept, bytes_in_use());
        r = train(s, params, 0);
        cr_expect_arr_eq(r.params, first, r.len);
    }
    free(first);
    free(params);
    session_close(s);
}

/* 60 rows on a model of nothing: what rest gives back is small here, but it is most. */
Test(session, at_rest_it_holds_next_to_nothing)
{
    config.validation = 0.25;
    struct session *s = open_session();
    unsigned char *params = initial(NULL);
    struct agent_result r = train(s, params, 0);
    struct msg_metric metric = r.metric[0];
    unsigned char *first = malloc(r.len);
    memcpy(first, r.params, r.len);
    const size_t awake = bytes_in_use();
    session_rest(s);
    session_rest(s);
    backbone_rest(&backbone);
    const size_t rested = bytes_in_use();
    cr_expect(awake == 0 || rested + r.len + ROWS * sizeof(struct example) < awake, "%zu, %zu",
              awake, rested);
    r = train(s, params, 0);
    cr_expect_arr_eq(r.params, first, r.len);
    cr_expect_eq(r.metric[0].value, metric.value);
    free(first);
    free(params);
    session_close(s);
}

/* Data that is gone by then costs nobody the result. */
Test(session, saves_at_rest_and_without_data)
{
    struct session *s = open_session();
    unsigned char *params = initial(NULL);
    char path[PATH_MAX], *about;
    struct err e;
    session_rest(s);
    const size_t rested = bytes_in_use();
    cr_assert_eq(unlink(data), 0);
    cr_assert_eq(session_save(s, params, packed_len, &e), 0, "%s", e.text);
    cr_expect_leq(bytes_in_use(), rested + 4096);
    snprintf(path, sizeof path, "%s/adapter/fedpet.json", state);
    cr_assert_eq(file_read(path, 1 << 16, &about, NULL, &e), 0, "%s", e.text);
    cr_expect_not_null(strstr(about, "\"no\""), "%s", about);
    free(about);
    free(params);
    session_close(s);
}

/* What changed meanwhile is what is trained on, as after a new start; what is missing or no longer
 * fits is said, and the next training tries again. */
Test(session, wakes_up_to_the_data_that_is_there_then)
{
    static const char *const tagged[] = {"good B-x\n\nbad O\n", "good B-x\n\nbad O\n\nw0 B-y\n",
                                         "good B-y\n\nbad O\n", "good B-x\n\nbad O\n\nw0 B-x\n"};
    static const uint64_t samples[] = {2, 0, 0, 3};
    char path[128];
    struct agent_result r;
    struct err e;
    snprintf(path, sizeof path, "%s/data.txt", dir);
    config.data = path;
    welcome.spec.task = (struct task_spec){.name = (char *)"conll"};
    write_at("data.txt", tagged[0]);
    struct session *s = open_session();
    size_t count = session_schema(s)->packed;
    float *zeros = calloc(count, sizeof *zeros);
    struct agent_job job = {.params = (unsigned char *)zeros, .len = 4 * count};
    for (size_t i = 0; i < sizeof tagged / sizeof *tagged; i++) {
        write_at("data.txt", tagged[i]);
        session_rest(s);
        cr_expect_eq(session_train(s, trainer, &job, NULL, &r, &e), samples[i] ? 0 : ERR_DATA, "%s",
                     e.text);
        cr_expect(samples[i] ? r.samples == samples[i]
                             : strstr(e.text, "labels have changed") != NULL,
                  "%zu: %s", i, e.text);
        cr_assert_eq(unlink(path), 0);
        session_rest(s);
        cr_expect_eq(session_train(s, trainer, &job, NULL, &r, &e), ERR_IO);
        cr_expect_not_null(strstr(e.text, "data.txt"), "%s", e.text);
    }
    free(zeros);
    session_close(s);
}

Test(session, refuses_parameters_that_are_not_finite)
{
    struct session *s = open_session();
    struct agent_result r;
    struct err e;
    unsigned char *params = initial(NULL);
    memset(params, 0xff, 4);
    struct agent_job job = {.params = params, .len = 4 * session_schema(s)->packed};
    cr_assert_eq(session_train(s, trainer, &job, NULL, &r, &e), ERR_PROTO);
    job.len -= 4;
    cr_assert_eq(session_train(s, trainer, &job, NULL, &r, &e), ERR_PROTO);
    free(params);
    session_close(s);
}

Test(session, saves_an_adapter_and_points_to_it)
{
    struct session *s = open_session();
    unsigned char *params = initial(NULL);
    struct agent_result r = train(s, params, 0);
    size_t len = r.len;
    unsigned char *trained = malloc(len);
    memcpy(trained, r.params, len);
    char path[PATH_MAX];
    struct err e;
    struct peft *p;
    snprintf(path, sizeof path, "%s/adapter", state);
    cr_assert_eq(session_save(s, params, len, &e), 0, "%s", e.text);
    cr_assert_eq(session_save(s, trained, len, &e), 0, "%s", e.text);
    cr_assert_eq(peft_open(&p, backbone.model, &welcome.spec.peft, &welcome.spec.local,
                           HEAD_SEQUENCE, 2, &e),
                 0);
    float *theta = malloc(peft_schema(p)->count * sizeof *theta);
    cr_assert_eq(peft_load(p, path, theta, &e), 0, "%s", e.text);
    tensorset_pack(peft_schema(p), theta, params);
    cr_assert_arr_eq(params, trained, len);
    peft_close(p);
    free(theta);
    free(trained);
    free(params);
    session_close(s);
}

Test(session, says_what_is_wrong_with_the_data)
{
    struct session *s;
    enum msg_reason reason;
    struct err e;
    config.data = (char *)"/nowhere/data.jsonl";
    cr_assert_eq(session_open(&s, &backbone, &config, state, &welcome, &reason, &e), ERR_IO);
    cr_assert_eq(reason, REASON_DATA);
    config.data = data;
    write_at("data.jsonl", "{\"text\": \"good\", \"label\": \"maybe\"}\n");
    cr_assert_eq(session_open(&s, &backbone, &config, state, &welcome, &reason, &e), ERR_DATA);
    cr_assert_eq(reason, REASON_DATA);
    cr_assert_not_null(strstr(e.text, "data.jsonl"), "%s", e.text);
}

Test(session, says_when_the_method_does_not_fit)
{
    struct session *s;
    enum msg_reason reason;
    struct err e;
    welcome.spec.peft.method = (char *)"magic";
    cr_assert_eq(session_open(&s, &backbone, &config, state, &welcome, &reason, &e), ERR_CONFIG);
    cr_assert_eq(reason, REASON_MODEL);
    welcome.spec.peft.method = (char *)"lora";
    welcome.spec.local.max_length = 33;
    cr_assert_eq(session_open(&s, &backbone, &config, state, &welcome, &reason, &e), ERR_CONFIG);
}

/* A task of GLUE may come as one file in our own columns, with the task's labels. */
Test(session, one_file_stands_for_any_task)
{
    welcome.spec.task = (struct task_spec){.name = (char *)"sst2"};
    write_at("data.jsonl", "{\"text\": \"good\", \"label\": \"1\"}\n"
                           "{\"text\": \"bad\", \"label\": \"0\"}\n");
    struct session *s = open_session();
    cr_assert_eq(session_samples(s), 2);
    session_close(s);
}

Test(session, an_update_outlives_its_session_until_the_run_is_finished)
{
    struct session *s = open_session();
    unsigned char *params = initial(NULL);
    struct err e;
    cr_assert_null(session_outbox(s));
    struct agent_result r = train(s, params, 4);
    unsigned char *sent = malloc(r.len);
    memcpy(sent, r.params, r.len);
    session_close(s);

    s = open_session();
    const struct outbox *o = session_outbox(s);
    struct hash base = hash_of(params, r.len);
    cr_assert_not_null(o);
    cr_assert_eq(o->round, 4);
    cr_assert(hash_same(&o->base, &base));
    cr_assert_arr_eq(o->result.params, sent, r.len);
    cr_assert_eq(o->result.samples, ROWS);
    cr_assert_eq(session_save(s, sent, r.len, &e), 0, "%s", e.text);
    session_close(s);

    s = open_session();
    cr_assert_null(session_outbox(s));
    session_close(s);
    free(sent);
    free(params);
}

Test(session, a_damaged_update_is_trained_again)
{
    struct session *s = open_session();
    unsigned char *params = initial(NULL);
    char path[160], *bytes;
    size_t len;
    train(s, params, 4);
    session_close(s);
    snprintf(path, sizeof path, "%s/" OUTBOX_FILE, state);
    cr_assert_eq(file_read(path, 1 << 24, &bytes, &len, NULL), 0);
    bytes[len - 40] ^= 1;
    cr_assert_eq(file_write(path, bytes, len, 0600, NULL), 0);
    free(bytes);
    s = open_session();
    cr_assert_null(session_outbox(s));
    session_close(s);
    free(params);
}
