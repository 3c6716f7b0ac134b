#include "base/file.h"
#include "server/cmd.h"
#include "server/export.h"
#include "server/server.h"
#include <limits.h>
#include <stdio.h>

int cmd_export(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL, *dir = NULL, *round = NULL, *as = NULL, database[PATH_MAX];
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        {"out", 'o', CLI_STRING, "DIR", "folder for the adapter", &dir},
        {"round", 'r', CLI_STRING, "N",
         "after which round: 1, 2, ..., latest (default), or best (default with federation.best); "
         "0: the initial values",
         &round},
        {"as", 0, CLI_STRING, "FORMAT",
         "peft, adapterhub or fedpet; default: the first of these that can hold it", &as},
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    struct store *store;
    uint32_t rounds;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((rc = cli_need(dir, "out", e)) != 0 ||
        (rc = server_config_load(&conf, &c, path, &set, NEED_STATE | NEED_RUN, e)) != 0)
        return rc;
    rc = file_join(database, sizeof database, c->state, SERVER_DATABASE, e);
    if (rc == 0 && (rc = store_open(&store, database, STORE_READ, e)) == 0) {
        rc = export_round(store, c, round, as, dir, &rounds, e);
        store_close(store);
        if (rc == 0)
            printf("adapter after %u of %u rounds: %s\n", rounds, c->spec.federation.rounds, dir);
    }
    conf_free(conf);
    return rc;
}
