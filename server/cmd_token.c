#include "net/token.h"
#include "server/audit.h"
#include "server/cmd.h"
#include "server/enroll.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { LONGEST_TTL = 366 * 86400 };

/* By the digest, of which the first half names it well enough. */
static int record_token(const char *state, const struct hash *digest, const char *name, int64_t now,
                        uint64_t ttl, struct err *e)
{
    char hex[HASH_HEX];
    hash_hex(digest, hex);
    hex[HASH_HEX / 2] = '\0';
    return audit_once(
        state, now * 1000, "token_made",
        json_pack("{s:s, s:s*, s:I}", "token", hex, "client", name, "ttl_s", (json_int_t)ttl), e);
}

static int make_token(const struct server_config *c, struct store *store, const char *name,
                      uint64_t ttl, struct err *e)
{
    struct enroll enroll;
    struct token token;
    char text[TOKEN_TEXT];
    int rc = enroll_open(&enroll, c, store, e);
    if (rc != 0)
        return rc;
    rc = token_make(&token, &enroll.fingerprint, e);
    if (rc == 0) {
        struct hash digest = token_digest(&token);
        int64_t now = (int64_t)time(NULL);
        rc = store_token(store, &digest, name, now, now + (int64_t)ttl, e);
        if (rc == 0)
            rc = record_token(c->state, &digest, name, now, ttl, e);
    }
    if (rc == 0) {
        token_format(&token, text);
        printf("%s\n", text);
    }
    enroll_close(&enroll);
    return rc;
}

int cmd_token(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL, *name = NULL;
    uint64_t ttl = 86400;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        {"name", 'n', CLI_STRING, "NAME",
         "the only client that it is good for; replaces an earlier one of that name", &name},
        {"ttl", 't', CLI_SECONDS, "TIME", "how long it is good: 90s, 15m, 24h, 7d (default 24h)",
         &ttl},
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    struct store *store;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if (name != NULL && !identity_name_ok(name))
        return err_set(
            e, ERR_USAGE,
            "--name %s: names are 1 to 64 of A-Z a-z 0-9 . _ -, beginning with a letter or a digit",
            name);
    if (ttl < 1 || ttl > LONGEST_TTL)
        return err_set(e, ERR_USAGE, "--ttl: must be 1s to 366d");
    if ((rc = server_config_load(&conf, &c, path, &set, NEED_STATE | NEED_IDENTITY, e)) != 0)
        return rc;
    if ((rc = cmd_people(&store, c, e)) == 0) {
        rc = make_token(c, store, name, ttl, e);
        store_close(store);
    }
    conf_free(conf);
    return rc;
}
