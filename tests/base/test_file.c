#define _XOPEN_SOURCE 700 /* nftw */

#include "base/file.h"
#include "base/hash.h"
#include "base/rng.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[] = "/tmp/fedpet-file-XXXXXX", path[64];

static void make_dir(void)
{
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/file", dir);
}

static int remove_entry(const char *name, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(name);
}

static void remove_tree(void)
{
    cr_expect_eq(nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS), 0);
}

TestSuite(file, .init = make_dir, .fini = remove_tree);

static size_t entries(void)
{
    size_t n = 0;
    DIR *d = opendir(dir);

    while (readdir(d))
        n++;
    closedir(d);
    return n - 2; /* . and .. */
}

static void expect_content(const char *want, size_t want_len)
{
    struct err e = {0};
    char *text;
    size_t len;

    cr_assert_eq(file_read(path, 1 << 20, &text, &len, &e), 0, "%s", e.text);
    cr_assert_eq(len, want_len);
    cr_assert_eq(memcmp(text, want, len), 0);
    cr_assert_eq(text[len], '\0');
    free(text);
}

Test(file, writes_are_read_back)
{
    struct err e = {0};
    struct stat st;

    cr_assert_eq(file_write(path, "old", 3, 0600, &e), 0, "%s", e.text);
    expect_content("old", 3);
    cr_assert_eq(file_write(path, "a\0b\n", 4, 0600, &e), 0);
    expect_content("a\0b\n", 4);
    cr_assert_eq(file_write(path, NULL, 0, 0600, &e), 0);
    expect_content("", 0);
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    cr_assert_eq(entries(), 1, "no temporary file stays");
}

