/* The whole server as a process of its own, with real sockets, TLS and SQLite, and robots for
 * clients: they speak the protocol and make up their updates. */
#include "base/file.h"
#include "folder.h"
#include "net/identity.h"
#include "net/link.h"
#include "net/token.h"
#include "server/enroll.h"
#include "server/export.h"
#include "server/init.h"
#include "server/run.h"
#include "server/server.h"
#include "server/status.h"
#include <math.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, STEP_MS = 20, ROBOTS = 3, ROUNDS = 3 };

/* --- the server --- */

struct deployment {
    struct folder folder;
    struct conf *conf;
    struct server_config *config;
    struct run run; /* the same model and method as the server's: for schema and initial values */
    pid_t server;
    uint16_t port, enroll_port;
};

static void deployment_make(struct deployment *d, const char *const *more, size_t n)
{
    struct err e = {0};
    struct cli_list set = {0};
    char model[256];
    *d = (struct deployment){.folder = folder_make()};
    const char *const host = "127.0.0.1";
    cr_assert_eq(init_folder(d->folder.path, &host, 1, &e), 0, "%s", e.text);
    snprintf(model, sizeof model, "model=%s/model/golden/bert", FEDPET_TEST_DIR);
    const char *const common[] = {model,
                                  "task.name=sst2",
                                  "listen=127.0.0.1:0",
                                  "enroll=127.0.0.1:0",
                                  "federation.clients=3",
                                  "federation.per_round=3",
                                  "federation.rounds=3",
                                  "log.level=error",
                                  "local.max_length=16"};
    for (size_t i = 0; i < sizeof common / sizeof *common; i++)
        set.item[set.n++] = (char *)common[i];
    for (size_t i = 0; i < n; i++)
        set.item[set.n++] = (char *)more[i];
    cr_assert_eq(server_config_load(&d->conf, &d->config, folder_file(&d->folder, "server.yaml"),
                                    &set, NEED_RUN | NEED_STATE | NEED_IDENTITY, &e),
                 0, "%s", e.text);
    cr_assert_eq(run_open(&d->run, d->config, &e), 0, "%s", e.text);
}

static void deployment_remove(struct deployment *d)
{
    run_close(&d->run);
    conf_free(d->conf);
    folder_remove(&d->folder);
}

/* The server's status, NULL while it has no database. */
static json_t *status_of(const struct deployment *d)
{
    struct store *store;
    json_t *status = NULL;
    if (store_open(&store, folder_file(&d->folder, "state/" SERVER_DATABASE), STORE_READ, NULL) !=
        0)
        return NULL;
    if (status_collect(&status, store, d->config->state, NULL) != 0)
        status = NULL;
    store_close(store);
    return status;
}

static void server_start(struct deployment *d)
{
    d->server = fork();
    cr_assert_geq(d->server, 0);
    if (d->server == 0) {
        struct err e = {0};
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failed test leaves no server behind */
        log_setup("server", stderr, LOG_ERROR, false);
        int rc = server_run(d->config, &e);
        if (rc != 0)
            fprintf(stderr, "server: %s\n", e.text);
        _exit(rc);
    }
    for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
        json_t *status = status_of(d), *live = json_object_get(status, "live");
        d->port = (uint16_t)json_integer_value(json_object_get(live, "port"));
        d->enroll_port = (uint16_t)json_integer_value(json_object_get(live, "enroll_port"));
        json_decref(status);
        if (d->port != 0)
            return;
        usleep(STEP_MS * 1000);
    }
    cr_assert_fail("the server did not come up");
}

static int server_wait(struct deployment *d)
{
    int how;
    cr_assert_eq(waitpid(d->server, &how, 0), d->server);
    cr_assert(WIFEXITED(how));
    return WEXITSTATUS(how);
}

static int server_stop_by(struct deployment *d, int signal_number)
{
    cr_assert_eq(kill(d->server, signal_number), 0);
    return server_wait(d);
}

