#include "client/cmd.h"
#include "model/quantize.h"
#include <stdio.h>

static const double MB = 1e6;

/* Opened again: what was written is a model, and this is its identity. */
static int report(const char *out, const struct model *from, bool as_json, struct err *e)
{
    struct model *m;
    char hex[HASH_HEX];
    int rc = model_open(&m, out, e);
    if (rc)
        return rc;
    size_t bytes = m->file.map.len, before = from->file.map.len;
    hash_hex(&m->hash, hex);
    if (as_json)
        rc = cmd_print_json(json_pack("{s:s, s:s, s:I, s:I}", "path", out, "sha256", hex, "bytes",
                                      (json_int_t)bytes, "bytes_before", (json_int_t)before),
                            true, e);
    else
        printf("int8 model: %s, %.1f MB of %.1f, sha256 %s\n", out, (double)bytes / MB,
               (double)before / MB, hex);
    model_close(m);
    return rc;
}

int cmd_quantize(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *model = NULL, *out = NULL;
    bool as_json = false;
    const struct cli_option options[] = {
        {"model", 'm', CLI_STRING, "DIR", "the model (Hugging Face)", &model},
        {"out", 'o', CLI_STRING, "DIR", "a new folder for the int8 model", &out},
        {"format", 0, CLI_FORMAT, "FORMAT", "text or json", &as_json},
        {0},
    };
    struct cli_args args;
    struct model *m;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(model, "model", e)) ||
        (rc = cli_need(out, "out", e)) || (rc = model_open(&m, model, e)))
        return rc;
    rc = quantize_model(m, out, e);
    if (!rc)
        rc = report(out, m, as_json, e);
    model_close(m);
    return rc;
}
