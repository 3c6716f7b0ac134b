/* Linked into every Criterion program, whose main is the library's: the tests run with the kernels
 * that the programs choose. */
#include "nn/kernels.h"

__attribute__((constructor)) static void choose(int argc, char **argv)
{
    (void)argc;
    kernels_choose(argv);
}
