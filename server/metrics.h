/* What the server counts about itself, and its page in Prometheus' text format, version 0.0.4.
 * Without I/O: who counts passes times in, who serves the page adds the gauges of the moment. */
#ifndef SERVER_METRICS_H
#define SERVER_METRICS_H

#include "base/buf.h"
#include "proto/msg.h"
#include <stdbool.h>
#include <stdint.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum { METRICS_BUCKETS = 10 };

/* Observations by upper bound; the last bucket is what lies above all bounds. */
struct histogram {
    double bound[METRICS_BUCKETS]; /* ascending, seconds */
    uint64_t count[METRICS_BUCKETS + 1];
    double sum;
};
void metrics_add(struct histogram *h, double seconds);

/* The two ports. */
enum metrics_port { METRICS_CLIENTS, METRICS_ENROLMENT, METRICS_PORTS };

/* Since the start of the process: of a run ... */
struct run_metrics {
    uint64_t rounds, restarts; /* committed; attempts that a deadline ended without quorum */
    uint64_t update[REASONS];  /* receipts: [REASON_NONE] accepted, else refused */
    uint64_t commit_failures, journal_failures;
    struct histogram round, journal, aggregation, commit;
};
/* ... and of the server. Zero-initialised is empty. */
struct metrics {
    uint64_t enrolled, enrolment_refused;
    uint64_t handshake[METRICS_PORTS], handshake_failed[METRICS_PORTS];
    uint64_t bytes_in[METRICS_PORTS], bytes_out[METRICS_PORTS]; /* of connections that ended */
};
void metrics_init(struct run_metrics *m);

/* The gauges of the moment, and what is counted elsewhere; of a run ... */
struct metrics_run {
    const char *name; /* the label: spec_name_ok, and at most MSG_MAX_RUNS of them */
    const struct run_metrics *counted;
    uint32_t round, rounds; /* committed, and to be done */
    bool finished, failing;
    const uint64_t *refusals; /* core_refusals */
};
/* ... and of the server. */
struct metrics_now {
    const struct metrics_run *run;
    size_t n_runs;
    bool draining;
    uint64_t connections[METRICS_PORTS], connected; /* handshakes included; clients that are up */
    uint64_t bytes_in[METRICS_PORTS], bytes_out[METRICS_PORTS]; /* of connections that live */
    uint64_t held[METRICS_PORTS];                               /* link_held, of all of them */
    uint64_t audit_failures;
    /* Of the process; below 0: unknown. */
    double rss_bytes, open_fds, max_fds, cpu_seconds, started; /* started: Unix seconds */
};

/* Appends the page. ERR_NOMEM: over the buffer's limit. */
int metrics_write(const struct metrics *m, const struct metrics_now *now,
                  struct buf *out) MUST_CHECK;

#endif