/* --- a client without a mind --- */

struct robot {
    struct deployment *d;
    struct link *link;
    struct tls_context *tls;
    uv_timer_t patience;
    int number;
    unsigned tasks, receipts, stop_after; /* leaves after so many receipts; 0: never */
    bool finished, down;
    const double *score; /* its accuracy by round; NULL: 0.5 */
    float *final;
    struct msg_goodbye goodbye;
    struct err why;
    char certificate[8192];
};

static void tell(struct robot *r, const struct msg *m)
{
    struct buf out;
    struct err e = {0};
    buf_init(&out, msg_limit(m->type, peft_schema(r->d->run.peft)->packed));
    cr_assert_eq(msg_encode(m, &out), 0);
    cr_assert_eq(link_send(r->link, (uint8_t)m->type, buf_bytes(&out), buf_size(&out), &e), 0, "%s",
                 e.text);
    buf_release(&out);
}

/* Adds a little of its own to what it was sent. */
static void train(struct robot *r, const struct msg_task *task)
{
    const struct schema *s = peft_schema(r->d->run.peft);
    float *theta = calloc(s->count, sizeof *theta);
    unsigned char *packed = malloc(4 * s->packed);
    cr_assert_eq(tensorset_unpack(s, task->params.data, task->params.len, theta, NULL), 0);
    for (size_t i = 0; i < s->count; i++)
        theta[i] += 0.001F * (float)(r->number + 1);
    tensorset_pack(s, theta, packed);
    char name[32];
    snprintf(name, sizeof name, "client-%04d", r->number);
    struct msg m = {.type = MSG_UPDATE};
    m.update = (struct msg_update){
        .run_id = task->run_id,
        .round = task->round,
        .schema = s->hash,
        .samples = 10,
        .steps = 1,
        .train_loss = 0.5,
        .seconds = 0.1,
        .n_metrics = 1,
        .metric = {{"accuracy", r->score != NULL ? r->score[task->round] : 0.5, 4}},
        .params = {packed, 4 * s->packed},
    };
    m.update.update_id = msg_update_id(task->run_id, task->round, name, m.update.params);
    tell(r, &m);
    free(packed);
    free(theta);
}

static void robot_up(struct link *l, const char *peer, void *ctx)
{
    struct robot *r = ctx;
    (void)peer;
    r->link = l;
    tell(r, &(struct msg){.type = MSG_HELLO, .hello = {MSG_PROTOCOL, "robot"}});
}

static void on_receipt(struct robot *r, const struct msg_receipt *receipt)
{
    cr_assert(receipt->accepted, "%s", receipt->text);
    if (++r->receipts == r->stop_after)
        link_close(r->link);
}

static void on_finish(struct robot *r, const struct msg_finish *finish)
{
    const struct schema *s = peft_schema(r->d->run.peft);
    r->finished = true;
    r->final = calloc(s->count, sizeof *r->final);
    cr_assert_eq(tensorset_unpack(s, finish->params.data, finish->params.len, r->final, NULL), 0);
    link_close(r->link);
}

static int robot_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    struct robot *r = ctx;
    struct arena mem;
    struct msg m;
    (void)l;
    arena_init(&mem, f->len + 65536);
    cr_assert_eq(msg_decode((enum msg_type)f->type, f->payload, f->len, &mem, &m, e), 0, "%s",
                 e->text);
    if (m.type == MSG_WELCOME) {
        cr_assert_eq(m.welcome.index, (uint32_t)r->number);
        tell(r, &(struct msg){.type = MSG_READY, .ready = {m.welcome.schema, m.welcome.model, 10}});
    } else if (m.type == MSG_TASK) {
        r->tasks++;
        train(r, &m.task);
    } else if (m.type == MSG_RECEIPT) {
        on_receipt(r, &m.receipt);
    } else if (m.type == MSG_FINISH) {
        on_finish(r, &m.finish);
    } else if (m.type == MSG_GOODBYE) {
        r->goodbye = m.goodbye;
        r->goodbye.text = NULL; /* it lived in `mem` */
    } else if (m.type == MSG_IDENTITY) {
        snprintf(r->certificate, sizeof r->certificate, "%s", m.identity.cert_pem);
    }
    arena_release(&mem);
    return 0;
}

