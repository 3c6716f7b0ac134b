#include "server/metrics.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

static const char *const port_name[METRICS_PORTS] = {"clients", "enrolment"};

/* Rounds take seconds to hours; aggregating an update and storing a round, fractions of a second.
 */
static const double round_bound[METRICS_BUCKETS] = {1,   5,    15,   60,   300,
                                                    900, 1800, 3600, 7200, 21600};
static const double work_bound[METRICS_BUCKETS] = {0.001, 0.003, 0.01, 0.03, 0.1,
                                                   0.3,   1,     3,    10,   30};

static void set_bounds(struct histogram *h, const double bound[METRICS_BUCKETS])
{
    *h = (struct histogram){0};
    for (int i = 0; i < METRICS_BUCKETS; i++)
        h->bound[i] = bound[i];
}

void metrics_init(struct run_metrics *m)
{
    *m = (struct run_metrics){0};
    set_bounds(&m->round, round_bound);
    set_bounds(&m->journal, work_bound);
    set_bounds(&m->aggregation, work_bound);
    set_bounds(&m->commit, work_bound);
}

void metrics_add(struct histogram *h, double seconds)
{
    int i = 0;
    while (i < METRICS_BUCKETS && seconds > h->bound[i])
        i++;
    h->count[i]++;
    h->sum += seconds;
}

/* --- the page --- */

/* The first failure is kept, so that it is asked for once. */
struct page {
    struct buf *out;
    int rc;
};

