/* Which of OpenBLAS's kernels a program computes with.
 *
 * OpenBLAS chooses them when it is loaded, by the processor's model number, and falls back to its
 * SSE3 kernels for a processor that is younger than it: a quarter of the speed, and no word about
 * it. Nothing in its interface changes the choice later, so a program that finds itself with
 * kernels below what the processor can do sets OPENBLAS_CORETYPE, which OpenBLAS reads before its
 * own table, and executes itself once more.
 *
 * Kernels differ in the order of their sums: they are part of the machine type for which results
 * are the same bits. Programs on other processors than x86-64 keep what OpenBLAS chose. */
#ifndef NN_KERNELS_H
#define NN_KERNELS_H

/* What the widest kernels need of processor and system together. */
enum kernels_width {
    KERNELS_SSE,
    KERNELS_AVX2,   /* with FMA */
    KERNELS_AVX512, /* F, DQ, BW and VL */
};

/* To be called first in main, with its argv. Returns with the best kernels that the processor can
 * use, or those that the user chose by OPENBLAS_CORETYPE, or, where the program cannot be executed
 * again, with what there is. Same process, same arguments; children inherit the choice. */
void kernels_choose(char **argv);

/* OpenBLAS's name of the kernels in use: "SkylakeX". */
const char *kernels_in_use(void);

/* The decision itself: a better choice than the kernels `in_use` for a processor of this width, or
 * NULL. Names that are unknown here are left alone: they are younger than this table. */
const char *kernels_better(const char *in_use, enum kernels_width width);

#endif
