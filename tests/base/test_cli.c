#include "base/cli.h"
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <stdio.h>
#include <string.h>

/* What the test command was given. */
static struct {
    bool verbose, json;
    char *name;
    struct cli_list set;
    uint64_t number, seconds, bytes;
    struct cli_args args;
    int calls;
} got;

static int cmd_try(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    const struct cli_option options[] = {
        {"verbose", 'v', CLI_FLAG, NULL, "say more", &got.verbose},
        {"name", 'n', CLI_STRING, "NAME", "whom to greet", &got.name},
        {"set", 0, CLI_LIST, "KEY=VALUE", "override", &got.set},
        {"number", 0, CLI_NUMBER, "N", "how many", &got.number},
        {"memory", 0, CLI_SIZE, "SIZE", "how much", &got.bytes},
        {"ttl", 't', CLI_SECONDS, "TIME", "how long", &got.seconds},
        {"format", 0, CLI_FORMAT, "text|json", "how to print it", &got.json},
        {0},
    };
    got.calls++;
    return cli_parse(self, options, argc, argv, &got.args, e);
}

static const struct cli_command commands[] = {
    {"try", "[--name NAME] [WORD]...", "try things", "Example:\n  toy try --name Ann\n", cmd_try},
    {"config show", "", "print settings", NULL, cmd_try},
    {0},
};
static const struct cli_program program = {"toy", "A toy", "First steps:\n  toy try\n", commands};

/* Splits a command line at blanks and parses it as `try`. */
static int parse(const char *line, struct err *e)
{
    static char text[4096];
    static char *argv[256];
    int argc = 0;
    memset(&got, 0, sizeof got);
    snprintf(text, sizeof text, "%s", line);
    for (char *save, *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    return cmd_try(&commands[0], argc, argv, e);
}

static int run(const char *line)
{
    static char text[4096];
    char *argv[64];
    int argc = 0;
    memset(&got, 0, sizeof got);
    snprintf(text, sizeof text, "%s", line);
    for (char *save, *w = strtok_r(text, " ", &save); w != NULL; w = strtok_r(NULL, " ", &save))
        argv[argc++] = w;
    argv[argc] = NULL;
    return cli_main(&program, argc, argv);
}

Test(cli, reads_every_kind_of_option)
{
    struct err e = {0};
    cr_assert_eq(parse("try -v --name Ann --set a=1 --set=b=2 one --memory 3M --number "
                       "18446744073709551615 -t "
                       "2h two --format json",
                       &e),
                 0, "%s", e.text);
    cr_assert(got.verbose && got.json);
    cr_assert_str_eq(got.name, "Ann");
    cr_assert_eq(got.set.n, 2);
    cr_assert_str_eq(got.set.item[1], "b=2");
    cr_assert_eq(got.number, UINT64_MAX);
    cr_assert_eq(got.seconds, 7200);
    cr_assert_eq(got.bytes, 3 << 20);
    cr_assert_eq(got.args.n, 2);
    cr_assert_str_eq(got.args.word[0], "one");
    cr_assert_str_eq(got.args.word[1], "two");
}

Test(cli, absent_options_keep_their_defaults_and_two_dashes_end_options)
{
    struct err e = {0};
    cr_assert_eq(parse("try -- --name Ann", &e), 0);
    cr_assert_null(got.name);
    cr_assert_eq(got.args.n, 2);
    cr_assert_eq(parse("try", &e), 0);
    cr_assert_eq(got.args.n, 0);
    cr_assert_eq(parse("try --verb", &e), 0, "a unique prefix will do");
    cr_assert(got.verbose);
}

Test(cli, times_have_units)
{
    static const struct {
        const char *line;
        uint64_t seconds;
    } good[] = {{"try -t 90", 90},
                {"try -t 90s", 90},
                {"try -t 15m", 900},
                {"try -t 24h", 86400},
                {"try -t 7d", 604800}};
    struct err e = {0};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        cr_assert_eq(parse(good[i].line, &e), 0);
        cr_assert_eq(got.seconds, good[i].seconds);
    }
}

