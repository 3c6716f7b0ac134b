/* What a run is: the plain values that every participant must agree on. Read from YAML (conf), sent
 * to clients by the server (proto), obeyed by the trainer (client) and by the round logic (server).
 * Strings are owned by whoever filled the struct in. */
#ifndef BASE_SPEC_H
#define BASE_SPEC_H

#include "base/err.h"
#include <stdbool.h>
#include <stdint.h>

/* The linear layers of a transformer block, in HF terms: attention.self.{query,key,value},
 * attention.output.dense, intermediate.dense, output.dense (DistilBERT: q_lin, k_lin, v_lin,
 * out_lin, lin1, lin2). */
enum linear_site {
    LIN_QUERY,
    LIN_KEY,
    LIN_VALUE,
    LIN_ATTN_OUTPUT,
    LIN_INTERMEDIATE,
    LIN_OUTPUT,
    LIN_SITES
};

struct peft_spec {
    char *method;     /* registry name: "lora" */
    uint32_t r;       /* rank, 1..1024 */
    double alpha;     /* LoRA scaling numerator */
    double dropout;   /* of the branch input, [0, 1) */
    bool rslora;      /* scale alpha/sqrt(r) instead of alpha/r (Kalajdzievski 2023) */
    uint32_t targets; /* bit (1 << enum linear_site) */
};

enum optimizer { OPTIMIZER_ADAMW, OPTIMIZER_ADAMW_HF };
enum lr_schedule { SCHEDULE_LINEAR, SCHEDULE_CONSTANT };

struct local_spec {
    uint32_t epochs; /* passes over the local data; ignored when steps > 0 */
    uint32_t steps;  /* optimiser steps; 0: by epochs */
    uint32_t batch_size;
    uint32_t accumulate; /* batches per optimiser step */
    uint32_t max_length; /* tokens per example, special tokens included */
    enum optimizer optimizer;
    enum lr_schedule schedule;
    double lr, weight_decay, beta1, beta2, eps;
    double warmup;        /* share of the steps with rising learning rate, [0, 1) */
    double max_grad_norm; /* 0: no clipping */
    double model_dropout; /* hidden and attention dropout; below 0: as config.json says */
};

struct task_spec {
    char *name; /* "sst2", "mrpc", "rte" (GLUE folder layouts) or "text" (one CSV/TSV/JSONL file or
                   folder with named columns) */
    char *data; /* folder or file */
    char *text, *text_pair, *label; /* column names for "text"; text_pair may be NULL */
    char **labels; /* class names in index order; n_labels = 1 and labels NULL: regression */
    uint32_t n_labels;
    char *metric; /* "accuracy", "f1", or "mse": regression; NULL: the task's own */
};

enum partition_kind { PARTITION_IID, PARTITION_DIRICHLET, PARTITION_COLUMN };

struct federation_spec {
    uint32_t clients;   /* population */
    uint32_t per_round; /* selected each round */
    uint32_t quorum;    /* updates needed to commit a round at its deadline; 0: all selected */
    uint32_t rounds;
    uint32_t deadline_s;           /* from the start of a round */
    enum partition_kind partition; /* simulation only */
    double alpha;                  /* Dirichlet concentration */
    char *column;                  /* PARTITION_COLUMN: the column that names the owner */
    bool weighted;                 /* FedAvg weights n_k (McMahan et al. 2017); false: uniform */
    uint64_t seed;
};

/* ERR_CONFIG when numbers contradict each other: fewer clients than a round has, or updates in a
 * round than its quorum. */
int spec_check_federation(const struct federation_spec *f, struct err *e) MUST_CHECK;

struct run_spec {
    struct task_spec task;
    struct peft_spec peft;
    struct local_spec local;
    struct federation_spec federation;
};

#endif
