#include "model/jsonfile.h"
#include "server/cmd.h"
#include "server/runs.h"
#include "server/status.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { POLL_MS = 500 };

/* What these commands begin with: a configuration, and how to print. */
struct asked {
    struct conf *conf;
    struct server_config *config;
    struct cli_args args;
    bool json;
};

static int ask(struct asked *a, const struct cli_command *self, int argc, char **argv, int words,
               struct err *e)
{
    char *path = NULL;
    struct cli_list set = {0};
    const struct cli_option options[] = {
        CMD_CONFIG(path, set),
        {"format", 'f', CLI_FORMAT, "text|json", "how to print it (default text)", &a->json},
        {0},
    };
    int rc = cli_parse(self, options, argc, argv, &a->args, e);
    if (rc != 0 || a->args.help)
        return rc;
    if (a->args.n != words)
        return words == 0 ? cli_words(&a->args, 0, e)
                          : err_set(e, ERR_USAGE, "give the name of one run");
    return server_config_load(&a->conf, &a->config, path, &set, NEED_STATE, e);
}

/* --- list --- */

int cmd_run_list(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct asked a = {0};
    json_t *status = NULL;
    int rc = ask(&a, self, argc, argv, 0, e);
    if (rc == 0 && !a.args.help)
        rc = status_collect(&status, a.config, NULL, e);
    if (rc == 0 && status != NULL && a.json)
        rc = jsonfile_print(json_object_get(status, "runs"), JSON_INDENT(2), e);
    else if (rc == 0 && status != NULL)
        status_print_runs(status);
    json_decref(status);
    conf_free(a.conf);
    return rc;
}

/* --- show --- */

/* The specification as YAML, each key with where it came from; malloc'ed. */
static int specification(char **out, const struct server_config *c, const char *name, struct err *e)
{
    struct conf *conf;
    const struct run_config *run;
    size_t len = 0;
    int rc = runs_spec(&conf, &run, c, name, e);
    if (rc != 0)
        return rc;
    FILE *text = open_memstream(out, &len);
    rc = text != NULL ? conf_show(conf != NULL ? conf : c->conf, text, e)
                      : err_set(e, ERR_NOMEM, "out of memory");
    if (text != NULL)
        fclose(text);
    conf_free(conf);
    return rc;
}

static int show(const struct asked *a, struct err *e)
{
    char name[SPEC_MAX_NAME + 1], *spec = NULL;
    json_t *status = NULL;
    int rc = runs_pick(name, a->config, a->args.word[0], e);
    if (rc == 0)
        rc = status_collect(&status, a->config, name, e);
    if (rc == 0)
        rc = specification(&spec, a->config, name, e);
    if (rc == 0 && a->json) {
        json_object_del(status, "runs");
        json_object_set_new(status, "specification", json_string(spec));
        rc = jsonfile_print(status, JSON_INDENT(2), e);
    } else if (rc == 0) {
        status_print(status, SIZE_MAX);
        printf("\n%s", spec);
    }
    free(spec);
    json_decref(status);
    return rc;
}

int cmd_run_show(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct asked a = {0};
    int rc = ask(&a, self, argc, argv, 1, e);
    if (rc == 0 && !a.args.help)
        rc = show(&a, e);
    conf_free(a.conf);
    return rc;
}

/* --- watch --- */

static int print_rounds(json_t *rounds, const char *name, double parameter_bytes, bool json,
                        struct err *e)
{
    size_t i;
    json_t *round;
    json_array_foreach(rounds, i, round)
    {
        if (json) {
            json_object_set_new(round, "name", json_string(name));
            json_dumpf(round, stdout, JSON_COMPACT);
            putchar('\n');
        } else {
            status_print_round(round, parameter_bytes);
        }
    }
    return fflush(stdout) == 0 ? 0 : err_sys(e, ERR_IO, errno, "standard output");
}

/* The rounds since `*next`, and whether that is all. The state first: what was committed before the
 * run was over is then seen. */
static int look(const struct runs_reader *r, uint32_t *next, bool json, enum runs_state *state,
                struct err *e)
{
    struct store_run run;
    json_t *rounds = json_array();
    int rc = runs_state(state, &run, r->store, &r->config->spec.federation, e);
    if (rc == 0)
        rc = status_history(r->store, *next, rounds, e);
    if (rc == 0)
        rc = print_rounds(rounds, r->name, 4.0 * (double)run.parameters, json, e);
    *next += (uint32_t)json_array_size(rounds);
    json_decref(rounds);
    return rc;
}

static int watch(const struct asked *a, struct err *e)
{
    const struct timespec nap = {.tv_nsec = POLL_MS * 1000000L};
    struct runs_reader r;
    uint32_t next = 0;
    int rc = runs_read(&r, a->config, a->args.word[0], e);
    if (rc != 0)
        return rc;
    enum runs_state state = RUN_CREATED;
    if (!a->json)
        status_print_head();
    while ((rc = look(&r, &next, a->json, &state, e)) == 0 && state != RUN_FINISHED &&
           state != RUN_STOPPED)
        nanosleep(&nap, NULL);
    if (rc == 0 && !a->json)
        printf("%s\n", runs_state_name(state));
    runs_close(&r);
    return rc;
}

int cmd_run_watch(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct asked a = {0};
    int rc = ask(&a, self, argc, argv, 1, e);
    if (rc == 0 && !a.args.help)
        rc = watch(&a, e);
    conf_free(a.conf);
    return rc;
}
