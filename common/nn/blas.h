/* Matrix products, from OpenBLAS, in the engine's number type. Row-major everywhere. */
#ifndef NN_BLAS_H
#define NN_BLAS_H

#include "nn/real.h"
#include <cblas.h>

enum { BLAS_AS_IS = CblasNoTrans, BLAS_TRANSPOSED = CblasTrans };

/* C = alpha op(A) op(B) + beta C: op(A) [m,k], op(B) [k,n], C [m,n]; ld*: elements from row to row
 * as stored. With beta = 0 C need not be initialised. C overlaps neither operand. Takes up to 64
 * KiB of stack, in double twice that. */
void blas_gemm(int op_a, int op_b, int m, int n, int k, real alpha, const real *a, int lda,
               const real *b, int ldb, real beta, real *c, int ldc);

#endif
