/* Lines and documents, plain and compressed. */
#include "base/rng.h"
#include "support.h"
#include "text/corpus.h"
#include <archive.h>
#include <archive_entry.h>

/* One compressed stream, with libarchive's filter of that name. */
static void put_compressed(struct scratch *s, const char *name, const char *filter,
                           const char *bytes, size_t len)
{
    struct archive *a = archive_write_new();
    struct archive_entry *entry = archive_entry_new();

    cr_assert_eq(archive_write_set_format_raw(a), ARCHIVE_OK);
    cr_assert_eq(archive_write_add_filter_by_name(a, filter), ARCHIVE_OK);
    cr_assert_eq(archive_write_open_filename(a, scratch_path(s, name)), ARCHIVE_OK);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_pathname(entry, "data");
    cr_assert_eq(archive_write_header(a, entry), ARCHIVE_OK);
    cr_assert_eq(archive_write_data(a, bytes, len), (la_ssize_t)len);
    cr_assert_eq(archive_write_close(a), ARCHIVE_OK);
    archive_entry_free(entry);
    archive_write_free(a);
}

/* The lines of a file, with "|" behind each; or the error. */
static int lines_of(const char *path, char *out, size_t size, struct err *e)
{
    struct lines l;
    bool more = true;
    int rc = lines_open(&l, path, e);

    if (rc)
        return rc;
    for (*out = '\0'; !rc && more;) {
        rc = lines_next(&l, &more, e);
        size_t n = strlen(out);
        if (!rc && more)
            snprintf(out + n, size - n, "%s|", l.text);
    }
    lines_close(&l);
    return rc;
}

static void expect_lines(const char *bytes, size_t len, const char *want)
{
    struct scratch s = scratch_open();
    struct err e = {0};
    char got[256];

    scratch_put(&s, "file", bytes, len);
    cr_assert_eq(lines_of(scratch_path(&s, "file"), got, sizeof got, &e), 0, "%s", e.text);
    cr_expect_str_eq(got, want);
    scratch_close(&s);
}

#define EXPECT_LINES(bytes, want) expect_lines(bytes, sizeof bytes - 1, want)

Test(lines, ends_of_lines)
{
    EXPECT_LINES("", "");
    EXPECT_LINES("\n", "|");
    EXPECT_LINES("a", "a|");
    EXPECT_LINES("a\n", "a|");
    EXPECT_LINES("a\r\nb\r\n\r\nc", "a|b||c|");
    EXPECT_LINES("a\rb\n", "a\rb|");
    EXPECT_LINES("c\r", "c|");
    EXPECT_LINES("\xEF\xBB\xBFx\n\xEF\xBB\xBFy", "x|\xEF\xBB\xBFy|");
    EXPECT_LINES("\xEF\xBB\xBF", "|");
}

/* Text that begins as compressed files do, or as a part of their beginning. */
Test(lines, that_only_seem_to_be_compressed)
{
    EXPECT_LINES("B", "B|");
    EXPECT_LINES("BZ", "BZ|");
    EXPECT_LINES("BZh", "BZh|");
    EXPECT_LINES("BZh9 is no bzip2, it is text\n", "BZh9 is no bzip2, it is text|");
    EXPECT_LINES("\x1F", "\x1F|");
    EXPECT_LINES("(", "(|");
    EXPECT_LINES("\x04\"M", "\x04\"M|");
    EXPECT_LINES("\x04\"M\x18", "\x04\"M\x18|");
}

static void expect_fault(const char *bytes, size_t len, int code, const char *says)
{
    struct scratch s = scratch_open();
    struct err e = {0};
    char got[256];

    scratch_put(&s, "file", bytes, len);
    cr_expect_eq(lines_of(scratch_path(&s, "file"), got, sizeof got, &e), code, "%s", says);
    cr_expect_not_null(strstr(e.text, says), "\"%s\" does not say \"%s\"", e.text, says);
    scratch_close(&s);
}

