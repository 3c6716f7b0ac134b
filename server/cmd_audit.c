#include "base/file.h"
#include "server/audit.h"
#include "server/cmd.h"
#include "server/runs.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- audit show --- */

/* Whether a line concerns the run that was asked for; NULL: all do. */
static bool wanted(const char *run, const json_t *record)
{
    const char *name = json_string_value(json_object_get(record, "name"));
    return run == NULL || (name != NULL && strcmp(name, run) == 0);
}

static void print_json(void *ctx, const char *line, const json_t *record)
{
    if (wanted(ctx, record))
        printf("%s\n", line);
}

static void print_text(void *ctx, const char *line, const json_t *record)
{
    const char *key;
    json_t *value, *r = (json_t *)record; /* jansson's iteration is not const */
    (void)line;
    if (!wanted(ctx, record))
        return;
    printf("%6" JSON_INTEGER_FORMAT "  %s  %s", json_integer_value(json_object_get(r, "seq")),
           json_string_value(json_object_get(r, "time")),
           json_string_value(json_object_get(r, "event")));
    json_object_foreach(r, key, value)
    {
        if (strcmp(key, "seq") == 0 || strcmp(key, "time") == 0 || strcmp(key, "event") == 0 ||
            strcmp(key, "prev") == 0)
            continue;
        printf(" %s=", key);
        json_dumpf(value, stdout, JSON_ENCODE_ANY | JSON_ENSURE_ASCII | JSON_COMPACT);
    }
    putchar('\n');
}

/* --- audit verify --- */

/* The rounds that the log has, by run and number: {"RUN 3": "HASH"}. */
static void collect(void *ctx, const char *line, const json_t *record)
{
    char key[64];
    const char *event = json_string_value(json_object_get(record, "event")),
               *run = json_string_value(json_object_get(record, "run"));
    (void)line;
    if (event == NULL || strcmp(event, "round_committed") != 0 || run == NULL)
        return;
    snprintf(key, sizeof key, "%.32s %" JSON_INTEGER_FORMAT, run,
             json_integer_value(json_object_get(record, "round")));
    json_object_set(ctx, key, json_object_get(record, "hash"));
}

struct comparison {
    const struct store_run *run;
    json_t *rounds;             /* of the log */
    uint32_t compared, missing; /* missing: the first round that the log lacks; 0: none */
    uint32_t different;         /* the first round with another hash; 0: none */
};

static int compare_round(void *ctx, const struct store_round *r)
{
    struct comparison *c = ctx;
    char key[64], hex[HASH_HEX];
    hash_hex(&r->hash, hex);
    snprintf(key, sizeof key, "%.32s %u", c->run->run_id, r->round + 1);
    const char *logged = json_string_value(json_object_get(c->rounds, key));
    if (logged == NULL && c->missing == 0)
        c->missing = r->round + 1;
    if (logged != NULL && strcmp(logged, hex) != 0 && c->different == 0)
        c->different = r->round + 1;
    c->compared++;
    return 0;
}

/* Lines cut off at the end leave the chain whole, but not the rounds of the database without
 * theirs. The newest round alone may lack its line for a moment, or until a server that was killed
 * starts again. */
static int compare_rounds(const char *path, const char *database, const char *name, json_t *logged,
                          uint32_t *compared, struct err *e)
{
    struct store_run run;
    struct comparison c = {.run = &run, .rounds = logged};
    struct store *store;
    bool found;
    int rc = store_open(&store, database, STORE_READ, e);
    if (rc != 0)
        return rc;
    rc = store_run(store, &run, &found, e);
    if (rc == 0 && found)
        rc = store_rounds(store, 0, compare_round, &c, e);
    store_close(store);
    *compared += c.compared;
    if (rc != 0)
        return rc;
    if (c.different > 0)
        return err_set(e, ERR_DATA, "%s: round %u of run %s has another hash in the database", path,
                       c.different, name);
    if (c.missing > 0 && c.missing < c.compared)
        return err_set(e, ERR_DATA,
                       "%s: round %u of run %s is in the database but not here: lines were removed",
                       path, c.missing, name);
    return 0;
}

