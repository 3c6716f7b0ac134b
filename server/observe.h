/* What the running server shows of itself: counters and their page, the audit log, `/healthz`. The
 * shell's files call these where something happens; nothing here decides anything. */
#ifndef SERVER_OBSERVE_H
#define SERVER_OBSERVE_H

#include "proto/msg.h"
#include "server/audit.h"
#include "server/core.h"
#include "server/http.h"
#include "server/metrics.h"
#include <stdatomic.h>

struct server;
struct peer;
struct runner;

struct observe {
    struct metrics metrics;
    struct audit *audit;
    struct http *http; /* NULL: no page */
    int64_t started;   /* Unix ms */
    atomic_uint_fast64_t audit_failures;
    /* What strangers cause fills no disk: of the refusals of a minute only the first are written.
     */
    struct {
        int64_t since; /* Unix ms */
        unsigned lines;
        uint64_t more; /* not written */
    } refusals;
};

/* Opens the audit log, enters the rounds of all runs that a killed server has committed but not
 * entered, and serves the page if the configuration has an address for it. ERR_IO, ERR_DATA,
 * ERR_NET, ERR_NOMEM.
 */
int observe_open(struct server *s, struct err *e) MUST_CHECK;
/* The same rounds of one run, or of all (NULL). */
int observe_catch_up(struct server *s, struct runner *only, struct err *e) MUST_CHECK;
/* After the loop: the last lines, and the audit log's end. */
void observe_release(struct server *s);

/* observe_page.c: /metrics and /healthz at the address that the configuration gives; at none if it
 * gives none. ERR_NET, ERR_NOMEM. */
int observe_page_open(struct server *s, struct err *e) MUST_CHECK;
/* At the address of a configuration read anew; on failure, which is logged, where it was. */
void observe_page_move(struct server *s, const char *before);
/* Lets the loop end; harmless when repeated. */
void observe_page_close(struct server *s);

void observe_up(struct peer *q);
void observe_down(struct peer *q, const struct err *e);
/* A message that goes out: receipts and goodbyes count. */
void observe_said(const struct peer *q, const struct msg *m);
/* A client is not let in. */
void observe_refused(const struct peer *q, const char *client, const char *reason);
void observe_enrolment(const struct peer *q, const struct msg *answer);
/* What became of an attempt to journal updates, and how long it took. */
void observe_journal(struct runner *r, int rc, double seconds);
/* A journalled update took that long to be added. */
void observe_aggregated(struct runner *r, double seconds);
/* A round is durable: its line of the audit log. On any thread. */
void observe_commit_stored(struct runner *r, const struct core_commit *c);
/* What became of an attempt to store a round, on the loop's thread. */
void observe_commit(struct runner *r, const struct core_commit *c, int rc, double seconds);
/* The run is over, because of `failure` or in good order (NULL). */
void observe_finish(struct runner *r, const struct err *failure);
/* Any other line; takes over `detail`. */
void observe_event(struct server *s, const char *event, json_t *detail);

#endif
