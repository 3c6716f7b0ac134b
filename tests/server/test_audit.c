#include "folder.h"
#include "server/audit.h"
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LINES = 5, NOW = 1000 };

/* --- a log to play with --- */

struct log {
    struct folder folder;
    char path[128];
    char *line[LINES + 1]; /* with their newlines */
};

static void put(const struct log *l, const char *text, size_t len)
{
    FILE *out = fopen(l->path, "w");
    cr_assert_eq(fwrite(text, 1, len, out), len);
    fclose(out);
}

static void say(struct audit *a, const char *event, int value)
{
    struct err e = {0};
    cr_assert_eq(audit_append(a, NOW, event, json_pack("{s:i}", "value", value), true, &e), 0, "%s",
                 e.text);
}

static struct log log_make(void)
{
    struct log l = {.folder = folder_make()};
    struct audit *a;
    struct err e = {0};
    char *text, *at;
    snprintf(l.path, sizeof l.path, "%s", folder_file(&l.folder, "audit.log"));
    cr_assert_eq(audit_open(&a, l.path, NOW, &e), 0, "%s", e.text);
    for (int i = 0; i < LINES; i++)
        say(a, "event", i);
    audit_close(a);
    cr_assert_eq(file_read(l.path, 1 << 16, &text, NULL, NULL), 0);
    at = text;
    for (int i = 0; i < LINES; i++) {
        size_t n = strcspn(at, "\n") + 1;
        l.line[i] = strndup(at, n);
        at += n;
    }
    cr_assert_eq(*at, '\0');
    free(text);
    return l;
}

static void log_remove(struct log *l)
{
    for (int i = 0; i < LINES; i++)
        free(l->line[i]);
    folder_remove(&l->folder);
}

/* The lines of these numbers, in this order. */
static void arrange(const struct log *l, const char *numbers)
{
    FILE *out = fopen(l->path, "w");
    for (const char *p = numbers; *p != '\0'; p++)
        fputs(l->line[*p - '1'], out);
    fclose(out);
}

static void expect_fault(const struct log *l, const char *words)
{
    struct audit_summary sum;
    struct err e = {0};
    cr_assert_eq(audit_verify(l->path, NULL, NULL, NULL, &sum, &e), ERR_DATA);
    cr_assert_not_null(strstr(e.text, words), "expected \"%s\": %s", words, e.text);
}

static uint64_t expect_whole(const struct log *l)
{
    struct audit_summary sum;
    struct err e = {0};
    cr_assert_eq(audit_verify(l->path, NULL, NULL, NULL, &sum, &e), 0, "%s", e.text);
    cr_assert_eq(sum.torn, 0);
    return sum.lines;
}

/* --- the chain --- */

static void check_member(void *ctx, const char *line, const json_t *record)
{
    int *seen = ctx;
    (void)line;
    cr_assert_eq(json_integer_value(json_object_get(record, "seq")), *seen + 1);
    cr_assert_eq(json_integer_value(json_object_get(record, "value")), *seen);
    cr_assert_str_eq(json_string_value(json_object_get(record, "event")), "event");
    cr_assert_str_eq(json_string_value(json_object_get(record, "time")),
                     "1970-01-01T00:00:01.000Z");
    ++*seen;
}