Test(lines, refuses_what_is_no_text)
{
    expect_fault("ok\na\0b\n", 7, ERR_DATA, "file:2: byte 2 is NUL");
    expect_fault("ok\nab\xE4\n", 7, ERR_DATA, "file:2: byte 3 is no UTF-8");
    expect_fault("\xED\xA0\x80", 3, ERR_DATA, "file:1: byte 1");
    expect_fault("\x7F"
                 "ELF\2\1\1\0\0",
                 9, ERR_DATA, "NUL");
    size_t len = (size_t)LINES_MAX + 1;
    char *big = malloc(len);
    memset(big, 'x', len);
    expect_fault(big, len, ERR_DATA, "file:1: a line of more than 16 MiB");
    free(big);
}

Test(lines, refuses_what_is_no_file)
{
    struct scratch s = scratch_open();
    struct err e;
    struct lines l;

    cr_expect_eq(lines_open(&l, scratch_path(&s, "absent"), &e), ERR_IO);
    cr_expect_not_null(strstr(e.text, "absent"));
    cr_expect_eq(lines_open(&l, s.dir, &e), ERR_IO);
    cr_expect_not_null(strstr(e.text, "not a file"));
    /* A file for stat(2), which read(2) refuses: its first page is not mapped. */
    cr_expect_eq(lines_open(&l, "/proc/self/mem", &e), ERR_IO);
    cr_expect_not_null(strstr(e.text, "/proc/self/mem: Input/output error"), "%s", e.text);
    scratch_close(&s);
}

/* Lines of all lengths around the sizes in which a file is read: against the text itself. */
static void check_long(struct scratch *s, const char *name, const char *text)
{
    struct lines l;
    struct err e = {0};
    bool more = true;
    size_t number = 0;

    cr_assert_eq(lines_open(&l, scratch_path(s, name), &e), 0, "%s", e.text);
    for (const char *at = text; more;) {
        cr_assert_eq(lines_next(&l, &more, &e), 0, "%s: %s", name, e.text);
        cr_assert_eq(more, *at != '\0', "%s: line %zu", name, number);
        if (!more)
            break;
        size_t len = strcspn(at, "\n");
        cr_assert_eq(l.len, len);
        cr_assert_eq(memcmp(l.text, at, len), 0);
        cr_assert_eq(l.number, ++number);
        at += len + 1;
    }
    lines_close(&l);
}

static char *long_text(size_t *len)
{
    static const size_t around[] = {1, 100, 65535, 65536, 65537, 131071, 131072, 200000, 7};
    struct rng rng = rng_stream(1, 0, 0, RNG_TEST);
    char *text = malloc(1 << 20), *to = text;

    for (size_t i = 0; i < sizeof around / sizeof *around; i++) {
        for (size_t k = 0; k < around[i]; k++)
            *to++ = (char)('a' + rng_below(&rng, 26));
        *to++ = '\n';
    }
    *to = '\0';
    *len = (size_t)(to - text);
    return text;
}

Test(lines, of_any_length_plain_and_compressed)
{
    static const char *const filters[] = {"zstd", "gzip", "xz", "bzip2", "lz4"};
    struct scratch s = scratch_open();
    size_t len;
    char *text = long_text(&len);

    scratch_put(&s, "plain", text, len);
    check_long(&s, "plain", text);
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        put_compressed(&s, filters[i], filters[i], text, len);
        check_long(&s, filters[i], text);
    }
    free(text);
    scratch_close(&s);
}

/* As pzstd writes them. */
Test(lines, of_zstd_behind_a_frame_to_be_skipped)
{
    struct scratch s = scratch_open();
    char *bytes, got[64], file[512] = "P*M\x18\4\0\0\0skip";
    size_t n;
    struct err e = {0};

    put_compressed(&s, "zstd", "zstd", "a\nb", 3);
    cr_assert_eq(file_read(scratch_path(&s, "zstd"), sizeof file - 12, &bytes, &n, &e), 0);
    memcpy(file + 12, bytes, n);
    scratch_put(&s, "file", file, 12 + n);
    cr_assert_eq(lines_of(scratch_path(&s, "file"), got, sizeof got, &e), 0, "%s", e.text);
    cr_expect_str_eq(got, "a|b|");
    free(bytes);
    scratch_close(&s);
}

