#include "client/client_config.h"
#include "client/cmd.h"
#include "client/experiment.h"

int cmd_config_show(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL;
    struct cli_list set = {0};
    bool experiment = false, keys = false;
    const struct cli_option options[] = {
        {"config", 'c', CLI_STRING, "FILE", "the file; without it, the defaults", &path},
        {"set", 's', CLI_LIST, "KEY=VALUE", "override a key of it; may be repeated", &set},
        {"experiment", 0, CLI_FLAG, NULL, "it is an experiment file, as for train", &experiment},
        {"keys", 0, CLI_FLAG, NULL, "print all keys with types, defaults and ranges", &keys},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    const struct conf_type *type = experiment ? &experiment_conf : &client_conf;
    rc = cli_words(&args, 0, e);
    if (rc)
        return rc;
    if (keys)
        return conf_schema_help(type, stdout, e);
    struct conf *conf;
    rc = conf_load(&conf, type, path, set.item, set.n, e);
    if (rc)
        return rc;
    rc = conf_show(conf, stdout, e);
    conf_free(conf);
    return rc;
}