Test(file, a_stale_temporary_file_is_no_obstacle)
{
    struct err e = {0};
    char stale[128];

    for (int i = 0; i < 3; i++) {
        snprintf(stale, sizeof stale, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        fclose(fopen(stale, "w"));
    }
    cr_assert_eq(file_write(path, "x", 1, 0600, &e), 0, "%s", e.text);
    cr_assert_eq(entries(), 4);
}

/* The limit of file size stands for a full disk: write() fails half way through. */
Test(file, a_failed_write_leaves_the_old_file)
{
    static char big[100000];
    struct rlimit limit = {.rlim_cur = 20000, .rlim_max = RLIM_INFINITY};
    struct err e = {0};

    cr_assert_eq(file_write(path, "precious", 8, 0600, &e), 0);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    int rc = file_write(path, big, sizeof big, 0600, &e);
    limit.rlim_cur = RLIM_INFINITY;
    setrlimit(RLIMIT_FSIZE, &limit);
    cr_assert_eq(rc, ERR_IO);
    cr_assert(strstr(e.text, path) && strstr(e.text, "free some space"), "%s", e.text);
    expect_content("precious", 8);
    cr_assert_eq(entries(), 1);
}

Test(file, write_errors_name_the_path)
{
    struct err e = {0};
    char longer[5000];

    snprintf(path, sizeof path, "%s/none/file", dir);
    cr_assert_eq(file_write(path, "x", 1, 0600, &e), ERR_IO);
    cr_assert(strstr(e.text, path), "%s", e.text);
    cr_assert_eq(file_write(dir, "x", 1, 0600, &e), ERR_IO, "a folder cannot be replaced");
    cr_assert_eq(access(dir, F_OK), 0);
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    cr_assert_eq(file_write(longer, "x", 1, 0600, &e), ERR_IO);
    cr_assert_eq(file_mkdirs(longer, 0700, &e), ERR_IO);
}

Test(file, read_keeps_its_limit)
{
    struct err e = {0};
    char *text = NULL;
    size_t len = 77;

    cr_assert_eq(file_write(path, "12345", 5, 0600, &e), 0);
    cr_assert_eq(file_read(path, 5, &text, &len, &e), 0);
    cr_assert_eq(len, 5);
    free(text);
    text = NULL;
    len = 77;
    cr_assert_eq(file_read(path, 4, &text, &len, &e), ERR_IO);
    cr_assert(strstr(e.text, path) && strstr(e.text, "limit of 4"), "%s", e.text);
    cr_assert_eq(file_read("/dev/zero", 100000, &text, &len, &e), ERR_IO, "endless");
    cr_assert_eq(file_read(dir, 100, &text, &len, &e), ERR_IO);
    cr_assert(strstr(e.text, "folder"), "%s", e.text);
    cr_assert_eq(file_read("/nonexistent", 100, &text, &len, &e), ERR_IO);
    cr_assert(text == NULL && len == 77, "outputs untouched");
    cr_assert_eq(file_read("/proc/self/status", 100000, &text, NULL, &e), 0,
                 "a size of 0 in fstat");
    cr_assert(strstr(text, "Name:"));
    free(text);
}

Test(file, mkdirs_makes_every_level)
{
    struct err e = {0};
    char deep[128];

    snprintf(deep, sizeof deep, "%s/a//b/c/", dir);
    cr_assert_eq(file_mkdirs(deep, 0700, &e), 0, "%s", e.text);
    cr_assert(file_exists(deep));
    cr_assert_eq(file_mkdirs(deep, 0700, &e), 0, "again");
    cr_assert_eq(file_mkdirs("/", 0700, &e), 0);
    cr_assert_eq(file_mkdirs("", 0700, &e), ERR_IO);
    cr_assert_eq(file_write(path, "x", 1, 0600, &e), 0);
    snprintf(deep, sizeof deep, "%s/sub", path);
    cr_assert_eq(file_mkdirs(deep, 0700, &e), ERR_IO, "below a file");
    cr_assert(strstr(e.text, path), "%s", e.text);
    cr_assert_not(file_exists(deep));
}

Test(file, join)
{
    struct err e = {0};
    char out[8] = "old";

    cr_assert_eq(file_join(out, sizeof out, "ab", "cdef", &e), 0);
    cr_assert_str_eq(out, "ab/cdef");
    cr_assert_eq(file_join(out, sizeof out, "abc", "defg", &e), ERR_IO);
    cr_assert_str_eq(out, "ab/cdef");
    cr_assert_eq(file_join(out, sizeof out, "a/", "b", &e), 0);
    cr_assert_str_eq(out, "a/b");
    cr_assert_eq(file_join(out, sizeof out, "", "b", &e), 0);
    cr_assert_str_eq(out, "b");
}

Test(file, maps_hold_the_bytes)
{
    struct err e = {0};
    struct file_map m;

    cr_assert_eq(file_write(path, "a\0b", 3, 0600, &e), 0);
    cr_assert_eq(file_map_open(&m, path, &e), 0);
    cr_assert(m.len == 3 && memcmp(m.bytes, "a\0b", 3) == 0);
    cr_assert_eq(file_write(path, "new", 3, 0600, &e), 0);
    cr_assert_eq(memcmp(m.bytes, "a\0b", 3), 0, "a replaced file stays mapped");
    file_map_close(&m);
    file_map_close(&m);
    cr_assert_eq(file_write(path, "", 0, 0600, &e), 0);
    cr_assert_eq(file_map_open(&m, path, &e), 0);
    cr_assert(m.len == 0 && m.bytes);
    file_map_close(&m);
    cr_assert_eq(file_map_open(&m, dir, &e), ERR_IO);
    cr_assert_eq(file_map_open(&m, "/dev/null", &e), ERR_IO);
    cr_assert_eq(file_map_open(&m, "/nonexistent", &e), ERR_IO);
    cr_assert(strstr(e.text, "/nonexistent"));
}

/* Pages that this process has. */
static long resident(void)
{
    long size, pages;
    FILE *f = fopen("/proc/self/statm", "r");
    cr_assert(f && fscanf(f, "%ld %ld", &size, &pages) == 2);
    fclose(f);
    return pages;
}

/* Pages of a map that is read whole. */
static long read_whole(const struct file_map *m, const unsigned char *bytes)
{
    cr_assert_eq(memcmp(m->bytes, bytes, m->len), 0);
    return resident();
}

Test(file, hashes_a_map_and_keeps_none_of_it)
{
    enum { LONG = (9 << 20) + 1 };
    static const size_t len[] = {0, 1, 4 << 20, (4 << 20) + 1, LONG};
    static unsigned char bytes[LONG];
    struct err e;
    struct file_map m;
    struct rng r = rng_stream(1, 0, 0, RNG_TEST);
    for (size_t i = 0; i < LONG; i++)
        bytes[i] = (unsigned char)rng_u32(&r);
    for (size_t i = 0; i < sizeof len / sizeof *len; i++) {
        cr_assert_eq(file_write(path, bytes, len[i], 0600, &e), 0);
        cr_assert_eq(file_map_open(&m, path, &e), 0);
        struct hash want = hash_of(bytes, len[i]), got = file_map_hash(&m);
        cr_assert(hash_same(&want, &got), "%zu bytes", len[i]);
        cr_assert(len[i] == 0 || memcmp(m.bytes, bytes, len[i]) == 0);
        file_map_close(&m);
    }
    cr_assert_eq(file_map_open(&m, path, &e), 0);
    const long most = (8 << 20) / sysconf(_SC_PAGESIZE);
    long before = read_whole(&m, bytes);
    file_map_hash(&m);
    cr_expect_lt(resident(), before - most);
    before = read_whole(&m, bytes);
    file_map_rest(&m);
    cr_expect_lt(resident(), before - most);
    cr_expect_eq(memcmp(m.bytes, bytes, LONG), 0);
    file_map_close(&m);
}

/* A file counts by its length and its bytes: "ab", "c" is not "a", "bc". */
Test(file, feeds_a_hash)
{
    struct err e;
    uint64_t len = 0, two = 2;
    struct hash_state one, other, *want = hash_begin(&one), *got = hash_begin(&other);
    cr_assert_eq(file_write(path, "ab", 2, 0644, &e), 0);
    hash_feed(want, &two, sizeof two);
    hash_feed(want, "ab", 2);
    cr_assert_eq(file_feed(got, path, &len, &e), 0);
    cr_assert_eq(len, 2);
    struct hash a = hash_end(want), b = hash_end(got);
    cr_assert(hash_same(&a, &b));

    struct hash_state third, fourth, *none = hash_begin(&third), *empty = hash_begin(&fourth);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(file_feed(none, path, NULL, &e), ERR_IO);
    a = hash_end(none);
    b = hash_end(empty);
    cr_assert(hash_same(&a, &b), "something was fed");
}
