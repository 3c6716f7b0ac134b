#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TEMP_NAMES = 1000,
    HASHED_AT_ONCE = 4 << 20, /* a multiple of every page size */
};

static int open_regular(const char *path, struct stat *st, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        err_sys(e, ERR_IO, errno, "cannot open %s", path);
        return -1;
    }
    if (fstat(fd, st) != 0) {
        err_sys(e, ERR_IO, errno, "cannot examine %s", path);
    } else if (S_ISDIR(st->st_mode)) {
        err_set(e, ERR_IO, "%s is a folder, not a file", path);
    } else {
        return fd;
    }
    close(fd);
    return -1;
}

static int too_large(const char *path, size_t limit, struct err *e)
{
    return err_set(e, ERR_IO, "%s is larger than the limit of %zu bytes", path, limit);
}

/* Reads to the end of fd; the size that fstat gave is only a hint (pipes and /proc say 0). */
static int read_all(int fd, const char *path, size_t hint, size_t limit, char **text, size_t *len,
                    struct err *e)
{
    size_t cap = hint + 2, used = 0;
    char *bytes = malloc(cap);

    while (bytes) {
        ssize_t got = read(fd, bytes + used, cap - 1 - used);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            err_sys(e, ERR_IO, errno, "cannot read %s", path);
            free(bytes);
            return ERR_IO;
        }
        if (got == 0) {
            bytes[used] = '\0';
            *text = bytes;
            *len = used;
            return 0;
        }
        used += (size_t)got;
        if (used > limit) {
            free(bytes);
            return too_large(path, limit, e);
        }
        if (used == cap - 1) {
            char *more = realloc(bytes, cap *= 2);
            if (!more)
                free(bytes);
            bytes = more;
        }
    }
    return err_set(e, ERR_NOMEM, "no memory to read %s", path);
}

int file_read(const char *path, size_t limit, char **text, size_t *len, struct err *e)
{
    struct stat st;
    char *bytes = NULL;
    size_t n = 0;
    int rc, fd = open_regular(path, &st, e);

    if (fd < 0)
        return ERR_IO;
    if (S_ISREG(st.st_mode) && (uintmax_t)st.st_size > limit)
        rc = too_large(path, limit, e);
    else
        rc = read_all(fd, path, S_ISREG(st.st_mode) ? (size_t)st.st_size : 4096, limit, &bytes, &n,
                      e);
    close(fd);
    if (rc)
        return rc;
    *text = bytes;
    if (len)
        *len = n;
    return 0;
}

static int write_all(int fd, const unsigned char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t put = write(fd, bytes, len);

        if (put < 0 && errno == EINTR)
            continue;
        if (put < 0)
            return errno;
        bytes += put;
        len -= (size_t)put;
    }
    return fsync(fd) == 0 ? 0 : errno;
}

/* A new file beside `path`, under a name that no other process or thread holds. */
static int open_temp(const char *path, mode_t mode, char *temp, size_t size, struct err *e)
{
    for (int i = 0; i < TEMP_NAMES; i++) {
        if (snprintf(temp, size, "%s.%ld-%d.tmp", path, (long)getpid(), i) >= (int)size) {
            err_sys(e, ERR_IO, ENAMETOOLONG, "cannot write %s", path);
            return -1;
        }
        int fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    err_sys(e, ERR_IO, errno, "cannot create %s", temp);
    return -1;
}

/* The rename is durable only when the folder is. Some file systems cannot sync a folder: EINVAL. */
static int sync_folder(const char *path)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    int rc = 0;

    if (slash)
        snprintf(folder, sizeof folder, "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    if (fsync(fd) != 0 && errno != EINVAL)
        rc = errno;
    close(fd);
    return rc;
}

int file_write(const char *path, const void *bytes, size_t len, mode_t mode, struct err *e)
{
    char temp[PATH_MAX];
    int fd = open_temp(path, mode, temp, sizeof temp, e);

    if (fd < 0)
        return ERR_IO;
    int failed = write_all(fd, bytes, len);
    if (close(fd) != 0 && !failed)
        failed = errno;
    if (!failed && rename(temp, path) != 0)
        failed = errno;
    if (failed) {
        unlink(temp);
        return err_sys(e, ERR_IO, failed, "cannot write %s", path);
    }
    failed = sync_folder(path);
    return failed ? err_sys(e, ERR_IO, failed, "cannot sync the folder of %s", path) : 0;
}

int file_rename(const char *from, const char *to, struct err *e)
{
    if (rename(from, to) != 0)
        return err_sys(e, ERR_IO, errno, "%s cannot be renamed to %s", from, to);
    int failed = sync_folder(to);
    return failed ? err_sys(e, ERR_IO, failed, "cannot sync the folder of %s", to) : 0;
}

static int make_folder(const char *path, mode_t mode, struct err *e)
{
    struct stat st;

    if (mkdir(path, mode) == 0)
        return 0;
    int reason = errno;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return 0;
        reason = ENOTDIR;
    }
    return err_sys(e, ERR_IO, reason, "cannot create the folder %s", path);
}

