/* What an experiment leaves behind: OUT/rounds.jsonl (one line a round, as it happens),
 * OUT/summary.json, and a progress line for a person. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include "base/err.h"
#include "base/hash.h"
#include "base/spec.h"
#include "text/metrics.h"
#include <stdbool.h>
#include <stdint.h>

struct report_info {
    const char *model, *wire; /* borrowed, as spec */
    const char *baseline;     /* baseline_name */
    const char *unit;         /* what a line of rounds.jsonl is about: "round", "epoch", "client" */
    uint32_t units;           /* how many of them there will be */
    const struct run_spec *spec;
    const char *metric;
    bool lower_is_better;
    unsigned threads;
    uint64_t trainable; /* parameters */
};

struct round_record {
    uint32_t round; /* from 1: rounds done */
    uint32_t selected, updates, refused;
    uint64_t samples;
    double train_loss;
    bool scored; /* on the test set: value of the metric and loss, after the round */
    double value, eval_loss;
    bool validated; /* on the validation set */
    double valid, valid_loss;
    bool counted;                /* the wire has bytes */
    double bytes_up, bytes_down; /* mean a client */
    struct hash hash;            /* of the global parameters */
};

/* A score of each client: accuracy over its share of the test set (one without a share does not
 * count), or of a model of its own. */
struct client_scores {
    uint32_t clients;          /* 0: not known */
    double worst, tenth, mean; /* tenth: a tenth of the clients is no better */
};

/* What the run has come to. */
struct result_record {
    uint32_t round; /* whose parameters they are, from 1 */
    double value, loss;
    bool validated;
    double valid;
    const struct score *score;     /* of the test set, for recall by label; NULL: none */
    const char *const *label_name; /* score->n_labels; NULL: numbers */
    struct client_scores clients;  /* of this one model, by share */
    struct client_scores models;   /* each client's own model: the metric on the whole test set */
    struct hash hash;              /* of the parameters */
};

struct report;
/* Makes the folder and opens rounds.jsonl, which must not exist yet. ERR_IO. */
int report_open(struct report **out, const char *dir, const struct report_info *info,
                struct err *e) MUST_CHECK;
/* Also removes a rounds.jsonl that has no line because the run failed, so that the folder can be
 * used again. */
void report_close(struct report *r);
/* Value before the first round. */
void report_start(struct report *r, double value);
/* `done` of `all` parts of round `round` (from 0) are done: moves the progress line. */
void report_progress(struct report *r, uint32_t round, uint32_t done, uint32_t all);
/* Appends to rounds.jsonl. ERR_IO. */
int report_round(struct report *r, const struct round_record *record, struct err *e) MUST_CHECK;
/* Writes summary.json; prints it to stdout when json, else a short table. */
int report_finish(struct report *r, const struct result_record *result, bool json,
                  struct err *e) MUST_CHECK;

#endif
