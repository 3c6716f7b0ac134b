#include "server/observe.h"
#include "base/file.h"
#include "server/server.h"
#include "server/server_state.h"
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { REFUSALS_A_MINUTE = 60, MINUTE_MS = 60 * 1000 };

static int64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* --- the audit log --- */

/* The server goes on without a line that cannot be written, and says so everywhere else. */
static void enter(struct server *s, const char *event, json_t *detail, bool sync)
{
    struct err e = {0};
    if (s->observe.audit == NULL) {
        json_decref(detail);
        return;
    }
    if (audit_append(s->observe.audit, unix_ms(), event, detail, sync, &e) == 0)
        return;
    atomic_fetch_add(&s->observe.audit_failures, 1);
    log_error("audit log cannot be written event=%s reason=\"%s\"", event, e.text);
}

void observe_event(struct server *s, const char *event, json_t *detail)
{
    enter(s, event, detail, true);
}

static void enter_more_refusals(struct server *s)
{
    struct observe *o = &s->observe;
    if (o->refusals.more > 0)
        enter(s, "refused_more", json_pack("{s:I}", "count", (json_int_t)o->refusals.more), false);
    o->refusals.more = 0;
    o->refusals.lines = 0;
}

/* What a stranger says need not be UTF-8. */
static json_t *text(const char *s)
{
    json_t *j = json_string(s);
    return j != NULL ? j : json_string("(not UTF-8)");
}

void observe_refused(const struct peer *q, const char *client, const char *reason)
{
    struct observe *o = &q->server->observe;
    int64_t now = unix_ms();
    if (now - o->refusals.since >= MINUTE_MS || now < o->refusals.since) {
        enter_more_refusals(q->server);
        o->refusals.since = now;
    }
    if (o->refusals.lines == REFUSALS_A_MINUTE) {
        o->refusals.more++;
        return;
    }
    o->refusals.lines++;
    json_t *detail = json_pack("{s:s, s:o*, s:o}", "address", q->address, "client",
                               client[0] != '\0' ? text(client) : NULL, "reason", text(reason));
    enter(q->server, "refused", detail, false);
}

static json_t *describe_round(const struct runner *r, uint32_t round, size_t updates,
                              const struct hash *hash)
{
    char hex[HASH_HEX];
    hash_hex(hash, hex);
    return json_pack("{s:s, s:s, s:I, s:I, s:s}", "name", r->name, "run", r->stored.run_id, "round",
                     (json_int_t)round + 1, "updates", (json_int_t)updates, "hash", hex);
}

void observe_commit_stored(struct runner *r, const struct core_commit *c)
{
    enter(r->server, "round_committed", describe_round(r, c->round, c->n, &c->hash), true);
}

void observe_finish(struct runner *r, const struct err *failure)
{
    observe_event(r->server, failure != NULL ? "run_failed" : "run_finished",
                  json_pack("{s:s, s:s, s:I, s:s*}", "name", r->name, "run", r->stored.run_id,
                            "rounds", (json_int_t)core_round(r->core), "reason",
                            failure != NULL ? failure->text : NULL));
}

/* --- counting --- */

void observe_up(struct peer *q)
{
    q->up = true;
    q->server->observe.metrics.handshake[q->port]++;
}

void observe_down(struct peer *q, const struct err *e)
{
    struct metrics *m = &q->server->observe.metrics;
    m->bytes_in[q->port] += link_bytes_in(q->link);
    m->bytes_out[q->port] += link_bytes_out(q->link);
    if (q->up)
        return;
    m->handshake_failed[q->port]++;
    if (e->code == ERR_TLS)
        observe_refused(q, "", e->text);
}

void observe_said(const struct peer *q, const struct msg *m)
{
    if (m->type == MSG_RECEIPT && !msg_withdraws(&m->receipt))
        q->runner->metrics.update[m->receipt.accepted ? REASON_NONE : m->receipt.reason]++;
    if (m->type == MSG_GOODBYE && m->goodbye.reason != REASON_NONE &&
        m->goodbye.reason != REASON_STOPPING && m->goodbye.reason != REASON_DUPLICATE &&
        m->goodbye.reason != REASON_FULL)
        observe_refused(q, q->name, m->goodbye.text);
}

