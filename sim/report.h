/* What an experiment leaves behind: OUT/rounds.jsonl (one line a round, as it happens),
 * OUT/summary.json, and a progress line for a person. */
#ifndef SIM_REPORT_H
#define SIM_REPORT_H

#include "base/err.h"
#include "base/hash.h"
#include "base/spec.h"
#include <stdbool.h>
#include <stdint.h>

struct report_info {
    const char *model, *wire; /* borrowed, as spec */
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
    double train_loss, value, eval_loss; /* value: of the metric on the dev set, after the round */
    bool counted;                        /* the wire has bytes */
    double bytes_up, bytes_down;         /* mean a client */
    struct hash hash;                    /* of the global parameters */
};

struct report;
/* Makes the folder and opens rounds.jsonl, which must not exist yet. ERR_IO. */
int report_open(struct report **out, const char *dir, const struct report_info *info,
                struct err *e) MUST_CHECK;
void report_close(struct report *r);
/* Value before the first round. */
void report_start(struct report *r, double value);
/* `done` of `selected` clients of the round have trained: moves the progress line. */
void report_progress(struct report *r, uint32_t round, uint32_t done, uint32_t selected);
/* Appends to rounds.jsonl. ERR_IO. */
int report_round(struct report *r, const struct round_record *record, struct err *e) MUST_CHECK;
/* Writes summary.json; prints it to stdout when json, else a short table. */
int report_finish(struct report *r, bool json, struct err *e) MUST_CHECK;

#endif
