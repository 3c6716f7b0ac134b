#include "base/file.h"
#include "server/audit.h"
#include "server/cmd.h"
#include "server/enroll.h"
#include "server/papers.h"
#include "server/server.h"
#include "server/status.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

int cmd_people(struct store **store, const struct server_config *c, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_mkdirs(c->state, 0700, e);
    if (rc == 0)
        rc = file_join(path, sizeof path, c->state, SERVER_DATABASE, e);
    return rc != 0 ? rc : store_open(store, path, STORE_WRITE, e);
}

void cmd_notify(const struct server_config *c)
{
    json_t *live = status_live(c->state);
    pid_t pid = (pid_t)json_integer_value(json_object_get(live, "pid"));
    if (pid > 1 && kill(pid, SIGHUP) != 0)
        log_warn("the running server does not know yet: send it SIGHUP pid=%d reason=\"%s\"",
                 (int)pid, strerror(errno));
    json_decref(live);
}

/* What all commands of this file begin with: a configuration and an open store. */
struct desk {
    struct conf *conf;
    struct server_config *config;
    struct store *store;
    struct cli_args args;
    bool format_json, force;
};

/* Opens the desk unless only help was wanted: then store is NULL. */
static int desk_open(struct desk *d, const struct cli_command *self, int argc, char **argv,
                     const struct cli_option *more, struct err *e)
{
    char *path = NULL;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        more != NULL ? *more : (struct cli_option){0},
        {0},
    };
    int rc = cli_parse(self, options, argc, argv, &d->args, e);
    if (rc != 0 || d->args.help)
        return rc;
    rc = server_config_load(&d->conf, &d->config, path, &set, NEED_STATE | NEED_IDENTITY, e);
    return rc == 0 ? cmd_people(&d->store, d->config, e) : rc;
}

static void desk_close(struct desk *d)
{
    store_close(d->store);
    conf_free(d->conf);
}

static int record(const struct desk *d, const char *event, json_t *detail, struct err *e)
{
    return audit_once(d->config->state, (int64_t)time(NULL) * 1000, event, detail, e);
}

/* --- revoke --- */

/* A client by its name, or else a certificate by its serial number. */
static int revoke(const struct desk *d, const char *word, int64_t now, struct err *e)
{
    int rc = store_revoke(d->store, word, now, e);
    if (rc == ERR_USAGE && identity_serial_ok(word))
        rc = store_revoke_serial(d->store, word, now, e);
    return rc;
}

static int publish(const struct desk *d, int64_t now, struct err *e)
{
    struct identity ca;
    int rc = papers_recover(d->config, e);
    if (rc == 0)
        rc = papers_ca(d->config, &ca, e);
    if (rc != 0)
        return rc;
    rc = papers_write_crl(d->config, &ca, d->store, now, e);
    identity_release(&ca);
    return rc;
}

int cmd_revoke(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct desk d = {0};
    int64_t now = (int64_t)time(NULL);
    int rc = desk_open(&d, self, argc, argv, NULL, e);
    if (rc == 0 && d.store != NULL && d.args.n != 1)
        rc = err_set(e, ERR_USAGE,
                     "revoke needs the name of one client, or the serial number of a certificate");
    if (rc == 0 && d.store != NULL) {
        rc = revoke(&d, d.args.word[0], now, e);
        if (rc == 0)
            rc = record(&d, "revoked", json_pack("{s:s}", "client", d.args.word[0]), e);
        if (rc == 0)
            rc = publish(&d, now, e);
        if (rc == 0)
            cmd_notify(d.config);
    }
    desk_close(&d);
    return rc;
}

/* --- clients --- */

struct listing {
    const struct server_config *config;
    struct hash signer;
    int64_t now;
    json_t *json; /* NULL: as text */
};

static int list_certificate(void *ctx, const struct store_certificate *c)
{
    const struct listing *l = ctx;
    const struct name_list *observers = &l->config->observers;
    const char *role =
        observers->n > 0 && enroll_allows(observers, c->client) ? "observer" : "trainer";
    const char *state = c->revoked != 0                                ? "revoked"
                        : !enroll_allows(&l->config->allow, c->client) ? "not allowed"
                        : !hash_same(&c->issuer, &l->signer)           ? "old CA"
                                                                       : "good";
    int64_t days = (c->expires - l->now) / 86400;
    if (l->json == NULL)
        return printf("%-20s  %-8s  %-11s  %5" PRId64 "  %s\n", c->client, role, state, days,
                      c->serial) < 0;
    return json_array_append_new(l->json, json_pack("{s:s, s:s, s:s, s:I, s:I, s:s}", "client",
                                                    c->client, "role", role, "state", state,
                                                    "given", (json_int_t)c->given, "expires",
                                                    (json_int_t)c->expires, "serial", c->serial));
}

