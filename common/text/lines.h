/* The lines of a text file, one at a time, in bounded memory; of a compressed file (zstd, gzip,
 * xz, bzip2, lz4), which is known by its first bytes, the lines of what is in it. Only these need
 * libarchive, which is opened then. */
#ifndef TEXT_LINES_H
#define TEXT_LINES_H

#include "base/buf.h"
#include "base/err.h"
#include "text/libarchive.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum { LINES_MAX = 16 << 20 }; /* bytes of one line */

struct lines {
    const char *path;        /* borrowed */
    FILE *plain;             /* a file as it is; NULL: a compressed one, read by `lib` */
    struct archive *archive; /* NULL: a plain file */
    struct libarchive lib;
    struct buf buf; /* what has been read and not yet been taken */
    bool ended;     /* nothing follows what is in buf */
    size_t taken;   /* bytes of the present line at the front of buf, line end included */
    size_t number;  /* of the present line, from 1; 0 before the first */
    char *text;     /* the present line without its end, NUL-terminated, until the next call */
    size_t len;
};

/* `path` must stay. ERR_IO: missing, unreadable, no regular file; compressed, and there is no
 * libarchive; ERR_DATA: compressed, and broken from the start; ERR_NOMEM. */
int lines_open(struct lines *l, const char *path, struct err *e) MUST_CHECK;
/* Also of a zeroed one. */
void lines_close(struct lines *l);

/* Moves to the next line; *more is false at the end. Line ends are LF and CR LF; a byte order mark
 * before the first line goes. ERR_DATA naming file and line: no UTF-8, a NUL byte, more than
 * LINES_MAX bytes, compressed data that is broken or cut short; ERR_IO; ERR_NOMEM. */
int lines_next(struct lines *l, bool *more, struct err *e) MUST_CHECK;

/* ERR_DATA with "FILE:LINE: " of the present line before the text. */
int lines_fault(const struct lines *l, struct err *e, const char *fmt, ...) PRINTF_LIKE(3, 4);

#endif
