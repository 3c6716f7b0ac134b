#include "base/file.h"
#include "base/vector.h"
#include "client/client_config.h"
#include "sim/baseline.h"
#include "sim/cmd.h"
#include "sim/fleet.h"
#include "sim/interrupt.h"
#include "sim/judge.h"
#include "sim/processes.h"
#include <limits.h>
#include <stdlib.h>

struct run_options {
    char *out, *wire, *kind, *mode;
    uint64_t threads, memory_limit, epochs, clients;
    struct memory memory;
    bool json, no_adapter;
    struct cli_list set;
    enum wire_depth depth;
    struct baseline baseline;
};

static int on_commit(void *ctx, const struct core_commit *c, double *score, struct err *e)
{
    return judge_round(ctx, c, score, e);
}

static void on_progress(void *ctx, uint32_t round, uint32_t done, uint32_t selected)
{
    report_progress(((struct judge *)ctx)->report, round, done, selected);
}

static int run_rounds(const struct setup *s, const struct run_options *o, struct judge *judge,
                      float *theta, struct err *e)
{
    if (o->depth == WIRE_PROCESS) {
        struct processes_config c = {.setup = s,
                                     .dir = o->out,
                                     .threads = (unsigned)o->threads,
                                     .memory = o->memory,
                                     .committed = on_commit,
                                     .ctx = judge,
                                     .cancel = &interrupted};
        return processes_run(&c, theta, e);
    }
    struct fleet_config c = {.spec = &s->x.spec,
                             .peft = s->peft,
                             .train = s->train,
                             .partition = &s->partition,
                             .wire = o->depth,
                             .threads = (unsigned)o->threads,
                             .memory = o->memory,
                             .lower_is_better = metric_lower_is_better(s->metric),
                             .committed = on_commit,
                             .progress = on_progress,
                             .ctx = judge,
                             .cancel = &interrupted};
    return fleet_run(&c, theta, e);
}

static int run_any(const struct setup *s, const struct run_options *o, struct judge *judge,
                   float *theta, struct err *e)
{
    const struct baseline_config c = {.setup = s, .baseline = &o->baseline, .cancel = &interrupted};
    if (o->baseline.kind != BASELINE_FEDERATED)
        return baseline_run(&c, judge, theta, o->json, e);
    int rc = run_rounds(s, o, judge, theta, e);
    return rc ? rc : judge_result(judge, theta, s->x.spec.federation.best, o->json, e);
}

static struct report_info describe(const struct setup *s, const struct run_options *o)
{
    static const char *const units[] = {"round", "epoch", "client"};
    bool federated = o->baseline.kind == BASELINE_FEDERATED;
    return (struct report_info){.model = s->x.model,
                                .wire = o->wire,
                                .baseline = baseline_name(o->baseline.kind),
                                .unit = units[o->baseline.kind],
                                .units = federated ? s->x.spec.federation.rounds
                                                   : baseline_units(&o->baseline, s),
                                .spec = &s->x.spec,
                                .metric = metric_name(s->metric),
                                .lower_is_better = metric_lower_is_better(s->metric),
                                .threads = (unsigned)o->threads,
                                .trainable = peft_schema(s->peft)->packed};
}

/* From initial parameters to adapter and summary. The summary comes last: where it is, the run is
 * whole. */
static int run_experiment(const struct setup *s, const struct run_options *o, struct err *e)
{
    const struct schema *schema = peft_schema(s->peft);
    const struct report_info info = describe(s, o);
    struct adapter_info adapter = setup_adapter_info(s);
    struct report *report = NULL;
    struct judge judge = {0};
    char path[PATH_MAX];
    float *theta = malloc(schema->count * sizeof *theta);
    int rc =
        theta ? 0 : err_set(e, ERR_NOMEM, "no memory for %zu trainable parameters", schema->count);
    if (!rc)
        rc = file_join(path, sizeof path, o->out, "adapter", e);
    if (!rc)
        rc = report_open(&report, o->out, &info, e);
    if (rc)
        goto out;
    peft_init(s->peft, s->x.spec.federation.seed, theta);
    rc = judge_open(&judge, s, report, (unsigned)o->threads, &o->memory,
                    o->depth != WIRE_NONE && o->baseline.kind == BASELINE_FEDERATED, theta, e);
    if (!rc)
        rc = run_any(s, o, &judge, theta, e);
    if (!rc && !o->no_adapter && o->baseline.kind != BASELINE_LOCAL)
        rc = peft_save(s->peft, theta, &adapter, path, e);
out:
    judge_close(&judge);
    report_close(report);
    free(theta);
    return rc;
}

