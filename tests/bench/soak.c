/* How a server bears many clients: a real fedpet-server, and N clients on loopback that are real in
 * all but their training: link, TLS and agent are the daemon's, updates are what they were sent
 * plus noise. LoRA on a model of MiniLM's shape, by default r = 8: 74,498 floats an update.
 *
 *   soak CLIENTS [ROUNDS [PER_ROUND [RANK]]]
 *
 * prints a line at the beginning, after 1, 10, 20 ... rounds and at the end: the server's resident
 * memory, now and at its highest, open files and CPU time by /proc, updates and handshakes a
 * second. ulimit -n must allow for one connection a client in each process. */
#include "base/file.h"
#include "client/agent.h"
#include "net/identity.h"
#include "net/link.h"
#include "random_model.h"
#include "server/init.h"
#include <dirent.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { DIALLING = 24, TICK_MS = 100, PEM = 1 << 16, SHOW_EVERY = 10 };

/* A connection, which may outlive the client's interest in it. */
struct line {
    struct device *device;
    struct link *link;
    bool up;
};

struct device {
    struct soak *soak;
    unsigned number;
    struct agent *agent;
    struct line *line;
    bool waits; /* to dial */
};

struct soak {
    unsigned clients, rounds, per_round, rank;
    char dir[64], path[PATH_MAX];
    uint16_t port;
    pid_t server;
    struct identity ca;
    uv_loop_t loop;
    uv_timer_t tick;
    struct device *device;
    unsigned dialling, next, ups, finished;
    unsigned long updates;
    uint32_t shown; /* rounds of the last line, plus 1 */
    double began, first_task;
    struct buf out;
};

static void die(const char *what, const struct err *e)
{
    fprintf(stderr, "soak: %s: %s\n", what, e->text);
    exit(1);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *file_in(struct soak *s, const char *name)
{
    struct err e;
    if (file_join(s->path, sizeof s->path, s->dir, name, &e) != 0)
        die(name, &e);
    return s->path;
}

/* --- the server --- */

static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) != 0 ||
        getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        die("a free port", &(struct err){.text = "there is none"});
    close(fd);
    return ntohs(at.sin_port);
}

static void configure(struct soak *s)
{
    const struct random_model minilm = {.type = "bert",
                                        .layers = 6,
                                        .hidden = 384,
                                        .heads = 12,
                                        .ffn = 1536,
                                        .vocab = 64,
                                        .positions = 512,
                                        .deviation = 0.02f,
                                        .seed = 1};
    const char *const host = "127.0.0.1";
    struct err e = {0};
    if (!mkdtemp(s->dir) || init_folder(s->dir, &host, 1, &e) != 0)
        die(s->dir, &e);
    char model[80];
    snprintf(model, sizeof model, "%s/model", s->dir);
    if (random_model_write(&minilm, model, &e) != 0)
        die(model, &e);
    s->port = free_port();
    FILE *f = fopen(file_in(s, "server.yaml"), "w");
    fprintf(f,
            "listen: 127.0.0.1:%u\nenroll: 127.0.0.1:0\nallow_root: true\nmodel: %s\n"
            "state: %s/state\nidentity: {ca: %s/ca.pem, ca_key: %s/ca.key, cert: %s/server.pem, "
            "key: %s/server.key}\n"
            "log: {level: warn}\nmax_clients: %u\nmax_per_address: %u\nkeep_rounds: 1\n"
            "journal_rounds: 1\ntask: {name: sst2}\n"
            "peft: {method: lora, r: %u, alpha: 8, targets: [query, value]}\n"
            "federation: {clients: %u, per_round: %u, rounds: %u, deadline_s: 3600, seed: 1}\n",
            s->port, model, s->dir, s->dir, s->dir, s->dir, s->dir, s->clients + 8, s->clients + 8,
            s->rank, s->clients, s->per_round, s->rounds);
    fclose(f);
}

static void start_server(struct soak *s)
{
    char config[80];
    snprintf(config, sizeof config, "%s", file_in(s, "server.yaml"));
    s->server = fork();
    if (s->server == 0) {
        execl(SOAK_SERVER, "fedpet-server", "serve", "--config", config, (char *)NULL);
        _exit(127);
    }
}

/* A line of its status: VmRSS, VmHWM. */
static double server_mib(const struct soak *s, const char *what)
{
    char path[64], line[256];
    size_t len = strlen(what);
    long kib = -1;
    snprintf(path, sizeof path, "/proc/%ld/status", (long)s->server);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, what, len) == 0)
            kib = strtol(line + len, NULL, 10);
    if (f)
        fclose(f);
    return (double)kib / 1024;
}

static unsigned server_files(const struct soak *s)
{
    char path[64];
    unsigned n = 0;
    snprintf(path, sizeof path, "/proc/%ld/fd", (long)s->server);
    DIR *d = opendir(path);
    while (d && readdir(d))
        n++;
    if (d)
        closedir(d);
    return n > 2 ? n - 2 : 0;
}

