/* The commands of fedpet-server, one file each, listed in main.c. */
#ifndef SERVER_CMD_H
#define SERVER_CMD_H

#include "base/cli.h"
#include "server/config.h"
#include "server/store.h"

/* The options that say which configuration: rows of a table of options. */
#define CMD_CONFIG(path, set)                                                                      \
    {"config", 'c', CLI_STRING, "FILE", "the server's configuration", &(path)},                    \
    {                                                                                              \
        "set", 's', CLI_LIST, "KEY=VALUE", "override a key of it; may be repeated", &(set)         \
    }

/* Of which run. */
#define CMD_RUN(run)                                                                               \
    {                                                                                              \
        "run", 0, CLI_STRING, "NAME", "which run; may be left out when there is only one", &(run)  \
    }

int cmd_init(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_token(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_clients(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_renew(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_ca_roll(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_ca_retire(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_revoke(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_serve(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run_create(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run_list(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run_show(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run_pause(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run_resume(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run_stop(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run_watch(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_status(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_export(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_replay(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_audit_verify(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_audit_show(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_config_show(const struct cli_command *self, int argc, char **argv, struct err *e);

/* Opens the store for a command that gives or takes rights; the state folder is made if need be.
 * The errors of store_open. */
int cmd_people(struct store **store, const struct server_config *c, struct err *e) MUST_CHECK;
/* Lets a server that runs on this state folder know that papers or runs have changed, if there is
 * one. */
void cmd_notify(const struct server_config *c);

#endif