static void put(struct page *p, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void put(struct page *p, const char *fmt, ...)
{
    char line[512];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (p->rc == 0)
        p->rc = buf_append(p->out, line, (size_t)len);
}

static void head(struct page *p, const char *name, const char *type, const char *help)
{
    put(p, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void counter(struct page *p, const char *name, const char *help, uint64_t value)
{
    head(p, name, "counter", help);
    put(p, "%s %" PRIu64 "\n", name, value);
}

/* Nothing when the value is not known. */
static void gauge(struct page *p, const char *name, const char *type, const char *help,
                  double value)
{
    if (value < 0)
        return;
    head(p, name, type, help);
    put(p, "%s %.15g\n", name, value);
}

/* One line a run. */
typedef double (*run_value)(const struct metrics_run *r);
static void by_run(struct page *p, const struct metrics_now *now, const char *name,
                   const char *type, const char *help, run_value value)
{
    head(p, name, type, help);
    for (size_t i = 0; i < now->n_runs; i++)
        put(p, "%s{run=\"%s\"} %.15g\n", name, now->run[i].name, value(&now->run[i]));
}

static void put_histogram(struct page *p, const char *name, const char *run,
                          const struct histogram *h)
{
    uint64_t total = 0;
    for (int i = 0; i < METRICS_BUCKETS; i++) {
        total += h->count[i];
        put(p, "%s_bucket{run=\"%s\",le=\"%g\"} %" PRIu64 "\n", name, run, h->bound[i], total);
    }
    total += h->count[METRICS_BUCKETS];
    put(p, "%s_bucket{run=\"%s\",le=\"+Inf\"} %" PRIu64 "\n", name, run, total);
    put(p, "%s_sum{run=\"%s\"} %.9g\n%s_count{run=\"%s\"} %" PRIu64 "\n", name, run, h->sum, name,
        run, total);
}

/* offset: of the histogram in struct run_metrics. */
static void histograms(struct page *p, const struct metrics_now *now, const char *name,
                       const char *help, size_t offset)
{
    head(p, name, "histogram", help);
    for (size_t i = 0; i < now->n_runs; i++) {
        const char *counted = (const char *)now->run[i].counted;
        put_histogram(p, name, now->run[i].name, (const void *)(counted + offset));
    }
}

static void by_port(struct page *p, const char *name, const char *type, const char *help,
                    const uint64_t a[METRICS_PORTS], const uint64_t b[METRICS_PORTS])
{
    head(p, name, type, help);
    for (int i = 0; i < METRICS_PORTS; i++)
        put(p, "%s{port=\"%s\"} %" PRIu64 "\n", name, port_name[i], a[i] + (b != NULL ? b[i] : 0));
}

static double rounds_to_do(const struct metrics_run *r)
{
    return r->rounds;
}
static double rounds_done(const struct metrics_run *r)
{
    return r->round;
}
static double is_finished(const struct metrics_run *r)
{
    return r->finished;
}
static double is_failing(const struct metrics_run *r)
{
    return r->failing;
}
static double committed(const struct metrics_run *r)
{
    return (double)r->counted->rounds;
}
static double restarts(const struct metrics_run *r)
{
    return (double)r->counted->restarts;
}
static double journal_failures(const struct metrics_run *r)
{
    return (double)r->counted->journal_failures;
}
static double commit_failures(const struct metrics_run *r)
{
    return (double)r->counted->commit_failures;
}

static void put_rounds(struct page *p, const struct metrics_now *now)
{
    by_run(p, now, "fedpet_run_rounds", "gauge", "Rounds that the run is to have.", rounds_to_do);
    by_run(p, now, "fedpet_run_rounds_done", "gauge",
           "Rounds of the run that are committed, by earlier processes, too.", rounds_done);
    by_run(p, now, "fedpet_run_finished", "gauge", "1 once the run is over.", is_finished);
    by_run(p, now, "fedpet_run_failing", "gauge",
           "1 while the run cannot go on: put aside, failed, or not stored.", is_failing);
    gauge(p, "fedpet_draining", "gauge", "1 while the server is stopping.", now->draining);
    by_run(p, now, "fedpet_rounds_committed_total", "counter", "Rounds committed by this process.",
           committed);
    by_run(p, now, "fedpet_round_restarts_total", "counter",
           "Deadlines without quorum that committed rounds have seen.", restarts);
    histograms(p, now, "fedpet_round_duration_seconds", "From a round's tasks to its last update.",
               offsetof(struct run_metrics, round));
    histograms(p, now, "fedpet_journal_duration_seconds",
               "Storing updates that came together, before they are acknowledged.",
               offsetof(struct run_metrics, journal));
    by_run(p, now, "fedpet_journal_failures_total", "counter",
           "Attempts to store updates that failed.", journal_failures);
    histograms(p, now, "fedpet_aggregation_duration_seconds",
               "Adding an update to the sum; with the last one, the server's step.",
               offsetof(struct run_metrics, aggregation));
    histograms(p, now, "fedpet_commit_duration_seconds",
               "Storing a round durably, failures included.", offsetof(struct run_metrics, commit));
    by_run(p, now, "fedpet_commit_failures_total", "counter",
           "Attempts to store a round that failed.", commit_failures);
}

static void put_update_counts(struct page *p, const struct metrics_run *run)
{
    const uint64_t *update = run->counted->update;
    put(p, "fedpet_updates_total{run=\"%s\",outcome=\"accepted\",reason=\"\"} %" PRIu64 "\n",
        run->name, update[REASON_NONE]);
    for (int r = REASON_NONE + 1; r < REASONS; r++)
        if (update[r] > 0)
            put(p,
                "fedpet_updates_total{run=\"%s\",outcome=\"refused\",reason=\"%s\"} %" PRIu64 "\n",
                run->name, msg_reason_name((enum msg_reason)r), update[r]);
}

static void put_updates(struct page *p, const struct metrics *m, const struct metrics_now *now)
{
    head(p, "fedpet_updates_total", "counter",
         "Updates answered; one that was sent again counts again.");
    for (size_t i = 0; i < now->n_runs; i++)
        put_update_counts(p, &now->run[i]);
    head(p, "fedpet_refusals_total", "counter",
         "Updates and clients refused, and clients that could not take part.");
    for (size_t i = 0; i < now->n_runs; i++)
        for (int r = REASON_NONE + 1; now->run[i].refusals != NULL && r < REASONS; r++)
            put(p, "fedpet_refusals_total{run=\"%s\",reason=\"%s\"} %" PRIu64 "\n",
                now->run[i].name, msg_reason_name((enum msg_reason)r), now->run[i].refusals[r]);
    head(p, "fedpet_enrolments_total", "counter", "Devices that asked to enrol.");
    put(p, "fedpet_enrolments_total{outcome=\"enrolled\"} %" PRIu64 "\n", m->enrolled);
    put(p, "fedpet_enrolments_total{outcome=\"refused\"} %" PRIu64 "\n", m->enrolment_refused);
    counter(p, "fedpet_audit_failures_total", "Lines that the audit log could not take.",
            now->audit_failures);
}

static void put_network(struct page *p, const struct metrics *m, const struct metrics_now *now)
{
    gauge(p, "fedpet_connected_clients", "gauge", "Clients with an authenticated connection.",
          (double)now->connected);
    by_port(p, "fedpet_connections", "gauge", "TCP connections, those in their handshake included.",
            now->connections, NULL);
    head(p, "fedpet_handshakes_total", "counter", "TLS handshakes that ended.");
    for (int i = 0; i < METRICS_PORTS; i++) {
        put(p, "fedpet_handshakes_total{port=\"%s\",outcome=\"completed\"} %" PRIu64 "\n",
            port_name[i], m->handshake[i]);
        put(p, "fedpet_handshakes_total{port=\"%s\",outcome=\"failed\"} %" PRIu64 "\n",
            port_name[i], m->handshake_failed[i]);
    }
    by_port(p, "fedpet_received_bytes_total", "counter", "Bytes of TLS streams received.",
            m->bytes_in, now->bytes_in);
    by_port(p, "fedpet_sent_bytes_total", "counter", "Bytes of TLS streams sent.", m->bytes_out,
            now->bytes_out);
    by_port(p, "fedpet_unsent_bytes", "gauge",
            "Memory that waits for slow peers, without what many of them share.", now->held, NULL);
}

static void put_process(struct page *p, const struct metrics_now *now)
{
    head(p, "fedpet_build_info", "gauge", "The release of the server.");
    put(p, "fedpet_build_info{version=\"%s\"} 1\n", FEDPET_VERSION);
    gauge(p, "process_resident_memory_bytes", "gauge", "Resident memory.", now->rss_bytes);
    gauge(p, "process_open_fds", "gauge", "Open file descriptors.", now->open_fds);
    gauge(p, "process_max_fds", "gauge", "Most file descriptors that may be open.", now->max_fds);
    gauge(p, "process_cpu_seconds_total", "counter", "User and system time.", now->cpu_seconds);
    gauge(p, "process_start_time_seconds", "gauge", "Start of the process, Unix time.",
          now->started);
}

int metrics_write(const struct metrics *m, const struct metrics_now *now, struct buf *out)
{
    struct page p = {.out = out};
    put_rounds(&p, now);
    put_updates(&p, m, now);
    put_network(&p, m, now);
    put_process(&p, now);
    return p.rc;
}
