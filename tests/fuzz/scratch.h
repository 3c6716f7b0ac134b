/* A folder for inputs that can only be read from files; removed when the fuzzer ends. */
#ifndef TESTS_FUZZ_SCRATCH_H
#define TESTS_FUZZ_SCRATCH_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SCRATCH_PATH = 96, SCRATCH_FILES = 8 };

static char scratch_dir[SCRATCH_PATH], scratch_file[SCRATCH_FILES][SCRATCH_PATH];

static inline void scratch_remove(void)
{
    for (int i = 0; i < SCRATCH_FILES; i++)
        if (scratch_file[i][0])
            unlink(scratch_file[i]);
    rmdir(scratch_dir);
}

/* The folder, made at the first call, in memory where that is possible. */
static inline const char *scratch_open(void)
{
    if (scratch_dir[0])
        return scratch_dir;
    snprintf(scratch_dir, sizeof scratch_dir, "%s/fedpet-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (!mkdtemp(scratch_dir))
        abort();
    atexit(scratch_remove);
    return scratch_dir;
}

/* Writes file number i of the folder and returns its path. */
static inline const char *scratch_write(int i, const char *name, const void *bytes, size_t n)
{
    snprintf(scratch_file[i], SCRATCH_PATH, "%.60s/%.30s", scratch_open(), name);
    FILE *f = fopen(scratch_file[i], "wb");
    if (!f || fwrite(bytes, 1, n, f) != n || fclose(f))
        abort();
    return scratch_file[i];
}

#endif
