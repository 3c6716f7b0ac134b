/* Speed of a LoRA training step (r = 8 on query and value) on random weights of a known shape.
 *
 *   bench_step make SHAPE LENGTHS DIR   SHAPE minilm or roberta-base; LENGTHS pairs (20 to 86
 * tokens, mean 53, as MRPC) or full (128): DIR gets a model and lengths.txt bench_step run DIR
 * [THREADS [STEPS]]
 *
 * `run` prints one line of KEY=VALUE: tokens/s, the GFLOP/s of the matrix products that a step
 * needs (see step_flops), their share of what cblas_sgemm reaches on the same shapes, and the peak
 * memory. A peer in Python, bench_step_peer.py, reads the same folder and prints the same keys. */
#include "base/file.h"
#include "base/rng.h"
#include "client/train.h"
#include "nn/kernels.h"
#include "random_model.h"
#include <cblas.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCH = 32, EXAMPLES = 512, MAX_LENGTH = 128, RANK = 8, GEMM_ROWS = 512 };

static const struct {
    const char *name;
    struct random_model model;
} shapes[] = {
    {"minilm", {"bert", 6, 384, 12, 1536, 30522, 512, 0.02f, 1, FAULT_NONE}},
    {"roberta-base", {"roberta", 12, 768, 12, 3072, 50265, 514, 0.02f, 1, FAULT_NONE}},
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int write_lengths(const char *dir, bool full, struct err *e)
{
    char path[PATH_MAX], text[EXAMPLES * 4 + 1];
    struct rng rng = rng_stream(1, 0, 0, RNG_TEST);
    size_t len = 0;
    for (int i = 0; i < EXAMPLES; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%u\n",
                                full ? MAX_LENGTH : 20 + rng_below(&rng, 34) + rng_below(&rng, 34));
    int rc = file_join(path, sizeof path, dir, "lengths.txt", e);
    return rc ? rc : file_write(path, text, len, 0644, e);
}

static int make(const char *shape, const char *lengths, const char *dir, struct err *e)
{
    bool full = strcmp(lengths, "full") == 0;
    if (!full && strcmp(lengths, "pairs") != 0)
        return err_set(e, ERR_USAGE, "lengths %s are unknown; use pairs or full", lengths);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shape, shapes[i].name) == 0) {
            int rc = random_model_write(&shapes[i].model, dir, e);
            return rc ? rc : write_lengths(dir, full, e);
        }
    return err_set(e, ERR_USAGE, "shape %s is unknown; use minilm or roberta-base", shape);
}

/* Examples of the lengths in DIR/lengths.txt with random tokens and alternating labels. */
static int open_data(struct dataset *d, const char *dir, int vocab, struct err *e)
{
    char path[PATH_MAX], *text = NULL;
    int rc = file_join(path, sizeof path, dir, "lengths.txt", e);
    if (!rc)
        rc = file_read(path, EXAMPLES * 8, &text, NULL, e);
    if (rc)
        return rc;
    struct rng rng = rng_stream(2, 0, 0, RNG_TEST);
    static const char *const labels[] = {"even", "odd"};
    d->n_labels = 2;
    d->label_name = labels;
    d->example = arena_calloc(&d->mem, EXAMPLES, sizeof *d->example);
    int32_t *type = arena_calloc(&d->mem, MAX_LENGTH, sizeof *type);
    bool room = d->example && type;
    for (char *at = text; room && d->n < EXAMPLES; d->n++) {
        long n = strtol(at, &at, 10);
        int32_t *id = n < 1 || n > MAX_LENGTH ? NULL : arena_calloc(&d->mem, (size_t)n, sizeof *id);
        if (!id)
            break;
        for (long i = 0; i < n; i++)
            id[i] = (int32_t)rng_below(&rng, (uint32_t)vocab);
        d->example[d->n] = (struct example){.id = id,
                                            .type = type,
                                            .n_tokens = (int32_t)n,
                                            .label = (int32_t)(d->n % 2),
                                            .text = ""};
    }
    free(text);
    return d->n == EXAMPLES ? 0 : err_set(e, ERR_DATA, "%s: %d lengths expected", path, EXAMPLES);
}

/* Products that one pass over the data needs: forward; backward to the inputs of frozen linears,
 * but for the projections of layer 0, below which nothing is trained; twice the forward for
 * attention; and LoRA. The last layer needs queries, outputs and feed-forward for each sequence's
 * first token only. */
static double step_flops(const struct model_config *c, const struct dataset *d)
{
    double h = c->hidden, square = h * h, wide = 2.0 * h * c->ffn, tokens = 0, pairs = 0;
    double rows = (double)d->n, total = 0;
    for (size_t i = 0; i < d->n; i++) {
        tokens += d->example[i].n_tokens;
        pairs += (double)d->example[i].n_tokens * d->example[i].n_tokens;
    }
    for (int l = 0; l < c->layers; l++) {
        bool last = l == c->layers - 1;
        double out = last ? rows : tokens, in = 2 * tokens * square + out * square;
        double after = out * (square + wide), attention = 2 * h * (last ? tokens : pairs);
        double lora = 2.0 * RANK * h * (tokens + out);
        total += in * (l > 0 ? 2 : 1) + 2 * after + 3 * attention + 3 * lora;
    }
    return 2 * total;
}