Test(lines, compressed_data_cut_short_or_broken)
{
    static const char *const filters[] = {"zstd", "gzip", "xz"};
    struct scratch s = scratch_open();
    size_t len;
    char *text = long_text(&len);

    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        char *bytes, got[1 << 10];
        size_t n;
        struct err e = {0};
        put_compressed(&s, "whole", filters[i], text, len);
        cr_assert_eq(file_read(scratch_path(&s, "whole"), 1 << 22, &bytes, &n, &e), 0);
        scratch_put(&s, "cut", bytes, n / 2);
        cr_expect_eq(lines_of(scratch_path(&s, "cut"), got, sizeof got, &e), ERR_DATA, "%s",
                     filters[i]);
        cr_expect_not_null(strstr(e.text, "cut"), "%s", e.text);
        memset(bytes + 24, 0x55, 64);
        scratch_put(&s, "broken", bytes, n);
        cr_expect_eq(lines_of(scratch_path(&s, "broken"), got, sizeof got, &e), ERR_DATA, "%s",
                     filters[i]);
        free(bytes);
    }
    free(text);
    scratch_close(&s);
}

/* ---- Documents ---- */

/* The documents of the files, "LINE:TEXT" with "|" behind each, twice over. */
static int documents_of(const struct corpus_spec *spec, char *out, size_t size, struct err *e)
{
    struct corpus c;
    int rc = corpus_open(&c, spec, e);

    *out = '\0';
    if (rc)
        return rc;
    for (int pass = 0; !rc && pass < 2; pass++) {
        bool more = true;
        char *start = out + strlen(out);
        while (!rc && more) {
            rc = corpus_next(&c, &more, e);
            size_t n = strlen(out);
            if (!rc && more) {
                cr_expect_eq(c.len, strlen(c.text));
                snprintf(out + n, size - n, "%zu:%s|", c.line, c.text);
            }
        }
        if (!rc && pass == 1) { /* the second pass is as the first */
            size_t half = strlen(out) / 2;
            cr_expect_eq(out + half, start);
            cr_expect_eq(strncmp(out, start, half), 0);
            out[half] = '\0';
        }
    }
    corpus_close(&c);
    return rc;
}

struct sample {
    const char *name, *text;
};

/* Documents of up to two files. */
static int documents(const struct sample *file, enum corpus_unit unit, const char *field, char *out,
                     size_t size, struct err *e)
{
    struct scratch s = scratch_open();
    char name[2][512];
    const char *path[2];
    struct corpus_spec spec = {.path = path, .unit = unit, .field = field};

    for (; spec.n < 2 && file[spec.n].name; spec.n++) {
        const char *text = file[spec.n].text;
        if (strstr(file[spec.n].name, ".zst"))
            put_compressed(&s, file[spec.n].name, "zstd", text, strlen(text));
        else
            scratch_text(&s, file[spec.n].name, text);
        snprintf(name[spec.n], sizeof name[0], "%s", scratch_path(&s, file[spec.n].name));
        path[spec.n] = name[spec.n];
    }
    int rc = documents_of(&spec, out, size, e);
    scratch_close(&s);
    return rc;
}

static void expect_documents(const struct sample *file, enum corpus_unit unit, const char *field,
                             const char *want)
{
    char got[512];
    struct err e = {0};

    cr_assert_eq(documents(file, unit, field, got, sizeof got, &e), 0, "%s", e.text);
    cr_expect_str_eq(got, want);
}

Test(corpus, paragraphs_and_lines)
{
    const struct sample prose[3] = {{"a.txt", "\n\none\r\ntwo \n \t\n\nthree\n"},
                                    {"b.txt.zst", "four\nfive"}};

    expect_documents(prose, CORPUS_PARAGRAPHS, NULL, "3:one\ntwo |7:three|1:four\nfive|");
    expect_documents(prose, CORPUS_LINES, NULL, "3:one|4:two |7:three|1:four|2:five|");
}

