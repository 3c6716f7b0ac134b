#include "client/savepoint.h"
#include "base/file.h"
#include "base/log.h"
#include <time.h>
#include <unistd.h>

enum { SHARE = 100 }; /* one second of writing in so many */

static double seconds_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int savepoint_open(struct savepoint *s, const char *dir, double every_s, json_t *key, struct err *e)
{
    *s = (struct savepoint){.key = key, .every_s = every_s, .next = seconds_now() + every_s};
    int rc = key ? 0 : err_set(e, ERR_NOMEM, "out of memory");
    if (!rc)
        rc = file_join(s->path, sizeof s->path, dir, SAVEPOINT_FILE, e);
    if (rc)
        savepoint_close(s);
    return rc;
}

void savepoint_close(struct savepoint *s)
{
    json_decref(s->key);
    s->key = NULL;
}

bool savepoint_take(struct savepoint *s, const struct checkpoint_part *part, size_t n)
{
    struct err e;
    bool found = false;
    int rc = checkpoint_read(s->path, s->key, part, n, &found, &e);
    if (rc && rc != ERR_STATE) /* that is one of another training */
        log_warn("the training begins anew: %s", e.text);
    if (!rc && found)
        log_info("the training goes on from its savepoint");
    return !rc && found;
}

bool savepoint_due(const struct savepoint *s)
{
    return s->every_s > 0 && seconds_now() >= s->next;
}

void savepoint_write(struct savepoint *s, const struct checkpoint_part *part, size_t n)
{
    struct err e;
    if (s->every_s <= 0)
        return;
    double began = seconds_now();
    int rc = checkpoint_write(s->path, s->key, part, n, &e);
    double now = seconds_now(), rest = SHARE * (now - began);
    if (rc && !s->failed)
        log_warn("no savepoint of the training: %s", e.text);
    s->failed = rc != 0;
    s->next = now + (rest > s->every_s ? rest : s->every_s);
}

void savepoint_remove(const struct savepoint *s)
{
    unlink(s->path);
}
