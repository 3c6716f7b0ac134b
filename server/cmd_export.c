#include "base/file.h"
#include "server/cmd.h"
#include "server/run.h"
#include "server/server.h"
#include "server/store.h"
#include <limits.h>
#include <stdio.h>
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

static int export(struct store *store, const struct server_config *c, const char *round,
                  const char *dir, struct err *e)
{
    struct run run;
    struct store_run stored;
    uint32_t rounds = 0;
    bool found;
    int rc = store_run(store, &stored, &found, e);
    if (rc != 0)
        return rc;
    if (!found)
        return err_set(e, ERR_STATE, "%s: no run has been started: there is nothing to export",
                       c->state);
    if ((rc = choose_round(store, round, c->spec.federation.best, &stored, &rounds, e)) != 0 ||
        (rc = run_open(&run, c, e)) != 0)
        return rc;
    if (!hash_same(&run.identity, &stored.identity))
        rc = err_set(e, ERR_STATE,
                     "%s holds another run than the configuration describes: undo the change to "
                     "model, task, peft, "
                     "local or federation",
                     c->state);
    if (rc == 0 && rounds > 0)
        rc = store_params(store, peft_schema(run.peft), rounds - 1, run.params, e);
    if (rc == 0)
        rc = peft_save(run.peft, run.params, &run.info, dir, e);
    if (rc == 0)
        printf("adapter after %u of %u rounds: %s\n", rounds, stored.rounds, dir);
    run_close(&run);
    return rc;
}

int cmd_export(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL, *dir = NULL, *round = NULL, database[PATH_MAX];
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        {"out", 'o', CLI_STRING, "DIR", "folder for the adapter", &dir},
        {"round", 'r', CLI_STRING, "N",
         "after which round: 1, 2, ..., latest (default), or best (default with federation.best); "
         "0: the initial values",
         &round},
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    struct store *store;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((rc = cli_need(dir, "out", e)) != 0 ||
        (rc = server_config_load(&conf, &c, path, &set, NEED_STATE | NEED_RUN, e)) != 0)
        return rc;
    rc = file_join(database, sizeof database, c->state, SERVER_DATABASE, e);
    if (rc == 0 && (rc = store_open(&store, database, STORE_READ, e)) == 0) {
        rc = export(store, c, round, dir, e);
        store_close(store);
    }
    conf_free(conf);
    return rc;
}
