#include "server/observe.h"
#include "base/file.h"
#include "server/server.h"
#include "server/server_state.h"
#include <inttypes.h>
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

static json_t *describe_round(const char *run_id, uint32_t round, size_t updates,
                              const struct hash *hash)
{
    char hex[HASH_HEX];
    hash_hex(hash, hex);
    return json_pack("{s:s, s:I, s:I, s:s}", "run", run_id, "round", (json_int_t)round + 1,
                     "updates", (json_int_t)updates, "hash", hex);
}

void observe_commit_stored(struct server *s, const struct core_commit *c)
{
    enter(s, "round_committed", describe_round(s->stored.run_id, c->round, c->n, &c->hash), true);
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
    struct metrics *metrics = &q->server->observe.metrics;
    if (m->type == MSG_RECEIPT && !msg_withdraws(&m->receipt))
        metrics->update[m->receipt.accepted ? REASON_NONE : m->receipt.reason]++;
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

void observe_journal(struct server *s, int rc, double seconds)
{
    metrics_add(&s->observe.metrics.journal, seconds);
    s->observe.metrics.journal_failures += rc != 0;
}

void observe_aggregated(struct server *s, double seconds)
{
    metrics_add(&s->observe.metrics.aggregation, seconds);
}

void observe_commit(struct server *s, const struct core_commit *c, int rc, double seconds)
{
    struct metrics *m = &s->observe.metrics;
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

struct last_round {
    const char *run_id;
    json_int_t round; /* from 1; 0: none */
};

static void note_round(void *ctx, const char *line, const json_t *record)
{
    struct last_round *last = ctx;
    const char *event = json_string_value(json_object_get(record, "event")),
               *run = json_string_value(json_object_get(record, "run"));
    (void)line;
    if (event != NULL && strcmp(event, "round_committed") == 0 && run != NULL &&
        strcmp(run, last->run_id) == 0)
        last->round = json_integer_value(json_object_get(record, "round"));
}

static int enter_late(void *ctx, const struct store_round *r)
{
    struct server *s = ctx;
    json_t *detail = describe_round(s->stored.run_id, r->round, r->updates, &r->hash);
    json_object_set_new(detail, "late", json_true());
    enter(s, "round_committed", detail, true);
    return 0;
}

/* A server that is killed between a commit and its line leaves the line to the next one. */
static int catch_up(struct server *s, const char *path, struct err *e)
{
    struct last_round last = {.run_id = s->stored.run_id};
    struct audit_summary sum;
    int rc = audit_verify(path, NULL, note_round, &last, &sum, e);
    if (rc == ERR_DATA) {
        log_error("audit log was tampered with reason=\"%s\"", e->text);
        return 0;
    }
    if (rc != 0 || last.round < 0 || last.round >= s->stored.next)
        return rc;
    return store_rounds(s->rounds, (uint32_t)last.round, enter_late, s, e);
}

int observe_open(struct server *s, struct err *e)
{
    struct observe *o = &s->observe;
    char path[4096];
    metrics_init(&o->metrics);
    o->started = unix_ms();
    int rc = file_join(path, sizeof path, s->config->state, AUDIT_FILE, e);
    if (rc == 0)
        rc = audit_open(&o->audit, path, o->started, e);
    if (rc == 0)
        rc = catch_up(s, path, e);
    if (rc == 0)
        rc = observe_page_open(s, e);
    if (rc == 0)
        observe_event(s, "started",
                      json_pack("{s:s, s:s, s:i}", "version", FEDPET_VERSION, "run",
                                s->stored.run_id, "pid", (int)getpid()));
    return rc;
}

void observe_release(struct server *s)
{
    enter_more_refusals(s);
    observe_event(s, "stopped", json_pack("{s:I}", "code", (json_int_t)s->failure.code));
    audit_close(s->observe.audit);
}
