/* Command lines of the form `program COMMAND [options] [arguments]`, described by tables that are
 * parsed, checked and printed as --help. Typical use:
 *
 *     static int cmd_greet(const struct cli_command *self, int argc, char **argv, struct err *e)
 *     {
 *         char *name = NULL;
 *         const struct cli_option options[] = {
 *             {"name", 'n', CLI_STRING, "NAME", "whom to greet", &name},
 *             {0},
 *         };
 *         struct cli_args args;
 *         int rc = cli_parse(self, options, argc, argv, &args, e);
 *         if (rc != 0 || args.help)
 *             return rc;
 *         ...
 *     }
 *
 *     static const struct cli_command commands[] = {
 *         {"greet", "--name NAME", "say hello", "Example:\n  hello greet --name Ann\n", cmd_greet},
 *         {0},
 *     };
 *
 * and `return cli_main(&program, argc, argv);` in main. */
#ifndef BASE_CLI_H
#define BASE_CLI_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CLI_MAX_OPTIONS = 32,     /* of one command */
    CLI_MAX_REPETITIONS = 64, /* of one CLI_LIST option */
};

enum cli_kind {
    CLI_FLAG,    /* bool: set to true */
    CLI_STRING,  /* char *: points into argv */
    CLI_LIST,    /* struct cli_list: each use of the option appends */
    CLI_NUMBER,  /* uint64_t: decimal digits */
    CLI_SIZE,    /* uint64_t, bytes: "512M", "2G" (base/size.h) */
    CLI_SECONDS, /* uint64_t: "90", "90s", "15m", "24h", "7d" */
    CLI_FORMAT,  /* bool: "json" sets it to true, "text" to false */
};

/* Values of a repeated option; they point into argv. Zero-initialised is empty. */
struct cli_list {
    char *item[CLI_MAX_REPETITIONS];
    size_t n;
};

/* One option. A table of them ends with name NULL. Destinations keep their value when the option is
 * absent: it is the default. */
struct cli_option {
    const char *name; /* long name without "--" */
    char letter;      /* short name; 0: none */
    enum cli_kind kind;
    const char *argument; /* how --help calls the value ("FILE"); NULL for flags */
    const char *help;
    void *to; /* destination of the type that `kind` says */
};

/* What is left of the command line. */
struct cli_args {
    bool help;   /* --help was given and has been printed: the command returns 0 at once */
    int n;       /* arguments that are no options */
    char **word; /* point into argv */
};

struct cli_command;
/* argv[0] is "PROGRAM COMMAND". Returns 0 or an error code, as every function. */
typedef int (*cli_run_fn)(const struct cli_command *self, int argc, char **argv, struct err *e);

/* One command. A table of them ends with name NULL. */
struct cli_command {
    const char *name;  /* one word, or two: "config show" */
    const char *usage; /* what follows the name: "--config FILE [--set KEY=VALUE]..." */
    const char *what;  /* one line: "run the aggregation server" */
    const char *more;  /* paragraphs and examples below the options in --help; may be NULL */
    cli_run_fn run;
};

struct cli_program {
    const char *name, *what;
    const char *more; /* text below the list of commands in --help: a first session; may be NULL */
    const struct cli_command *command;
};

/* Runs the command that argv names, and returns the exit status. An error is printed on stderr as
 * one line "NAME: text". `--help` and `help` print the commands and the table of exit statuses;
 * `--version` prints the version. An unknown command is ERR_USAGE and names the nearest known one.
 */
int cli_main(const struct cli_program *p, int argc, char **argv);

/* Parses a command's options by getopt_long, so options and arguments may be mixed, "--" ends the
 * options, and an unambiguous prefix of a long name is accepted. ERR_USAGE naming the option:
 * unknown (with the nearest known one), value missing or malformed. Each command has --help (-h) of
 * itself, printed on stdout from the two tables. */
int cli_parse(const struct cli_command *self, const struct cli_option *option, int argc,
              char **argv, struct cli_args *args, struct err *e) MUST_CHECK;
/* ERR_USAGE when there are more arguments than `most`. */
int cli_words(const struct cli_args *args, int most, struct err *e) MUST_CHECK;
/* ERR_USAGE naming the option when it was not given, so that its value is NULL. */
int cli_need(const char *value, const char *option, struct err *e) MUST_CHECK;

#endif