Test(cli, says_what_is_wrong_with_an_option)
{
    static const struct {
        const char *line, *says;
    } bad[] = {
        {"try --nmae x", "unknown option --nmae: did you mean --name?"},
        {"try --nmae=x", "did you mean --name?"},
        {"try --completely-different", "unknown option --completely-different; see try --help"},
        {"try -x", "unknown option -x"},
        {"try --name", "option --name needs a value: --name NAME"},
        {"try -n", "option --name needs a value"},
        {"try --verbose=yes", "takes no value"},
        {"try --number ten", "--number ten: must be a number"},
        {"try --number 1x", "must be a number"},
        {"try --number -1", "must be a number"},
        {"try --number 18446744073709551616", "must be a number"},
        {"try --memory 17T", "--memory 17T: must be a size of 16T at most: 512M, 2G, or"},
        {"try --memory 5x", "--memory 5x: must be a size"},
        {"try --ttl 5w", "--ttl 5w: must be a time"},
        {"try --ttl 99999999999999999999d", "must be a time"},
        {"try --ttl 18446744073709551615d", "must be a time"},
        {"try --format xml", "--format xml: must be text or json"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct err e = {0};
        cr_assert_eq(parse(bad[i].line, &e), ERR_USAGE, "%s", bad[i].line);
        cr_assert_not_null(strstr(e.text, bad[i].says), "%s: %s", bad[i].line, e.text);
    }
}

Test(cli, a_list_has_an_end)
{
    char line[4096] = "try";
    size_t len = strlen(line);
    struct err e = {0};
    for (int i = 0; i < CLI_MAX_REPETITIONS; i++)
        len += (size_t)snprintf(line + len, sizeof line - len, " --set a=1");
    cr_assert_eq(parse(line, &e), 0);
    snprintf(line + len, sizeof line - len, " --set a=1");
    cr_assert_eq(parse(line, &e), ERR_USAGE);
    cr_assert_not_null(strstr(e.text, "--set"));
}

Test(cli, dispatches_commands_of_one_and_two_words)
{
    cr_assert_eq(run("toy try one"), 0);
    cr_assert_eq(got.calls, 1);
    cr_assert_eq(got.args.n, 1);
    cr_assert_eq(run("toy config show one two"), 0);
    cr_assert_eq(got.calls, 1);
    cr_assert_eq(got.args.n, 2);
}

Test(cli, unknown_commands_name_the_nearest, .init = cr_redirect_stderr)
{
    cr_assert_eq(run("toy tyr"), ERR_USAGE);
    cr_assert_eq(run("toy config"), ERR_USAGE);
    cr_assert_eq(run("toy zebra"), ERR_USAGE);
    cr_assert_eq(run("toy"), ERR_USAGE);
    fflush(stderr);
    cr_assert_stderr_eq_str("toy: unknown command 'tyr': did you mean 'try'?\n"
                            "toy: unknown command 'config': did you mean 'config show'?\n"
                            "toy: unknown command 'zebra'; see toy --help\n"
                            "toy: no command given; see toy --help\n");
}

Test(cli, help_comes_from_the_tables, .init = cr_redirect_stdout)
{
    char text[4096] = "";
    cr_assert_eq(run("toy try --help --nonsense"), 0);
    cr_assert(got.args.help);
    cr_assert_eq(run("toy --help"), 0);
    fflush(stdout);
    FILE *f = cr_get_redirected_stdout();
    for (size_t n = 0; n < sizeof text - 1 && fgets(text + n, (int)(sizeof text - n), f) != NULL;)
        n = strlen(text);
    static const char *const expected[] = {"Usage: toy try [--name NAME] [WORD]...",
                                           "  -n, --name NAME",
                                           "whom to greet",
                                           "      --set KEY=VALUE",
                                           "  -h, --help",
                                           "toy try --name Ann",
                                           "Usage: toy COMMAND",
                                           "  config show   print settings",
                                           "Exit status:",
                                           "    3  wrong configuration"};
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++)
        cr_assert_not_null(strstr(text, expected[i]), "no '%s' in:\n%s", expected[i], text);
}

Test(cli, the_version_is_the_builds, .init = cr_redirect_stdout)
{
    cr_assert_eq(run("toy --version"), 0);
    fflush(stdout);
    cr_assert_stdout_eq_str("toy " FEDPET_VERSION "\n");
}
