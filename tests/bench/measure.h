/* Time, and the ceilings that rates are set against. Times are processor seconds: what else runs on
 * the machine then costs cache and clock, but no share of the processor. */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

/* Processor seconds of the process so far, all threads together. */
double measure_now(void);
/* The least that one of many calls takes: as many as fit into a fifth of a second, three at least.
 */
double measure_least(void (*call)(void *ctx), void *ctx);

/* Bytes a second, read and written, of memcpy on as many bytes in all. */
double measure_copy(double bytes);
/* FLOPs a second of one thread of sgemm, x [rows,in] times w [out,in] transposed. */
double measure_gemm(int rows, int out, int in);

#endif
