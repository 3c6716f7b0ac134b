/* Speed of a LoRA training step (r = 8 on query and value) on random weights of a known shape.
 *
 *   bench_step make SHAPE LENGTHS DIR [f16|i8]  DIR gets what work_make (work.h) writes
 *   bench_step run DIR [THREADS [STEPS [auto|min|fast|half]]]
 *
 * `run` prints one line of KEY=VALUE: tokens/s by the clock and by processor time, the GFLOP/s of
 * the matrix products that a step needs (see work_flops), the share of what cblas_sgemm reaches on
 * the same shapes (both by processor time), and the peak memory. A peer in Python,
 * bench_step_peer.py, reads the same folder and prints the same keys. */
#include "client/client_config.h"
#include "client/train.h"
#include "measure.h"
#include "nn/kernels.h"
#include "work.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

struct settings {
    unsigned threads;
    uint32_t steps;
    struct memory memory;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void report(const struct model *m, const struct dataset *d, const struct trainer *t,
                   const struct settings *s, const struct train_result *r, double seconds,
                   double processor)
{
    double tokens = 0, gemm = work_gemm_rate(&m->cfg);
    for (size_t i = 0; i < d->n; i++)
        tokens += d->example[i].n_tokens;
    double flops = work_flops(&m->cfg, d, &work_methods[0], true) * (double)r->tokens / tokens;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("who=fedpet threads=%u ms_per_step=%.1f tokens_per_s=%.0f tokens_per_cpu_s=%.0f "
           "gflop_per_s=%.1f sgemm_share=%.3f peak_mib=%.0f loss=%.4f memory=%s "
           "activations_mib=%.1f\n",
           s->threads, seconds / r->steps * 1e3, (double)r->tokens / seconds,
           (double)r->tokens / processor, flops / seconds * 1e-9, flops / processor / gemm,
           (double)usage.ru_maxrss / 1024, r->loss, client_memory_word(s->memory.mode),
           (double)trainer_peak_bytes(t) / (1 << 20));
}

/* A step to warm up, then the measured one. */
static int measure(const struct peft *peft, const struct dataset *d, const struct settings *s,
                   struct local_spec *local, struct err *e)
{
    struct trainer *trainer = NULL;
    struct train_job job = {.peft = peft, .data = d, .n = d->n, .local = local, .seed = 1};
    struct train_result r;
    uint32_t steps = local->steps;
    float *theta = malloc(peft_schema(peft)->count * sizeof *theta);
    int rc = theta ? 0 : err_set(e, ERR_NOMEM, "no memory for the parameters");
    if (!rc)
        rc = trainer_open(&trainer, s->threads, &s->memory, e);
    if (rc)
        goto out;
    peft_init(peft, 1, theta);
    local->steps = 1;
    rc = trainer_fit(trainer, &job, theta, &r, e);
    local->steps = steps;
    double start = now_s(), processor = measure_now();
    if (!rc)
        rc = trainer_fit(trainer, &job, theta, &r, e);
    if (!rc)
        report(peft_model(peft), d, trainer, s, &r, now_s() - start, measure_now() - processor);
out:
    free(theta);
    trainer_close(trainer);
    return rc;
}

static int run(const char *dir, const struct settings *s, struct err *e)
{
    struct local_spec local = work_local(s->steps);
    struct model *m = NULL;
    struct peft *peft = NULL;
    struct dataset d = {0};
    arena_init(&d.mem, ARENA_NO_CAP);
    if (!s->threads || !s->steps)
        return err_set(e, ERR_USAGE, "threads and steps begin at 1");
    int rc = model_open(&m, dir, e);
    if (!rc)
        rc = work_data(&d, dir, m->cfg.vocab, e);
    if (!rc)
        rc = peft_open(&peft, m, &work_methods[0].spec, &local, HEAD_SEQUENCE, d.n_labels, e);
    if (!rc)
        rc = measure(peft, &d, s, &local, e);
    peft_close(peft);
    arena_release(&d.mem);
    model_close(m);
    return rc;
}

static int run_words(int n, char **word, struct err *e)
{
    struct settings s = {.threads = 1, .steps = 8};
    if (n > 1)
        s.threads = (unsigned)strtoul(word[1], NULL, 10);
    if (n > 2)
        s.steps = (uint32_t)strtoul(word[2], NULL, 10);
    int rc = n > 3 ? client_memory(word[3], &s.memory.mode, e) : 0;
    return rc ? rc : run(word[0], &s, e);
}

int main(int argc, char **argv)
{
    struct err e = {0};
    int rc = ERR_USAGE;
    kernels_choose(argv);
    if (argc == 5 && strcmp(argv[1], "make") == 0)
        rc = work_make(argv[2], argv[3], STORED_REAL, argv[4], &e);
    else if (argc == 6 && strcmp(argv[1], "make") == 0 && strcmp(argv[5], "f16") == 0)
        rc = work_make(argv[2], argv[3], STORED_F16, argv[4], &e);
    else if (argc == 6 && strcmp(argv[1], "make") == 0 && strcmp(argv[5], "i8") == 0)
        rc = work_make(argv[2], argv[3], STORED_INT8, argv[4], &e);
    else if (argc >= 3 && argc <= 6 && strcmp(argv[1], "run") == 0)
        rc = run_words(argc - 2, argv + 2, &e);
    else
        err_set(&e, rc,
                "use: bench_step make SHAPE LENGTHS DIR [f16|i8], or run DIR [THREADS [STEPS "
                "[MEMORY]]]");
    if (rc)
        fprintf(stderr, "bench_step: %s\n", e.text);
    return rc;
}
