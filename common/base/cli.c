#include "base/cli.h"
#include "base/edit_distance.h"
#include "base/size.h"
#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LONG_ONLY = 256, HELP = LONG_ONLY + CLI_MAX_OPTIONS, HELP_COLUMN = 26 };

/* Keeps in *best the candidate nearest to `word`, if it is near enough to be what was meant. */
static void consider(const char *word, const char *candidate, const char **best, size_t *least)
{
    size_t d = edit_distance(word, candidate);
    if (d < *least && d <= 1 + strlen(word) / 3) {
        *least = d;
        *best = candidate;
    }
}

/* --- options --- */

static int unknown_option(const struct cli_option *option, char **argv, struct err *e)
{
    const char *given = argv[optind - 1], *best = NULL;
    if (optopt != 0 && optopt < LONG_ONLY)
        return err_set(e, ERR_USAGE, "unknown option -%c; see %s --help", optopt, argv[0]);
    if (optopt >= LONG_ONLY)
        return err_set(e, ERR_USAGE, "option %s takes no value", given);
    char word[EDIT_DISTANCE_MAX + 1];
    size_t least = SIZE_MAX, len = strcspn(given + 2, "=");
    snprintf(word, sizeof word, "%.*s", (int)(len <= EDIT_DISTANCE_MAX ? len : EDIT_DISTANCE_MAX),
             given + 2);
    for (const struct cli_option *o = option; o->name != NULL; o++)
        consider(word, o->name, &best, &least);
    if (best != NULL)
        return err_set(e, ERR_USAGE, "unknown option --%s: did you mean --%s?", word, best);
    return err_set(e, ERR_USAGE, "unknown option --%s; see %s --help", word, argv[0]);
}

static int parse_number(const char *text, uint64_t *out, const char **rest)
{
    char *end;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || errno != 0)
        return ERR_USAGE;
    *out = v;
    *rest = end;
    return 0;
}

