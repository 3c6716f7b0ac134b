#include "server/cmd.h"

int cmd_no_words(const struct cli_args *args, struct err *e)
{
    if (args->n == 0)
        return 0;
    return err_set(e, ERR_USAGE, "unexpected argument '%s'", args->word[0]);
}
