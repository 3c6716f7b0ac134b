#include "base/file.h"
#include "server/audit.h"
#include "server/cmd.h"
#include "server/config.h"
#include "server/server.h"
#include "server/store.h"
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

/* --- audit show --- */

static void print_json(void *ctx, const char *line, const json_t *record)
{
    (void)ctx;
    (void)record;
    printf("%s\n", line);
}

static void print_text(void *ctx, const char *line, const json_t *record)
{
    const char *key;
    json_t *value, *r = (json_t *)record; /* jansson's iteration is not const */
    (void)ctx;
    (void)line;
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
    json_t *rounds;
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
static int compare_rounds(const char *path, const char *database, struct comparison *c,
                          struct err *e)
{
    struct store_run run;
    struct store *store;
    bool found;
    int rc = store_open(&store, database, STORE_READ, e);
    if (rc != 0)
        return rc;
    c->run = &run;
    rc = store_run(store, &run, &found, e);
    if (rc == 0 && found)
        rc = store_rounds(store, 0, compare_round, c, e);
    store_close(store);
    if (rc != 0)
        return rc;
    if (c->different > 0)
        return err_set(e, ERR_DATA, "%s: round %u has another hash in the database", path,
                       c->different);
    if (c->missing > 0 && c->missing < c->compared)
        return err_set(e, ERR_DATA,
                       "%s: round %u is in the database but not here: lines were removed", path,
                       c->missing);
    return 0;
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

static int verify(const char *path, const char *database, const struct hash *expect, struct err *e)
{
    struct audit_summary sum;
    struct comparison c = {.rounds = json_object()};
    int rc = audit_verify(path, expect, collect, c.rounds, &sum, e);
    if (rc == 0 && file_exists(database))
        rc = compare_rounds(path, database, &c, e);
    if (rc == 0)
        report(&sum, c.compared);
    json_decref(c.rounds);
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

/* The two files of the state folder that a configuration names. */
static int find_files(const char *config, const struct cli_list *set, char audit[PATH_MAX],
                      char database[PATH_MAX], struct err *e)
{
    struct conf *conf;
    struct server_config *c;
    int rc = server_config_load(&conf, &c, config, set, NEED_STATE, e);
    if (rc != 0)
        return rc;
    rc = file_join(audit, PATH_MAX, c->state, AUDIT_FILE, e);
    if (rc == 0)
        rc = file_join(database, PATH_MAX, c->state, SERVER_DATABASE, e);
    conf_free(conf);
    return rc;
}

int cmd_audit_verify(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *config = NULL, *head = NULL, path[PATH_MAX], database[PATH_MAX];
    struct hash expect;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(config, set),
        {"head", 0, CLI_STRING, "HASH", "a line with this SHA-256 must be there", &head},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((head != NULL && (rc = parse_hash(head, &expect, e)) != 0) ||
        (rc = find_files(config, &set, path, database, e)) != 0)
        return rc;
    return verify(path, database, head != NULL ? &expect : NULL, e);
}

int cmd_audit_show(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *config = NULL, path[PATH_MAX], database[PATH_MAX];
    bool json = false;
    struct audit_summary sum;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(config, set),
        {"format", 'f', CLI_FORMAT, "text|json", "how to print it (default text)", &json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((rc = find_files(config, &set, path, database, e)) != 0)
        return rc;
    return audit_verify(path, NULL, json ? print_json : print_text, NULL, &sum, e);
}
