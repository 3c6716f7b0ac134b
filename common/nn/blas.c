#include "nn/blas.h"
#include "nn/hot.h"

#include <stdbool.h>
#include <string.h>

/* OpenBLAS has kernels for small products that read both operands where they lie; all others copy
 * them into an order of their own first, which costs a product with a short side more than its
 * arithmetic. It takes the small ones (0.3.18 and later, with AVX-512) up to MOST_PRODUCTS
 * multiply-adds, so a larger product that is thin enough is cut along its long side into pieces of
 * that size. With B transposed it takes only the smallest, so such a B is turned first. Where
 * OpenBLAS has no such kernels the pieces cost next to nothing. */
enum {
    MOST_PRODUCTS = 1000000, /* OpenBLAS's number: *_small_kernel_permit */
    LEAST_FIT = 64,      /* rows or columns; where fewer fit into a piece, reading the other operand
                            again and again costs more */
    MOST_TURNED = 16384, /* numbers in B */
    TURN_FROM = 32,      /* rows of A that pay for turning B */
};

typedef real four __attribute__((vector_size(4 * sizeof(real))));

/* y [cols, rows] = x^T, in squares of 4 x 4; x [rows, cols] with ld numbers from row to row */
HOT static void turn(size_t rows, size_t cols, const real *restrict x, size_t ld, real *restrict y)
{
    const size_t whole_rows = rows / 4 * 4, whole_cols = cols / 4 * 4;

    for (size_t i = 0; i < whole_rows; i += 4)
        for (size_t j = 0; j < whole_cols; j += 4) {
            four row[4], column[4];

            for (size_t l = 0; l < 4; l++)
                memcpy(&row[l], x + (i + l) * ld + j, sizeof *row);
            const four low01 = __builtin_shufflevector(row[0], row[1], 0, 4, 1, 5);
            const four low23 = __builtin_shufflevector(row[2], row[3], 0, 4, 1, 5);
            const four high01 = __builtin_shufflevector(row[0], row[1], 2, 6, 3, 7);
            const four high23 = __builtin_shufflevector(row[2], row[3], 2, 6, 3, 7);
            column[0] = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
            column[1] = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
            column[2] = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
            column[3] = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
            for (size_t l = 0; l < 4; l++)
                memcpy(y + (j + l) * rows + i, &column[l], sizeof *column);
        }
    for (size_t i = 0; i < rows; i++)
        for (size_t j = i < whole_rows ? whole_cols : 0; j < cols; j++)
            y[j * rows + i] = x[i * ld + j];
}

/* How many rows (columns) of C, on its longer side, a piece has: all where the product is small, 0
 * where it is too thick to be cut. each: the multiply-adds of one of them. */
static int piece_of(int side, double each)
{
    const double most = MOST_PRODUCTS / each;

    if (side <= most)
        return side;
    if (most < LEAST_FIT)
        return 0;
    const int multiple = 16, fit = (int)most / multiple * multiple, pieces = (side - 1) / fit + 1;
    return ((side - 1) / pieces / multiple + 1) * multiple;
}

static void gemm(int op_a, int op_b, int m, int n, int k, real alpha, const real *a, int lda,
                 const real *b, int ldb, real beta, real *c, int ldc)
{
#ifdef FEDPET_DOUBLE
    cblas_dgemm(CblasRowMajor, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
#else
    cblas_sgemm(CblasRowMajor, op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
#endif
}

void blas_gemm(int op_a, int op_b, int m, int n, int k, real alpha, const real *a, int lda,
               const real *b, int ldb, real beta, real *c, int ldc)
{
    const bool by_rows = m >= n;
    const int side = by_rows ? m : n;
    int piece = piece_of(side, (double)k * (by_rows ? n : m));
    real turned[MOST_TURNED];

    if (piece && op_b == BLAS_TRANSPOSED) {
        if (m < TURN_FROM || (size_t)n * (size_t)k > MOST_TURNED) {
            piece = 0;
        } else {
            turn((size_t)n, (size_t)k, b, (size_t)ldb, turned);
            op_b = BLAS_AS_IS;
            b = turned;
            ldb = n;
        }
    }
    if (!piece) {
        gemm(op_a, op_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    for (int i = 0; i < side; i += piece) {
        const int part = side - i < piece ? side - i : piece;
        const size_t row = by_rows ? (size_t)i : 0, column = by_rows ? 0 : (size_t)i;

        gemm(op_a, op_b, by_rows ? part : m, by_rows ? n : part, k, alpha,
             a + (op_a == BLAS_AS_IS ? row * (size_t)lda : row), lda, b + column, ldb, beta,
             c + row * (size_t)ldc + column, ldc);
    }
}
