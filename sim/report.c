#include "sim/report.h"
#include "base/file.h"
#include "client/progress.h"
#include "model/jsonfile.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

/* A float survives the way to text and back. */
#define DIGITS JSON_REAL_PRECISION(9)

struct report {
    struct report_info info;
    char dir[PATH_MAX];
    FILE *rounds;
    struct progress progress;
    double start_value, best_value;
    uint32_t best_round;
    struct round_record last;
    double sum_up, sum_down; /* of the rounds' means */
};

/* Most resident memory of this process and of those it waited for. */
static uint64_t peak_rss(void)
{
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    long kib = self.ru_maxrss > children.ru_maxrss ? self.ru_maxrss : children.ru_maxrss;
    return (uint64_t)kib * 1024;
}

int report_open(struct report **out, const char *dir, const struct report_info *info, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_mkdirs(dir, 0755, e);
    if (!rc)
        rc = file_join(path, sizeof path, dir, "rounds.jsonl", e);
    if (rc)
        return rc;
    struct report *r = calloc(1, sizeof *r);
    if (!r)
        return err_set(e, ERR_NOMEM, "no memory for the report");
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    r->rounds = fd < 0 ? NULL : fdopen(fd, "w");
    if (!r->rounds) {
        rc = errno == EEXIST ? err_set(e, ERR_IO, "%s: exists already; choose another --out", path)
                             : err_sys(e, ERR_IO, errno, "%s", path);
        free(r);
        return rc;
    }
    r->info = *info;
    snprintf(r->dir, sizeof r->dir, "%s", dir);
    r->progress = progress_begin();
    *out = r;
    return 0;
}

void report_close(struct report *r)
{
    if (!r)
        return;
    if (r->rounds)
        fclose(r->rounds);
    free(r);
}

void report_start(struct report *r, double value)
{
    r->start_value = r->best_value = value;
    r->last.value = value;
}

void report_progress(struct report *r, uint32_t round, uint32_t done, uint32_t selected)
{
    uint32_t rounds = r->info.spec->federation.rounds;
    progress_draw(&r->progress, (uint64_t)round * selected + done, (uint64_t)rounds * selected,
                  "round %u of %u, %u of %u clients, %s %.4f", round + 1, rounds, done, selected,
                  r->info.metric, r->last.value);
}

static json_t *bytes_or_null(bool counted, double bytes)
{
    return counted ? json_real(bytes) : json_null();
}

int report_round(struct report *r, const struct round_record *record, struct err *e)
{
    char hash[HASH_HEX];
    hash_hex(&record->hash, hash);
    r->last = *record;
    r->sum_up += record->bytes_up;
    r->sum_down += record->bytes_down;
    bool better =
        r->info.lower_is_better ? record->value < r->best_value : record->value > r->best_value;
    if (better || r->best_round == 0) {
        r->best_value = record->value;
        r->best_round = record->round;
    }
    json_t *line =
        json_pack("{s:i, s:s, s:f, s:f, s:f, s:i, s:i, s:i, s:I, s:o, s:o, s:f, s:s}", "round",
                  (int)record->round, "metric", r->info.metric, "value", record->value, "loss",
                  record->eval_loss, "train_loss", record->train_loss, "selected",
                  (int)record->selected, "updates", (int)record->updates, "refused",
                  (int)record->refused, "samples", (json_int_t)record->samples,
                  "bytes_up_per_client", bytes_or_null(record->counted, record->bytes_up),
                  "bytes_down_per_client", bytes_or_null(record->counted, record->bytes_down),
                  "seconds", progress_seconds(&r->progress), "adapter_sha256", hash);
    if (!line)
        return err_set(e, ERR_NOMEM, "no memory for the record of round %u", record->round);
    int failed = json_dumpf(line, r->rounds, JSON_COMPACT | DIGITS) ||
                 fputc('\n', r->rounds) == EOF || fflush(r->rounds);
    json_decref(line);
    if (failed)
        return err_sys(e, ERR_IO, errno, "%s/rounds.jsonl", r->dir);
    progress_clear(&r->progress);
    fprintf(stderr, "round %u of %u: %s %.4f, loss %.4f, train loss %.4f, %u of %u updates\n",
            record->round, r->info.spec->federation.rounds, r->info.metric, record->value,
            record->eval_loss, record->train_loss, record->updates, record->selected);
    return 0;
}

static json_t *summary_json(const struct report *r)
{
    char hash[HASH_HEX];
    hash_hex(&r->last.hash, hash);
    const struct run_spec *s = r->info.spec;
    double rounds = r->last.round ? r->last.round : 1;
    return json_pack(
        "{s:s, s:f, s:f, s:f, s:i, s:i, s:I, s:I, s:o, s:o, s:s, s:f, s:I, s:s, s:s, s:s, s:s, "
        "s:i, s:i, s:I, s:i}",
        "metric", r->info.metric, "value", r->last.value, "value_before", r->start_value,
        "best_value", r->best_value, "best_round", (int)r->best_round, "rounds", (int)r->last.round,
        "trainable_parameters", (json_int_t)r->info.trainable, "payload_bytes",
        (json_int_t)(4 * r->info.trainable), "bytes_up_per_client",
        bytes_or_null(r->last.counted, r->sum_up / rounds), "bytes_down_per_client",
        bytes_or_null(r->last.counted, r->sum_down / rounds), "adapter_sha256", hash,
        "wall_seconds", progress_seconds(&r->progress), "peak_rss_bytes", (json_int_t)peak_rss(),
        "model", r->info.model, "task", s->task.name, "method", s->peft.method, "wire",
        r->info.wire, "clients", (int)s->federation.clients, "per_round",
        (int)s->federation.per_round, "seed", (json_int_t)s->federation.seed, "threads",
        (int)r->info.threads);
}

static void print_table(const struct report *r)
{
    char hash[HASH_HEX];
    hash_hex(&r->last.hash, hash);
    double payload = 4.0 * (double)r->info.trainable, rounds = r->last.round ? r->last.round : 1;
    printf("%s            %.4f (before: %.4f, best: %.4f in round %u)\n", r->info.metric,
           r->last.value, r->start_value, r->best_value, r->best_round);
    printf("trainable parameters %llu (%.0f bytes)\n", (unsigned long long)r->info.trainable,
           payload);
    if (r->last.counted)
        printf("bytes per client     up %.0f (%+.2f %%), down %.0f (%+.2f %%)\n",
               r->sum_up / rounds, 100 * (r->sum_up / rounds / payload - 1), r->sum_down / rounds,
               100 * (r->sum_down / rounds / payload - 1));
    printf("adapter sha256       %s\n", hash);
    printf("wall seconds         %.1f\npeak RSS             %.0f MB\n",
           progress_seconds(&r->progress), (double)peak_rss() / 1e6);
    printf("results              %s/{summary.json,rounds.jsonl,adapter}\n", r->dir);
}

int report_finish(struct report *r, bool json, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, r->dir, "summary.json", e);
    if (rc)
        return rc;
    json_t *summary = summary_json(r);
    rc = jsonfile_write(summary, DIGITS, path, e);
    if (!rc && json)
        rc = jsonfile_print(summary, DIGITS | JSON_INDENT(2), e);
    else if (!rc)
        print_table(r);
    json_decref(summary);
    return rc;
}
