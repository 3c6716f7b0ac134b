#include "text/lines.h"

#include "base/utf8.h"
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCK = 64 << 10 };

int lines_fault(const struct lines *l, struct err *e, const char *fmt, ...)
{
    char text[256];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return err_set(e, ERR_DATA, "%s:%zu: %s", l->path, l->number, text);
}

/* What libarchive has to say: of the file, when it has a system's error number; else of what is in
 * it. */
static int fault(const struct lines *l, struct err *e)
{
    int number = l->lib.archive_errno(l->archive);
    const char *text = l->lib.archive_error_string(l->archive);

    if (number == ENOMEM)
        return err_set(e, ERR_NOMEM, "%s: no memory to decompress", l->path);
    if (number > 0 && number != EINVAL && number != EILSEQ)
        return err_sys(e, ERR_IO, number, "%s", l->path);
    return err_set(e, ERR_DATA, "%s: after line %zu: %s; is the file damaged or cut short?",
                   l->path, l->number, text ? text : "broken compressed data");
}

/* Appends the next bytes to the buffer. */
static int read_block(struct lines *l, struct err *e)
{
    unsigned char *to = buf_reserve(&l->buf, BLOCK);

    if (!to)
        return err_set(e, ERR_NOMEM, "%s: no memory for a line", l->path);
    la_ssize_t n = l->plain ? (la_ssize_t)fread(to, 1, BLOCK, l->plain)
                            : l->lib.archive_read_data(l->archive, to, BLOCK);
    if (n < 0)
        return fault(l, e);
    if (l->plain && ferror(l->plain))
        return err_sys(e, ERR_IO, errno, "%s", l->path);
    buf_commit(&l->buf, (size_t)n);
    l->ended = n == 0;
    return 0;
}

/* A file as it is, with its first bytes in the buffer. */
static int open_plain(struct lines *l, struct err *e)
{
    l->plain = fopen(l->path, "rbe");
    return l->plain ? read_block(l, e) : err_sys(e, ERR_IO, errno, "%s", l->path);
}

/* How files of zstd, gzip, xz, bzip2 and lz4 (two versions) begin; or, of zstd and lz4, with a
 * frame to be skipped, whose first byte is 0x50 to 0x5F. libarchive looks more closely, and reads
 * what only seems to be compressed as it is. */
static bool seems_compressed(const struct buf *b)
{
    static const char *const magic[] = {"\x28\xB5\x2F\xFD", "\x1F\x8B",        "\xFD\x37zXZ", "BZh",
                                        "\x04\x22\x4D\x18", "\x02\x21\x4C\x18"};
    const unsigned char *bytes = buf_bytes(b);
    size_t n = buf_size(b);

    for (size_t i = 0; i < sizeof magic / sizeof *magic; i++)
        if (n >= strlen(magic[i]) && memcmp(bytes, magic[i], strlen(magic[i])) == 0)
            return true;
    return n >= 4 && bytes[0] >> 4 == 5 && memcmp(bytes + 1, "\x2A\x4D\x18", 3) == 0;
}

/* Leaves the file as it is for what libarchive makes of it. */
static int open_compressed(struct lines *l, struct err *e)
{
    fclose(l->plain);
    l->plain = NULL;
    buf_clear(&l->buf);
    int rc = libarchive_open(&l->lib, e);
    if (rc)
        return err_wrap(e, "%s is compressed", l->path);
    struct archive *a = l->archive = l->lib.archive_read_new();
    if (!a)
        return err_set(e, ERR_NOMEM, "%s: no memory to open", l->path);
    l->lib.archive_read_support_filter_bzip2(a);
    l->lib.archive_read_support_filter_gzip(a);
    l->lib.archive_read_support_filter_lz4(a);
    l->lib.archive_read_support_filter_xz(a);
    l->lib.archive_read_support_filter_zstd(a);
    l->lib.archive_read_support_format_raw(a);
    l->lib.archive_read_support_format_empty(a);
    if (l->lib.archive_read_open_filename(a, l->path, BLOCK) != ARCHIVE_OK)
        return fault(l, e);
    struct archive_entry *entry;
    rc = l->lib.archive_read_next_header(a, &entry);
    l->ended = rc == ARCHIVE_EOF;
    return rc == ARCHIVE_OK || l->ended ? 0 : fault(l, e);
}

int lines_open(struct lines *l, const char *path, struct err *e)
{
    struct stat info;

    if (stat(path, &info) != 0)
        return err_sys(e, ERR_IO, errno, "%s", path);
    if (!S_ISREG(info.st_mode))
        return err_set(e, ERR_IO, "%s: not a file", path);
    *l = (struct lines){.path = path};
    buf_init(&l->buf, LINES_MAX + 2 * BLOCK);
    int rc = open_plain(l, e);
    if (!rc && seems_compressed(&l->buf))
        rc = open_compressed(l, e);
    if (rc)
        lines_close(l);
    return rc;
}

void lines_close(struct lines *l)
{
    if (l->plain)
        fclose(l->plain);
    if (l->archive)
        l->lib.archive_read_free(l->archive);
    buf_release(&l->buf);
    *l = (struct lines){0};
}

/* The line end in the buffer, having read as far as it is needed; NULL: the file ends first. */
static int find_end(struct lines *l, const unsigned char **end, struct err *e)
{
    size_t searched = 0;

    for (;;) {
        size_t have = buf_size(&l->buf);
        *end =
            have > searched ? memchr(buf_bytes(&l->buf) + searched, '\n', have - searched) : NULL;
        if (*end || l->ended)
            return 0;
        if (have > LINES_MAX)
            return lines_fault(l, e, "a line of more than %d MiB; is this text?", LINES_MAX >> 20);
        searched = have;
        int rc = read_block(l, e);
        if (rc)
            return rc;
    }
}

static int check_text(const struct lines *l, struct err *e)
{
    size_t i = 0;

    for (size_t n; i < l->len; i += n) {
        n = utf8_length(l->text + i);
        if (n == 0)
            return lines_fault(l, e, "byte %zu is %s; only text in UTF-8 can be read", i + 1,
                               l->text[i] ? "no UTF-8" : "NUL");
    }
    return 0;
}

/* Makes the first `len` bytes of the buffer the present line. The byte behind them may be
 * overwritten: it is the line end, or room that find_end's last reservation left. */
static int take(struct lines *l, size_t len, struct err *e)
{
    l->text = (char *)l->buf.data + l->buf.start;
    l->len = len;
    if (l->len && l->text[l->len - 1] == '\r')
        l->len--;
    l->text[l->len] = '\0';
    if (l->number == 1 && l->len >= 3 && memcmp(l->text, "\xEF\xBB\xBF", 3) == 0) {
        l->text += 3;
        l->len -= 3;
    }
    return check_text(l, e);
}

int lines_next(struct lines *l, bool *more, struct err *e)
{
    const unsigned char *end;

    buf_consume(&l->buf, l->taken);
    l->taken = 0;
    l->number++;
    int rc = find_end(l, &end, e);
    if (rc)
        return rc;
    size_t len = end ? (size_t)(end - buf_bytes(&l->buf)) : buf_size(&l->buf);
    *more = end || len > 0;
    if (!*more)
        return 0;
    if (len > LINES_MAX)
        return lines_fault(l, e, "a line of more than %d MiB; is this text?", LINES_MAX >> 20);
    if (!end && !buf_reserve(&l->buf, 1))
        return err_set(e, ERR_NOMEM, "%s: no memory for a line", l->path);
    l->taken = len + (end != NULL);
    return take(l, len, e);
}
