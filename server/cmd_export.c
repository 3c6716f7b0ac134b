#include "server/cmd.h"
#include "server/export.h"
#include <stdio.h>

int cmd_export(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL, *dir = NULL, *round = NULL, *as = NULL, *name = NULL;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        CMD_RUN(name),
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
    struct runs_reader run;
    uint32_t rounds;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((rc = cli_need(dir, "out", e)) != 0 ||
        (rc = server_config_load(&conf, &c, path, &set, NEED_STATE, e)) != 0)
        return rc;
    if ((rc = runs_read(&run, c, name, e)) == 0) {
        rc = export_round(&run, round, as, dir, &rounds, e);
        if (rc == 0)
            printf("adapter after %u of %u rounds: %s\n", rounds,
                   run.config->spec.federation.rounds, dir);
        runs_close(&run);
    }
    conf_free(conf);
    return rc;
}