static int parse_seconds(const char *text, uint64_t *out)
{
    static const struct {
        const char *suffix;
        uint64_t seconds;
    } unit[] = {{"", 1}, {"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}};
    const char *rest;
    uint64_t v;
    if (parse_number(text, &v, &rest) != 0)
        return ERR_USAGE;
    for (size_t i = 0; i < sizeof unit / sizeof *unit; i++) {
        if (strcmp(rest, unit[i].suffix) == 0 && v <= UINT64_MAX / unit[i].seconds) {
            *out = v * unit[i].seconds;
            return 0;
        }
    }
    return ERR_USAGE;
}

static int store_list(const struct cli_option *o, char *value, struct err *e)
{
    struct cli_list *list = o->to;
    if (list->n == CLI_MAX_REPETITIONS)
        return err_set(e, ERR_USAGE, "--%s given more than %d times", o->name, CLI_MAX_REPETITIONS);
    list->item[list->n++] = value;
    return 0;
}

static int store(const struct cli_option *o, char *value, struct err *e)
{
    const char *rest = "";
    uint64_t number;
    switch (o->kind) {
    case CLI_FLAG:
        *(bool *)o->to = true;
        return 0;
    case CLI_STRING:
        *(char **)o->to = value;
        return 0;
    case CLI_LIST:
        return store_list(o, value, e);
    case CLI_NUMBER:
        if (parse_number(value, &number, &rest) != 0 || *rest != '\0')
            return err_set(e, ERR_USAGE, "--%s %s: must be a number", o->name, value);
        *(uint64_t *)o->to = number;
        return 0;
    case CLI_SIZE:
        if (!size_parse(value, o->to))
            return err_set(e, ERR_USAGE, "--%s %s: must be %s", o->name, value, SIZE_WANTED);
        return 0;
    case CLI_SECONDS:
        if (parse_seconds(value, &number) != 0)
            return err_set(e, ERR_USAGE, "--%s %s: must be a time like 90s, 15m, 24h or 7d",
                           o->name, value);
        *(uint64_t *)o->to = number;
        return 0;
    case CLI_FORMAT:
        if (strcmp(value, "json") != 0 && strcmp(value, "text") != 0)
            return err_set(e, ERR_USAGE, "--%s %s: must be text or json", o->name, value);
        *(bool *)o->to = value[0] == 'j';
        return 0;
    }
    return err_set(e, ERR_INTERNAL, "option --%s has no kind", o->name);
}

/* The same table in getopt_long's terms. Returns the number of options. */
static int describe(const struct cli_option *option, struct option *longs, char *shorts)
{
    int n = 0;
    *shorts++ = ':'; /* getopt reports a missing value apart from an unknown option */
    *shorts++ = 'h';
    for (; n < CLI_MAX_OPTIONS && option[n].name != NULL; n++) {
        int takes_value = option[n].kind != CLI_FLAG;
        longs[n] = (struct option){option[n].name, takes_value, NULL, LONG_ONLY + n};
        if (option[n].letter != 0) {
            *shorts++ = option[n].letter;
            if (takes_value)
                *shorts++ = ':';
        }
    }
    *shorts = '\0';
    longs[n] = (struct option){"help", no_argument, NULL, HELP};
    longs[n + 1] = (struct option){0};
    return n;
}

static void print_option(char letter, const char *name, const char *argument, const char *help)
{
    char left[80], dash[5] = "    ";
    if (letter != 0)
        snprintf(dash, sizeof dash, "-%c, ", letter);
    snprintf(left, sizeof left, "  %s--%s%s%s", dash, name, argument != NULL ? " " : "",
             argument != NULL ? argument : "");
    if (strlen(left) < HELP_COLUMN)
        printf("%-*s%s\n", HELP_COLUMN, left, help);
    else
        printf("%s\n%*s%s\n", left, HELP_COLUMN, "", help);
}

/* A text that tables begin in lower case, as a sentence. */
static void print_sentence(const char *text)
{
    printf("%c%s.\n", toupper((unsigned char)text[0]), text + 1);
}

static void print_command_help(const struct cli_command *self, const struct cli_option *option,
                               const char *called)
{
    printf("Usage: %s%s%s\n\n", called, *self->usage != '\0' ? " " : "", self->usage);
    print_sentence(self->what);
    printf("\nOptions:\n");
    for (const struct cli_option *o = option; o->name != NULL; o++)
        print_option(o->letter, o->name, o->argument, o->help);
    print_option('h', "help", NULL, "show this help");
    if (self->more != NULL)
        printf("\n%s", self->more);
}

static int option_index(const struct cli_option *option, int n, int got)
{
    if (got >= LONG_ONLY)
        return got - LONG_ONLY;
    for (int i = 0; i < n; i++)
        if (option[i].letter == got)
            return i;
    return n;
}

int cli_parse(const struct cli_command *self, const struct cli_option *option, int argc,
              char **argv, struct cli_args *args, struct err *e)
{
    struct option longs[CLI_MAX_OPTIONS + 2];
    char shorts[2 * CLI_MAX_OPTIONS + 3];
    int n = describe(option, longs, shorts), got, rc;
    *args = (struct cli_args){0};
    optind = 0; /* makes getopt start anew */
    opterr = 0;
    while ((got = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
        if (got == 'h' || got == HELP) {
            print_command_help(self, option, argv[0]);
            args->help = true;
            return 0;
        }
        if (got == '?')
            return unknown_option(option, argv, e);
        int i = option_index(option, n, got == ':' ? optopt : got);
        if (i == n)
            return err_set(e, ERR_INTERNAL, "option table of %s is broken", self->name);
        if (got == ':')
            return err_set(e, ERR_USAGE, "option --%s needs a value: --%s %s", option[i].name,
                           option[i].name, option[i].argument);
        if ((rc = store(&option[i], optarg, e)) != 0)
            return rc;
    }
    args->n = argc - optind;
    args->word = argv + optind;
    return 0;
}

int cli_words(const struct cli_args *args, int most, struct err *e)
{
    return args->n <= most ? 0
                           : err_set(e, ERR_USAGE, "unexpected argument '%s'", args->word[most]);
}

int cli_need(const char *value, const char *option, struct err *e)
{
    return value != NULL ? 0 : err_set(e, ERR_USAGE, "--%s is missing", option);
}

/* --- commands --- */

static void print_program_help(const struct cli_program *p)
{
    printf("Usage: %s COMMAND [options]\n\n", p->name);
    print_sentence(p->what);
    printf("\nCommands:\n");
    for (const struct cli_command *c = p->command; c->name != NULL; c++)
        printf("  %-14s%s\n", c->name, c->what);
    printf("\n%s COMMAND --help explains a command; %s --version prints the version.\n", p->name,
           p->name);
    if (p->more != NULL)
        printf("\n%s", p->more);
    printf("\nExit status:\n  %3d  success\n", 0);
#define PRINT_STATUS(name, status, text) printf("  %3d  %s\n", status, text);
    ERR_TABLE(PRINT_STATUS)
#undef PRINT_STATUS
}

/* How many words of the command line name this command: 0 when they do not. */
static int matches(const struct cli_command *c, int argc, char **argv)
{
    size_t first = strcspn(c->name, " ");
    if (strncmp(argv[1], c->name, first) != 0 || argv[1][first] != '\0')
        return 0;
    if (c->name[first] == '\0')
        return 1;
    return argc > 2 && strcmp(argv[2], c->name + first + 1) == 0 ? 2 : 0;
}

static int unknown_command(const struct cli_program *p, const char *word, struct err *e)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (const struct cli_command *c = p->command; c->name != NULL; c++) {
        consider(word, c->name, &best, &least);
        if (strncmp(c->name, word, strlen(word)) == 0)
            best = c->name;
    }
    if (best != NULL)
        return err_set(e, ERR_USAGE, "unknown command '%s': did you mean '%s'?", word, best);
    return err_set(e, ERR_USAGE, "unknown command '%s'; see %s --help", word, p->name);
}

static int run_command(const struct cli_program *p, int argc, char **argv, struct err *e)
{
    for (const struct cli_command *c = p->command; c->name != NULL; c++) {
        int words = matches(c, argc, argv);
        if (words > 0) {
            char called[128];
            snprintf(called, sizeof called, "%s %s", p->name, c->name);
            argv[words] = called;
            return c->run(c, argc - words, argv + words, e);
        }
    }
    return unknown_command(p, argv[1], e);
}

int cli_main(const struct cli_program *p, int argc, char **argv)
{
    struct err e = {0};
    int rc = 0;
    if (argc < 2)
        rc = err_set(&e, ERR_USAGE, "no command given; see %s --help", p->name);
    else if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
             strcmp(argv[1], "help") == 0)
        print_program_help(p);
    else if (strcmp(argv[1], "--version") == 0)
        printf("%s %s\n", p->name, FEDPET_VERSION);
    else
        rc = run_command(p, argc, argv, &e);
    if (rc == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        rc = err_sys(&e, ERR_IO, errno, "writing standard output");
    if (rc != 0)
        fprintf(stderr, "%s: %s\n", p->name, e.text);
    return rc;
}