int file_mkdirs(const char *path, mode_t mode, struct err *e)
{
    char part[PATH_MAX];

    if (!*path)
        return err_set(e, ERR_IO, "cannot create a folder without a name");
    if (snprintf(part, sizeof part, "%s", path) >= (int)sizeof part)
        return err_sys(e, ERR_IO, ENAMETOOLONG, "cannot create the folder %.60s...", path);
    for (char *p = part + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        int rc = make_folder(part, mode, e);
        if (rc)
            return rc;
        *p = '/';
    }
    return make_folder(part, mode, e);
}

int file_nameless(int *fd, struct err *e)
{
    const char *folder = getenv("TMPDIR");
    char path[PATH_MAX];
    folder = folder && *folder ? folder : "/var/tmp";
    int rc = file_join(path, sizeof path, folder, "fedpet.XXXXXX", e);
    if (rc)
        return rc;
    int made = mkstemp(path);
    if (made < 0)
        return err_sys(e, ERR_IO, errno, "%s: TMPDIR names the folder", folder);
    unlink(path);
    fcntl(made, F_SETFD, FD_CLOEXEC);
    *fd = made;
    return 0;
}

bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

int file_join(char *out, size_t size, const char *dir, const char *name, struct err *e)
{
    size_t len = strlen(dir);
    const char *slash = len > 0 && dir[len - 1] != '/' ? "/" : "";

    if (len + strlen(slash) + strlen(name) >= size)
        return err_set(e, ERR_IO, "the path %.60s.../%.60s is longer than %zu bytes", dir, name,
                       size - 1);
    snprintf(out, size, "%s%s%s", dir, slash, name);
    return 0;
}

int file_map_open(struct file_map *m, const char *path, struct err *e)
{
    struct stat st;
    int rc = 0, fd = open_regular(path, &st, e);

    if (fd < 0)
        return ERR_IO;
    if (!S_ISREG(st.st_mode) || (uintmax_t)st.st_size > SIZE_MAX) {
        rc = err_set(e, ERR_IO, "cannot map %s: not a regular file", path);
    } else if (st.st_size == 0) { /* mmap refuses an empty range */
        *m = (struct file_map){.bytes = (const unsigned char *)""};
    } else {
        void *bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);

        if (bytes == MAP_FAILED)
            rc = err_sys(e, errno == ENOMEM ? ERR_NOMEM : ERR_IO, errno, "cannot map %s", path);
        else
            *m = (struct file_map){.bytes = bytes, .len = (size_t)st.st_size};
    }
    close(fd);
    return rc;
}

void file_map_close(struct file_map *m)
{
    if (m->len)
        munmap((void *)(uintptr_t)m->bytes, m->len);
    *m = (struct file_map){0};
}

/* Of a shared map, the system forgets nothing but who has the pages. */
static void give_back(const unsigned char *bytes, size_t len)
{
    (void)madvise((void *)(uintptr_t)bytes, len, MADV_DONTNEED);
}

void file_map_rest(const struct file_map *m)
{
    if (m->len)
        give_back(m->bytes, m->len);
}

static void feed_map(struct hash_state *h, const struct file_map *m)
{
    for (size_t at = 0, n; at < m->len; at += n) {
        n = m->len - at < HASHED_AT_ONCE ? m->len - at : HASHED_AT_ONCE;
        hash_feed(h, m->bytes + at, n);
        give_back(m->bytes + at, n);
    }
}

struct hash file_map_hash(const struct file_map *m)
{
    struct hash_state h;
    hash_begin(&h);
    feed_map(&h, m);
    return hash_end(&h);
}

int file_feed(struct hash_state *h, const char *path, uint64_t *len, struct err *e)
{
    struct file_map m = {0};
    int rc = file_map_open(&m, path, e);
    if (rc)
        return rc;
    uint64_t length = m.len;
    hash_feed(h, &length, sizeof length);
    feed_map(h, &m);
    if (len)
        *len = m.len;
    file_map_close(&m);
    return 0;
}