/* Of all runs, or of one. */
static int compare_runs(const struct server_config *c, const char *path, const char *only,
                        json_t *logged, uint32_t *compared, struct err *e)
{
    char database[PATH_MAX];
    struct runs_names *names = malloc(sizeof *names);
    int rc = names == NULL ? err_set(e, ERR_NOMEM, "out of memory") : runs_list(names, c, e);
    for (size_t i = 0; rc == 0 && i < names->n; i++) {
        const char *name = names->name[i];
        rc = runs_path(database, sizeof database, c->state, name, RUNS_DATABASE, e);
        if (rc == 0 && file_exists(database) && (only == NULL || strcmp(only, name) == 0))
            rc = compare_rounds(path, database, name, logged, compared, e);
    }
    free(names);
    return rc;
}

static void report(const struct audit_summary *sum, uint32_t compared)
{
    char hex[HASH_HEX];
    hash_hex(&sum->head, hex);
    printf("lines     %" PRIu64 ", an unbroken chain\n", sum->lines);
    if (sum->lines > 0)
        printf("head      %s\n", hex);
    if (sum->torn > 0)
        printf("torn      %zu bytes of an unfinished last line, which the next start removes\n",
               sum->torn);
    if (compared > 0)
        printf("rounds    %u of the database compared\n", compared);
}

static int verify(const struct server_config *c, const char *run, const struct hash *expect,
                  struct err *e)
{
    char path[PATH_MAX];
    struct audit_summary sum;
    uint32_t compared = 0;
    json_t *logged = json_object();
    int rc = file_join(path, sizeof path, c->state, AUDIT_FILE, e);
    if (rc == 0)
        rc = audit_verify(path, expect, collect, logged, &sum, e);
    if (rc == 0)
        rc = compare_runs(c, path, run, logged, &compared, e);
    if (rc == 0)
        report(&sum, compared);
    json_decref(logged);
    return rc;
}

/* --- commands --- */

static int parse_hash(const char *text, struct hash *out, struct err *e)
{
    static const char digits[] = "0123456789abcdef";
    if (strlen(text) != HASH_HEX - 1 || strspn(text, digits) != HASH_HEX - 1)
        return err_set(e, ERR_USAGE,
                       "--head: give the 64 hexadecimal digits that `audit verify` printed");
    for (size_t i = 0; i < HASH_BYTES; i++)
        out->byte[i] = (uint8_t)((strchr(digits, text[2 * i]) - digits) << 4 |
                                 (strchr(digits, text[2 * i + 1]) - digits));
    return 0;
}

/* The configuration, and whether `run` is one of its runs, if it is given. */
static int open_config(struct conf **conf, struct server_config **c, const char *path,
                       const struct cli_list *set, const char *run, struct err *e)
{
    char name[SPEC_MAX_NAME + 1];
    int rc = server_config_load(conf, c, path, set, NEED_STATE, e);
    if (rc == 0 && run != NULL && (rc = runs_pick(name, *c, run, e)) != 0)
        conf_free(*conf);
    return rc;
}

int cmd_audit_verify(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL, *head = NULL, *run = NULL;
    struct hash expect;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        {"head", 0, CLI_STRING, "HASH", "a line with this SHA-256 must be there", &head},
        {"run", 0, CLI_STRING, "NAME", "compare the rounds of this run only", &run},
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((head != NULL && (rc = parse_hash(head, &expect, e)) != 0) ||
        (rc = open_config(&conf, &c, path, &set, run, e)) != 0)
        return rc;
    rc = verify(c, run, head != NULL ? &expect : NULL, e);
    conf_free(conf);
    return rc;
}

int cmd_audit_show(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *config = NULL, *run = NULL, path[PATH_MAX];
    bool json = false;
    struct audit_summary sum;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(config, set),
        {"run", 0, CLI_STRING, "NAME", "only what concerns this run", &run},
        {"format", 'f', CLI_FORMAT, "text|json", "how to print it (default text)", &json},
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((rc = open_config(&conf, &c, config, &set, run, e)) != 0)
        return rc;
    rc = file_join(path, sizeof path, c->state, AUDIT_FILE, e);
    if (rc == 0)
        rc = audit_verify(path, NULL, json ? print_json : print_text, run, &sum, e);
    conf_free(conf);
    return rc;
}
