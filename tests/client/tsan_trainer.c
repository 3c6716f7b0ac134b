/* The trainer's threads under ThreadSanitizer, which cannot run Criterion: the same bits for any
 * number of threads, in training and in evaluation. */
#include "tests/client/toy.h"

static int differs(const float *a, const float *b, size_t n, const char *what, unsigned threads)
{
    if (memcmp(a, b, n * sizeof *a) == 0)
        return 0;
    fprintf(stderr, "%s with %u threads gives other bits than with one\n", what, threads);
    return 1;
}

static float *logits_of(const struct toy *t, const float *theta, unsigned threads)
{
    struct trainer *trainer;
    struct err e;
    float *logits = malloc(t->data.n * 2 * sizeof *logits);
    toy_check(trainer_open(&trainer, threads, NULL, &e), &e);
    toy_check(trainer_eval(trainer,
                           &(struct eval_job){.peft = t->peft, .data = &t->data, .theta = theta},
                           NULL, NULL, logits, &e),
              &e);
    trainer_close(trainer);
    return logits;
}

int main(void)
{
    struct toy t;
    struct train_result r;
    int failed = 0;
    toy_open(&t, 130, 2, 0.1);
    const struct train_job job = toy_job(&t);
    float *theta = toy_fit(&t, &job, 1, &r);
    float *logits = logits_of(&t, theta, 1);
    for (unsigned threads = 2; threads <= 4; threads++) {
        float *other = toy_fit(&t, &job, threads, &r);
        float *other_logits = logits_of(&t, theta, threads);
        failed += differs(theta, other, t.count, "training", threads);
        failed += differs(logits, other_logits, 2 * t.data.n, "evaluation", threads);
        free(other);
        free(other_logits);
    }
    free(theta);
    free(logits);
    toy_close(&t);
    return failed ? 1 : 0;
}
