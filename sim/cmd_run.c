#include "base/file.h"
#include "client/client_config.h"
#include "sim/cmd.h"
#include "sim/fleet.h"
#include "sim/judge.h"
#include "sim/processes.h"
#include <limits.h>
#include <signal.h>
#include <stdlib.h>

struct run_options {
    char *out, *wire;
    uint64_t threads, memory_limit;
    bool json;
    struct cli_list set;
};

/* Set by SIGINT and SIGTERM: the run ends at the next step boundary. */
static atomic_bool interrupted;

static void on_signal(int signo)
{
    (void)signo;
    atomic_store(&interrupted, true);
}

static void catch_signals(void)
{
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}

static int on_commit(void *ctx, const struct core_commit *c, struct err *e)
{
    return judge_round(ctx, c, e);
}

static void on_progress(void *ctx, uint32_t round, uint32_t done, uint32_t selected)
{
    report_progress(((struct judge *)ctx)->report, round, done, selected);
}

static int run_rounds(const struct setup *s, const struct run_options *o, enum wire_depth wire,
                      struct judge *judge, float *theta, struct err *e)
{
    if (wire == WIRE_PROCESS) {
        struct processes_config c = {.setup = s,
                                     .dir = o->out,
                                     .threads = (unsigned)o->threads,
                                     .memory_limit = o->memory_limit,
                                     .committed = on_commit,
                                     .ctx = judge,
                                     .cancel = &interrupted};
        return processes_run(&c, theta, e);
    }
    struct fleet_config c = {.spec = &s->x.spec,
                             .peft = s->peft,
                             .train = s->train,
                             .partition = &s->partition,
                             .wire = wire,
                             .threads = (unsigned)o->threads,
                             .memory_limit = o->memory_limit,
                             .committed = on_commit,
                             .progress = on_progress,
                             .ctx = judge,
                             .cancel = &interrupted};
    return fleet_run(&c, theta, e);
}

/* From initial parameters to adapter and summary. */
static int run_experiment(const struct setup *s, const struct run_options *o, enum wire_depth wire,
                          struct err *e)
{
    const struct schema *schema = peft_schema(s->peft);
    struct report_info info = {.model = s->x.model,
                               .wire = o->wire,
                               .spec = &s->x.spec,
                               .metric = metric_name(s->metric),
                               .lower_is_better = s->metric == METRIC_MSE,
                               .threads = (unsigned)o->threads,
                               .trainable = schema->packed};
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
    rc = judge_open(&judge, s, report, (unsigned)o->threads, o->memory_limit, wire != WIRE_NONE,
                    theta, e);
    if (!rc)
        rc = run_rounds(s, o, wire, &judge, theta, e);
    if (!rc)
        rc = peft_save(s->peft, theta, &adapter, path, e);
    if (!rc)
        rc = report_finish(report, o->json, e);
out:
    judge_close(&judge);
    report_close(report);
    free(theta);
    return rc;
}

int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char depth[] = "none";
    struct run_options o = {.wire = depth};
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, "DIR", "where results go (required)", &o.out},
        {"set", 's', CLI_LIST, "KEY=VALUE", "override a setting, e.g. federation.rounds=5", &o.set},
        {"wire", 'w', CLI_STRING, "DEPTH", "none, proto, tls or process (default none)", &o.wire},
        {"threads", 't', CLI_NUMBER, "N", "threads (default: all cores)", &o.threads},
        {"memory-limit", 'm', CLI_MIB, "MIB", "of training; default: none", &o.memory_limit},
        {"format", 'f', CLI_FORMAT, "FORMAT", "text or json: how the summary is printed", &o.json},
        {0},
    };
    struct cli_args args;
    enum wire_depth wire;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if (args.n != 1 || !o.out)
        return err_set(e, ERR_USAGE,
                       "run needs one EXPERIMENT.yaml and --out DIR; see fedpet-sim run --help");
    if (!wire_parse(o.wire, &wire))
        return err_set(e, ERR_USAGE, "--wire %s is unknown; use none, proto, tls or process",
                       o.wire);
    if (o.threads == 0) /* where every client is a process, the processes share the cores */
        o.threads = wire == WIRE_PROCESS ? 1 : client_threads(0);
    if (o.threads > 1024)
        return err_set(e, ERR_USAGE, "--threads %llu is more than 1024",
                       (unsigned long long)o.threads);
    struct setup s;
    rc = setup_open(&s, args.word[0], &o.set, e);
    if (rc)
        return rc;
    catch_signals();
    rc = run_experiment(&s, &o, wire, e);
    setup_close(&s);
    return rc;
}
