/* fedpet-sim: federated experiments on one machine, with the real server core and real clients. */
#include "base/log.h"
#include "nn/kernels.h"
#include "sim/apt_lists.h"
#include "sim/cmd.h"

static const struct cli_command commands[] = {
    {"run", "EXPERIMENT.yaml --out DIR [--set KEY=VALUE]... [--wire DEPTH] [--baseline KIND]",
     "run a federated experiment, or what it is compared with",
     "The experiment file names a model, a task, a method and a federation:\n"
     "\n"
     "  model: models/all-MiniLM-L6-v2        # a Hugging Face directory\n"
     "  task: {name: mrpc, data: data/glue/MRPC}\n"
     "  peft: {method: lora, r: 8, alpha: 8, targets: [query, value]}\n"
     "  federation: {clients: 100, per_round: 10, rounds: 20, partition: dirichlet, alpha: 1.0, "
     "seed: 42}\n"
     "  local: {epochs: 1, batch_size: 32, lr: 0.001}\n"
     "\n"
     "`fedpet-sim config show EXPERIMENT.yaml` prints every key, its value and where it came "
     "from.\n"
     "\n"
     "--wire says how deep the simulation goes; the resulting adapter is the same, bit for bit:\n"
     "  none     messages are handed over as they are (fastest)\n"
     "  proto    every message is encoded, framed and parsed\n"
     "  tls      that, inside TLS 1.3 with certificates on both sides\n"
     "  process  a real fedpet-server and one real fedpet-client daemon a client, on loopback\n"
     "\n"
     "--baseline says what to do with the same data and settings instead:\n"
     "  centralized  one trainer with all clients' examples\n"
     "  local        each client with its own examples, from the same start\n"
     "each for as many passes over its data as the federation makes on average, or --epochs.\n"
     "\n"
     "--memory says what gives way to --memory-limit; the results are the same, bit for bit, but "
     "with half:\n"
     "  auto  layers are computed twice, where that makes them fit; a baseline's threads, too\n"
     "  min   layers are computed twice from the start: the least memory\n"
     "  fast  nothing: what does not fit is refused\n"
     "  half  nothing either; activations are kept in half precision, which rounds gradients\n"
     "Clients that train side by side have equal shares of the limit.\n"
     "\n"
     "DIR gets rounds.jsonl (a line a round, epoch or client, as it happens), summary.json and "
     "adapter/\n"
     "(in the first of the formats peft, adapterhub and fedpet that can hold it).\n",
     cmd_run},
    {"suite", "SUITE.yaml --out DIR [--jobs N] [--dry-run]", "run a grid of experiments",
     "A suite is an experiment and what varies in it:\n"
     "\n"
     "  base: experiment.yaml              # or the experiment itself\n"
     "  grid:\n"
     "    task:                            # named groups of settings\n"
     "      mrpc: {task: {name: mrpc, data: data/glue/MRPC}}\n"
     "      rte: {task: {name: rte, data: data/glue/RTE}, local.lr: 0.005}\n"
     "    peft:\n"
     "      lora: {peft: {method: lora, r: 8}}\n"
     "      full: {peft.method: full, local.lr: 0.00005}\n"
     "    baseline: [federated, centralized]\n"
     "    federation.alpha: [0.1, 1, 10]   # or a setting and its values\n"
     "    federation.seed: [1, 2, 3]\n"
     "  adjust:                            # settings of some cells\n"
     "    - {when: {task: rte, peft: full}, set: {local.lr: 0.0001}}\n"
     "  exclude:                           # cells left out; `only` names those to keep\n"
     "    - {peft: full, federation.alpha: [0.1, 10]}\n"
     "\n"
     "Each cell is a process with one thread. DIR gets results.sqlite and cells/ID. The same "
     "command again\n"
     "goes on where it was stopped: cells that are done are not run again, those that failed "
     "are.\n"
     "\n"
     "With --memory-limit a cell starts when the most that a cell of its method has taken fits "
     "beside\n"
     "those that run; the first of a method runs alone. Full fine-tuning takes 20 times the "
     "model's "
     "size.\n"
     "--memory and --cell-memory-limit are what `run` calls --memory and --memory-limit; they "
     "change no\n"
     "result, so that cells may be run on with others.\n",
     cmd_suite},
    {"report", "DIR [--format FORMAT]", "write the tables and plots of a suite",
     "DIR gets report.md and report.html (one page that needs nothing else): results by method and "
     "task,\n"
     "heterogeneity, local epochs, communication, worst clients, recall by label, time and memory, "
     "with the\n"
     "published figures beside them. Plots need gnuplot.\n",
     cmd_report},
    {"partition", "EXPERIMENT.yaml --out DIR [--set KEY=VALUE]...",
     "write each client's share of the data",
     "DIR gets client-00000.jsonl and so on, dev.jsonl, and partition.json (sizes and label counts "
     "of "
     "each\n"
     "client, of its share of dev too, and the skew).\n",
     cmd_partition},
    {"prepare debian", "--out DIR [--lists PATH] [--clients N] [--classes N]",
     "make a federated data set of Debian's package descriptions",
     "The task: tell a package's section (games, science, ...) from its description. The data is "
     "on\n"
     "every Debian and Ubuntu machine after `apt-get update`; --lists takes another folder "
     "like\n" APT_LISTS_DIR ", or a file with what `apt-cache dumpavail` prints. Clients are the\n"
     "maintainers with the most packages; each of the others joins the client with the fewest, or\n"
     "is left out. Names of packages, sections and libraries, and versions are removed from the\n"
     "texts; all packages of one source are either for training or to test.\n"
     "\n"
     "DIR gets train.jsonl, test.jsonl, clients/NAME.jsonl, labels.txt, summary.json and\n"
     "experiment.yaml.\n"
     "\n"
     "Example:\n"
     "  fedpet-sim prepare debian --out debian --model models/all-MiniLM-L6-v2\n"
     "  fedpet-sim run debian/experiment.yaml --out results\n",
     cmd_prepare_debian},
    {"config show", "EXPERIMENT.yaml [--set KEY=VALUE]...",
     "print every setting and where it came from", NULL, cmd_config_show},
    {0},
};

int main(int argc, char **argv)
{
    static const struct cli_program program = {
        .name = "fedpet-sim",
        .what = "federated parameter-efficient tuning, simulated on one machine",
        .more = "Try:\n  fedpet-sim run experiment.yaml --out results --set federation.rounds=5\n",
        .command = commands,
    };
    kernels_choose(argv);
    log_setup("fedpet-sim", stderr, LOG_WARN, false);
    return cli_main(&program, argc, argv);
}
