#include "base/log.h"
#include "client/cmd.h"
#include "client/fetch_glue.h"
#include "client/fetch_model.h"
#include "client/progress.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const double FIRST_DRAW = 0.3; /* seconds after a file began */

struct fetch_options {
    char *revision, *out, *mirror, *ca;
    bool json;
};

/* --- what a person sees meanwhile, on stderr ------------------------------------------------ */

struct looker {
    struct progress progress;
    const char *name;
    uint64_t done, left; /* bytes of the present file */
    uint64_t bytes;      /* of all */
};

static void look_begin(void *ctx, const char *name, uint64_t left)
{
    struct looker *l = ctx;
    progress_clear(&l->progress);
    log_info("fetching file=%s bytes=%" PRIu64, name, left);
    l->progress = progress_begin();
    l->name = name;
    l->done = 0;
    l->left = left;
}

static void look_bytes(void *ctx, size_t n)
{
    struct looker *l = ctx;
    double seconds = progress_seconds(&l->progress);
    l->done += n;
    l->bytes += n;
    /* A listing has nothing to show, and a moment's rate says nothing. */
    if (l->left == 0 || seconds < FIRST_DRAW)
        return;
    /* After a server that began anew there is more to come than was said. */
    if (l->done > l->left)
        l->left = l->done;
    progress_draw(&l->progress, l->done, l->left, "%s  %.1f of %.1f MB  %.1f MB/s", l->name,
                  1e-6 * (double)l->done, 1e-6 * (double)l->left, 1e-6 * (double)l->done / seconds);
}

static void look_retry(void *ctx, const char *why, unsigned ms)
{
    const struct looker *l = ctx;
    const struct timespec wait = {ms / 1000, (long)(ms % 1000) * 1000000};
    progress_clear(&l->progress);
    log_warn("interrupted; trying again reason=\"%s\" wait_ms=%u", why, ms);
    nanosleep(&wait, NULL);
}

static int open_http(struct fetch_http **http, const struct fetch_options *o,
                     const struct fetch_hub *hub, struct looker *looker, struct err *e)
{
    const struct fetch_http_settings settings = {
        .ca = o->ca,
        .token = hub->token[0] ? hub->token : NULL,
        .token_origin = hub->endpoint,
        .watch = {looker, look_begin, look_bytes, look_retry},
    };
    return fetch_http_open(http, &settings, e);
}

/* --- fetch model ---------------------------------------------------------------------------- */

static int print_model(const struct fetch_model *what, const struct fetched_model *m, bool json,
                       struct err *e)
{
    if (!json) {
        puts(m->dir);
        return 0;
    }
    json_t *files = json_array();
    for (size_t i = 0; i < m->n; i++)
        json_array_append_new(files, json_pack("{s:s, s:I, s:b}", "name", m->file[i].name, "bytes",
                                               (json_int_t)m->file[i].size, "fetched",
                                               (int)m->file[i].fetched));
    return cmd_print_json(json_pack("{s:s, s:s, s:s, s:s, s:b, s:o}", "model", what->repo,
                                    "revision", what->revision, "commit", m->commit, "path", m->dir,
                                    "cached", (int)m->cached, "files", files),
                          true, e);
}

static int get_model(const struct fetch_options *o, const char *repo, struct err *e)
{
    const struct fetch_model what = {
        .repo = repo, .revision = o->revision ? o->revision : "main", .out = o->out};
    struct looker looker = {.progress = progress_begin()};
    struct fetched_model model;
    struct fetch_hub hub;
    struct fetch_http *http = NULL;
    int rc = fetch_hub_settings(&hub, e);
    if (!rc)
        rc = open_http(&http, o, &hub, &looker, e);
    if (rc)
        return rc;
    rc = fetch_model(http, &hub, &what, &model, e);
    fetch_http_close(http);
    progress_clear(&looker.progress);
    return rc ? rc : print_model(&what, &model, o->json, e);
}

int cmd_fetch_model(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct fetch_options o = {0};
    const struct cli_option options[] = {
        {"revision", 'r', CLI_STRING, "REV", "a branch, tag or commit; default: main", &o.revision},
        {"out", 'o', CLI_STRING, "DIR", "plain files in this folder; default: the cache", &o.out},
        {"ca", 0, CLI_STRING, "FILE", "CAs to trust besides the system's (PEM)", &o.ca},
        {"format", 0, CLI_FORMAT, "FORMAT", "text or json", &o.json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if ((rc = cli_words(&args, 1, e)) != 0)
        return rc;
    if (args.n == 0)
        return err_set(e, ERR_USAGE, "which model? give its NAME on the hub, as OWNER/NAME");
    return get_model(&o, args.word[0], e);
}

/* --- fetch data ----------------------------------------------------------------------------- */

static int get_task(struct fetch_http *http, const struct fetch_hub *hub, const char *name,
                    const struct fetch_options *o, json_t *list, struct err *e)
{
    const char *dir = o->out ? o->out : "data", *mirror = getenv("FEDPET_GLUE_URL");
    const struct fetch_task *task;
    char folder[PATH_MAX];
    bool fetched = false;
    int rc = fetch_glue_find(name, &task, e);
    if (!rc && hub->offline && !fetch_glue_complete(task, dir))
        rc = err_set(e, ERR_STATE, "offline (HF_HUB_OFFLINE), and %s is not complete in %s/glue/%s",
                     name, dir, task->folder);
    if (o->mirror)
        mirror = o->mirror;
    if (!rc)
        rc = fetch_glue(http, task, mirror && *mirror ? mirror : FETCH_GLUE_URL, dir, folder,
                        &fetched, e);
    if (rc)
        return rc;
    if (list)
        json_array_append_new(list, json_pack("{s:s, s:s, s:b}", "data", name, "path", folder,
                                              "fetched", (int)fetched));
    else
        puts(folder);
    return 0;
}

static int get_data(const struct fetch_options *o, int n, char **name, struct err *e)
{
    struct looker looker = {.progress = progress_begin()};
    struct fetch_hub hub;
    struct fetch_http *http = NULL;
    int rc = fetch_hub_settings(&hub, e);
    if (!rc)
        rc = open_http(&http, o, &hub, &looker, e);
    if (rc)
        return rc;
    json_t *list = o->json ? json_array() : NULL;
    for (int i = 0; !rc && i < n; i++)
        rc = get_task(http, &hub, name[i], o, list, e);
    fetch_http_close(http);
    progress_clear(&looker.progress);
    if (!rc && list)
        return cmd_print_json(list, true, e);
    json_decref(list);
    return rc;
}

int cmd_fetch_data(const struct cli_command *self, int argc, char **argv, struct err *e)
{
    struct fetch_options o = {0};
    const struct cli_option options[] = {
        {"out", 'o', CLI_STRING, "DIR", "gets glue/SST-2/ and the like; default: data", &o.out},
        {"mirror", 0, CLI_STRING, "URL", "instead of " FETCH_GLUE_URL, &o.mirror},
        {"ca", 0, CLI_STRING, "FILE", "CAs to trust besides the system's (PEM)", &o.ca},
        {"format", 0, CLI_FORMAT, "FORMAT", "text or json", &o.json},
        {0},
    };
    struct cli_args args;
    int rc = cli_parse(self, options, argc, argv, &args, e);
    if (rc || args.help)
        return rc;
    if (args.n == 0)
        return err_set(e, ERR_USAGE, "which data? give one or more of glue/sst2, glue/mrpc, ...");
    return get_data(&o, args.n, args.word, e);
}
