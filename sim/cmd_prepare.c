#include "sim/apt_lists.h"
#include "sim/cmd.h"
#include "sim/prepare_debian.h"
#include <stdio.h>

static void print_counts(const struct prepare_spec *spec, const struct prepare_counts *n)
{
    printf("%s: %zu of %zu packages, %zu for training and %zu to test; %zu classes\n", spec->out,
           n->train + n->test, n->packages, n->train, n->test, n->classes);
    printf("descriptions: %zu, of which %zu are long ones\n", n->described, n->at_length);
    printf("clients: %zu, of %zu maintainers, with %zu to %zu packages\n", n->clients,
           n->maintainers, n->smallest, n->largest);
    printf("next: fedpet-sim run %s/experiment.yaml --out RESULTS\n", spec->out);
}

int cmd_prepare_debian(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *out = NULL, *lists = NULL, *model = NULL;
    uint64_t classes = 10, clients = 100, per_class = 1000, test = 20, seed = 42;
    bool drop_rest = false;
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, "DIR", "where the files go (required)", &out},
        {"lists", 'l', CLI_STRING, "PATH", "a file or folder of lists; default " APT_LISTS_DIR,
         &lists},
        {"model", 'm', CLI_STRING, "DIR", "model of experiment.yaml; default models/base", &model},
        {"classes", 0, CLI_NUMBER, "N", "sections; default 10", &classes},
        {"clients", 'c', CLI_NUMBER, "N", "maintainers that are clients; default 100", &clients},
        {"per-class", 0, CLI_NUMBER, "N", "most packages of a section; default 1000", &per_class},
        {"test", 0, CLI_NUMBER, "PERCENT", "of the packages; default 20", &test},
        {"drop-rest", 0, CLI_FLAG, NULL, "leave the other maintainers out", &drop_rest},
        {"seed", 0, CLI_NUMBER, "N", "of the order of packages; default 42", &seed},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 0, e)) || (rc = cli_need(out, "out", e)))
        return rc;
    const struct prepare_spec spec = {
        .lists = lists ? lists : APT_LISTS_DIR,
        .out = out,
        .model = model ? model : "models/base",
        .classes = (size_t)classes,
        .clients = (size_t)clients,
        .per_class = (size_t)per_class,
        .test_share = (double)test / 100,
        .seed = seed,
        .drop_rest = drop_rest,
    };
    struct prepare_counts counts;
    rc = prepare_debian(&spec, &counts, e);
    if (!rc)
        print_counts(&spec, &counts);
    return rc;
}
