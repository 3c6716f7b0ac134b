#include "client/client.h"
#include "client/cmd.h"

int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL;
    struct cli_list set = {0};
    bool once = false;
    const struct cli_option options[] = {
        {"config", 'c', CLI_STRING, "FILE", "the daemon's configuration (client.yaml)", &path},
        {"set", 's', CLI_LIST, "KEY=VALUE", "override a key of it; may be repeated", &set},
        {"once", 0, CLI_FLAG, NULL, "end when the run is finished and its adapter saved", &once},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(path, "config", e)))
        return rc;
    struct conf *conf;
    rc = client_config_load(&conf, path, set.item, set.n, e);
    if (rc)
        return rc;
    const struct client_config *c = conf_data(conf);
    rc = log_begin("fedpet-client", &c->log, e);
    if (!rc)
        rc = client_run(c, once, e);
    conf_free(conf);
    return rc;
}
