#include "client/cmd.h"
#include "client/tuned.h"
#include <stdio.h>

int cmd_merge(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *model = NULL, *adapter = NULL, *out = NULL;
    const struct cli_option options[] = {
        {"model", 'm', CLI_STRING, "DIR", "the base model (Hugging Face)", &model},
        {"adapter", 'a', CLI_STRING, "DIR", "the adapter", &adapter},
        {"out", 'o', CLI_STRING, "DIR", "a new folder for the merged model", &out},
        {0},
    };
    struct cli_args args;
    struct tuned t;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(model, "model", e)) ||
        (rc = cli_need(adapter, "adapter", e)) || (rc = cli_need(out, "out", e)) ||
        (rc = tuned_open(&t, model, adapter, e)))
        return rc;
    rc = peft_save_merged(t.peft, t.theta, &t.info, out, e);
    if (!rc)
        printf("merged model: %s\n", out);
    tuned_close(&t);
    return rc;
}
