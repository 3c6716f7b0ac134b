#include "server/cmd.h"
#include "server/replay.h"
#include <stdio.h>

static int say(const struct replayed *r, struct err *e)
{
    char committed[HASH_HEX], computed[HASH_HEX];
    hash_hex(&r->committed, committed);
    hash_hex(&r->computed, computed);
    if (r->same) {
        printf("round %u: %zu updates give what was committed: %s\n", r->round + 1, r->updates,
               committed);
        return 0;
    }
    return err_set(
        e, ERR_INTERNAL,
        "round %u: its %zu updates give %.16s, and %.16s was committed; did a machine of "
        "another type compute it?",
        r->round + 1, r->updates, computed, committed);
}

int cmd_replay(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL, *name = NULL;
    uint64_t round = 0;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        CMD_RUN(name),
        {"round", 'r', CLI_NUMBER, "N", "which round: 1, 2, ...; default: the last", &round},
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    struct runs_reader run;
    struct replayed replayed;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if (round > UINT32_MAX)
        return err_set(e, ERR_USAGE, "--round: there are no so many rounds");
    if ((rc = server_config_load(&conf, &c, path, &set, NEED_STATE, e)) != 0)
        return rc;
    if ((rc = runs_read(&run, c, name, e)) == 0) {
        rc = replay_round(&run, (uint32_t)round, &replayed, e);
        runs_close(&run);
    }
    if (rc == 0)
        rc = say(&replayed, e);
    conf_free(conf);
    return rc;
}