Test(corpus, json_lines)
{
    const struct sample rows[3] = {
        {"a.jsonl", "{\"text\": \"one\\ntwo\"}\n\n{\"text\": \"\"}\n{\"text\": \"\xC3\xA9\"}\n"},
        {"b.jsonl.zst", "{\"n\": 1, \"text\": \"  \"}\n"}};

    expect_documents(rows, CORPUS_PARAGRAPHS, NULL, "1:one\ntwo|4:\xC3\xA9|1:  |");
    expect_documents((const struct sample[3]){{"x.jsonl", "{\"text\": 1, \"body\": \"b\"}"}},
                     CORPUS_LINES, "body", "1:b|");
    /* The name says what is JSON. */
    expect_documents((const struct sample[3]){{"x.txt", "{\"text\": 1}"}}, CORPUS_LINES, NULL,
                     "1:{\"text\": 1}|");
}

static void expect_refusal(struct sample file, const char *says)
{
    const struct sample files[3] = {file};
    char got[512];
    struct err e = {0};

    cr_expect_eq(documents(files, CORPUS_PARAGRAPHS, NULL, got, sizeof got, &e), ERR_DATA);
    cr_expect_not_null(strstr(e.text, says), "\"%s\" does not say \"%s\"", e.text, says);
}

Test(corpus, says_what_is_wrong_and_where)
{
    expect_refusal((struct sample){"a.txt", ""}, "a.txt: no text in it");
    expect_refusal((struct sample){"a.txt", " \n\n\t\n"}, "a.txt: no text in it");
    expect_refusal((struct sample){"a.txt.zst", "\n"}, "a.txt.zst: no text in it");
    expect_refusal((struct sample){"a.jsonl", "{\"text\": \"\"}\n"}, "a.jsonl: no text in it");
    expect_refusal((struct sample){"a.jsonl", "{\"text\": \"a\"}\n{\"text\": "}, "a.jsonl:2: ");
    expect_refusal((struct sample){"a.jsonl", "{\"body\": \"a\"}\n"},
                   "a.jsonl:1: no text \"text\"");
    expect_refusal((struct sample){"a.jsonl", "{\"text\": 5}\n"}, "a.jsonl:1: no text \"text\"");
    expect_refusal((struct sample){"a.jsonl", "[1]\n"}, "a.jsonl:1: no text \"text\"");
    expect_refusal((struct sample){"a.jsonl", "{\"text\": \"\\u0000\"}\n"}, "a.jsonl:1: ");
}

Test(corpus, a_paragraph_has_a_limit)
{
    size_t len = (size_t)CORPUS_MAX_DOCUMENT + 4096, line = 1 << 20;
    char *text = malloc(len + 1), got[64];
    struct err e = {0};

    memset(text, 'x', len);
    for (size_t i = line; i < len; i += line)
        text[i] = '\n';
    text[len] = '\0';
    cr_expect_eq(documents((const struct sample[3]){{"a.txt", text}}, CORPUS_PARAGRAPHS, NULL, got,
                           sizeof got, &e),
                 ERR_DATA);
    cr_expect_not_null(strstr(e.text, "a paragraph of more than 16 MiB"), "%s", e.text);
    free(text);
}

Test(corpus, needs_files_and_a_unit)
{
    const char *absent = "/nonexistent/file";
    enum corpus_unit unit = CORPUS_LINES;
    struct corpus c;
    struct err e;

    cr_expect_eq(corpus_open(&c, &(struct corpus_spec){0}, &e), ERR_USAGE);
    cr_expect_eq(corpus_open(&c, &(struct corpus_spec){.path = &absent, .n = 1}, &e), ERR_IO);
    cr_expect_eq(corpus_unit_named("page", &unit, &e), ERR_USAGE);
    cr_expect_eq(unit, CORPUS_LINES);
    cr_expect_eq(corpus_unit_named("paragraph", &unit, &e), 0);
    cr_expect_eq(unit, CORPUS_PARAGRAPHS);
}
