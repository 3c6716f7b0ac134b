/* The commands of fedpet-sim. */
#ifndef SIM_CMD_H
#define SIM_CMD_H

#include "base/cli.h"

int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_suite(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_report(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_partition(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_prepare_debian(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_config_show(const struct cli_command *self, int argc, char **argv, struct err *e);

#endif
