#include "sim/cmd.h"
#include "sim/suite_report.h"

int cmd_report(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    bool json = false;
    const struct cli_option options[] = {
        {"format", 'f', CLI_FORMAT, "FORMAT", "text, or json: prints tables and cells", &json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if (args.n != 1)
        return err_set(e, ERR_USAGE, "report needs one folder of a suite");
    return suite_report(args.word[0], json, e);
}
