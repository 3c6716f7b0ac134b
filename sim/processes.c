#include "sim/processes.h"
#include "base/file.h"
#include "client/client_config.h"
#include "model/jsonfile.h"
#include "model/jsontext.h"
#include "server/runs.h"
#include "server/server.h"
#include "server/store.h"
#include "sim/child.h"
#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    POLL_MS = 50,
    START_PATIENCE_MS = 60000, /* the server hashes its model and opens its database */
    MAX_WORDS = 48,
};

struct deployment {
    const struct processes_config *config;
    char dir[PATH_MAX]; /* OUT/processes */
    char server_program[PATH_MAX], client_program[PATH_MAX];
    uint16_t port, enroll_port;
    struct child *child; /* the server, then the clients */
    size_t n;
    struct store *store;
    uint32_t next; /* the first round not yet seen committed */
    float *theta;
};

/* A command line, its words owned by an arena. */
struct words {
    struct arena mem;
    char *word[MAX_WORDS + 1];
    int n;
    bool full; /* too many words, or no memory: says so once, at the end */
};

static void add(struct words *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void add(struct words *w, const char *fmt, ...)
{
    char text[PATH_MAX + 256];
    va_list ap;
    va_start(ap, fmt);
    int len = vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    char *copy = w->n < MAX_WORDS && len < (int)sizeof text ? arena_strdup(&w->mem, text) : NULL;
    if (copy)
        w->word[w->n++] = copy;
    else
        w->full = true;
    w->word[w->n] = NULL;
}

static int check_words(const struct words *w, struct err *e)
{
    return w->full ? err_set(e, ERR_INTERNAL, "a command line for %s is too long", w->word[0]) : 0;
}

static void nap(void)
{
    struct timespec t = {.tv_nsec = POLL_MS * 1000000L};
    nanosleep(&t, NULL);
}

/* A TCP port on loopback that nobody has now. */
static int free_port(uint16_t *port, struct err *e)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) ||
        getsockname(fd, (struct sockaddr *)&a, &len)) {
        int rc = err_sys(e, ERR_NET, errno, "no free port on 127.0.0.1");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    close(fd);
    *port = ntohs(a.sin_port);
    return 0;
}

static bool answers(uint16_t port)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    bool yes = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0)
        close(fd);
    return yes;
}

