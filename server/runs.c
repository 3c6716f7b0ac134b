#include "server/runs.h"
#include "base/file.h"
#include "server/run.h"
#include "server/server.h"
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* --- names --- */

static int ascending(const void *a, const void *b)
{
    return strcmp(a, b);
}

bool runs_has(const struct runs_names *names, const char *name)
{
    return bsearch(name, names->name, names->n, sizeof names->name[0], ascending) != NULL;
}

static int add(struct runs_names *out, const char *state, const char *name, struct err *e)
{
    if (out->n == MSG_MAX_RUNS)
        return err_set(e, ERR_STATE,
                       "%s/" SERVER_RUNS
                       " has more than %d runs: move the folders of old ones away",
                       state, MSG_MAX_RUNS);
    memcpy(out->name[out->n++], name, strlen(name) + 1); /* spec_name_ok */
    return 0;
}

int runs_list(struct runs_names *out, const struct server_config *c, struct err *e)
{
    char path[PATH_MAX];
    bool own = run_config_any(&c->run);
    int rc = file_join(path, sizeof path, c->state, SERVER_RUNS, e);
    DIR *d = rc == 0 ? opendir(path) : NULL;
    if (rc == 0 && d == NULL && errno != ENOENT)
        rc = err_sys(e, ERR_IO, errno, "%s", path);
    out->n = 0;
    for (const struct dirent *x; rc == 0 && d != NULL && (x = readdir(d)) != NULL;) {
        own = own && strcmp(x->d_name, RUNS_DEFAULT) != 0;
        if (spec_name_ok(x->d_name))
            rc = add(out, c->state, x->d_name, e);
    }
    if (d != NULL)
        closedir(d);
    if (rc == 0 && own)
        rc = add(out, c->state, RUNS_DEFAULT, e);
    qsort(out->name, out->n, sizeof out->name[0], ascending);
    return rc;
}

int runs_pick(char out[SPEC_MAX_NAME + 1], const struct server_config *c, const char *name,
              struct err *e)
{
    struct runs_names *names = malloc(sizeof *names);
    char known[512] = "";
    if (names == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = runs_list(names, c, e);
    for (size_t i = 0, len = 0; rc == 0 && i < names->n && len < sizeof known; i++)
        len += (size_t)snprintf(known + len, sizeof known - len, " %s", names->name[i]);
    if (rc == 0 && names->n == 0)
        rc = err_set(e, ERR_STATE,
                     "%s: no run has been made: fill in model and task, or use `run create`",
                     c->path);
    else if (rc == 0 && name == NULL && names->n > 1)
        rc = err_set(e, ERR_USAGE, "which run? Give --run NAME, one of:%s", known);
    else if (rc == 0 && name != NULL && !runs_has(names, name))
        rc = err_set(e, ERR_USAGE, "no run is called %s; there are:%s", name, known);
    else if (rc == 0)
        snprintf(out, SPEC_MAX_NAME + 1, "%s", name != NULL ? name : names->name[0]);
    free(names);
    return rc;
}

/* --- folders --- */

int runs_path(char *out, size_t size, const char *state, const char *name, const char *file,
              struct err *e)
{
    int n = snprintf(out, size, "%s/" SERVER_RUNS "/%s%s%s", state, name, file != NULL ? "/" : "",
                     file != NULL ? file : "");
    return n > 0 && (size_t)n < size
               ? 0
               : err_set(e, ERR_IO, "%s: the path is too long: give a shorter one as `state`",
                         state);
}

int runs_spec(struct conf **conf, const struct run_config **out, const struct server_config *c,
              const char *name, struct err *e)
{
    char path[PATH_MAX];
    struct conf *own;
    *conf = NULL;
    if (strcmp(name, RUNS_DEFAULT) == 0) {
        *out = &c->run;
        return run_config_check(&c->run, c->path, e);
    }
    int rc = runs_path(path, sizeof path, c->state, name, RUNS_SPEC, e);
    if (rc == 0)
        rc = conf_load(&own, &run_conf, path, NULL, 0, e);
    if (rc != 0)
        return rc;
    *out = conf_data(own);
    rc = run_config_check(*out, path, e);
    if (rc == 0)
        *conf = own;
    else
        conf_free(own);
    return rc;
}

int runs_read(struct runs_reader *r, const struct server_config *c, const char *name, struct err *e)
{
    char path[PATH_MAX];
    *r = (struct runs_reader){0};
    int rc = runs_pick(r->name, c, name, e);
    if (rc == 0)
        rc = runs_spec(&r->conf, &r->config, c, r->name, e);
    if (rc == 0)
        rc = runs_path(path, sizeof path, c->state, r->name, RUNS_DATABASE, e);
    if (rc == 0)
        rc = store_open(&r->store, path, STORE_READ, e);
    if (rc != 0)
        runs_close(r);
    return rc;
}

void runs_close(struct runs_reader *r)
{
    store_close(r->store);
    conf_free(r->conf);
    *r = (struct runs_reader){0};
}

int runs_differ(const struct runs_reader *r, struct err *e)
{
    return err_set(e, ERR_STATE,
                   "run %s was begun with another specification: undo the change to model, task, "
                   "peft, local or federation",
                   r->name);
}

/* --- state --- */

const char *runs_state_name(enum runs_state s)
{
    static const char *const name[] = {
        [RUN_CREATED] = "created", [RUN_RUNNING] = "running",   [RUN_PAUSED] = "paused",
        [RUN_STOPPED] = "stopped", [RUN_FINISHED] = "finished",
    };
    return name[s];
}

int runs_state(enum runs_state *out, struct store_run *run, struct store *s,
               const struct federation_spec *f, struct err *e)
{
    bool found;
    struct store_best best;
    *run = (struct store_run){0};
    int rc = store_run(s, run, &found, e);
    if (rc == 0)
        rc = store_best(s, &best, e);
    if (rc != 0)
        return rc;
    bool over = run->next >= f->rounds || best_stale(&best.best, f->patience);
    *out = found && over             ? RUN_FINISHED
           : run->wish == WISH_STOP  ? RUN_STOPPED
           : run->wish == WISH_PAUSE ? RUN_PAUSED
           : run->begun              ? RUN_RUNNING
                                     : RUN_CREATED;
    return 0;
}

int runs_begin(struct store *store, const struct run *run, struct store_run *stored, struct err *e)
{
    uint64_t id;
    if (getrandom(&id, sizeof id, 0) != sizeof id)
        return err_sys(e, ERR_IO, errno, "no randomness for a run id");
    *stored = (struct store_run){.identity = run->identity,
                                 .parameters = peft_schema(run->peft)->packed,
                                 .rounds = run->spec.federation.rounds};
    snprintf(stored->run_id, sizeof stored->run_id, "%016" PRIx64, id);
    return store_begin(store, stored, e);
}
