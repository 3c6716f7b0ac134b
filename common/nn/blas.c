#include "nn/blas.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool has_avx512(void)
{
#if defined __GNUC__ && defined __x86_64__
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512cd");
#else
    return false;
#endif
}

void blas_start(char **argv)
{
    static const char variable[] = "OPENBLAS_CORETYPE";
    const char *core = openblas_get_corename();

    openblas_set_num_threads(1);
    if (getenv(variable) || !has_avx512() || (strcmp(core, "Haswell") && strcmp(core, "Zen")))
        return;
    /* OpenBLAS reads the variable while it is being loaded: only a new process image sees it. */
    if (setenv(variable, "SkylakeX", 1) == 0)
        execv("/proc/self/exe", argv);
}
