#include "server/resume.h"
#include "base/log.h"
#include <stdlib.h>

struct feed {
    struct core *core;
    core_time now;
    struct resumed *out;
};

static int feed(void *ctx, const struct core_update *u, struct err *e)
{
    struct feed *f = ctx;
    enum msg_reason reason = core_refeed(f->core, u, f->now);
    (void)e;
    if (reason == REASON_NONE) {
        f->out->updates++;
    } else {
        f->out->damaged++;
        log_warn("a stored update does not count client=%s round=%u reason=%s", u->client,
                 u->update->round + 1, msg_reason_name(reason));
    }
    return 0;
}

int resume_round(struct core *core, struct store *s, const char *run_id, const struct hash *schema,
                 uint32_t round, core_time now, struct resumed *out, struct err *e)
{
    struct store_selection selection;
    *out = (struct resumed){0};
    int rc = store_selection(s, round, &selection, &out->begun, e);
    if (rc != 0 || !out->begun)
        return rc;
    rc = core_resume(core, &selection.attempt, now, e);
    out->attempt = selection.attempt;
    out->attempt.client = NULL;
    free(selection.names);
    struct feed f = {core, now, out};
    return rc == 0 ? store_journal(s, run_id, schema, round, feed, &f, e) : rc;
}
