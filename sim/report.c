#include "sim/report.h"
#include "base/file.h"
#include "client/progress.h"
#include "model/jsonfile.h"
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
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
    double start_value, best_value, value;
    uint32_t best_round, rounds_done;
    bool counted, finished;
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
    char path[PATH_MAX];
    fclose(r->rounds);
    if (r->rounds_done == 0 && !r->finished &&
        !file_join(path, sizeof path, r->dir, "rounds.jsonl", NULL))
        unlink(path);
    free(r);
}

void report_start(struct report *r, double value)
{
    r->start_value = r->best_value = r->value = value;
}

void report_progress(struct report *r, uint32_t round, uint32_t done, uint32_t all)
{
    uint32_t units = r->info.units;
    progress_draw(&r->progress, (uint64_t)round * all + done, (uint64_t)units * all,
                  "%s %u of %u, %u of %u, %s %.4f", r->info.unit, round + 1, units, done, all,
                  r->info.metric, r->value);
}

/* What a client has to send, or to get, each round: its parameters, and with SCAFFOLD as many
 * values again. */
static uint64_t payload_bytes(const struct report *r)
{
    return (r->info.spec->federation.scaffold ? 8 : 4) * r->info.trainable;
}

/* A number, or null where there is none. */
static json_t *number_if(bool there, double value)
{
    return there && isfinite(value) ? json_real(value) : json_null();
}

static void note_value(struct report *r, const struct round_record *record)
{
    if (!record->scored)
        return;
    bool better =
        r->info.lower_is_better ? record->value < r->best_value : record->value > r->best_value;
    if (better || r->best_round == 0) {
        r->best_value = record->value;
        r->best_round = record->round;
    }
    r->value = record->value;
}

static void say_round(const struct report *r, const struct round_record *record)
{
    progress_clear(&r->progress);
    fprintf(stderr, "%s %u of %u: ", r->info.unit, record->round, r->info.units);
    if (record->scored)
        fprintf(stderr, "%s %.4f, loss %.4f, ", r->info.metric, record->value, record->eval_loss);
    if (record->validated)
        fprintf(stderr, "valid %.4f, ", record->valid);
    fprintf(stderr, "train loss %.4f", record->train_loss);
    if (record->selected)
        fprintf(stderr, ", %u of %u updates", record->updates, record->selected);
    fputc('\n', stderr);
}

int report_round(struct report *r, const struct round_record *record, struct err *e)
{
    char hash[HASH_HEX];
    hash_hex(&record->hash, hash);
    r->rounds_done = record->round;
    r->counted = record->counted;
    r->sum_up += record->bytes_up;
    r->sum_down += record->bytes_down;
    note_value(r, record);
    json_t *line =
        json_pack("{s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:I, s:o, s:o, s:f, s:s}",
                  "round", (int)record->round, "metric", r->info.metric, "value",
                  number_if(record->scored, record->value), "loss",
                  number_if(record->scored, record->eval_loss), "valid",
                  number_if(record->validated, record->valid), "valid_loss",
                  number_if(record->validated, record->valid_loss), "train_loss",
                  number_if(true, record->train_loss), "selected", (int)record->selected, "updates",
                  (int)record->updates, "refused", (int)record->refused, "samples",
                  (json_int_t)record->samples, "bytes_up_per_client",
                  number_if(record->counted, record->bytes_up), "bytes_down_per_client",
                  number_if(record->counted, record->bytes_down), "seconds",
                  progress_seconds(&r->progress), "adapter_sha256", hash);
    if (!line)
        return err_set(e, ERR_NOMEM, "no memory for the record of %s %u", r->info.unit,
                       record->round);
    int failed = json_dumpf(line, r->rounds, JSON_COMPACT | DIGITS) ||
                 fputc('\n', r->rounds) == EOF || fflush(r->rounds);
    json_decref(line);
    if (failed)
        return err_sys(e, ERR_IO, errno, "%s/rounds.jsonl", r->dir);
    say_round(r, record);
    return 0;
}

static json_t *labels_json(const struct result_record *result)
{
    json_t *list = json_array();
    for (uint32_t l = 0; result->score && l < result->score->n_labels; l++) {
        char number[16];
        snprintf(number, sizeof number, "%u", l);
        json_array_append_new(list, json_pack("{s:s, s:I, s:f, s:f}", "label",
                                              result->label_name ? result->label_name[l] : number,
                                              "examples", (json_int_t)result->score->label[l].truth,
                                              "recall", score_recall(result->score, l), "precision",
                                              score_precision(result->score, l)));
    }
    return list;
}