void observe_enrolment(const struct peer *q, const struct msg *answer)
{
    struct metrics *m = &q->server->observe.metrics;
    struct hash print = {0};
    char hex[HASH_HEX];
    if (answer->type != MSG_IDENTITY) {
        m->enrolment_refused++;
        observe_refused(q, "", answer->goodbye.text);
        return;
    }
    m->enrolled++;
    if (identity_fingerprint(answer->identity.cert_pem, &print, NULL) != 0)
        print = (struct hash){0}; /* the certificate is our own: it can be read */
    hash_hex(&print, hex);
    observe_event(q->server, "enrolled",
                  json_pack("{s:s, s:s, s:s}", "client", answer->identity.name, "address",
                            q->address, "certificate", hex));
}

void observe_journal(struct runner *r, int rc, double seconds)
{
    metrics_add(&r->metrics.journal, seconds);
    r->metrics.journal_failures += rc != 0;
}

void observe_aggregated(struct runner *r, double seconds)
{
    metrics_add(&r->metrics.aggregation, seconds);
}

void observe_commit(struct runner *r, const struct core_commit *c, int rc, double seconds)
{
    struct run_metrics *m = &r->metrics;
    metrics_add(&m->commit, seconds);
    if (rc != 0) {
        m->commit_failures++;
        return;
    }
    m->rounds++;
    m->restarts += c->attempt;
    metrics_add(&m->round, (double)(c->ended - c->started) / 1000);
}

/* --- birth and death --- */

/* For which runs the log is read. */
struct reading {
    struct server *server;
    struct runner *only; /* NULL: all */
};

static bool concerns(const struct reading *k, const struct runner *r)
{
    return r->core != NULL && (k->only == NULL || k->only == r);
}

static void note_round(void *ctx, const char *line, const json_t *record)
{
    struct reading *k = ctx;
    struct runners *all = &k->server->runners;
    const char *event = json_string_value(json_object_get(record, "event")),
               *run = json_string_value(json_object_get(record, "run"));
    json_int_t round = json_integer_value(json_object_get(record, "round"));
    (void)line;
    if (event == NULL || strcmp(event, "round_committed") != 0 || run == NULL || round < 0 ||
        round > UINT32_MAX)
        return;
    for (size_t i = 0; i < all->n; i++)
        if (concerns(k, all->runner[i]) && strcmp(run, all->runner[i]->stored.run_id) == 0)
            all->runner[i]->audited = (uint32_t)round;
}

static int enter_late(void *ctx, const struct store_round *round)
{
    struct runner *r = ctx;
    json_t *detail = describe_round(r, round->round, round->updates, &round->hash);
    json_object_set_new(detail, "late", json_true());
    enter(r->server, "round_committed", detail, true);
    return 0;
}

/* A server that is killed between a commit and its line leaves the line to the next one. */
int observe_catch_up(struct server *s, struct runner *only, struct err *e)
{
    struct reading k = {s, only};
    char path[PATH_MAX];
    struct audit_summary sum;
    int rc = file_join(path, sizeof path, s->config->state, AUDIT_FILE, e);
    if (rc == 0)
        rc = audit_verify(path, NULL, note_round, &k, &sum, e);
    if (rc == ERR_DATA) {
        log_error("audit log was tampered with reason=\"%s\"", e->text);
        return 0;
    }
    for (size_t i = 0; rc == 0 && i < s->runners.n; i++) {
        struct runner *r = s->runners.runner[i];
        if (concerns(&k, r) && r->audited < r->stored.next)
            rc = store_rounds(r->rounds, r->audited, enter_late, r, e);
    }
    return rc;
}

static json_t *names_of_runs(const struct server *s)
{
    json_t *names = json_array();
    for (size_t i = 0; i < s->runners.n; i++)
        json_array_append_new(names, json_string(s->runners.runner[i]->name));
    return names;
}

int observe_open(struct server *s, struct err *e)
{
    struct observe *o = &s->observe;
    char path[PATH_MAX];
    o->started = unix_ms();
    int rc = file_join(path, sizeof path, s->config->state, AUDIT_FILE, e);
    if (rc == 0)
        rc = audit_open(&o->audit, path, o->started, e);
    if (rc == 0)
        rc = observe_catch_up(s, NULL, e);
    if (rc == 0)
        rc = observe_page_open(s, e);
    if (rc == 0)
        observe_event(s, "started",
                      json_pack("{s:s, s:i, s:o}", "version", FEDPET_VERSION, "pid", (int)getpid(),
                                "runs", names_of_runs(s)));
    return rc;
}

void observe_release(struct server *s)
{
    enter_more_refusals(s);
    observe_event(s, "stopped", json_pack("{s:I}", "code", (json_int_t)s->failure.code));
    audit_close(s->observe.audit);
}
