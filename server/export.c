#include "server/export.h"
#include "server/run.h"
#include <stdlib.h>
#include <string.h>

/* "latest", "best", or a number from 0 (the initial values) on; NULL: what the run hands out. */
static int choose_round(struct store *store, const char *text, bool best_wanted,
                        const struct store_run *run, uint32_t *rounds, struct err *e)
{
    struct store_best b;
    int rc = store_best(store, &b, e);
    if (rc != 0)
        return rc;
    if (text == NULL)
        text = best_wanted && b.best.any ? "best" : "latest";
    if (strcmp(text, "latest") == 0) {
        *rounds = run->next;
        return 0;
    }
    if (strcmp(text, "best") == 0) {
        if (!b.best.any)
            return err_set(e, ERR_STATE, "--round best: no client has scored a round yet");
        *rounds = b.best.round + 1;
        return 0;
    }
    char *end;
    unsigned long n = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0')
        return err_set(e, ERR_USAGE, "--round %s: must be a number, `latest` or `best`", text);
    if (n > run->next)
        return err_set(e, ERR_USAGE, "--round %s: only %u rounds are done", text, run->next);
    *rounds = (uint32_t)n;
    return 0;
}

int export_round(const struct runs_reader *r, const char *round, const char *as, const char *dir,
                 uint32_t *rounds, struct err *e)
{
    struct run run;
    struct store_run stored;
    uint32_t after = 0;
    bool found;
    int rc = store_run(r->store, &stored, &found, e);
    if (rc != 0)
        return rc;
    if (!found)
        return err_set(e, ERR_STATE, "run %s has not been started: there is nothing to export",
                       r->name);
    if ((rc = choose_round(r->store, round, r->config->spec.federation.best, &stored, &after, e)) !=
            0 ||
        (rc = run_open(&run, r->config, e)) != 0)
        return rc;
    if (!hash_same(&run.identity, &stored.identity))
        rc = runs_differ(r, e);
    if (rc == 0 && after > 0)
        rc = store_params(r->store, peft_schema(run.peft), after - 1, run.params, e);
    run.info.format = as;
    if (rc == 0)
        rc = peft_save(run.peft, run.params, &run.info, dir, e);
    if (rc == 0)
        *rounds = after;
    run_close(&run);
    return rc;
}