static int list_all(const struct desk *d, struct err *e)
{
    struct identity ca;
    struct listing l = {.config = d->config, .now = (int64_t)time(NULL)};
    int rc = papers_ca(d->config, &ca, e);
    if (rc != 0)
        return rc;
    rc = identity_fingerprint(ca.cert, &l.signer, e);
    identity_release(&ca);
    if (rc != 0)
        return rc;
    l.json = d->format_json ? json_array() : NULL;
    if (!d->format_json)
        printf("%-20s  %-8s  %-11s  %5s  %s\n", "client", "role", "state", "days", "certificate");
    rc = store_certificates(d->store, l.now, list_certificate, &l, e);
    if (rc != 0 && e->code == 0)
        rc = err_set(e, ERR_IO, "cannot write the list");
    if (rc == 0 && d->format_json) {
        json_dumpf(l.json, stdout, JSON_INDENT(2));
        printf("\n");
    }
    json_decref(l.json);
    return rc;
}

int cmd_clients(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct desk d = {0};
    const struct cli_option format = {"format",       'f',           CLI_FORMAT, "FORMAT",
                                      "text or json", &d.format_json};
    int rc = desk_open(&d, self, argc, argv, &format, e);
    if (rc == 0 && d.store != NULL)
        rc = cli_words(&d.args, 0, e);
    if (rc == 0 && d.store != NULL)
        rc = list_all(&d, e);
    desk_close(&d);
    return rc;
}

/* --- the server's own papers --- */

/* Runs `change`, then tells the audit log and the server. */
static int change_papers(const struct desk *d, const char *event,
                         int (*change)(const struct desk *d, struct err *e), struct err *e)
{
    int rc = change(d, e);
    if (rc == 0)
        rc = record(d, event, NULL, e);
    if (rc == 0)
        cmd_notify(d->config);
    return rc;
}

static int run_change(const struct cli_command *self, int argc, char **argv, const char *event,
                      int (*change)(const struct desk *d, struct err *e), bool with_force,
                      struct err *e)
{
    struct desk d = {0};
    const struct cli_option force = {
        "force", 0, CLI_FLAG, NULL, "even if clients are left behind: they must enrol again",
        &d.force};
    int rc = desk_open(&d, self, argc, argv, with_force ? &force : NULL, e);
    if (rc == 0 && d.store != NULL)
        rc = cli_words(&d.args, 0, e);
    if (rc == 0 && d.store != NULL)
        rc = change_papers(&d, event, change, e);
    desk_close(&d);
    return rc;
}

/* Clients without a certificate of the CA that signs now: how many, and the first one's name. */
struct behind {
    struct hash signer;
    char client[IDENTITY_MAX_NAME + 1], first[IDENTITY_MAX_NAME + 1];
    bool moved; /* the present client has one */
    unsigned n;
};

static void count_client(struct behind *b)
{
    if (b->client[0] == '\0' || b->moved)
        return;
    if (b->n++ == 0)
        memcpy(b->first, b->client, sizeof b->first);
}

static int look_behind(void *ctx, const struct store_certificate *c)
{
    struct behind *b = ctx;
    if (c->revoked != 0)
        return 0;
    if (strcmp(c->client, b->client) != 0) {
        count_client(b);
        snprintf(b->client, sizeof b->client, "%s", c->client);
        b->moved = false;
    }
    b->moved |= hash_same(&c->issuer, &b->signer);
    return 0;
}

/* ERR_STATE unless there is one CA only, or every client has a certificate of the first. */
static int nobody_behind(const struct desk *d, struct err *e)
{
    struct behind b = {0};
    struct identity ca;
    size_t cas = 0;
    int rc = papers_recover(d->config, e);
    if (rc == 0)
        rc = papers_ca(d->config, &ca, e);
    if (rc != 0)
        return rc;
    rc = identity_count(ca.cert, &cas, e);
    if (rc == 0)
        rc = identity_fingerprint(ca.cert, &b.signer, e);
    identity_release(&ca);
    if (rc == 0 && cas > 1)
        rc = store_certificates(d->store, (int64_t)time(NULL), look_behind, &b, e);
    count_client(&b);
    if (rc == 0 && b.n > 0 && !d->force)
        rc = err_set(e, ERR_STATE,
                     "%u clients have no certificate of the new CA, %s for one: wait until they "
                     "have been online, or use --force",
                     b.n, b.first);
    return rc;
}

static int renew(const struct desk *d, struct err *e)
{
    int rc = nobody_behind(d, e);
    return rc == 0 ? papers_renew(d->config, (int64_t)time(NULL), e) : rc;
}

static int roll(const struct desk *d, struct err *e)
{
    return papers_roll(d->config, (int64_t)time(NULL), e);
}

static int retire(const struct desk *d, struct err *e)
{
    int rc = nobody_behind(d, e);
    return rc == 0 ? papers_retire(d->config, e) : rc;
}

int cmd_renew(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    return run_change(self, argc, argv, "server_renewed", renew, true, e);
}

int cmd_ca_roll(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    return run_change(self, argc, argv, "ca_rolled", roll, false, e);
}

int cmd_ca_retire(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    return run_change(self, argc, argv, "ca_retired", retire, true, e);
}
