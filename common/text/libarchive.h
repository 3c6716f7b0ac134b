/* libarchive, opened when a compressed file or a ZIP archive is read (base/dynlib.h): what we use
 * of it, under its own names. */
#ifndef TEXT_LIBARCHIVE_H
#define TEXT_LIBARCHIVE_H

#include "base/err.h"
#include <archive.h>
#include <archive_entry.h>

#define LIBARCHIVE_FUNCTIONS(X)                                                                    \
    X(archive_read_new)                                                                            \
    X(archive_read_free)                                                                           \
    X(archive_read_support_filter_bzip2)                                                           \
    X(archive_read_support_filter_gzip)                                                            \
    X(archive_read_support_filter_lz4)                                                             \
    X(archive_read_support_filter_xz)                                                              \
    X(archive_read_support_filter_zstd)                                                            \
    X(archive_read_support_format_empty)                                                           \
    X(archive_read_support_format_raw)                                                             \
    X(archive_read_support_format_zip_seekable)                                                    \
    X(archive_read_open_filename)                                                                  \
    X(archive_read_next_header)                                                                    \
    X(archive_read_data)                                                                           \
    X(archive_entry_filetype)                                                                      \
    X(archive_entry_pathname)                                                                      \
    X(archive_errno)                                                                               \
    X(archive_error_string)

struct libarchive {
#define LIBARCHIVE_POINTER(name) __typeof__(name) *name;
    LIBARCHIVE_FUNCTIONS(LIBARCHIVE_POINTER)
#undef LIBARCHIVE_POINTER
};

/* Errors of dynlib_open. Nothing to close. */
int libarchive_open(struct libarchive *out, struct err *e) MUST_CHECK;

#endif
