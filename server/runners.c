#include "server/server_state.h"
#include <stdlib.h>
#include <string.h>

static struct runner *by_name(const struct runners *all, const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->runner[i]->name, name) == 0)
            return all->runner[i];
    return NULL;
}

/* In its place; NULL: no memory, or no place. */
static struct runner *add(struct server *s, const char *name)
{
    struct runners *all = &s->runners;
    struct runner *r = all->n < MSG_MAX_RUNS ? runner_make(s, name) : NULL;
    size_t at = 0;
    if (r == NULL)
        return NULL;
    while (at < all->n && strcmp(all->runner[at]->name, name) < 0)
        at++;
    memmove(all->runner + at + 1, all->runner + at, (all->n - at) * sizeof(struct runner *));
    all->runner[at] = r;
    all->n++;
    return r;
}

static void say_aside(const struct runner *r, const struct err *e)
{
    log_error("run put aside, the others go on name=%s reason=\"%s\"", r->name, e->text);
}

static int open_listed(struct server *s, const struct runs_names *names, struct err *e)
{
    int rc = 0;
    for (size_t i = 0; i < names->n && rc == 0; i++) {
        struct runner *r = add(s, names->name[i]);
        rc = r == NULL ? err_set(e, ERR_NOMEM, "no memory for run %s", names->name[i])
                       : runner_open(r, e);
        bool own = strcmp(names->name[i], RUNS_DEFAULT) == 0 && run_config_any(&s->config->run);
        if (rc != 0 && r != NULL && !own) {
            say_aside(r, e);
            rc = 0;
        }
    }
    return rc;
}

int runners_open(struct server *s, struct err *e)
{
    struct runs_names *names = malloc(sizeof *names);
    if (names == NULL)
        return err_set(e, ERR_NOMEM, "out of memory");
    int rc = runs_list(names, s->config, e);
    if (rc == 0 && names->n == 0)
        rc = err_set(e, ERR_CONFIG,
                     "%s: there is no run: fill in model and task, or make one by `run create`",
                     s->config->path);
    if (rc == 0)
        rc = open_listed(s, names, e);
    free(names);
    return rc;
}

/* Whether it is one that clients can be told of, and was not. */
static bool take_up(struct server *s, const char *name)
{
    struct err e = {0};
    struct runner *r = by_name(&s->runners, name);
    if (r != NULL && r->core != NULL) {
        runner_heed(r);
        return false;
    }
    if (r == NULL && (r = add(s, name)) == NULL)
        log_error("no place for another run name=%s", name);
    if (r == NULL)
        return false;
    int rc = runner_open(r, &e);
    if (rc == 0)
        rc = observe_catch_up(s, r, &e);
    if (rc != 0) {
        say_aside(r, &e);
        return false;
    }
    peers_pump(r);
    return true;
}

void runners_reload(struct server *s)
{
    struct runs_names *names = malloc(sizeof *names);
    struct err e = {0};
    bool more = false;
    int rc =
        names == NULL ? err_set(&e, ERR_NOMEM, "out of memory") : runs_list(names, s->config, &e);
    for (size_t i = 0; rc == 0 && i < names->n; i++)
        more |= take_up(s, names->name[i]);
    if (rc != 0)
        log_error("runs not looked at reason=\"%s\"", e.text);
    if (more)
        peers_announce(s);
    free(names);
}

struct runner *runners_find(const struct server *s, const char *name, const char *client)
{
    struct runner *over = NULL;
    if (name != NULL) {
        struct runner *r = by_name(&s->runners, name);
        return r != NULL && r->core != NULL ? r : NULL;
    }
    for (size_t i = 0; i < s->runners.n; i++) {
        struct runner *r = s->runners.runner[i];
        if (r->core != NULL && !r->over && !peers_seated(s, r, client))
            return r;
        if (r->core != NULL && r->over && over == NULL)
            over = r;
    }
    return over;
}

bool runners_over(const struct server *s)
{
    for (size_t i = 0; i < s->runners.n; i++)
        if (s->runners.runner[i]->core != NULL && !s->runners.runner[i]->over)
            return false;
    return s->runners.n > 0;
}

bool runners_idle(const struct server *s)
{
    for (size_t i = 0; i < s->runners.n; i++)
        if (!runner_idle(s->runners.runner[i]))
            return false;
    return true;
}

void runners_drain(struct server *s)
{
    for (size_t i = 0; i < s->runners.n; i++) {
        struct runner *r = s->runners.runner[i];
        if (r->core == NULL)
            continue;
        core_drain(r->core, (core_time)uv_now(&s->loop));
        peers_pump(r);
        commit_abandon(r);
    }
}

void runners_end(struct server *s)
{
    for (size_t i = 0; i < s->runners.n; i++)
        runner_end(s->runners.runner[i]);
}

void runners_free(struct server *s)
{
    for (size_t i = 0; i < s->runners.n; i++)
        runner_free(s->runners.runner[i]);
    s->runners.n = 0;
}