/* GFLOP/s of one thread of cblas_sgemm on [GEMM_ROWS, in] x [out, in]^T. */
static double gemm_rate(int out, int in)
{
    float *x = calloc((size_t)GEMM_ROWS * in, sizeof *x), *w = calloc((size_t)out * in, sizeof *w);
    float *y = calloc((size_t)GEMM_ROWS * out, sizeof *y);
    double best = 0, flops = 2.0 * GEMM_ROWS * out * in;
    for (int repeat = 0; x && w && y && repeat < 20; repeat++) {
        double start = now_s();
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, GEMM_ROWS, out, in, 1, x, in, w, in, 0,
                    y, out);
        double rate = flops / (now_s() - start) * 1e-9;
        best = rate > best ? rate : best;
    }
    free(x);
    free(w);
    free(y);
    return best;
}

/* The rate at which gemm alone would do a layer's mix of shapes, on one thread. */
static double layer_gemm_rate(const struct model_config *c)
{
    double square = 4.0 * c->hidden * c->hidden, wide = (double)c->hidden * c->ffn;
    double time = square / gemm_rate(c->hidden, c->hidden) + wide / gemm_rate(c->ffn, c->hidden) +
                  wide / gemm_rate(c->hidden, c->ffn);
    return (square + 2 * wide) / time;
}

static void report(const struct model *m, const struct dataset *d, unsigned threads,
                   const struct train_result *r, double seconds)
{
    double tokens = 0, gemm = layer_gemm_rate(&m->cfg);
    for (size_t i = 0; i < d->n; i++)
        tokens += d->example[i].n_tokens;
    double gflops = step_flops(&m->cfg, d) * ((double)r->tokens / tokens) / seconds * 1e-9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("who=fedpet threads=%u ms_per_step=%.1f tokens_per_s=%.0f gflop_per_s=%.1f "
           "sgemm_share=%.3f peak_mib=%.0f loss=%.4f\n",
           threads, seconds / r->steps * 1e3, (double)r->tokens / seconds, gflops,
           gflops / (threads * gemm), (double)usage.ru_maxrss / 1024, r->loss);
}

/* A short run to warm up, then the measured one. */
static int measure(const struct peft *peft, const struct dataset *d, unsigned threads,
                   struct local_spec *local, struct err *e)
{
    struct trainer *trainer = NULL;
    struct train_job job = {.peft = peft, .data = d, .n = d->n, .local = local, .seed = 1};
    struct train_result r;
    uint32_t steps = local->steps;
    float *theta = malloc(peft_schema(peft)->count * sizeof *theta);
    int rc = theta ? 0 : err_set(e, ERR_NOMEM, "no memory for the parameters");
    if (!rc)
        rc = trainer_open(&trainer, threads, 0, e);
    if (rc)
        goto out;
    peft_init(peft, 1, theta);
    local->steps = 2;
    rc = trainer_fit(trainer, &job, theta, &r, e);
    local->steps = steps;
    double start = now_s();
    if (!rc)
        rc = trainer_fit(trainer, &job, theta, &r, e);
    if (!rc)
        report(peft_model(peft), d, threads, &r, now_s() - start);
out:
    free(theta);
    trainer_close(trainer);
    return rc;
}

static int run(const char *dir, unsigned threads, uint32_t steps, struct err *e)
{
    char method[] = "lora";
    struct local_spec local = {.steps = steps,
                               .batch_size = BATCH,
                               .accumulate = 1,
                               .max_length = MAX_LENGTH,
                               .lr = 1e-3,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .max_grad_norm = 1,
                               .model_dropout = -1};
    struct peft_spec spec = {
        .method = method, .r = RANK, .alpha = RANK, .targets = 1u << LIN_QUERY | 1u << LIN_VALUE};
    struct model *m = NULL;
    struct peft *peft = NULL;
    struct dataset d = {0};
    arena_init(&d.mem, ARENA_NO_CAP);
    if (!threads || !steps)
        return err_set(e, ERR_USAGE, "threads and steps begin at 1");
    int rc = model_open(&m, dir, e);
    if (!rc)
        rc = open_data(&d, dir, m->cfg.vocab, e);
    if (!rc)
        rc = peft_open(&peft, m, &spec, &local, HEAD_SEQUENCE, d.n_labels, e);
    if (!rc)
        rc = measure(peft, &d, threads, &local, e);
    peft_close(peft);
    arena_release(&d.mem);
    model_close(m);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = {0};
    int rc = ERR_USAGE;
    kernels_choose(argv);
    if (argc == 5 && strcmp(argv[1], "make") == 0)
        rc = make(argv[2], argv[3], argv[4], &e);
    else if (argc >= 3 && argc <= 5 && strcmp(argv[1], "run") == 0)
        rc = run(argv[2], argc > 3 ? (unsigned)strtoul(argv[3], NULL, 10) : 1,
                 argc > 4 ? (uint32_t)strtoul(argv[4], NULL, 10) : 8, &e);
    else
        err_set(&e, rc, "use: bench_step make SHAPE LENGTHS DIR, or run DIR [THREADS [STEPS]]");
    if (rc)
        fprintf(stderr, "bench_step: %s\n", e.text);
    return rc;
}
