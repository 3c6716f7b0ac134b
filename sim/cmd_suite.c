#include "client/client_config.h"
#include "sim/cmd.h"
#include "sim/interrupt.h"
#include "sim/results.h"
#include "sim/suite.h"
#include "sim/suite_run.h"
#include "sim/wire.h"
#include <stdio.h>

struct suite_options {
    char *out, *wire, *mode;
    uint64_t jobs, memory_limit, cell_limit;
    struct memory memory;
    bool keep_adapters, dry_run;
};

static int run_suite(const struct suite *s, const struct suite_options *o, struct err *e)
{
    struct results *results;
    const struct suite_run_config c = {.dir = o->out,
                                       .jobs = (unsigned)o->jobs,
                                       .memory_limit = o->memory_limit,
                                       .memory = o->memory,
                                       .keep_adapters = o->keep_adapters,
                                       .wire = o->wire,
                                       .cancel = &interrupted};
    int rc = results_open(&results, o->out, true, e);
    if (rc)
        return rc;
    rc = results_plan(results, s, e);
    if (!rc && s->same)
        fprintf(stderr, "combinations that give a cell of the list again: %zu\n", s->same);
    if (!rc && o->dry_run)
        rc = suite_print(s, results, c.jobs, e);
    if (!rc && !o->dry_run) {
        interrupt_catch();
        rc = suite_run(s, results, &c, e);
        if (!rc)
            printf("%zu cells done; fedpet-sim report %s\n", s->n_cells, o->out);
    }
    results_close(results);
    return rc;
}

static int check_options(struct suite_options *o, struct err *e)
{
    enum wire_depth wire;
    if (!wire_parse(o->wire, &wire) || wire == WIRE_PROCESS)
        return err_set(e, ERR_USAGE, "--wire %s: a suite takes none, proto or tls", o->wire);
    if (o->jobs == 0)
        o->jobs = client_threads(0);
    if (o->jobs > 1024)
        return err_set(e, ERR_USAGE, "--jobs is more than 1024");
    o->memory.limit = o->cell_limit;
    return client_memory(o->mode, &o->memory.mode, e);
}

int cmd_suite(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char depth[] = "proto", mode[] = "auto";
    struct suite_options o = {.wire = depth, .mode = mode};
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, "DIR", "where results go, and are looked for (required)", &o.out},
        {"jobs", 'j', CLI_NUMBER, "N", "cells at a time (default: all cores)", &o.jobs},
        {"memory", 0, CLI_STRING, "MODE", "of each cell, as of `run` (default auto)", &o.mode},
        {"memory-limit", 'm', CLI_SIZE, "SIZE", "of all cells together, as 6G; default: none",
         &o.memory_limit},
        {"cell-memory-limit", 0, CLI_SIZE, "SIZE",
         "of a cell's activations (default: its share of --memory-limit)", &o.cell_limit},
        {"wire", 'w', CLI_STRING, "DEPTH", "none, proto or tls (default proto: counts bytes)",
         &o.wire},
        {"keep-adapters", 'k', CLI_FLAG, NULL, "leave DIR/cells/ID/adapter", &o.keep_adapters},
        {"dry-run", 'n', CLI_FLAG, NULL, "list the cells, and how long they will take", &o.dry_run},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if (args.n != 1)
        return err_set(e, ERR_USAGE, "suite needs one SUITE.yaml; see fedpet-sim suite --help");
    if ((rc = cli_need(o.out, "out", e)))
        return rc;
    if ((rc = check_options(&o, e)))
        return rc;
    struct suite s;
    rc = suite_open(&s, args.word[0], e);
    if (rc)
        return rc;
    rc = run_suite(&s, &o, e);
    suite_close(&s);
    return rc;
}