static size_t robot_limit(void *ctx, uint8_t type)
{
    const struct robot *r = ctx;
    return type < MSG_TYPES ? msg_limit((enum msg_type)type, peft_schema(r->d->run.peft)->packed)
                            : 0;
}

static void robot_down(struct link *l, const struct err *e, void *ctx)
{
    struct robot *r = ctx;
    (void)l;
    r->down = true;
    r->why = *e;
    uv_close((uv_handle_t *)&r->patience, NULL);
}

static const struct link_events robot_events = {robot_up, robot_frame, robot_limit, robot_down};

static void out_of_patience(uv_timer_t *timer)
{
    struct robot *r = timer->data;
    cr_assert_fail("robot %d waits in vain: %u tasks, %u receipts", r->number, r->tasks,
                   r->receipts);
}

/* A certificate signed by the deployment's CA, without the detour of a token. */
static struct tls_context *certify(struct deployment *d, const char *name)
{
    struct identity ca = {0}, device;
    struct tls_context *tls = NULL;
    struct err e = {0};
    char *cert, key_file[64], cert_file[64];
    snprintf(key_file, sizeof key_file, "%s.key", name);
    snprintf(cert_file, sizeof cert_file, "%s.pem", name);
    cr_assert_eq(file_read(d->config->identity.ca, 65536, &ca.cert, NULL, NULL), 0);
    cr_assert_eq(file_read(d->config->identity.ca_key, 65536, &ca.key, NULL, NULL), 0);
    cr_assert_eq(identity_make_csr(&device, name, NULL), 0);
    cr_assert_eq(identity_sign_csr(&cert, &ca, device.cert, name, (int64_t)time(NULL), 10, &e), 0,
                 "%s", e.text);
    cr_assert_eq(
        file_write(folder_file(&d->folder, key_file), device.key, strlen(device.key), 0600, NULL),
        0);
    cr_assert_eq(file_write(folder_file(&d->folder, cert_file), cert, strlen(cert), 0600, NULL), 0);
    const struct tls_files files = {d->config->identity.ca, folder_file(&d->folder, cert_file),
                                    folder_file(&d->folder, key_file), NULL};
    cr_assert_eq(tls_context_open(&tls, TLS_CLIENT, &files, &e), 0, "%s", e.text);
    free(cert);
    identity_release(&device);
    identity_release(&ca);
    return tls;
}

static void robot_dial(struct robot *r, uv_loop_t *loop, struct deployment *d, int number)
{
    char name[32];
    struct err e = {0};
    snprintf(name, sizeof name, "client-%04d", number);
    r->d = d;
    r->number = number;
    if (r->tls == NULL)
        r->tls = certify(d, name);
    r->down = false;
    uv_timer_init(loop, &r->patience);
    r->patience.data = r;
    uv_timer_start(&r->patience, out_of_patience, PATIENCE_MS, 0);
    cr_assert_eq(link_connect(&r->link, loop, "127.0.0.1", d->port, r->tls, &robot_events, r, &e),
                 0, "%s", e.text);
}

static void robot_release(struct robot *r)
{
    tls_context_close(r->tls);
    free(r->final);
}

/* What all rounds of the robots lead to, up to rounding: each adds 0.001 times the mean of 1, 2, 3.
 */
static void check_result(const struct deployment *d, const float *got, unsigned rounds)
{
    const struct schema *s = peft_schema(d->run.peft);
    for (size_t i = 0; i < s->count; i++)
        cr_assert_float_eq(got[i], d->run.params[i] + 0.002F * (float)rounds, 1e-6);
}

