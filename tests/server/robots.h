/* The whole server as a process of its own, with real sockets, TLS and SQLite, and robots for
 * clients: they speak the protocol and make up their updates. */
#ifndef TESTS_SERVER_ROBOTS_H
#define TESTS_SERVER_ROBOTS_H

#include "base/file.h"
#include "folder.h"
#include "net/identity.h"
#include "net/link.h"
#include "server/init.h"
#include "server/run.h"
#include "server/runs.h"
#include "server/server.h"
#include "server/status.h"
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, STEP_MS = 20, ROBOTS = 3, ROUNDS = 3 };

/* --- the server --- */

struct deployment {
    struct folder folder;
    char model[256], path[256];
    struct conf *conf;
    struct server_config *config;
    struct run run; /* the same model and method as the server's: for schema and initial values */
    pid_t server;
    uint16_t port, enroll_port;
};

static inline void deployment_make(struct deployment *d, const char *const *more, size_t n)
{
    struct err e = {0};
    struct cli_list set = {0};
    *d = (struct deployment){.folder = folder_make()};
    const char *const host = "127.0.0.1";
    cr_assert_eq(init_folder(d->folder.path, &host, 1, &e), 0, "%s", e.text);
    snprintf(d->model, sizeof d->model, "model=%s/model/golden/bert", FEDPET_TEST_DIR);
    const char *const common[] = {d->model,
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
    snprintf(d->path, sizeof d->path, "%s/server.yaml", d->folder.path);
    cr_assert_eq(server_config_load(&d->conf, &d->config, d->path, &set,
                                    NEED_PORTS | NEED_STATE | NEED_IDENTITY, &e),
                 0, "%s", e.text);
    cr_assert_eq(run_open(&d->run, &d->config->run, &e), 0, "%s", e.text);
}

static inline void deployment_remove(struct deployment *d)
{
    run_close(&d->run);
    conf_free(d->conf);
    folder_remove(&d->folder);
}

static inline const char *run_database(const struct deployment *d)
{
    return folder_file(&d->folder, "state/" SERVER_RUNS "/" RUNS_DEFAULT "/" RUNS_DATABASE);
}

/* The status of the server and its own run, NULL while that has no database. */
static inline json_t *status_of(const struct deployment *d)
{
    json_t *status = NULL;
    return status_collect(&status, d->config, RUNS_DEFAULT, NULL) == 0 ? status : NULL;
}

static inline void server_start(struct deployment *d)
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

static inline int server_wait(struct deployment *d)
{
    int how;
    cr_assert_eq(waitpid(d->server, &how, 0), d->server);
    cr_assert(WIFEXITED(how));
    return WEXITSTATUS(how);
}

static inline int server_stop_by(struct deployment *d, int signal_number)
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
    const char *run;                      /* that it names in its Hello */
    char name[SPEC_MAX_NAME + 1];         /* of the run that it was welcomed to */
    char listed[128];                     /* by the last Runs, joined by commas */
    bool foreign;                         /* has another base model */
    bool mute;                            /* does not answer its tasks */
    unsigned tasks, receipts, stop_after; /* leaves after so many receipts; 0: never */
    bool finished, down;
    const double *score; /* its accuracy by round; NULL: 0.5 */
    float *final;
    struct msg_goodbye goodbye;
    struct err why;
    char certificate[8192];
};

static inline void tell(struct robot *r, const struct msg *m)
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
static inline void train(struct robot *r, const struct msg_task *task)
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
    m.update.update_id = msg_update_id(&m.update, name);
    tell(r, &m);
    free(packed);
    free(theta);
}

static inline void robot_up(struct link *l, const char *peer, void *ctx)
{
    struct robot *r = ctx;
    (void)peer;
    r->link = l;
    tell(r, &(struct msg){.type = MSG_HELLO, .hello = {MSG_PROTOCOL, "robot", r->run}});
}

static inline void on_receipt(struct robot *r, const struct msg_receipt *receipt)
{
    cr_assert(receipt->accepted, "%s", receipt->text);
    if (++r->receipts == r->stop_after)
        link_close(r->link);
}

static inline void on_finish(struct robot *r, const struct msg_finish *finish)
{
    const struct schema *s = peft_schema(r->d->run.peft);
    r->finished = true;
    r->final = calloc(s->count, sizeof *r->final);
    cr_assert_eq(tensorset_unpack(s, finish->params.data, finish->params.len, r->final, NULL), 0);
    link_close(r->link);
}

static inline int robot_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
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
        snprintf(r->name, sizeof r->name, "%s", m.welcome.name);
        if (r->foreign)
            m.welcome.model = hash_of("another", 7);
        tell(r, &(struct msg){.type = MSG_READY, .ready = {m.welcome.schema, m.welcome.model, 10}});
    } else if (m.type == MSG_RUNS) {
        r->listed[0] = '\0';
        for (size_t i = 0, n = 0; i < m.runs.n; i++)
            n += (size_t)snprintf(r->listed + n, sizeof r->listed - n, "%s%s", i > 0 ? "," : "",
                                  m.runs.name[i]);
    } else if (m.type == MSG_TASK) {
        r->tasks++;
        if (!r->mute)
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

static inline size_t robot_limit(void *ctx, uint8_t type)
{
    const struct robot *r = ctx;
    return type < MSG_TYPES ? msg_limit((enum msg_type)type, peft_schema(r->d->run.peft)->packed)
                            : 0;
}

static inline void robot_down(struct link *l, const struct err *e, void *ctx)
{
    struct robot *r = ctx;
    (void)l;
    r->down = true;
    r->why = *e;
    uv_close((uv_handle_t *)&r->patience, NULL);
}

static const struct link_events robot_events = {robot_up, robot_frame, robot_limit, robot_down};

static inline void out_of_patience(uv_timer_t *timer)
{
    struct robot *r = timer->data;
    cr_assert_fail("robot %d waits in vain: %u tasks, %u receipts", r->number, r->tasks,
                   r->receipts);
}

/* A certificate signed by the deployment's CA, without the detour of a token. */
static inline struct tls_context *certify(struct deployment *d, const char *name)
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
    const struct tls_files files = {.ca = d->config->identity.ca,
                                    .cert = folder_file(&d->folder, cert_file),
                                    .key = folder_file(&d->folder, key_file)};
    cr_assert_eq(tls_context_open(&tls, TLS_CLIENT, &files, &e), 0, "%s", e.text);
    free(cert);
    identity_release(&device);
    identity_release(&ca);
    return tls;
}

static inline void robot_dial(struct robot *r, uv_loop_t *loop, struct deployment *d, int number)
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

static inline void robot_release(struct robot *r)
{
    tls_context_close(r->tls);
    free(r->final);
}

/* The robots play a run to its end. Killed after `kill_after` rounds, and started again. */
static inline void robots_play(struct deployment *d, struct robot r[ROBOTS], unsigned kill_after)
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

#endif