Test(audit, a_line_has_the_hash_of_the_one_before)
{
    struct log l = log_make();
    struct audit_summary sum;
    int seen = 0;
    char hex[HASH_HEX];
    struct stat st;
    cr_assert_eq(audit_verify(l.path, NULL, check_member, &seen, &sum, NULL), 0);
    cr_assert_eq(seen, LINES);
    cr_assert_eq(sum.lines, LINES);
    struct hash second = hash_of(l.line[1], strlen(l.line[1]) - 1),
                last = hash_of(l.line[4], strlen(l.line[4]) - 1);
    hash_hex(&second, hex);
    cr_assert_not_null(strstr(l.line[2], hex));
    cr_assert(hash_same(&sum.head, &last));
    cr_assert_eq(stat(l.path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0600);
    log_remove(&l);
}

Test(audit, what_was_done_to_a_line_is_named)
{
    struct log l = log_make();
    char *digit = strstr(l.line[1], "\"value\":1") + 8;
    arrange(&l, "1245");
    expect_fault(&l, ":3: here stands record 4: line 3 was removed");
    arrange(&l, "2345");
    expect_fault(&l, "line 1 was removed");
    arrange(&l, "13245");
    expect_fault(&l, ":2: here stands record 3");
    arrange(&l, "12335");
    expect_fault(&l, ":4: here stands record 3 again");
    *digit = '7';
    arrange(&l, "12345");
    expect_fault(&l, "line 2 was changed");
    *digit = '1';
    arrange(&l, "12345");
    cr_assert_eq(expect_whole(&l), LINES);
    log_remove(&l);
}

Test(audit, no_byte_before_the_last_line_can_be_changed)
{
    struct log l = log_make();
    struct audit_summary sum;
    char *text;
    size_t len, last = strlen(l.line[LINES - 1]);
    cr_assert_eq(file_read(l.path, 1 << 16, &text, &len, NULL), 0);
    for (size_t i = 0; i < len - last; i++) {
        text[i] ^= 1;
        put(&l, text, len);
        cr_assert_eq(audit_verify(l.path, NULL, NULL, NULL, &sum, NULL), ERR_DATA, "byte %zu", i);
        text[i] ^= 1;
    }
    free(text);
    log_remove(&l);
}

Test(audit, a_cut_end_shows_by_a_hash_that_was_kept)
{
    struct log l = log_make();
    struct audit_summary sum;
    struct hash last = hash_of(l.line[4], strlen(l.line[4]) - 1);
    struct err e = {0};
    cr_assert_eq(audit_verify(l.path, &last, NULL, NULL, &sum, NULL), 0);
    arrange(&l, "1234");
    cr_assert_eq(expect_whole(&l), 4);
    cr_assert_eq(audit_verify(l.path, &last, NULL, NULL, &sum, &e), ERR_DATA);
    cr_assert_not_null(strstr(e.text, "removed at the end"), "%s", e.text);
    log_remove(&l);
}

/* --- the torn end --- */

Test(audit, a_torn_last_line_is_cut_off_wherever_it_was_torn)
{
    struct log l = log_make();
    struct audit *a;
    struct audit_summary sum;
    char *text;
    size_t len, last = strlen(l.line[LINES - 1]);
    cr_assert_eq(file_read(l.path, 1 << 16, &text, &len, NULL), 0);
    for (size_t kept = 0; kept <= last; kept++) {
        bool torn = kept > 0 && kept < last;
        put(&l, text, len - last + kept);
        cr_assert_eq(audit_verify(l.path, NULL, NULL, NULL, &sum, NULL), 0);
        cr_assert_eq(sum.torn, torn ? kept : 0);
        cr_assert_eq(audit_open(&a, l.path, NOW, NULL), 0);
        say(a, "after", 9);
        audit_close(a);
        cr_assert_eq(expect_whole(&l), LINES - (kept < last) + torn + 1, "%zu", kept);
    }
    free(text);
    log_remove(&l);
}

Test(audit, a_file_of_one_torn_line_begins_anew)
{
    struct log l = log_make();
    struct audit *a;
    put(&l, l.line[0], 20);
    cr_assert_eq(audit_open(&a, l.path, NOW, NULL), 0);
    audit_close(a);
    cr_assert_eq(expect_whole(&l), 1);
    log_remove(&l);
}

Test(audit, a_file_of_something_else_is_left_alone)
{
    struct log l = log_make();
    struct audit *a;
    struct err e = {0};
    char *text;
    put(&l, "not ours\n", 9);
    cr_assert_eq(audit_open(&a, l.path, NOW, &e), ERR_DATA);
    cr_assert_not_null(strstr(e.text, "audit verify"), "%s", e.text);
    cr_assert_eq(file_read(l.path, 100, &text, NULL, NULL), 0);
    cr_assert_str_eq(text, "not ours\n");
    free(text);
    char *big = malloc(3 * AUDIT_MAX_LINE);
    memset(big, 'x', 3 * AUDIT_MAX_LINE);
    put(&l, big, 3 * AUDIT_MAX_LINE);
    cr_assert_eq(audit_open(&a, l.path, NOW, &e), ERR_DATA);
    expect_fault(&l, "line 1 is no record");
    free(big);
    log_remove(&l);
}

/* --- writing --- */

Test(audit, processes_share_a_log)
{
    enum { WRITERS = 4, EACH = 30 };
    struct log l = log_make();
    for (int w = 0; w < WRITERS; w++)
        if (fork() == 0) {
            struct audit *a;
            int rc = audit_open(&a, l.path, NOW, NULL);
            for (int i = 0; rc == 0 && i < EACH; i++)
                rc = audit_append(a, NOW, "shared", json_pack("{s:i}", "writer", w), false, NULL);
            audit_close(a);
            _exit(rc);
        }
    for (int w = 0, how; w < WRITERS; w++)
        cr_assert(wait(&how) > 0 && how == 0);
    cr_assert_eq(expect_whole(&l), LINES + WRITERS * EACH);
    log_remove(&l);
}

Test(audit, a_full_disk_leaves_the_file_as_it_was)
{
    struct log l = log_make();
    struct audit *a;
    struct stat before, after;
    struct rlimit limit, old;
    cr_assert_eq(audit_open(&a, l.path, NOW, NULL), 0);
    cr_assert_eq(stat(l.path, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    for (rlim_t room = 0; room < 100; room += 33) {
        limit = old;
        limit.rlim_cur = (rlim_t)before.st_size + room;
        setrlimit(RLIMIT_FSIZE, &limit);
        int rc = audit_append(a, NOW, "event", NULL, true, NULL);
        setrlimit(RLIMIT_FSIZE, &old);
        cr_assert_eq(rc, ERR_IO);
        cr_assert_eq(stat(l.path, &after), 0);
        cr_assert_eq(after.st_size, before.st_size);
    }
    say(a, "event", 1);
    audit_close(a);
    cr_assert_eq(expect_whole(&l), LINES + 1);
    log_remove(&l);
}

Test(audit, a_line_that_is_too_long_is_not_written)
{
    struct log l = log_make();
    struct audit *a;
    char big[AUDIT_MAX_LINE + 1];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    cr_assert_eq(audit_open(&a, l.path, NOW, NULL), 0);
    cr_assert_eq(audit_append(a, NOW, "event", json_pack("{s:s}", "x", big), true, NULL),
                 ERR_NOMEM);
    audit_close(a);
    cr_assert_eq(expect_whole(&l), LINES);
    cr_assert_eq(audit_once(l.folder.path, NOW, "once", json_pack("{s:i}", "x", 1), NULL), 0);
    cr_assert_eq(expect_whole(&l), LINES + 1);
    cr_assert_eq(audit_once("/nowhere", NOW, "once", json_object(), NULL), ERR_IO);
    log_remove(&l);
}