static void check_status(const struct deployment *d, unsigned rounds)
{
    size_t i;
    json_t *round, *status = status_of(d), *history = json_object_get(status, "history");
    cr_assert_eq(json_integer_value(json_object_get(status, "done")), rounds);
    cr_assert_eq(json_array_size(history), rounds);
    double size = json_number_value(json_object_get(status, "parameter_bytes"));
    cr_assert_eq(size, 4.0 * (double)peft_schema(d->run.peft)->packed);
    json_array_foreach(history, i, round)
    {
        double up = json_number_value(json_object_get(round, "bytes_up")) / ROBOTS,
               down = json_number_value(json_object_get(round, "bytes_down")) / ROBOTS;
        cr_assert(up > size && up < size + 2048, "%f", up);
        cr_assert(down > size && down < size + 2048, "%f", down);
        cr_assert_eq(json_array_size(json_object_get(round, "clients")), ROBOTS);
        cr_assert_float_eq(
            json_number_value(json_object_get(json_object_get(round, "metrics"), "accuracy")), 0.5,
            1e-12);
    }
    json_decref(status);
}

Test(server, three_robots_do_three_rounds)
{
    struct deployment d;
    struct robot r[ROBOTS] = {0};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    uv_loop_init(&loop);
    for (int k = 0; k < ROBOTS; k++)
        robot_dial(&r[k], &loop, &d, k);
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int k = 0; k < ROBOTS; k++) {
        cr_assert(r[k].finished);
        cr_assert_eq(r[k].tasks, ROUNDS);
        check_result(&d, r[k].final, ROUNDS);
        robot_release(&r[k]);
    }
    check_status(&d, ROUNDS);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    check_status(&d, ROUNDS);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

