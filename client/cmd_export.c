#include "base/file.h"
#include "client/cmd.h"
#include "client/tuned.h"
#include <limits.h>
#include <stdio.h>

/* An adapter that is there already is not overwritten. */
static int check_folder(const char *dir, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, "adapter_config.json", e);
    return !rc && file_exists(path)
               ? err_set(e, ERR_IO, "%s: exists already: choose another --out", path)
               : rc;
}

static int export(const struct tuned *t, const char *as, const char *dir, struct err *e)
{
    struct peft_spec spec;
    struct arena mem;
    struct adapter_info info = t->info;
    info.format = as;
    int rc = peft_save(t->peft, t->theta, &info, dir, e);
    if (rc)
        return rc;
    arena_init(&mem, ARENA_NO_CAP);
    rc = peft_read_config(dir, &mem, &spec, &info, e);
    if (!rc)
        printf("adapter in format %s: %s\n", info.format, dir);
    arena_release(&mem);
    return rc;
}

int cmd_export(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *model = NULL, *adapter = NULL, *out = NULL, *as = NULL;
    const struct cli_option options[] = {
        {"model", 'm', CLI_STRING, "DIR", "the base model (Hugging Face)", &model},
        {"adapter", 'a', CLI_STRING, "DIR", "the adapter", &adapter},
        {"out", 'o', CLI_STRING, "DIR", "folder for the copy", &out},
        {"as", 0, CLI_STRING, "FORMAT",
         "peft, adapterhub or fedpet; default: the first of these that can hold it", &as},
        {0},
    };
    struct cli_args args;
    struct tuned t;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(model, "model", e)) ||
        (rc = cli_need(adapter, "adapter", e)) || (rc = cli_need(out, "out", e)) ||
        (rc = check_folder(out, e)) || (rc = tuned_open(&t, model, adapter, e)))
        return rc;
    rc = export(&t, as, out, e);
    tuned_close(&t);
    return rc;
}
