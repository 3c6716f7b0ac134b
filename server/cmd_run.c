#include "server/audit.h"
#include "server/cmd.h"
#include "server/runs.h"
#include "server/server.h"
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* `fedpet-server run` alone, or with a word that is none of its commands. */
int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    const struct cli_option options[] = {{0}};
    struct cli_args args;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return cli_parse(self, options, argc, argv, &args, e);
    return err_set(e, ERR_USAGE,
                   "run needs one of create, list, show, pause, resume, stop, watch; the server is "
                   "started by `fedpet-server serve --config FILE`");
}

static int record(const struct server_config *c, const char *event, const char *name,
                  const char *run_id, struct err *e)
{
    return audit_once(c->state, (int64_t)time(NULL) * 1000, event,
                      json_pack("{s:s, s:s}", "name", name, "run", run_id), e);
}

static int one_name(const struct cli_args *args, struct err *e)
{
    return args->n == 1 ? 0 : err_set(e, ERR_USAGE, "give the name of one run");
}

int cmd_run_create(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL, *from = NULL, run_id[17];
    bool paused = false;
    struct cli_list set = {0}, none = {0};
    const struct cli_option options[] = {
        {"config", 'c', CLI_STRING, "FILE", "the server's configuration", &path},
        {"from", 0, CLI_STRING, "FILE", "model, task, peft, federation, local of the run", &from},
        {"set", 's', CLI_LIST, "KEY=VALUE", "override a key of it; may be repeated", &set},
        {"paused", 0, CLI_FLAG, NULL, "it waits for `run resume`", &paused},
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = one_name(&args, e)) != 0)
        return rc;
    if ((rc = cli_need(from, "from", e)) != 0 ||
        (rc = server_config_load(&conf, &c, path, &none, NEED_STATE, e)) != 0)
        return rc;
    rc = runs_create(c, args.word[0], from, &set, paused, run_id, e);
    if (rc == 0)
        rc = record(c, "run_created", args.word[0], run_id, e);
    if (rc == 0) {
        printf("run %s (%s)%s\n", args.word[0], run_id, paused ? ", paused" : "");
        cmd_notify(c);
    }
    conf_free(conf);
    return rc;
}

/* --- pause, resume, stop --- */

/* Whether something changes; ERR_STATE: it cannot any more. */
static int check_change(const char *name, enum runs_state state, const struct store_run *run,
                        enum store_wish wish, bool *changes, struct err *e)
{
    if (state == RUN_FINISHED || (state == RUN_STOPPED && wish != WISH_STOP))
        return err_set(e, ERR_STATE, "run %s is %s, for good: make another one by `run create`",
                       name, runs_state_name(state));
    *changes = run->wish != wish;
    return 0;
}

static int change(const struct server_config *c, const char *name, enum store_wish wish,
                  const char *event, struct err *e)
{
    char path[PATH_MAX];
    struct runs_reader r;
    struct store *store = NULL;
    struct store_run run;
    enum runs_state state;
    bool changes = false;
    int rc = runs_read(&r, c, name, e);
    if (rc != 0)
        return rc;
    rc = runs_state(&state, &run, r.store, &r.config->spec.federation, e);
    if (rc == 0)
        rc = check_change(r.name, state, &run, wish, &changes, e);
    if (rc == 0 && changes)
        rc = runs_path(path, sizeof path, c->state, r.name, RUNS_DATABASE, e);
    if (rc == 0 && changes)
        rc = store_open(&store, path, STORE_WRITE, e);
    if (rc == 0 && changes)
        rc = store_wish(store, wish, e);
    if (rc == 0 && changes)
        rc = record(c, event, r.name, run.run_id, e);
    store_close(store);
    runs_close(&r);
    if (rc == 0 && changes)
        cmd_notify(c);
    return rc;
}

static int run_change(const struct cli_command *self, int argc, char **argv, enum store_wish wish,
                      const char *event, struct err *e)
{
    char *path = NULL;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = one_name(&args, e)) != 0)
        return rc;
    if ((rc = server_config_load(&conf, &c, path, &set, NEED_STATE, e)) != 0)
        return rc;
    rc = change(c, args.word[0], wish, event, e);
    conf_free(conf);
    return rc;
}

int cmd_run_pause(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    return run_change(self, argc, argv, WISH_PAUSE, "run_paused", e);
}

int cmd_run_resume(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    return run_change(self, argc, argv, WISH_GO_ON, "run_resumed", e);
}

int cmd_run_stop(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    return run_change(self, argc, argv, WISH_STOP, "run_stopped", e);
}
