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

/* Where a bottleneck adapter sits in a post-LN layer; x is a sub-layer's input, h its output, A the
 * bottleneck. */
enum placement {
    PLACEMENT_OPENDELTA, /* y + A(y), y = LN(x + h), after both sub-layers (OpenDelta 0.2.4) */
    PLACEMENT_HOULSBY,   /* LN(x + h + A(h)), both sub-layers (Houlsby et al. 2019) */
    PLACEMENT_PFEIFFER,  /* LN(x + h + A(LN(x + h))), FFN only (Pfeiffer et al. 2020) */
    PLACEMENT_PARALLEL,  /* LN(x + h + s A(x)), FFN only (He et al. 2022) */
};
enum activation {
    ACTIVATION_DEFAULT, /* the placement's own */
    ACTIVATION_GELU,
    ACTIVATION_GELU_NEW,
    ACTIVATION_RELU,
    ACTIVATION_TANH,
    ACTIVATION_SWISH
};
/* Which biases BitFit trains. */
enum bias_set {
    BIASES_ALL,       /* every bias (Ben Zaken et al. 2022) */
    BIASES_OPENDELTA, /* without those of intermediate.dense and of the embeddings' layer norm */
};

/* A method reads its own settings and ignores the others. */
struct peft_spec {
    char *method; /* registry name: "lora" */
    bool norms;   /* train the layer norms too, whatever the method */

    /* lora */
    uint32_t r;       /* rank, 1..1024 */
    double alpha;     /* scaling numerator */
    double dropout;   /* of the branch input, [0, 1) */
    bool rslora;      /* scale alpha/sqrt(r) instead of alpha/r (Kalajdzievski 2023) */
    uint32_t targets; /* bit (1 << enum linear_site) */

    /* adapter */
    uint32_t bottleneck; /* width, 1..4096 */
    enum placement placement;
    enum activation activation;
    double scaling; /* s of PLACEMENT_PARALLEL */

    /* prefix, prompt */
    uint32_t length; /* virtual tokens, 1..1024 */
    uint32_t hidden; /* prefix: width of the reparametrisation network; 0: none, the rows are
                        trained themselves */
    bool shift; /* prefix: the text's positions begin after it, as HF PEFT 0.21 computes it with
                   transformers 5.23 for BERT and RoBERTa (it refuses DistilBERT); false: where they
                   would without it, as OpenDelta and AdapterHub */

    /* bitfit */
    enum bias_set biases;
};

enum optimizer { OPTIMIZER_ADAMW, OPTIMIZER_ADAMW_HF, OPTIMIZER_SGD };
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
    double proximal;      /* mu of FedProx (Li et al. 2020): loss + mu/2 |theta - theta_0|^2 */
    bool decay_over_run;  /* schedule and warm-up span all rounds; false: they restart in each */
    bool carry_optimizer; /* moments stay with the client from round to round */
};

/* How a task's files become training, validation and test examples. */
enum splits {
    SPLITS_OFFICIAL, /* train; no validation; dev is the test set */
    SPLITS_PAPER,    /* FedPETuning: train is cut by seed 42 into train and validation; dev is the
                        test set */
};

struct task_spec {
    char *name; /* "sst2", "mrpc", "rte" (GLUE folder layouts) or "text" (one CSV/TSV/JSONL file or
                   folder with named columns) */
    char *data; /* folder or file */
    char *text, *text_pair, *label; /* column names for "text"; text_pair may be NULL */
    char **labels; /* class names in index order; n_labels = 1 and labels NULL: regression */
    uint32_t n_labels;
    char *metric; /* metric_name (text/metrics.h); NULL: the task's own */
    enum splits splits;
};

enum partition_kind {
    PARTITION_IID,
    PARTITION_DIRICHLET, /* label skew, equal sizes */
    PARTITION_COLUMN,    /* natural owners */
    PARTITION_LABEL,     /* one label a client */
    PARTITION_QUANTITY,  /* sizes skewed: Dirichlet over clients */
};

/* What the server does with the mean of the updates (Reddi et al. 2021, algorithm 2; Hsu et al.
 * 2019 for FedAvgM). */
enum server_optimizer {
    SERVER_FEDAVG,
    SERVER_FEDAVGM,
    SERVER_FEDADAGRAD,
    SERVER_FEDADAM,
    SERVER_FEDYOGI
};

