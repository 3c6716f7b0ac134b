/* Metrics of a classifier, regressor or tagger over an evaluation set, accumulated example by
 * example. What is counted for each class is enough for every metric: memory is O(classes). */
#ifndef TEXT_METRICS_H
#define TEXT_METRICS_H

#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum metric {
    METRIC_ACCURACY,
    METRIC_F1,       /* of class 1 of two (van Rijsbergen 1979) */
    METRIC_MACRO_F1, /* mean F1 of the classes that occur, in the data or among the predictions */
    METRIC_MATTHEWS, /* correlation of classes (Matthews 1975; more than two: Gorodkin 2004) */
    METRIC_MSE,
    METRIC_PEARSON,
    METRIC_SPEARMAN,    /* Pearson's of the ranks; equal values share the mean of theirs */
    METRIC_CORRELATION, /* mean of Pearson's and Spearman's: GLUE's for STS-B */
    METRIC_ENTITY_F1,   /* micro F1 over whole entities (text/entities.h) */
    METRIC_COUNT
};
/* "accuracy", "macro_f1", ... */
bool metric_parse(const char *name, enum metric *out);
const char *metric_name(enum metric m);
bool metric_lower_is_better(enum metric m);
/* Whether it is one of a regression (true) or of classes. */
bool metric_of_values(enum metric m);

/* How often a class was true, was predicted, and was both. */
struct match {
    uint64_t truth, guess, both;
};
/* In 0..1; 0 where the denominator is 0. */
double match_precision(const struct match *m);
double match_recall(const struct match *m);
double match_f1(const struct match *m);

struct score_pair; /* private */
struct score {
    uint32_t n_labels; /* 1: regression */
    uint64_t n;        /* examples, or scored words of token classification */
    double loss_sum;
    struct match *label;     /* n_labels: the classes; recall is accuracy within a class */
    struct match *entity;    /* n_labels: the entity types, of which there are fewer */
    struct score_pair *pair; /* n, of a regression */
    size_t cap;
};
/* An empty score. ERR_NOMEM. */
int score_open(struct score *s, uint32_t n_labels, struct err *e) MUST_CHECK;
/* Also of one that is all zeros. */
void score_close(struct score *s);

/* One example, or word, of class `label`, predicted as `guess`; both below n_labels. */
void score_add_class(struct score *s, uint32_t label, uint32_t guess, double loss);
/* One example of a regression; its loss is the squared error. ERR_NOMEM. */
int score_add_value(struct score *s, double target, double guess, struct err *e) MUST_CHECK;

/* 0 when n is 0, where a denominator is 0, and for a correlation of values of which one side is
 * constant. Of one score in one thread at a time. */
double score_value(const struct score *s, enum metric m);
/* Of one class: the share of its predictions that are right, and of its examples that are found. */
double score_precision(const struct score *s, uint32_t label);
double score_recall(const struct score *s, uint32_t label);
/* All entity types together. */
struct match score_entities(const struct score *s);

#endif
