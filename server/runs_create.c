#include "base/file.h"
#include "server/run.h"
#include "server/runs.h"
#include "server/server.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* What is being made. */
struct making {
    const struct server_config *server;
    const char *name;
    char folder[PATH_MAX], final[PATH_MAX];
    struct conf *conf;
    int lock;
};

/* "KEY=ABSOLUTE PATH": the server may run elsewhere. */
static int make_absolute(char out[PATH_MAX + 16], const char *key, const char *path, struct err *e)
{
    char absolute[PATH_MAX];
    if (realpath(path, absolute) == NULL)
        return err_sys(e, ERR_IO, errno, "%s: %s", key, path);
    snprintf(out, PATH_MAX + 16, "%s=%s", key, absolute);
    return 0;
}

static int load(struct making *m, const char *from, const struct cli_list *set, struct err *e)
{
    char model[PATH_MAX + 16], adapter[PATH_MAX + 16];
    struct cli_list all = *set;
    struct conf *first;
    int rc = conf_load(&first, &run_conf, from, set->item, set->n, e);
    if (rc != 0)
        return rc;
    struct run_config given = *(const struct run_config *)conf_data(first);
    if (given.model == NULL)
        given.model = m->server->run.model;
    rc = run_config_check(&given, from, e);
    if (rc == 0 && all.n + 2 > CLI_MAX_REPETITIONS)
        rc = err_set(e, ERR_USAGE, "--set: at most %d", CLI_MAX_REPETITIONS - 2);
    if (rc == 0)
        rc = make_absolute(model, "model", given.model, e);
    if (rc == 0 && given.adapter != NULL)
        rc = make_absolute(adapter, "adapter", given.adapter, e);
    if (rc == 0) {
        all.item[all.n++] = model;
        if (given.adapter != NULL)
            all.item[all.n++] = adapter;
        rc = conf_load(&m->conf, &run_conf, from, all.item, all.n, e);
    }
    conf_free(first);
    return rc;
}

/* One `run create` at a time, so that there are not more runs than may be. */
static int claim(struct making *m, struct err *e)
{
    char path[PATH_MAX], temporary[SPEC_MAX_NAME + 8];
    struct runs_names *names = malloc(sizeof *names);
    snprintf(temporary, sizeof temporary, ".%s.new", m->name);
    int rc = names == NULL
                 ? err_set(e, ERR_NOMEM, "out of memory")
                 : runs_path(m->final, sizeof m->final, m->server->state, m->name, NULL, e);
    if (rc == 0)
        rc = runs_path(m->folder, sizeof m->folder, m->server->state, temporary, NULL, e);
    if (rc == 0)
        rc = file_join(path, sizeof path, m->server->state, SERVER_RUNS, e);
    if (rc == 0)
        rc = file_mkdirs(path, 0700, e);
    if (rc == 0)
        rc = runs_path(path, sizeof path, m->server->state, ".lock", NULL, e);
    if (rc == 0 && ((m->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0 ||
                    flock(m->lock, LOCK_EX) != 0))
        rc = err_sys(e, ERR_IO, errno, "%s", path);
    if (rc == 0)
        rc = runs_list(names, m->server, e);
    if (rc == 0 && runs_has(names, m->name))
        rc = err_set(e, ERR_USAGE, "a run called %s exists: choose another name", m->name);
    if (rc == 0 && names->n == MSG_MAX_RUNS)
        rc = err_set(e, ERR_STATE,
                     "%s/" SERVER_RUNS
                     " has %d runs, as many as may be: move the folders of old ones "
                     "away",
                     m->server->state, MSG_MAX_RUNS);
    free(names);
    return rc == 0 ? file_mkdirs(m->folder, 0700, e) : rc;
}

static int write_spec(const struct making *m, struct err *e)
{
    char path[PATH_MAX], *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);
    if (out == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = conf_show(m->conf, out, e);
    fclose(out);
    if (rc == 0)
        rc = file_join(path, sizeof path, m->folder, RUNS_SPEC, e);
    if (rc == 0)
        rc = file_write(path, text, len, 0600, e);
    free(text);
    return rc;
}

static int write_store(const struct making *m, const struct run *run, bool paused, char run_id[17],
                       struct err *e)
{
    char path[PATH_MAX];
    struct store *store = NULL;
    struct store_run stored;
    int rc = file_join(path, sizeof path, m->folder, RUNS_DATABASE, e);
    if (rc == 0)
        rc = store_open(&store, path, STORE_WRITE, e);
    if (rc == 0)
        rc = runs_begin(store, run, &stored, e);
    if (rc == 0 && paused)
        rc = store_wish(store, WISH_PAUSE, e);
    store_close(store);
    if (rc == 0)
        memcpy(run_id, stored.run_id, sizeof stored.run_id);
    return rc;
}

/* What a refused `run create` leaves: a name with a dot, that is no run's. */
static void clear_away(const struct making *m)
{
    static const char *const file[] = {RUNS_SPEC, RUNS_DATABASE, RUNS_DATABASE "-wal",
                                       RUNS_DATABASE "-shm"};
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof file / sizeof *file; i++)
        if (file_join(path, sizeof path, m->folder, file[i], NULL) == 0)
            unlink(path);
    rmdir(m->folder);
}

int runs_create(const struct server_config *c, const char *name, const char *from,
                const struct cli_list *set, bool paused, char run_id[17], struct err *e)
{
    struct making m = {.server = c, .name = name, .lock = -1};
    struct run run;
    if (!spec_name_ok(name) || strcmp(name, RUNS_DEFAULT) == 0)
        return err_set(e, ERR_USAGE,
                       "%s is no name for a run: use 1 to %d of a-z 0-9 -, and not " RUNS_DEFAULT
                       ", which is the configuration's own",
                       name, SPEC_MAX_NAME);
    int rc = load(&m, from, set, e);
    bool opened = rc == 0 && (rc = run_open(&run, conf_data(m.conf), e)) == 0;
    if (rc == 0 && (rc = claim(&m, e)) == 0) {
        rc = write_spec(&m, e);
        if (rc == 0)
            rc = write_store(&m, &run, paused, run_id, e);
        if (rc == 0)
            rc = file_rename(m.folder, m.final, e);
    }
    if (rc != 0 && m.folder[0] != '\0')
        clear_away(&m);
    if (opened)
        run_close(&run);
    if (m.lock >= 0)
        close(m.lock);
    conf_free(m.conf);
    return rc;
}
