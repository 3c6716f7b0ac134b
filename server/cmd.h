/* The commands of fedpet-server, one file each, listed in main.c. */
#ifndef SERVER_CMD_H
#define SERVER_CMD_H

#include "base/cli.h"

int cmd_init(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_token(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_revoke(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_status(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_export(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_config_show(const struct cli_command *self, int argc, char **argv, struct err *e);

/* ERR_USAGE when arguments are left that a command does not take. */
int cmd_no_words(const struct cli_args *args, struct err *e) MUST_CHECK;

#endif
