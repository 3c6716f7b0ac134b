/* Sizes of memory as people write them: 512M, 2G. As systemd's MemoryMax=
 * (systemd.resource-control(5)) reads them: a whole number of bytes, or of K, M, G or T, each 1024
 * times the one before; B says bytes in so many words. Options (CLI_SIZE) and configurations
 * (conf_type.sizes) have no other. */
#ifndef BASE_SIZE_H
#define BASE_SIZE_H

#include <stdbool.h>
#include <stdint.h>

#define SIZE_MAX_BYTES ((uint64_t)1 << 44) /* 16T: the most that any setting may be */
/* Completes "must be ...". */
#define SIZE_WANTED "a size of 16T at most: 512M, 2G, or a number of bytes"

/* False: not written so, or more than SIZE_MAX_BYTES; *bytes is left alone. */
bool size_parse(const char *text, uint64_t *bytes);

/* The shortest that size_parse reads back: "512M", "1000B". Returns out. */
enum { SIZE_TEXT = 24 };
const char *size_text(uint64_t bytes, char out[SIZE_TEXT]);

#endif
