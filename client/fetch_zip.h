/* Files out of a ZIP archive, by libarchive: in Debian's stable releases it gets security fixes, is
 * fuzzed all the time, and is told here to know this one format only. */
#ifndef CLIENT_FETCH_ZIP_H
#define CLIENT_FETCH_ZIP_H

#include "base/err.h"
#include <stddef.h>
#include <stdint.h>

/* Writes the n members folder/NAME of the archive as dir/NAME, each whole and checked (CRC-32) or
 * not at all, and nothing else that the archive holds: its names never become paths. ERR_DATA: no
 * archive, broken, without one of the members, or with one above `limit` bytes; ERR_IO: also, no
 * libarchive. */
int fetch_zip_extract(const char *archive, const char *folder, const char *const *name, size_t n,
                      uint64_t limit, const char *dir, struct err *e) MUST_CHECK;

#endif