static json_t *clients_json(const struct client_scores *c)
{
    return c->clients ? json_pack("{s:i, s:o, s:o, s:o}", "clients", (int)c->clients, "worst",
                                  number_if(true, c->worst), "tenth_percentile",
                                  number_if(true, c->tenth), "mean", number_if(true, c->mean))
                      : json_null();
}

static json_t *summary_json(const struct report *r, const struct result_record *result)
{
    char hash[HASH_HEX];
    hash_hex(&result->hash, hash);
    const struct run_spec *s = r->info.spec;
    double rounds = r->rounds_done ? r->rounds_done : 1;
    return json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:i, s:i, s:i, s:o, s:o, s:o, s:I, s:I, s:o, s:o, "
        "s:s, "
        "s:f, s:I, s:s, s:s, s:s, s:s, s:i, s:i, s:I, s:i}",
        "baseline", r->info.baseline, "metric", r->info.metric, "value",
        number_if(true, result->value), "loss", number_if(true, result->loss), "valid",
        number_if(result->validated, result->valid), "value_before",
        number_if(true, r->start_value), "best_value", number_if(true, r->best_value), "best_round",
        (int)r->best_round, "result_round", (int)result->round, "rounds", (int)r->rounds_done,
        "labels", labels_json(result), "client_accuracy", clients_json(&result->clients),
        "client_models", clients_json(&result->models), "trainable_parameters",
        (json_int_t)r->info.trainable, "payload_bytes", (json_int_t)payload_bytes(r),
        "bytes_up_per_client", number_if(r->counted, r->sum_up / rounds), "bytes_down_per_client",
        number_if(r->counted, r->sum_down / rounds), "adapter_sha256", hash, "wall_seconds",
        progress_seconds(&r->progress), "peak_rss_bytes", (json_int_t)peak_rss(), "model",
        r->info.model, "task", s->task.name, "method", s->peft.method, "wire", r->info.wire,
        "clients", (int)s->federation.clients, "per_round", (int)s->federation.per_round, "seed",
        (json_int_t)s->federation.seed, "threads", (int)r->info.threads);
}

static void print_table(const struct report *r, const struct result_record *result)
{
    char hash[HASH_HEX];
    hash_hex(&result->hash, hash);
    double payload = (double)payload_bytes(r), rounds = r->rounds_done ? r->rounds_done : 1;
    if (result->models.clients)
        printf("%-20s %.4f, mean of %u clients' own models (worst %.4f, before: %.4f)\n",
               r->info.metric, result->value, result->models.clients, result->models.worst,
               r->start_value);
    else
        printf("%-20s %.4f after %s %u (before: %.4f, best: %.4f in %s %u)\n", r->info.metric,
               result->value, r->info.unit, result->round, r->start_value, r->best_value,
               r->info.unit, r->best_round);
    if (result->clients.clients)
        printf("clients' accuracy    worst %.4f, 10th percentile %.4f, mean %.4f of %u\n",
               result->clients.worst, result->clients.tenth, result->clients.mean,
               result->clients.clients);
    printf("trainable parameters %llu (%.0f bytes%s)\n", (unsigned long long)r->info.trainable,
           payload, r->info.spec->federation.scaffold ? " with control variates" : "");
    if (r->counted)
        printf("bytes per client     up %.0f (%+.2f %%), down %.0f (%+.2f %%)\n",
               r->sum_up / rounds, 100 * (r->sum_up / rounds / payload - 1), r->sum_down / rounds,
               100 * (r->sum_down / rounds / payload - 1));
    printf("adapter sha256       %s\n", hash);
    printf("wall seconds         %.1f\npeak RSS             %.0f MB\n",
           progress_seconds(&r->progress), (double)peak_rss() / 1e6);
    printf("results              %s\n", r->dir);
}

int report_finish(struct report *r, const struct result_record *result, bool json, struct err *e)
{
    char path[PATH_MAX];
    int rc = file_join(path, sizeof path, r->dir, "summary.json", e);
    if (rc)
        return rc;
    json_t *summary = summary_json(r, result);
    rc = jsonfile_write(summary, DIGITS, path, e);
    r->finished = !rc;
    if (!rc && json)
        rc = jsonfile_print(summary, DIGITS | JSON_INDENT(2), e);
    else if (!rc)
        print_table(r, result);
    json_decref(summary);
    return rc;
}
