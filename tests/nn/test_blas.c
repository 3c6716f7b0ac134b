/* Products of every form against three loops. Operands are small whole numbers, so that sums are
 * exact in any order, and each has other columns beside its own, which must stay as they are. */
#include "nn/blas.h"
#include "run.h"

#include <math.h>

enum { BESIDE = 3 };

struct product {
    int op_a, op_b, m, n, k;
    real alpha, beta;
};

/* [rows, cols + BESIDE] */
static real *whole_numbers(int rows, int cols, uint32_t which)
{
    struct rng rng = rng_stream(23, which, 0, RNG_TEST);
    const size_t n = (size_t)rows * (size_t)(cols + BESIDE);
    real *x = malloc((n + 1) * sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = (real)rng_below(&rng, 7) - 3;
    return x;
}

static real at(const real *x, int cols, int i, int j)
{
    return x[(size_t)i * (size_t)(cols + BESIDE) + (size_t)j];
}

static real sum_of(const struct product *p, const real *a, const real *b, int i, int j)
{
    real sum = 0;

    for (int l = 0; l < p->k; l++)
        sum += (p->op_a == BLAS_AS_IS ? at(a, p->k, i, l) : at(a, p->m, l, i)) *
               (p->op_b == BLAS_AS_IS ? at(b, p->n, l, j) : at(b, p->k, j, l));
    return sum;
}

static void check(const struct product *p)
{
    const bool a_is = p->op_a == BLAS_AS_IS, b_is = p->op_b == BLAS_AS_IS;
    const int a_cols = a_is ? p->k : p->m, b_cols = b_is ? p->n : p->k;
    real *a = whole_numbers(a_is ? p->m : p->k, a_cols, 0);
    real *b = whole_numbers(b_is ? p->k : p->n, b_cols, 1);
    real *c = whole_numbers(p->m, p->n, 2), *before = whole_numbers(p->m, p->n, 2);

    for (int i = 0; p->beta == 0 && i < p->m; i++)
        for (int j = 0; j < p->n; j++)
            c[(size_t)i * (size_t)(p->n + BESIDE) + (size_t)j] = (real)NAN;
    blas_gemm(p->op_a, p->op_b, p->m, p->n, p->k, p->alpha, a, a_cols + BESIDE, b, b_cols + BESIDE,
              p->beta, c, p->n + BESIDE);
    for (int i = 0; i < p->m; i++)
        for (int j = 0; j < p->n + BESIDE; j++) {
            real want = at(before, p->n, i, j);
            if (j < p->n)
                want = p->alpha * sum_of(p, a, b, i, j) + (p->beta == 0 ? 0 : want);
            cr_assert_eq(at(c, p->n, i, j), want, "%d x %d x %d (%d, %d): [%d, %d] is %g, not %g",
                         p->m, p->n, p->k, p->op_a, p->op_b, i, j, (double)at(c, p->n, i, j),
                         (double)want);
        }
    free(a);
    free(b);
    free(c);
    free(before);
}

static void check_forms(int m, int n, int k)
{
    for (int form = 0; form < 16; form++) {
        struct product p = {.op_a = form & 1 ? BLAS_TRANSPOSED : BLAS_AS_IS,
                            .op_b = form & 2 ? BLAS_TRANSPOSED : BLAS_AS_IS,
                            .m = m,
                            .n = n,
                            .k = k,
                            .alpha = form & 4 ? (real)0.5 : 1,
                            .beta = form & 8 ? 1 : 0};
        check(&p);
    }
}

Test(blas, small_products)
{
    const int side[] = {1, 2, 3, 4, 5, 17, 31, 32, 33, 50};

    for (size_t i = 0; i < sizeof side / sizeof *side; i++)
        for (size_t j = 0; j < sizeof side / sizeof *side; j++)
            check_forms(side[i], side[j], side[(i + j) % 10]);
}

Test(blas, thin_products_in_pieces)
{
    check_forms(512, 8, 384);
    check_forms(512, 384, 8);
    check_forms(8, 768, 512);
    check_forms(129, 127, 65);
    check_forms(1001, 1, 1009);
    check_forms(1, 1001, 1009);
    check_forms(70, 64, 223); /* the largest k that stays whole */
    check_forms(70, 64, 224);
    check_forms(100, 100, 100);
    check_forms(64, 128, 128); /* the largest B that is turned */
    check_forms(64, 128, 129);
    check_forms(31, 200, 200); /* too few rows to turn B for */
    check_forms(100003, 3, 5);
}

Test(blas, thick_products)
{
    check_forms(128, 128, 128);
    check_forms(65, 130, 300);
    check_forms(40, 600, 300);
}

Test(blas, empty_products)
{
    check_forms(0, 5, 5);
    check_forms(5, 0, 5);
    check_forms(5, 5, 0);
    check_forms(40, 0, 5);
}