static int check_options(struct run_options *o, struct err *e)
{
    if (!wire_parse(o->wire, &o->depth))
        return err_set(e, ERR_USAGE, "--wire %s is unknown; use none, proto, tls or process",
                       o->wire);
    if (!baseline_parse(o->kind, &o->baseline.kind))
        return err_set(e, ERR_USAGE, "--baseline %s is unknown; use centralized or local", o->kind);
    if (o->baseline.kind != BASELINE_FEDERATED && o->depth != WIRE_NONE)
        return err_set(e, ERR_USAGE, "--baseline %s has no wire", o->kind);
    if (o->epochs > 1000000 || o->clients > UINT32_MAX)
        return err_set(e, ERR_USAGE, "--epochs or --clients is too large");
    o->memory.limit = o->memory_limit;
    int rc = client_memory(o->mode, &o->memory.mode, e);
    if (rc)
        return rc;
    if (o->threads == 0) /* where every client is a process, the processes share the cores */
        o->threads = o->depth == WIRE_PROCESS ? 1 : client_threads(0);
    if (o->threads > 1024)
        return err_set(e, ERR_USAGE, "--threads %llu is more than 1024",
                       (unsigned long long)o->threads);
    o->baseline.epochs = (uint32_t)o->epochs;
    o->baseline.clients = (uint32_t)o->clients;
    return 0;
}

/* A real server scores rounds by what its clients measure, and these have no validation set here.
 */
static int check_best(const struct setup *s, const struct run_options *o, struct err *e)
{
    const struct federation_spec *f = &s->x.spec.federation;
    if (o->depth == WIRE_PROCESS && (f->best || f->patience))
        return err_set(e, ERR_CONFIG,
                       "federation.best and patience need a depth that scores rounds here: --wire "
                       "none, proto or tls");
    return 0;
}

int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char depth[] = "none", kind[] = "federated", mode[] = "auto";
    struct run_options o = {.wire = depth, .kind = kind, .mode = mode};
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, "DIR", "where results go (required)", &o.out},
        {"set", 's', CLI_LIST, "KEY=VALUE", "override a setting, e.g. federation.rounds=5", &o.set},
        {"wire", 'w', CLI_STRING, "DEPTH", "none, proto, tls or process (default none)", &o.wire},
        {"baseline", 'b', CLI_STRING, "KIND", "centralized or local, for comparison", &o.kind},
        {"epochs", 0, CLI_NUMBER, "N", "of a baseline (default: as the federation's)", &o.epochs},
        {"clients", 0, CLI_NUMBER, "N", "of --baseline local: the first N only", &o.clients},
        {"no-adapter", 0, CLI_FLAG, NULL, "do not save DIR/adapter", &o.no_adapter},
        {"threads", 't', CLI_NUMBER, "N", "threads (default: all cores)", &o.threads},
        {"memory", 0, CLI_STRING, "MODE", "auto, min, fast or half (default auto; see below)",
         &o.mode},
        {"memory-limit", 'm', CLI_SIZE, "SIZE", "of activations, as 512M; default: none",
         &o.memory_limit},
        {"format", 'f', CLI_FORMAT, "FORMAT", "text or json: how the summary is printed", &o.json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if (args.n != 1 || !o.out)
        return err_set(e, ERR_USAGE,
                       "run needs one EXPERIMENT.yaml and --out DIR; see fedpet-sim run --help");
    if ((rc = check_options(&o, e)))
        return rc;
    struct setup s;
    rc = setup_open(&s, args.word[0], &o.set, e);
    if (rc)
        return rc;
    interrupt_catch();
    vector_reuse();
    rc = check_best(&s, &o, e);
    if (!rc)
        rc = run_experiment(&s, &o, e);
    setup_close(&s);
    return rc;
}
