/* Files: whole reads with a limit, atomic durable writes, read-only maps. Messages name the
 * path. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/err.h"
#include "base/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads a whole file of at most `limit` bytes; *text is malloc'ed, NUL-terminated, the caller frees
 * it. ERR_IO when missing, unreadable or larger; ERR_NOMEM. `len` may be NULL. */
int file_read(const char *path, size_t limit, char **text, size_t *len, struct err *e) MUST_CHECK;

/* Replaces `path` so that after a crash it holds the old or the new bytes, never a mix: temporary
 * file in the same folder, fsync, rename, fsync of the folder. Created with `mode`. ERR_IO (disk
 * full, permission); the old file is then untouched. */
int file_write(const char *path, const void *bytes, size_t len, mode_t mode,
               struct err *e) MUST_CHECK;

/* Moves a file or folder within a file system: after a crash it has one name or the other. ERR_IO.
 */
int file_rename(const char *from, const char *to, struct err *e) MUST_CHECK;

/* mkdir -p, each new folder with `mode`. */
int file_mkdirs(const char *path, mode_t mode, struct err *e) MUST_CHECK;
bool file_exists(const char *path);
/* A file without a name in $TMPDIR, or else /var/tmp, which takes the place of memory and goes with
 * its process; *fd is the caller's to close. ERR_IO. */
int file_nameless(int *fd, struct err *e) MUST_CHECK;

/* "dir/name" into a static-size buffer of `size`; ERR_IO when too long. */
int file_join(char *out, size_t size, const char *dir, const char *name, struct err *e) MUST_CHECK;

/* A read-only, shared map of a whole file: N processes share its pages. */
struct file_map {
    const unsigned char *bytes;
    size_t len;
};
int file_map_open(struct file_map *m, const char *path, struct err *e) MUST_CHECK;
void file_map_close(struct file_map *m);
/* SHA-256 of all bytes. Pages are given back once read, so that of a large file only what is used
 * otherwise is resident in this process (the system keeps what it likes). */
struct hash file_map_hash(const struct file_map *m);
/* Gives all pages back; they come again as they are used. */
void file_map_rest(const struct file_map *m);
/* Feeds a whole file to a hash, its length first, so that neighbours cannot be mistaken for one.
 * *len (may be NULL): its bytes. ERR_IO; nothing was fed then. */
int file_feed(struct hash_state *h, const char *path, uint64_t *len, struct err *e) MUST_CHECK;

#endif
