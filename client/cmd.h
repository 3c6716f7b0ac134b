/* The commands of fedpet-client, one file each, and what they share. */
#ifndef CLIENT_CMD_H
#define CLIENT_CMD_H

#include "base/cli.h"
#include "base/err.h"
#include <jansson.h>

int cmd_enroll(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_run(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_train(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_pretrain(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_eval(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_predict(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_train_tokenizer(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_tokenize(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_export(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_merge(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_quantize(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_inspect(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_fetch_model(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_fetch_data(const struct cli_command *self, int argc, char **argv, struct err *e);
int cmd_config_show(const struct cli_command *self, int argc, char **argv, struct err *e);

/* Calls `each` for every line TEXT or TEXT<TAB>PAIR of standard input, b NULL for a single text,
 * until one fails, which is said with the line's number. ERR_IO. */
typedef int (*cmd_text_fn)(void *ctx, const char *a, size_t a_len, const char *b, size_t b_len,
                           struct err *e);
int cmd_each_text(cmd_text_fn each, void *ctx, struct err *e) MUST_CHECK;

/* A float survives the way to text and back. */
#define CMD_JSON_DIGITS JSON_REAL_PRECISION(9)

/* Prints a JSON value on stdout, one line or (indent) many, and drops the reference. ERR_IO;
 * ERR_NOMEM, also when json is NULL. */
int cmd_print_json(json_t *json, bool indent, struct err *e) MUST_CHECK;

#endif
