#include "server/cmd.h"
#include "server/server.h"
#include <stdio.h>
#include <unistd.h>

/* Nothing of what the server does needs more rights than its own files. */
static int check_user(const struct server_config *c, struct err *e)
{
    if (geteuid() != 0 || c->allow_root)
        return 0;
    return err_set(e, ERR_CONFIG,
                   "the server does not run as root: start it as a user of its own, as "
                   "fedpet-server.service does, or set allow_root: true");
}

int cmd_serve(const struct cli_command *self, int argc, char **argv, struct err *e)
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
    if ((rc = server_config_load(&conf, &c, path, &set, NEED_STATE | NEED_IDENTITY | NEED_PORTS,
                                 e)) != 0)
        return rc;
    rc = log_begin("fedpet-server", &c->log, e);
    if (rc == 0)
        rc = check_user(c, e);
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