/* What becomes of the updates of a round (server/aggregate.h). */
enum aggregation {
    AGGREGATION_FEDAVG,
    AGGREGATION_CLIPPED_MEAN,
    AGGREGATION_MEDIAN,
    AGGREGATION_TRIMMED_MEAN,
    AGGREGATION_KRUM
};

/* How updates come to be a round. */
enum round_mode {
    MODE_SYNC,  /* clients are selected for it, and train from the same parameters */
    MODE_ASYNC, /* it is the next per_round updates that come, whatever parameters their clients
                   were given (FedBuff; Nguyen et al. 2022, "Federated Learning with Buffered
                   Asynchronous Aggregation") */
};

struct federation_spec {
    enum round_mode mode;
    uint32_t concurrency;   /* MODE_ASYNC: clients that train at a time; 0: spec_concurrency */
    uint32_t max_staleness; /* MODE_ASYNC: rounds that may have passed since an update's task */
    uint32_t clients;       /* population */
    uint32_t per_round;     /* updates that make a round */
    /* per_round times this are selected, and the round ends with the first per_round updates
     * (Bonawitz et al. 2019, section 2.2); 1 or less: no more than per_round. */
    double over_select;
    uint32_t quorum; /* updates needed to commit a round at its deadline; 0: per_round */
    uint32_t rounds;
    uint32_t deadline_s;           /* from the start of a round */
    enum partition_kind partition; /* simulation only */
    double alpha;                  /* Dirichlet concentration */
    char *column;                  /* PARTITION_COLUMN: the column that names the owner */
    bool weighted;                 /* FedAvg weights n_k (McMahan et al. 2017); false: uniform */
    enum aggregation aggregator;
    double clip_norm;       /* AGGREGATION_CLIPPED_MEAN: of an update's difference to its task */
    uint32_t byzantine;     /* AGGREGATION_TRIMMED_MEAN, AGGREGATION_KRUM: updates of a round that
                               may be hostile */
    uint32_t krum_keep;     /* AGGREGATION_KRUM: how many it averages; more than 1: Multi-Krum */
    double max_update_norm; /* of that difference, or the update is refused; 0: any */
    enum server_optimizer optimizer;
    /* Not for SERVER_FEDAVG. A server_lr of 0 is the optimiser's own: 1 for SERVER_FEDAVGM, 0.01
     * for the others. */
    double server_lr, server_beta1, server_beta2, server_tau;
    bool scaffold; /* control variates (Karimireddy et al. 2020) */
    /* How parameters travel: names of codec/codec.h; NULL: "fp32". */
    char *upload, *download;
    bool zstd;         /* compressed, too */
    double top_k;      /* share of the values that "topk" sends, (0, 1] */
    bool best;         /* the run's result is its best round by validation, not its last */
    uint32_t patience; /* rounds without a better one before the run ends; 0: never */
    uint32_t
        evaluate_every; /* rounds from one evaluation to the next; the last is always evaluated */
    uint64_t seed;
};

/* Clients of a round that AGGREGATION_KRUM compares at most, each with each. */
enum { KRUM_MAX_CLIENTS = 1024 };

/* How many clients a round selects, rounded up; UINT32_MAX if more. */
uint32_t spec_selected(const struct federation_spec *f);
/* How many clients train at a time with MODE_ASYNC: federation.concurrency, or else twice
 * per_round, but no more than there are. */
uint32_t spec_concurrency(const struct federation_spec *f);
/* What an update counts that began `staleness` rounds before: 1 / sqrt(1 + staleness) (Nguyen et
 * al. 2022). */
double spec_staleness_weight(uint32_t staleness);
/* ERR_CONFIG when numbers contradict each other: fewer clients than a round selects, updates in a
 * round than its quorum, or in a quorum than the aggregator needs against as many hostile ones. */
int spec_check_federation(const struct federation_spec *f, struct err *e) MUST_CHECK;

/* A run's name among those of its server: 1 to SPEC_MAX_NAME of a-z 0-9 -. It names folders, too.
 */
enum { SPEC_MAX_NAME = 64 };
bool spec_name_ok(const char *name);

struct run_spec {
    struct task_spec task;
    struct peft_spec peft;
    struct local_spec local;
    struct federation_spec federation;
};

#endif