/* The robots play a run to its end. Killed after `kill_after` rounds, and started again. */
static void play(struct deployment *d, struct robot r[ROBOTS], unsigned kill_after)
{
    uv_loop_t loop;
    server_start(d);
    uv_loop_init(&loop);
    for (int k = 0; k < ROBOTS; k++) {
        r[k].stop_after = k == 0 ? kill_after : 0; /* that round is complete with its receipt; the
                                                      next then waits for it */
        robot_dial(&r[k], &loop, d, k);
    }
    while (kill_after > 0 && !r[0].down && uv_run(&loop, UV_RUN_ONCE) != 0)
        continue;
    for (int waited = 0; kill_after > 0; waited += STEP_MS) {
        uv_run(&loop, UV_RUN_NOWAIT);
        json_t *status = status_of(d);
        json_int_t done = json_integer_value(json_object_get(status, "done"));
        json_decref(status);
        if (done == kill_after)
            break;
        cr_assert_lt(waited, PATIENCE_MS);
        usleep(STEP_MS * 1000);
    }
    if (kill_after > 0) {
        kill(d->server, SIGKILL);
        waitpid(d->server, NULL, 0);
        uv_run(&loop, UV_RUN_DEFAULT); /* the others notice */
        server_start(d);
        for (int k = 0; k < ROBOTS; k++) {
            r[k].stop_after = 0;
            robot_dial(&r[k], &loop, d, k);
        }
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    for (int k = 0; k < ROBOTS; k++)
        cr_assert(r[k].finished);
    uv_loop_close(&loop);
}

Test(server, killed_between_rounds_it_goes_on_with_the_committed_ones)
{
    struct deployment d;
    struct robot r[ROBOTS] = {0};
    deployment_make(&d, NULL, 0);
    play(&d, r, 2);
    for (int k = 0; k < ROBOTS; k++) {
        check_result(&d, r[k].final, ROUNDS);
        robot_release(&r[k]);
    }
    check_status(&d, ROUNDS);
    cr_assert_eq(server_stop_by(&d, SIGINT), 0);
    deployment_remove(&d);
}

/* --- optimisers, the best round, and what is exported --- */

static struct hash export(const struct deployment *d, const char *round, uint32_t after)
{
    const char *dir = folder_file(&d->folder, "adapter");
    const struct schema *s = peft_schema(d->run.peft);
    float *theta = calloc(s->count, sizeof *theta);
    struct store *store;
    struct err e = {0};
    uint32_t rounds;
    cr_assert_eq(
        store_open(&store, folder_file(&d->folder, "state/" SERVER_DATABASE), STORE_READ, NULL), 0);
    cr_assert_eq(export_round(store, d->config, round, NULL, dir, &rounds, &e), 0, "%s", e.text);
    cr_assert_eq(rounds, after);
    cr_assert_eq(export_round(store, d->config, "99", NULL, dir, &rounds, &e), ERR_USAGE);
    cr_assert_eq(export_round(store, d->config, "worst", NULL, dir, &rounds, &e), ERR_USAGE);
    store_close(store);
    cr_assert_eq(peft_load(d->run.peft, dir, theta, &e), 0, "%s", e.text);
    struct hash h = tensorset_hash(s, theta);
    free(theta);
    folder_remove_tree(dir);
    return h;
}

static void hash_of_round(const struct deployment *d, size_t round, char hex[HASH_HEX])
{
    json_t *status = status_of(d), *row = json_array_get(json_object_get(status, "history"), round);
    cr_assert_not_null(row);
    snprintf(hex, HASH_HEX, "%s", json_string_value(json_object_get(row, "hash")));
    json_decref(status);
}

/* Round 2 of 8 is best, and after three that were not, the run ends with its sixth. */
static void play_for_the_best(struct deployment *d, unsigned kill_after, char last[HASH_HEX])
{
    static const double score[] = {0.9, 0.3, 0.8, 0.5, 0.4, 0.2, 0.9, 0.9};
    static const char *const more[] = {"federation.optimizer=fedyogi", "federation.rounds=8",
                                       "federation.best=true", "federation.patience=3"};
    struct robot r[ROBOTS] = {{.score = score}, {.score = score}, {.score = score}};
    const struct schema *s;
    char hex[HASH_HEX], best[HASH_HEX];
    deployment_make(d, more, sizeof more / sizeof *more);
    play(d, r, kill_after);
    s = peft_schema(d->run.peft);
    hash_of_round(d, 1, best);
    hash_of_round(d, 5, last);
    for (int k = 0; k < ROBOTS; k++) {
        struct hash final = tensorset_hash(s, r[k].final);
        hash_hex(&final, hex);
        cr_assert_str_eq(hex, best);
        robot_release(&r[k]);
    }
    json_t *status = status_of(d), *found = json_object_get(status, "best");
    cr_assert_eq(json_integer_value(json_object_get(status, "done")), 6);
    cr_assert_eq(json_integer_value(json_object_get(found, "round")), 2);
    cr_assert_float_eq(json_number_value(json_object_get(found, "score")), 0.8, 1e-12);
    cr_assert_str_eq(json_string_value(json_object_get(found, "metric")), "accuracy");
    json_decref(status);
    cr_assert_eq(server_stop_by(d, SIGTERM), 0);
}

Test(server, killed_with_an_optimiser_it_ends_with_the_same_bits_and_the_same_best_round)
{
    struct deployment whole, killed;
    char want[HASH_HEX], got[HASH_HEX];
    play_for_the_best(&whole, 0, want);
    for (unsigned after = 1; after < 6; after += 2) {
        play_for_the_best(&killed, after, got);
        cr_assert_str_eq(got, want);
        deployment_remove(&killed);
    }
    deployment_remove(&whole);
}

Test(server, exports_the_best_round_unless_told_which)
{
    static const struct {
        const char *option;
        uint32_t rounds;
    } choice[] = {{NULL, 2}, {"best", 2}, {"latest", 6}, {"6", 6}, {"1", 1}};
    struct deployment d;
    char want[HASH_HEX], got[HASH_HEX];
    play_for_the_best(&d, 0, want);
    for (size_t i = 0; i < sizeof choice / sizeof *choice; i++) {
        struct hash h = export(&d, choice[i].option, choice[i].rounds);
        hash_hex(&h, got);
        hash_of_round(&d, choice[i].rounds - 1, want);
        cr_assert_str_eq(got, want, "choice %zu", i);
    }
    deployment_remove(&d);
}

Test(server, an_optimiser_that_runs_away_ends_the_server_and_nothing_is_stored)
{
    static const char *const more[] = {"federation.optimizer=fedavgm",
                                       "federation.server_lr=1000000",
                                       "federation.server_beta1=0.999", "federation.rounds=1000"};
    struct deployment d;
    struct robot r[ROBOTS] = {0};
    uv_loop_t loop;
    deployment_make(&d, more, sizeof more / sizeof *more);
    server_start(&d);
    uv_loop_init(&loop);
    for (int k = 0; k < ROBOTS; k++)
        robot_dial(&r[k], &loop, &d, k);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(server_wait(&d), ERR_STATE);
    json_t *status = status_of(&d);
    for (int k = 0; k < ROBOTS; k++) {
        cr_assert_not(r[k].finished);
        cr_assert_eq(r[k].goodbye.reason, REASON_STOPPING);
        cr_assert_eq(r[k].tasks, 1 + json_integer_value(json_object_get(status, "done")));
        robot_release(&r[k]);
    }
    json_decref(status);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(server, drains_with_a_goodbye_that_asks_to_come_back)
{
    struct deployment d;
    struct robot r = {0};
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    uv_loop_init(&loop);
    robot_dial(&r, &loop, &d, 1); /* two others are missing: it waits */
    for (int waited = 0; waited < PATIENCE_MS; waited += STEP_MS) {
        uv_run(&loop, UV_RUN_NOWAIT);
        json_t *status = status_of(&d);
        const char *state =
            json_string_value(json_object_get(json_object_get(status, "live"), "state"));
        bool ready = state != NULL && strstr(state, "1 of 3 ready") != NULL;
        json_decref(status);
        if (ready)
            break;
        usleep(STEP_MS * 1000);
    }
    cr_assert_eq(kill(d.server, SIGHUP), 0); /* reading certificates anew disturbs nobody */
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(r.down);
    cr_assert_eq(r.goodbye.reason, REASON_STOPPING);
    cr_assert_neq(r.goodbye.retry_after_s, 0);
    robot_release(&r);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(server, ends_by_itself_when_told_to)
{
    static const char *const more[] = {"exit_when_done=true", "federation.clients=1",
                                       "federation.per_round=1"};
    struct deployment d;
    struct robot r = {0};
    uv_loop_t loop;
    deployment_make(&d, more, 3);
    server_start(&d);
    uv_loop_init(&loop);
    robot_dial(&r, &loop, &d, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(r.finished);
    cr_assert_eq(server_wait(&d), 0);
    robot_release(&r);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

Test(server, turns_a_revoked_client_away)
{
    struct deployment d;
    struct robot r = {0};
    struct store *store;
    struct hash token = hash_of("t", 1), print = hash_of("p", 1);
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    cr_assert_eq(
        store_open(&store, folder_file(&d.folder, "state/" SERVER_DATABASE), STORE_WRITE, NULL), 0);
    cr_assert_eq(store_token(store, &token, NULL, 0, 10, NULL), 0);
    cr_assert_eq(store_enroll(store, &token, "client-0002", &print, 1, NULL), 0);
    cr_assert_eq(store_revoke(store, "client-0002", 2, NULL), 0);
    store_close(store);
    uv_loop_init(&loop);
    robot_dial(&r, &loop, &d, 2);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert(r.down);
    cr_assert_eq(r.tasks, 0);
    robot_release(&r);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

/* --- enrolment over the wire --- */

struct applicant {
    struct robot robot; /* first: its events serve both */
    char token[TOKEN_TEXT];
    struct identity device;
};

static void applicant_up(struct link *l, const char *peer, void *ctx)
{
    struct applicant *a = ctx;
    (void)peer;
    a->robot.link = l;
    tell(&a->robot, &(struct msg){.type = MSG_ENROLL, .enroll = {a->token, a->device.cert}});
}

static const struct link_events applicant_events = {applicant_up, robot_frame, robot_limit,
                                                    robot_down};

static void apply(struct applicant *a, uv_loop_t *loop, struct deployment *d, const char *pin)
{
    struct err e = {0};
    const struct tls_files files = {.ca_sha256 = pin};
    a->robot.d = d;
    cr_assert_eq(tls_context_open(&a->robot.tls, TLS_ENROLL_CLIENT, &files, &e), 0, "%s", e.text);
    uv_timer_init(loop, &a->robot.patience);
    a->robot.patience.data = a;
    uv_timer_start(&a->robot.patience, out_of_patience, PATIENCE_MS, 0);
    cr_assert_eq(link_connect(&a->robot.link, loop, "127.0.0.1", d->enroll_port, a->robot.tls,
                              &applicant_events, a, &e),
                 0, "%s", e.text);
    uv_run(loop, UV_RUN_DEFAULT);
    tls_context_close(a->robot.tls);
}

Test(server, enrols_a_device_while_it_runs)
{
    struct deployment d;
    struct applicant a = {0};
    struct enroll office;
    struct token token;
    struct store *store;
    char pin[HASH_HEX], name[IDENTITY_MAX_NAME + 1];
    uv_loop_t loop;
    deployment_make(&d, NULL, 0);
    server_start(&d);
    cr_assert_eq(
        store_open(&store, folder_file(&d.folder, "state/" SERVER_DATABASE), STORE_WRITE, NULL), 0);
    cr_assert_eq(enroll_open(&office, d.config, store, NULL), 0);
    cr_assert_eq(token_make(&token, &office.fingerprint, NULL), 0);
    struct hash digest = token_digest(&token);
    int64_t now = (int64_t)time(NULL);
    cr_assert_eq(store_token(store, &digest, NULL, now, now + 600, NULL), 0);
    token_format(&token, a.token);
    hash_hex(&office.fingerprint, pin);
    cr_assert_eq(identity_make_csr(&a.device, "phone-7", NULL), 0);
    uv_loop_init(&loop);
    apply(&a, &loop, &d, pin);
    cr_assert_eq(identity_common_name(a.robot.certificate, name, NULL), 0);
    cr_assert_str_eq(name, "phone-7");
    apply(&a, &loop, &d, pin); /* the token is used up */
    cr_assert_eq(a.robot.goodbye.reason, REASON_TOKEN);
    enroll_close(&office);
    store_close(store);
    identity_release(&a.device);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    uv_loop_close(&loop);
    deployment_remove(&d);
}

/* --- what it refuses to begin with --- */

Test(server, a_second_server_and_another_run_are_refused)
{
    struct deployment d;
    struct err e = {0};
    deployment_make(&d, NULL, 0);
    server_start(&d);
    cr_assert_eq(server_run(d.config, &e), ERR_STATE);
    cr_assert_not_null(strstr(e.text, "another fedpet-server"), "%s", e.text);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

Test(server, a_port_in_use_is_named)
{
    static char listen_key[64];
    struct deployment d, other;
    struct err e = {0};
    deployment_make(&d, NULL, 0);
    server_start(&d);
    snprintf(listen_key, sizeof listen_key, "listen=127.0.0.1:%u", d.port);
    const char *const more[] = {listen_key};
    deployment_make(&other, more, 1);
    cr_assert_eq(server_run(other.config, &e), ERR_NET);
    cr_assert_not_null(strstr(e.text, listen_key + 7), "%s", e.text);
    deployment_remove(&other);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}