static double server_cpu(const struct soak *s)
{
    char path[64], text[1024];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%ld/stat", (long)s->server);
    FILE *f = fopen(path, "r");
    if (f && fgets(text, sizeof text, f) && strrchr(text, ')') &&
        sscanf(strrchr(text, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        user = system = 0;
    if (f)
        fclose(f);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static void show(struct soak *s, uint32_t rounds)
{
    double t = now_s();
    s->shown = rounds + 1;
    printf("%7u %7u %9.1f %9.1f %7u %9.1f %9.1f %11.1f\n", s->clients, rounds,
           server_mib(s, "VmRSS:"), server_mib(s, "VmHWM:"), server_files(s), server_cpu(s),
           t - s->began,
           s->first_task > 0 ? (double)s->updates / (t - s->first_task)
                             : (double)s->ups / (t - s->began));
    fflush(stdout);
}

/* --- clients --- */

/* Floats of an update: query and value in six layers of width 384, and the head. */
static size_t packed(const struct soak *s)
{
    return 6U * 2 * 2 * 384 * s->rank + 2 * (384 + 1);
}

static void drain(struct device *d);

static struct tls_context *papers(struct soak *s, unsigned number)
{
    struct identity id = {0};
    struct tls_context *tls = NULL;
    char *cert = NULL, name[32], cert_file[96], key_file[96], ca_file[96];
    struct err e = {0};
    snprintf(name, sizeof name, "client-%06u", number);
    snprintf(cert_file, sizeof cert_file, "%s/cert", s->dir);
    snprintf(key_file, sizeof key_file, "%s/key", s->dir);
    snprintf(ca_file, sizeof ca_file, "%s/ca.pem", s->dir);
    int rc = identity_make_csr(&id, name, &e);
    if (!rc)
        rc = identity_sign_csr(&cert, &s->ca, id.cert, name, (int64_t)time(NULL), 10, &e);
    FILE *c = rc ? NULL : fopen(cert_file, "w"), *k = rc ? NULL : fopen(key_file, "w");
    if (!rc && (!c || !k || fputs(cert, c) < 0 || fputs(id.key, k) < 0 || fclose(c) || fclose(k)))
        rc = err_set(&e, ERR_IO, "%s: cannot write", s->dir);
    chmod(key_file, 0600);
    if (!rc)
        rc = tls_context_open(
            &tls, TLS_CLIENT,
            &(struct tls_files){.ca = ca_file, .cert = cert_file, .key = key_file}, &e);
    if (rc)
        die(name, &e);
    free(cert);
    identity_release(&id);
    return tls;
}

static void on_up(struct link *l, const char *peer, void *ctx)
{
    struct line *line = ctx;
    (void)peer;
    struct device *d = line->device;
    line->link = l;
    line->up = true;
    d->soak->dialling--;
    if (++d->soak->ups == d->soak->clients && d->soak->shown == 0)
        show(d->soak, 0);
    agent_connected(d->agent, (agent_time)uv_now(&d->soak->loop));
    drain(d);
}

static int on_frame(struct link *l, const struct frame *f, void *ctx, struct err *e)
{
    const struct line *line = ctx;
    struct device *d = line->device;
    struct arena mem;
    struct msg m;
    (void)l;
    if (d->line != line)
        return 0;
    arena_init(&mem, f->len + MSG_SLACK);
    int rc = msg_decode((enum msg_type)f->type, f->payload, f->len, &mem, &m, e);
    if (!rc && m.type == MSG_RECEIPT)
        d->soak->updates += m.receipt.accepted;
    if (!rc && m.type != MSG_RUNS) /* there is but one */
        agent_message(d->agent, &m, (agent_time)uv_now(&d->soak->loop));
    arena_release(&mem);
    if (!rc)
        drain(d);
    return rc;
}

static size_t on_limit(void *ctx, uint8_t type)
{
    const struct line *line = ctx;
    return type == MSG_RUNS ? msg_limit(MSG_RUNS, 0) : agent_limit(line->device->agent, type);
}

static void on_down(struct link *l, const struct err *e, void *ctx)
{
    struct line *line = ctx;
    struct device *d = line->device;
    (void)l;
    if (!line->up)
        d->soak->dialling--;
    else
        d->soak->ups--;
    if (d->line == line) {
        d->line = NULL;
        agent_disconnected(d->agent, e, (agent_time)uv_now(&d->soak->loop));
        drain(d);
    }
    free(line);
}

static const struct link_events events = {on_up, on_frame, on_limit, on_down};

/* As many at a time as a server takes of one address. */
static void dial_waiting(struct soak *s)
{
    for (unsigned i = 0; i < s->clients && s->dialling < DIALLING; i++) {
        struct device *d = &s->device[s->next++ % s->clients];
        struct err e = {0};
        if (!d->waits)
            continue;
        d->waits = false;
        d->line = calloc(1, sizeof *d->line);
        d->line->device = d;
        s->dialling++;
        struct tls_context *tls = papers(s, d->number);
        if (link_connect(&d->line->link, &s->loop, "127.0.0.1", s->port, tls, &events, d->line, &e))
            die("connect", &e);
        tls_context_close(tls);
    }
}

/* What it was sent, and a little noise. */
static void train(struct device *d, const struct agent_job *job)
{
    unsigned char *params = malloc(job->len);
    uint32_t noise = d->number * 2654435761U + job->round;
    if (d->soak->first_task == 0)
        d->soak->first_task = now_s();
    if (job->round + 1 > d->soak->shown && (job->round == 1 || job->round % SHOW_EVERY == 0) &&
        job->round > 0)
        show(d->soak, job->round);
    for (size_t i = 0; i + 4 <= job->len; i += 4) {
        float x;
        memcpy(&x, job->params + i, 4);
        noise = noise * 1664525U + 1013904223U;
        x += 1e-3F * ((float)(noise >> 8) / (1 << 24) - 0.5F);
        memcpy(params + i, &x, 4);
    }
    const struct agent_result r = {.params = params,
                                   .len = job->len,
                                   .samples = 32,
                                   .steps = 1,
                                   .train_loss = 0.5,
                                   .seconds = 0.1};
    agent_trained(d->agent, &r, (agent_time)uv_now(&d->soak->loop));
    free(params);
}

static void send_message(struct device *d, const struct msg *m)
{
    struct buf *out = &d->soak->out;
    struct err e = {0};
    if (!d->line)
        return;
    buf_clear(out);
    if (msg_encode(m, out) != 0 ||
        link_send(d->line->link, (uint8_t)m->type, buf_bytes(out), buf_size(out), &e) != 0)
        die("send", &e);
}

static void obey(struct device *d, const struct agent_out *out)
{
    struct soak *s = d->soak;
    if (out->kind == AGENT_CONNECT) {
        d->waits = true;
    } else if (out->kind == AGENT_SEND) {
        send_message(d, &out->msg);
    } else if (out->kind == AGENT_DISCONNECT && d->line) {
        link_close(d->line->link);
        d->line = NULL;
    } else if (out->kind == AGENT_PREPARE) {
        agent_prepared(d->agent, out->welcome->schema, packed(s), out->welcome->model, 32,
                       (agent_time)uv_now(&s->loop));
    } else if (out->kind == AGENT_TRAIN) {
        train(d, out->job);
    } else if (out->kind == AGENT_FINISHED) {
        agent_forget(d->agent);
        if (++s->finished == s->clients) {
            show(s, s->rounds);
            uv_stop(&s->loop);
        }
    }
}

static void drain(struct device *d)
{
    struct agent_out out;
    while (agent_next(d->agent, &out))
        obey(d, &out);
    dial_waiting(d->soak);
}

static void on_tick(uv_timer_t *timer)
{
    struct soak *s = timer->data;
    agent_time now = (agent_time)uv_now(&s->loop);
    int how;
    if (waitpid(s->server, &how, WNOHANG) == s->server)
        die("the server", &(struct err){.text = "has ended"});
    for (unsigned k = 0; k < s->clients; k++)
        if (agent_deadline(s->device[k].agent) <= now) {
            agent_tick(s->device[k].agent, now);
            drain(&s->device[k]);
        }
}

/* --- the whole --- */

static void open_clients(struct soak *s)
{
    struct err e = {0};
    s->device = calloc(s->clients, sizeof *s->device);
    for (unsigned k = 0; k < s->clients; k++) {
        char name[32];
        snprintf(name, sizeof name, "client-%06u", k);
        s->device[k] = (struct device){.soak = s, .number = k};
        if (agent_open(&s->device[k].agent, name, k, (agent_time)uv_now(&s->loop), &e))
            die(name, &e);
    }
}

static void run(struct soak *s)
{
    struct err e = {0};
    configure(s);
    if (file_read(file_in(s, "ca.pem"), PEM, &s->ca.cert, NULL, &e) ||
        file_read(file_in(s, "ca.key"), PEM, &s->ca.key, NULL, &e))
        die("the CA", &e);
    start_server(s);
    uv_loop_init(&s->loop);
    buf_init(&s->out, SIZE_MAX);
    sleep(2);
    open_clients(s);
    printf("clients  rounds   RSS/MiB  peak/MiB   files     CPU/s    time/s updates/s (at 0: "
           "handshakes/s)\n");
    s->began = now_s();
    uv_timer_init(&s->loop, &s->tick);
    s->tick.data = s;
    uv_timer_start(&s->tick, on_tick, 0, TICK_MS);
    uv_run(&s->loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    static struct soak s = {.dir = "/tmp/fedpet-soak-XXXXXX"};
    char command[96];
    s.clients = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    s.rounds = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 100;
    s.per_round = argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 100;
    s.per_round = s.per_round < s.clients ? s.per_round : s.clients;
    s.rank = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 8;
    if (s.clients < 1 || s.rounds < 1 || s.per_round < 1 || s.rank < 1) {
        fprintf(stderr, "soak CLIENTS [ROUNDS [PER_ROUND [RANK]]]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    run(&s);
    kill(s.server, SIGTERM);
    waitpid(s.server, NULL, 0);
    snprintf(command, sizeof command, "rm -rf '%s'", s.dir);
    return system(command) != 0;
}
