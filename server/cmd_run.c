#include "server/cmd.h"
#include "server/server.h"
#include <stdio.h>

int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e)
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
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((rc = server_config_load(&conf, &c, path, &set, NEED_STATE | NEED_IDENTITY | NEED_RUN,
                                 e)) != 0)
        return rc;
    rc = log_begin("fedpet-server", &c->log, e);
    if (rc == 0)
        rc = server_run(c, e);
    conf_free(conf);
    return rc;
}

int cmd_config_show(const struct cli_command *self, int argc, char **argv, struct err *e)
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
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((rc = server_config_load(&conf, &c, path, &set, 0, e)) != 0)
        return rc;
    rc = conf_show(conf, stdout, e);
    conf_free(conf);
    return rc;
}
