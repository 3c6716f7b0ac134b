#include "base/file.h"
#include "model/jsonfile.h"
#include "server/cmd.h"
#include "server/runs.h"
#include "server/status.h"
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

enum { WATCH_S = 2, WATCH_ROUNDS = 12 };

/* The run that is meant: the one named, else the only one there is, once it has been served; ""
 * for an overview of all. */
static int choose(char name[SPEC_MAX_NAME + 1], const struct server_config *c, const char *wanted,
                  struct err *e)
{
    char database[PATH_MAX];
    struct err several;
    if (wanted != NULL)
        return runs_pick(name, c, wanted, e);
    int rc = runs_pick(name, c, NULL, &several);
    if (rc == 0)
        rc = runs_path(database, sizeof database, c->state, name, RUNS_DATABASE, &several);
    if (rc != 0 || !file_exists(database))
        name[0] = '\0';
    if (rc != 0 && rc != ERR_USAGE)
        *e = several;
    return rc == ERR_USAGE ? 0 : rc;
}

/* `again`: what fits a screen, or a line of JSON. */
static int show(const struct server_config *c, const char *wanted, bool json, bool again,
                struct err *e)
{
    char name[SPEC_MAX_NAME + 1];
    json_t *status;
    int rc = choose(name, c, wanted, e);
    if (rc == 0)
        rc = status_collect(&status, c, name[0] != '\0' ? name : NULL, e);
    if (rc != 0)
        return rc;
    if (json)
        rc = jsonfile_print(status, again ? JSON_COMPACT : JSON_INDENT(2), e);
    else
        status_print(status, again ? WATCH_ROUNDS : SIZE_MAX);
    json_decref(status);
    return rc;
}

/* Again and again, on a terminal in the same place; until SIGINT, or nobody reads. */
static int watch(const struct server_config *c, const char *wanted, bool json, struct err *e)
{
    bool terminal = isatty(STDOUT_FILENO) == 1;
    for (bool first = true;; first = false) {
        if (!json && terminal)
            fputs("\x1b[H\x1b[J", stdout); /* home, clear (ECMA-48) */
        else if (!json && !first)
            putchar('\n');
        int rc = show(c, wanted, json, true, e);
        if (rc != 0)
            return rc;
        if (fflush(stdout) != 0)
            return err_sys(e, ERR_IO, errno, "standard output");
        sleep(WATCH_S);
    }
}

int cmd_status(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    char *path = NULL, *run = NULL;
    bool json = false, again = false;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        CMD_RUN(run),
        {"format", 'f', CLI_FORMAT, "text|json", "how to print it (default text)", &json},
        {"watch", 'w', CLI_FLAG, NULL, "show it again every two seconds", &again},
        {0},
    };
    struct cli_args args;
    struct conf *conf;
    struct server_config *c;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc != 0 || args.help || (rc = cli_words(&args, 0, e)) != 0)
        return rc;
    if ((rc = server_config_load(&conf, &c, path, &set, NEED_STATE, e)) != 0)
        return rc;
    rc = again ? watch(c, run, json, e) : show(c, run, json, false, e);
    conf_free(conf);
    return rc;
}
