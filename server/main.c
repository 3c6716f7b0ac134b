/* fedpet-server: the aggregation service. */
#include "nn/kernels.h"
#include "server/cmd.h"
#include <stddef.h>

static const struct cli_command commands[] = {
    {"init", "DIR [--host NAME]...", "make a CA, a server certificate and a configuration",
     "Writes ca.pem, ca.key, server.pem, server.key and server.yaml to DIR, which must not have\n"
     "them. Clients check the server's name: give every name and address by which they reach it.\n"
     "Without --host, the certificate is for this host's name, localhost, 127.0.0.1 and ::1. Keep\n"
     "ca.key safe: who has it can enrol clients and pose as the server.\n\n"
     "Example:\n  fedpet-server init /etc/fedpet-server --host fl.example.org\n",
     cmd_init},
    {"token", "--config FILE [--name NAME] [--ttl TIME]",
     "print a one-time token with which a device enrols",
     "The token says which CA to trust and proves that its bearer may take part. One enrolment\n"
     "uses it up. A token without a name enrols under whatever free name the device asks for.\n\n"
     "Example:\n"
     "  fedpet-server token --config server.yaml --name client-0007 --ttl 1h\n",
     cmd_token},
    {"serve", "--config FILE [--set KEY=VALUE]...", "run the federation's server",
     "Listens for clients and for devices that enrol, does the rounds of all runs, and stores "
     "each\n"
     "update before it is acknowledged and each round before the next begins: started again, it\n"
     "goes on where it was, in the middle of a round too. The configuration may describe a run,\n"
     "which is called default; `run create` makes more. SIGTERM and SIGINT end it in good order,\n"
     "within drain_s seconds; a second one at once. SIGHUP reads certificates and configuration\n"
     "anew: log, metrics, drain_s, allow and observers take effect, what else has changed is\n"
     "named and waits for a restart; and it looks for runs that were made or changed. With the "
     "key\n"
     "metrics, say 127.0.0.1:9464, it serves /metrics, /healthz and /healthz/RUN there.\n\n"
     "Examples:\n"
     "  fedpet-server serve --config server.yaml\n"
     "  fedpet-server serve --config server.yaml --set federation.rounds=50 --set log.json=true\n",
     cmd_serve},
    {"run create", "NAME --config FILE --from FILE [--set KEY=VALUE]... [--paused]",
     "make another run",
     "--from has model, adapter, task, peft, federation and local, the keys that server.yaml has "
     "for\n"
     "its own run; without model, it is the server's. All of it is checked against the model "
     "before\n"
     "anything is written. A running server takes the run up at once, and the clients that are\n"
     "connected take part in it beside the others, if they can. A name is 1 to 64 of a-z 0-9 -.\n\n"
     "Example:\n  fedpet-server run create topics --config server.yaml --from topics.yaml\n",
     cmd_run_create},
    {"run list", "--config FILE [--format text|json]", "list the runs",
     "created (no round has begun), running, paused, stopped, finished, or damaged: that is a run\n"
     "which cannot be read, and why. Works with and without a running server, which says what "
     "each\n"
     "run waits for.\n\n"
     "Example:\n  fedpet-server run list --config server.yaml\n",
     cmd_run_list},
    {"run show", "NAME --config FILE [--format text|json]",
     "show all there is to know of a run: state, rounds, specification",
     "Example:\n  fedpet-server run show topics --config server.yaml\n", cmd_run_show},
    {"run pause", "NAME --config FILE", "begin no more rounds of a run",
     "The round under way ends as ever. Clients stay connected. Survives restarts.\n\n"
     "Example:\n  fedpet-server run pause topics --config server.yaml\n",
     cmd_run_pause},
    {"run resume", "NAME --config FILE", "go on with a paused run",
     "Example:\n  fedpet-server run resume topics --config server.yaml\n", cmd_run_resume},
    {"run stop", "NAME --config FILE", "end a run for good",
     "The round under way is given up, and the run ends as if the last committed round had been "
     "its\n"
     "last: clients get that result; export and replay stay possible.\n\n"
     "Example:\n  fedpet-server run stop topics --config server.yaml\n",
     cmd_run_stop},
    {"run watch", "NAME --config FILE [--format text|json]",
     "print a line for each round of a run until it is over",
     "The rounds that are done come first. As JSON, one object a line.\n\n"
     "Example:\n  fedpet-server run watch topics --config server.yaml --format json\n",
     cmd_run_watch},
    {"run", "create|list|show|pause|resume|stop|watch ...", "several runs on one server",
     "A server does up to 64 runs side by side, with the same clients. Each of these words has "
     "its\n"
     "own --help; the server itself is started by `fedpet-server serve`.\n\n"
     "Example:\n  fedpet-server run create --help\n",
     cmd_run},
    {"status", "--config FILE [--run NAME] [--format text|json] [--watch]",
     "show the rounds so far and what each run waits for",
     "Of the run that is named, or the only one; else a line for each. Works with and without a\n"
     "running server. Bytes are measured on the TLS stream. --watch\n"
     "shows it again every two seconds, with the last rounds, until it is interrupted; as JSON,\n"
     "one object a line.\n\n"
     "Example:\n  fedpet-server status --config server.yaml --watch\n",
     cmd_status},
    {"export", "--config FILE --out DIR [--run NAME] [--round N] [--as FORMAT]",
     "write the adapter of a round to a folder",
     "Without --round that is the run's result: its best round so far with federation.best, else\n"
     "the latest. server.yaml must still describe its own run, since that says what the "
     "parameters\n"
     "mean.\n\n"
     "Example:\n  fedpet-server export --config server.yaml --out adapter\n",
     cmd_export},
    {"replay", "--config FILE [--run NAME] [--round N]",
     "compute a round once more from its updates, and compare",
     "The updates of the last `journal_rounds` rounds are kept. Status 0: they give the "
     "parameters\n"
     "that were committed; 1: they do not; 6: what is stored is damaged.\n\n"
     "Example:\n  fedpet-server replay --config server.yaml --round 7\n",
     cmd_replay},
    {"clients", "--config FILE [--format text|json]",
     "list the certificates that clients have been given",
     "With the role that the configuration gives each: trainers take part, observers only get the\n"
     "result. Expired certificates are left out.\n\n"
     "Example:\n  fedpet-server clients --config server.yaml\n",
     cmd_clients},
    {"revoke", "--config FILE NAME|SERIAL", "shut a client out, at once and for good",
     "All certificates of the client, or the one with that serial number, enter the CA's "
     "revocation\n"
     "list, crl.pem in the state folder; a running server cuts their connections. A token made "
     "for\n"
     "its name lets the client enrol again, with a new certificate.\n\n"
     "Example:\n  fedpet-server revoke --config server.yaml client-0007\n",
     cmd_revoke},
    {"renew", "--config FILE [--force]", "renew the server's own certificate and key",
     "For the same hosts, signed by the present CA. A running server takes it over without losing "
     "a\n"
     "connection. Clients renew theirs by themselves, when two thirds of its time are over.\n\n"
     "Example:\n  fedpet-server renew --config server.yaml\n",
     cmd_renew},
    {"ca roll", "--config FILE", "begin to move to a new CA",
     "1. `ca roll` makes it. Both CAs are trusted; clients that are or come online renew.\n"
     "2. `renew`, when all have (`clients` shows who has not): the server's certificate is the "
     "new\n"
     "   CA's.\n"
     "3. `ca retire`: the old one is trusted no more.\n"
     "Commands 2 and 3 refuse while a client would be left behind. ca.pem and ca.key hold both "
     "CAs\n"
     "meanwhile, the new one first.\n\n"
     "Example:\n  fedpet-server ca roll --config server.yaml\n",
     cmd_ca_roll},
    {"ca retire", "--config FILE [--force]", "trust the old CA no more",
     "The last step of `ca roll`. Connections by certificates of the old CA are cut.\n\n"
     "Example:\n  fedpet-server ca retire --config server.yaml\n",
     cmd_ca_retire},
    {"audit verify", "--config FILE [--run NAME] [--head HASH]",
     "check that nobody has altered the audit log",
     "Each line of audit.log, in the state folder, has the SHA-256 of the one before: the first\n"
     "that was changed, removed or moved is named. Lines removed at the end show by the rounds of\n"
     "the database that are then missing, or by --head: the last line's hash, which this command\n"
     "prints, kept where the server cannot reach it. Status 4: the log was altered.\n\n"
     "Example:\n  fedpet-server audit verify --config server.yaml\n",
     cmd_audit_verify},
    {"audit show", "--config FILE [--run NAME] [--format text|json]",
     "print the audit log: tokens, enrolments, revocations, refusals, rounds, reloads",
     "Stops with an error where the chain is broken.\n\n"
     "Example:\n  fedpet-server audit show --config server.yaml\n",
     cmd_audit_show},
    {"config show", "--config FILE [--set KEY=VALUE]...",
     "print every setting and where it came from",
     "Example:\n  fedpet-server config show --config server.yaml\n", cmd_config_show},
    {0},
};

int main(int argc, char **argv)
{
    static const struct cli_program program = {
        .name = "fedpet-server",
        .what = "Aggregation server for federated parameter-efficient tuning of language models",
        .more = "A first federation:\n"
                "  fedpet-server init fl --host localhost       # then fill in model and task in "
                "fl/server.yaml\n"
                "  fedpet-server serve --config fl/server.yaml &\n"
                "  fedpet-client enroll --server localhost:8444 --identity phone \\\n"
                "      --token \"$(fedpet-server token --config fl/server.yaml)\"\n"
                "  fedpet-server status --config fl/server.yaml\n"
                "  fedpet-server export --config fl/server.yaml --out adapter\n",
        .command = commands,
    };
    kernels_choose(argv); /* `export` multiplies matrices: the same bits as the client's */
    return cli_main(&program, argc, argv);
}
