#include "client/fetch_zip.h"
#include "base/file.h"
#include "text/libarchive.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { CHUNK = 1 << 16 };

struct member {
    const struct libarchive *lib;
    struct archive *archive;
    const char *archive_path, *name;
    uint64_t limit;
};

static int write_chunk(int fd, const char *bytes, size_t n, const char *path, struct err *e)
{
    while (n > 0) {
        ssize_t put = write(fd, bytes, n);
        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return err_sys(e, ERR_IO, errno, "cannot write %s", path);
        bytes += put;
        n -= (size_t)put;
    }
    return 0;
}

static int copy_member(const struct member *m, int fd, const char *path, struct err *e)
{
    char chunk[CHUNK];
    uint64_t total = 0;
    for (;;) {
        la_ssize_t got = m->lib->archive_read_data(m->archive, chunk, sizeof chunk);
        if (got < 0)
            return err_set(e, ERR_DATA, "%s: %s: %s", m->archive_path, m->name,
                           m->lib->archive_error_string(m->archive));
        if (got == 0)
            break;
        total += (uint64_t)got;
        if (total > m->limit)
            return err_set(e, ERR_DATA, "%s: %s is above the limit of %" PRIu64 " MiB",
                           m->archive_path, m->name, m->limit >> 20);
        int rc = write_chunk(fd, chunk, (size_t)got, path, e);
        if (rc)
            return rc;
    }
    return fsync(fd) == 0 ? 0 : err_sys(e, ERR_IO, errno, "cannot write %s", path);
}

static int extract(const struct member *m, const char *dir, struct err *e)
{
    char path[PATH_MAX], temp[PATH_MAX];
    int rc = file_join(path, sizeof path, dir, m->name, e);
    if (rc)
        return rc;
    if (snprintf(temp, sizeof temp, "%s.%ld.tmp", path, (long)getpid()) >= (int)sizeof temp)
        return err_sys(e, ERR_IO, ENAMETOOLONG, "cannot write %s", path);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return err_sys(e, ERR_IO, errno, "cannot write %s", temp);
    rc = copy_member(m, fd, path, e);
    close(fd);
    if (!rc && rename(temp, path) != 0)
        rc = err_sys(e, ERR_IO, errno, "cannot write %s", path);
    if (rc)
        unlink(temp);
    return rc;
}

/* The index of folder/NAME among the names; n when it is none of them. */
static size_t find(const char *pathname, const char *folder, const char *const *name, size_t n)
{
    size_t len = strlen(folder);
    if (!pathname || strncmp(pathname, folder, len) != 0 || pathname[len] != '/')
        return n;
    for (size_t i = 0; i < n; i++)
        if (strcmp(pathname + len + 1, name[i]) == 0)
            return i;
    return n;
}

/* Each name is that of `m` in turn. */
static int extract_all(struct member m, const char *folder, const char *const *name, size_t n,
                       const char *dir, struct err *e)
{
    struct archive_entry *entry;
    uint64_t found = 0; /* a bit a name */
    int status, rc;
    while ((status = m.lib->archive_read_next_header(m.archive, &entry)) >= ARCHIVE_WARN &&
           status != ARCHIVE_EOF) {
        size_t i = find(m.lib->archive_entry_pathname(entry), folder, name, n);
        if (i == n || m.lib->archive_entry_filetype(entry) != AE_IFREG)
            continue;
        m.name = name[i];
        if ((rc = extract(&m, dir, e)) != 0)
            return rc;
        found |= (uint64_t)1 << i;
    }
    if (status != ARCHIVE_EOF)
        return err_set(e, ERR_DATA, "%s: %s", m.archive_path,
                       m.lib->archive_error_string(m.archive));
    for (size_t i = 0; i < n; i++)
        if (!(found >> i & 1))
            return err_set(e, ERR_DATA, "%s: holds no %s/%s", m.archive_path, folder, name[i]);
    return 0;
}

int fetch_zip_extract(const char *archive, const char *folder, const char *const *name, size_t n,
                      uint64_t limit, const char *dir, struct err *e)
{
    struct libarchive lib;
    int rc = libarchive_open(&lib, e);
    if (rc)
        return err_wrap(e, "%s", archive);
    struct archive *a = lib.archive_read_new();
    if (!a)
        return err_set(e, ERR_NOMEM, "%s: no memory", archive);
    if (lib.archive_read_support_format_zip_seekable(a) != ARCHIVE_OK ||
        lib.archive_read_open_filename(a, archive, CHUNK) != ARCHIVE_OK)
        rc = err_set(e, ERR_DATA, "%s: %s", archive, lib.archive_error_string(a));
    else
        rc = extract_all((struct member){&lib, a, archive, NULL, limit}, folder, name, n, dir, e);
    lib.archive_read_free(a);
    return rc;
}