/* ["a","b"] as the configuration reads it; NULL for a regression task or no memory. */
static char *labels_text(const struct dataset *d)
{
    if (!d->label_name)
        return NULL;
    json_t *list = json_array();
    for (uint32_t l = 0; l < d->n_labels; l++)
        json_array_append_new(list, json_string(d->label_name[l]));
    char *text = jsontext(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static int make_identities(struct deployment *d, struct err *e)
{
    char log[PATH_MAX];
    struct words w = {0};
    arena_init(&w.mem, 1 << 20);
    add(&w, "%s", d->server_program);
    add(&w, "init");
    add(&w, "%s/server", d->dir);
    add(&w, "--host");
    add(&w, "127.0.0.1");
    int rc = check_words(&w, e);
    if (!rc)
        rc = file_join(log, sizeof log, d->dir, "server.log", e);
    if (!rc)
        rc = child_run(w.word, log, NULL, 0, e);
    arena_release(&w.mem);
    return rc;
}

/* What every command of the server needs to find its state. */
static void add_server_config(struct deployment *d, struct words *w)
{
    add(w, "--config");
    add(w, "%s/server/server.yaml", d->dir);
}

/* The experiment's settings, with the clients' own files as data. The experiment file is given
 * whole where it exists, so that no key is forgotten; what was overridden on our command line is
 * overridden there too. */
static void add_server_settings(struct deployment *d, struct words *w, const char *labels)
{
    const struct setup *s = d->config->setup;
    add(w, "%s", d->server_program);
    add(w, "serve");
    add(w, "--config");
    add(w, "%s", s->path);
    for (size_t i = 0; i < s->set->n; i++)
        add(w, "--set=%s", s->set->item[i]);
    add(w, "--set=model=%s", s->x.model);
    add(w, "--set=listen=127.0.0.1:%u", d->port);
    add(w, "--set=enroll=127.0.0.1:%u", d->enroll_port);
    add(w, "--set=state=%s/server/state", d->dir);
    add(w, "--set=allow_root=true"); /* as we do */
    add(w, "--set=identity.ca=%s/server/ca.pem", d->dir);
    add(w, "--set=identity.ca_key=%s/server/ca.key", d->dir);
    add(w, "--set=identity.cert=%s/server/server.pem", d->dir);
    add(w, "--set=identity.key=%s/server/server.key", d->dir);
    bool tokens = s->train->head == HEAD_TOKENS;
    add(w, "--set=task.name=%s", tokens ? "conll" : "text");
    add(w, "--set=task.data=%s", d->dir);
    add(w, "--set=task.text=%s", tokens ? "tokens" : "text");
    add(w, "--set=task.label=%s", tokens ? "tags" : "label");
    if (s->train->example[0].text_pair)
        add(w, "--set=task.text_pair=text_pair");
    if (labels)
        add(w, "--set=task.labels=%s", labels);
    add(w, "--set=task.metric=%s", metric_name(s->metric));
}

static int start_server(struct deployment *d, struct err *e)
{
    char log[PATH_MAX];
    struct words w = {0};
    char *labels = labels_text(d->config->setup->train);
    arena_init(&w.mem, 1 << 20);
    add_server_settings(d, &w, labels);
    int rc = check_words(&w, e);
    if (!rc)
        rc = file_join(log, sizeof log, d->dir, "server.log", e);
    if (!rc)
        rc = child_start(&d->child[0], w.word, log, e);
    for (int waited = 0; !rc && !answers(d->enroll_port); waited += POLL_MS) {
        if (!child_alive(&d->child[0], e))
            rc = e->code;
        else if (waited >= START_PATIENCE_MS)
            rc = err_set(e, ERR_NET, "fedpet-server does not answer on port %u; see %s",
                         d->enroll_port, log);
        nap();
    }
    free(labels);
    arena_release(&w.mem);
    return rc;
}

/* A token from the server, then key and certificate for client k. */
static int enroll_client(struct deployment *d, size_t k, const char *home, const char *log,
                         struct err *e)
{
    char token[512], name[PARTITION_NAME];
    partition_client_name((uint32_t)k, name);
    struct words w = {0};
    arena_init(&w.mem, 1 << 20);
    add(&w, "%s", d->server_program);
    add(&w, "token");
    add_server_config(d, &w);
    add(&w, "--name=%s", name);
    int rc = check_words(&w, e);
    if (!rc)
        rc = child_run(w.word, log, token, sizeof token, e);
    w.n = 0;
    add(&w, "%s", d->client_program);
    add(&w, "enroll");
    add(&w, "--server=127.0.0.1:%u", d->enroll_port);
    add(&w, "--token=%s", token);
    add(&w, "--name=%s", name);
    add(&w, "--identity=%s/identity", home);
    if (!rc)
        rc = check_words(&w, e);
    if (!rc)
        rc = child_run(w.word, log, NULL, 0, e);
    arena_release(&w.mem);
    return rc;
}

static int start_client(struct deployment *d, size_t k, const char *home, const char *log,
                        struct err *e)
{
    struct words w = {0};
    arena_init(&w.mem, 1 << 20);
    add(&w, "%s", d->client_program);
    add(&w, "run");
    add(&w, "--config=%s/client.yaml", d->dir);
    add(&w, "--set=identity=%s/identity", home);
    add(&w, "--set=data=%s/data.jsonl", home);
    add(&w, "--set=state=%s/state", home);
    int rc = check_words(&w, e);
    if (!rc)
        rc = child_start(&d->child[1 + k], w.word, log, e);
    arena_release(&w.mem);
    return rc;
}

static int write_client_config(struct deployment *d, struct err *e)
{
    char path[PATH_MAX], server[32];
    snprintf(server, sizeof server, "127.0.0.1:%u", d->port);
    const struct memory *memory = &d->config->memory;
    json_t *json =
        json_pack("{s:s, s:s, s:i, s:s, s:I}", "server", server, "model", d->config->setup->x.model,
                  "threads", (int)d->config->threads, "memory", client_memory_word(memory->mode),
                  "memory_limit", (json_int_t)memory->limit);
    int rc = file_join(path, sizeof path, d->dir, "client.yaml", e); /* JSON is YAML */
    if (!rc)
        rc = jsonfile_write(json, 0, path, e);
    json_decref(json);
    return rc;
}

static int add_client(struct deployment *d, size_t k, struct err *e)
{
    const struct setup *s = d->config->setup;
    const struct partition *p = &s->partition;
    char home[PATH_MAX], data[PATH_MAX], log[PATH_MAX], name[PARTITION_NAME];
    partition_client_name((uint32_t)k, name);
    int rc = file_join(home, sizeof home, d->dir, name, e);
    if (!rc)
        rc = file_mkdirs(home, 0700, e);
    if (!rc)
        rc = file_join(data, sizeof data, home, "data.jsonl", e);
    if (!rc)
        rc = file_join(log, sizeof log, home, "client.log", e);
    if (!rc)
        rc =
            dataset_write_jsonl(s->train, p->index + p->off[k], p->off[k + 1] - p->off[k], data, e);
    if (!rc)
        rc = enroll_client(d, k, home, log, e);
    if (!rc)
        rc = start_client(d, k, home, log, e);
    return rc ? err_wrap(e, "%s", name) : 0;
}

/* The contributions of one round, as the store tells them; names stay NULL: nobody asks for them
 * here. */
struct contributions {
    struct core_contribution *list;
    size_t n, cap;
};

static int on_contribution(void *ctx, const struct core_contribution *c)
{
    struct contributions *all = ctx;
    if (all->n == all->cap)
        return 1;
    all->list[all->n] = *c;
    all->list[all->n++].client = NULL;
    return 0;
}

struct news {
    struct store_round round;
    bool any;
};

static int on_round(void *ctx, const struct store_round *r)
{
    struct news *n = ctx;
    n->round = *r;
    n->any = true;
    return 1; /* one at a time: the database is not kept busy while we evaluate */
}

static int pass_on(struct deployment *d, const struct store_round *r, struct err *e)
{
    const struct schema *schema = peft_schema(d->config->setup->peft);
    struct contributions all = {.cap = r->updates,
                                .list = calloc(r->updates + 1, sizeof *all.list)};
    if (!all.list)
        return err_set(e, ERR_NOMEM, "no memory for round %u", r->round + 1);
    int rc = store_params(d->store, schema, r->round, d->theta, e);
    if (!rc)
        rc = store_contributions(d->store, r->round, on_contribution, &all, e);
    struct core_commit c = {.round = r->round,
                            .params = d->theta,
                            .hash = r->hash,
                            .n = all.n,
                            .contribution = all.list,
                            .samples = r->samples,
                            .train_loss = r->train_loss,
                            .selected = r->selected,
                            .refused = r->refused};
    double score = NAN;
    if (!rc)
        rc = d->config->committed(d->config->ctx, &c, &score, e);
    free(all.list);
    return rc;
}

static int watch(struct deployment *d, struct err *e)
{
    uint32_t rounds = d->config->setup->x.spec.federation.rounds;
    while (d->next < rounds) {
        struct news news = {0};
        int rc = store_rounds(d->store, d->next, on_round, &news, e);
        if (!rc && news.any)
            rc = pass_on(d, &news.round, e);
        if (rc)
            return rc;
        if (news.any) {
            d->next++;
            continue;
        }
        for (size_t i = 0; i < d->n; i++)
            if (!child_alive(&d->child[i], e))
                return e->code;
        if (d->config->cancel && atomic_load(d->config->cancel))
            return err_set(e, ERR_STATE, "interrupted in round %u of %u", d->next + 1, rounds);
        nap();
    }
    return 0;
}

static int deploy(struct deployment *d, struct err *e)
{
    char database[PATH_MAX];
    int rc = file_mkdirs(d->dir, 0700, e);
    if (!rc)
        rc = child_program("fedpet-server", d->server_program, sizeof d->server_program, e);
    if (!rc)
        rc = child_program("fedpet-client", d->client_program, sizeof d->client_program, e);
    if (!rc)
        rc = free_port(&d->port, e);
    if (!rc)
        rc = free_port(&d->enroll_port, e);
    if (!rc)
        rc = make_identities(d, e);
    if (!rc)
        rc = start_server(d, e);
    if (!rc)
        rc = write_client_config(d, e);
    for (size_t k = 0; !rc && k + 1 < d->n; k++)
        rc = d->config->cancel && atomic_load(d->config->cancel)
                 ? err_set(e, ERR_STATE, "interrupted while enrolling clients")
                 : add_client(d, k, e);
    if (!rc)
        rc = file_join(database, sizeof database, d->dir,
                       "server/state/" SERVER_RUNS "/" RUNS_DEFAULT "/" RUNS_DATABASE, e);
    return rc ? rc : store_open(&d->store, database, STORE_READ, e);
}

int processes_run(const struct processes_config *c, float *theta, struct err *e)
{
    struct deployment d = {
        .config = c, .n = 1 + (size_t)c->setup->partition.clients, .theta = theta};
    char out[PATH_MAX];
    if (!realpath(c->dir, out))
        return err_sys(e, ERR_IO, errno, "%s", c->dir);
    int rc = file_join(d.dir, sizeof d.dir, out, "processes", e);
    if (rc)
        return rc;
    d.child = calloc(d.n, sizeof *d.child);
    if (!d.child)
        return err_set(e, ERR_NOMEM, "no memory for %zu processes", d.n);
    rc = deploy(&d, e);
    if (!rc)
        rc = watch(&d, e);
    store_close(d.store);
    child_stop(d.child, d.n);
    free(d.child);
    return rc;
}
