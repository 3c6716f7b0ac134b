#include "base/file.h"
#include "base/log.h"
#include "client/fetch_glue.h"
#include "client/fetch_mrpc.h"
#include "client/fetch_sum.h"
#include "client/fetch_zip.h"
#include "tests/fetch/hub.h"
#include <archive.h>
#include <archive_entry.h>
#include <criterion/criterion.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hub hub;
static struct err e;

static void open_hub(void)
{
    hub_open(&hub);
    log_setup("test", stderr, LOG_ERROR, false);
}

static void close_hub(void)
{
    hub_close(&hub);
}

TestSuite(fetch_glue, .init = open_hub, .fini = close_hub);

/* --- an archive like that of GLUE --- */

struct member {
    const char *name, *text;
};

static size_t make_zip(const struct member *member, size_t n, unsigned char *out, size_t size)
{
    struct archive *a = archive_write_new();
    size_t used = 0;
    archive_write_set_format_zip(a);
    archive_write_open_memory(a, out, size, &used);
    for (size_t i = 0; i < n; i++) {
        struct archive_entry *entry = archive_entry_new();
        archive_entry_set_pathname(entry, member[i].name);
        archive_entry_set_size(entry, (la_int64_t)strlen(member[i].text));
        archive_entry_set_filetype(entry, AE_IFREG);
        archive_entry_set_perm(entry, 0644);
        archive_write_header(a, entry);
        archive_write_data(a, member[i].text, strlen(member[i].text));
        archive_entry_free(entry);
    }
    cr_assert_eq(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    return used;
}

#define TRAIN "sentence\tlabel\nhide new secretions\t0\n"
static const struct member sst2[] = {
    {"SST-2/", ""},
    {"../../evil.tsv", "evil"},
    {"SST-2/../../evil.tsv", "evil"},
    {"SST-2/original/README.txt", "not wanted"},
    {"SST-2/train.tsv", TRAIN},
    {"SST-2/dev.tsv", "sentence\tlabel\n"},
    {"SST-2/test.tsv", "index\tsentence\n"},
    {"__MACOSX/SST-2/._train.tsv", "not wanted"},
};
enum { SST2_MEMBERS = sizeof sst2 / sizeof *sst2 };

static unsigned char zip[65536];
static size_t zip_len;
static char folder[PATH_MAX], sha256[80], base[64], out[PATH_MAX];
static bool fetched;

/* A task whose archive the test's hub serves: a stand-in for the official one, whose checksum no
 * other bytes have. */
static struct fetch_task serve_zip(const struct member *member, size_t n)
{
    zip_len = make_zip(member, n, zip, sizeof zip);
    hub_put(&hub, "SST-2.zip", zip, zip_len, true);
    hub.file[hub.files - 1].large = false;
    snprintf(sha256, sizeof sha256, "%s", hub.file[hub.files - 1].etag);
    snprintf(base, sizeof base, "https://127.0.0.2:%u", (unsigned)hub.store.port);
    snprintf(out, sizeof out, "%s/data", hub.dir);
    return (struct fetch_task){
        .name = "sst2",
        .folder = "SST-2",
        .source = {{"glue/data/SST-2.zip", zip_len, sha256}},
        .file = {"train.tsv", "dev.tsv", "test.tsv"},
    };
}

static int fetch(const struct fetch_task *task)
{
    e = (struct err){0};
    return fetch_glue(hub.http, task, base, out, folder, &fetched, &e);
}

Test(fetch_glue, unpacks_a_task)
{
    const struct fetch_task task = serve_zip(sst2, SST2_MEMBERS);
    char expected[PATH_MAX];
    snprintf(expected, sizeof expected, "%s/data/glue/SST-2", hub.dir);
    cr_assert_eq(fetch(&task), 0, "%s", e.text);
    cr_assert_str_eq(folder, expected);
    cr_assert(fetched);
    cr_assert(hub_same(&hub, "data/glue/SST-2/train.tsv", TRAIN, strlen(TRAIN)));
    cr_assert(hub_exists(&hub, "data/glue/SST-2/test.tsv"));
    cr_assert_not(hub_exists(&hub, "data/glue/SST-2/SST-2.zip"));
    cr_assert_not(hub_exists(&hub, "evil.tsv") || hub_exists(&hub, "data/evil.tsv") ||
                  hub_exists(&hub, "data/glue/evil.tsv"));
    cr_assert_not(hub_exists(&hub, "data/glue/SST-2/original"));
}

Test(fetch_glue, fetches_only_what_is_missing)
{
    const struct fetch_task task = serve_zip(sst2, SST2_MEMBERS);
    cr_assert_eq(fetch(&task), 0, "%s", e.text);
    cr_assert_eq(fetch(&task), 0, "%s", e.text);
    cr_assert_not(fetched);
    cr_assert_eq(hub_count(&hub, true, "GET", "SST-2.zip"), 1);
    char path[PATH_MAX + 16];
    snprintf(path, sizeof path, "%s/dev.tsv", folder);
    cr_assert_eq(remove(path), 0);
    cr_assert_not(fetch_glue_complete(&task, out));
    cr_assert_eq(fetch(&task), 0, "%s", e.text);
    cr_assert(fetched && fetch_glue_complete(&task, out));
}

Test(fetch_glue, resumes_and_sends_no_token)
{
    const struct fetch_task task = serve_zip(sst2, SST2_MEMBERS);
    snprintf(hub.settings.token, sizeof hub.settings.token, "hf_secret");
    hub_reconnect(&hub, hub.ca);
    hub.cut = zip_len / 3;
    hub.cuts = 2;
    cr_assert_eq(fetch(&task), 0, "%s", e.text);
    cr_assert_eq(hub.log[2].q.from, 2 * (zip_len / 3));
    for (size_t i = 0; i < hub.logged; i++)
        cr_assert_str_eq(hub.log[i].q.authorization, "");
}

Test(fetch_glue, refuses_another_archive_and_an_absent_one)
{
    struct fetch_task task = serve_zip(sst2, SST2_MEMBERS);
    sha256[5] = sha256[5] == 'a' ? 'b' : 'a';
    cr_assert_eq(fetch(&task), ERR_PROTO, "%s", e.text);
    cr_assert_not(hub_exists(&hub, "data/glue/SST-2/train.tsv"));
    task.source[0].path = "glue/data/SST-3.zip";
    cr_assert_eq(fetch(&task), ERR_REFUSED, "%s", e.text);
    cr_assert(strstr(e.text, "does not exist"), "%s", e.text);
    snprintf(base, sizeof base, "http://127.0.0.2");
    cr_assert_eq(fetch(&task), ERR_USAGE, "%s", e.text);
}

Test(fetch_glue, says_what_an_archive_lacks)
{
    const struct fetch_task task = serve_zip(sst2, 5);
    cr_assert_eq(fetch(&task), ERR_DATA, "%s", e.text);
    cr_assert(strstr(e.text, "SST-2/dev.tsv"), "%s", e.text);
    cr_assert_not(fetch_glue_complete(&task, out));
}

/* --- broken archives --- */

static int extract(const unsigned char *bytes, size_t n, uint64_t limit)
{
    static const char *const name[] = {"train.tsv", "dev.tsv", "test.tsv"};
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/x.zip", hub.dir);
    cr_assert_eq(file_write(path, bytes, n, 0600, &e), 0);
    return fetch_zip_extract(path, "SST-2", name, 3, limit, hub.dir, &e);
}

Test(fetch_glue, refuses_broken_archives)
{
    zip_len = make_zip(sst2, SST2_MEMBERS, zip, sizeof zip);
    cr_assert_eq(extract(zip, zip_len, 1 << 20), 0, "%s", e.text);
    cr_assert_eq(extract(zip, zip_len, 10), ERR_DATA);
    cr_assert(strstr(e.text, "above the limit"), "%s", e.text);
    cr_assert_eq(extract((const unsigned char *)"no zip at all", 13, 1 << 20), ERR_DATA);
    cr_assert_eq(extract(zip, 0, 1 << 20), ERR_DATA);
    for (size_t n = 1; n < zip_len; n += 37)
        cr_expect_eq(extract(zip, n, 1 << 20), ERR_DATA, "cut after %zu bytes", n);
}

Test(fetch_glue, survives_any_flipped_byte)
{
    zip_len = make_zip(sst2, SST2_MEMBERS, zip, sizeof zip);
    for (size_t i = 0; i < zip_len; i++) {
        zip[i] ^= 0x55;
        int rc = extract(zip, zip_len, 1 << 20);
        cr_expect(rc == 0 || rc == ERR_DATA, "byte %zu: %d %s", i, rc, e.text);
        if (rc == 0) /* what was written has passed its CRC */
            cr_expect(hub_same(&hub, "train.tsv", TRAIN, strlen(TRAIN)), "byte %zu", i);
        zip[i] ^= 0x55;
    }
    cr_assert_not(hub_exists(&hub, "../evil.tsv"));
}

/* --- MRPC --- */

#define HEADER "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"

static int split(const char *train, const char *test, const char *ids)
{
    const char *const text[] = {train, test, ids};
    char path[3][PATH_MAX];
    for (int i = 0; i < 3; i++) {
        snprintf(path[i], sizeof path[i], "%s/source-%d", hub.dir, i);
        cr_assert_eq(file_write(path[i], text[i], strlen(text[i]), 0600, &e), 0);
    }
    return fetch_mrpc_split(path[0], path[1], path[2], hub.dir, &e);
}

Test(fetch_glue, splits_mrpc_by_the_list_of_dev_ids)
{
    static const char train[] = "\xef\xbb\xbf" HEADER "1\t10\t20\tAn \"a\".\tA b.\r\n"
                                "0\t11\t21\tC.\tD.\n1\t1\t21\tE.\tF.",
                      test[] = HEADER "1\t30\t31\tG.\tH.\n0\t32\t33\tI.\tJ.\n";
    static const char kept[] = HEADER "1\t10\t20\tAn \"a\".\tA b.\n1\t1\t21\tE.\tF.\n",
                      held[] = HEADER "0\t11\t21\tC.\tD.\n",
                      blind[] = "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
                                "0\t30\t31\tG.\tH.\n1\t32\t33\tI.\tJ.\n";
    cr_assert_eq(split(train, test, "11\t21\r\n99\t98\r\n"), 0, "%s", e.text);
    cr_assert(hub_same(&hub, "train.tsv", kept, sizeof kept - 1));
    cr_assert(hub_same(&hub, "dev.tsv", held, sizeof held - 1));
    cr_assert(hub_same(&hub, "test.tsv", blind, sizeof blind - 1));
    cr_assert_eq(split(train, test, "99\t98\n11\t21"), 0, "no line end at the end of the list");
    cr_assert(hub_same(&hub, "dev.tsv", held, sizeof held - 1));
}

Test(fetch_glue, refuses_an_mrpc_that_is_none)
{
    cr_assert_eq(split(HEADER "1\t10\t20\tA.\n", HEADER, ""), ERR_DATA);
    cr_assert(strstr(e.text, "source-0:2:"), "%s", e.text);
    cr_assert_eq(split(HEADER "1\t1\t2\tA\tB\tC\n", HEADER, ""), ERR_DATA);
    cr_assert_eq(split("", HEADER, ""), ERR_DATA);
    cr_assert_eq(split(HEADER "1\t1\t2\tA\tB\n", HEADER, ""), ERR_DATA);
    cr_assert(strstr(e.text, "source-1"), "%s", e.text);
}

/* The rebuilt official split is the same, in the same order. */
Test(fetch_glue, splits_the_real_mrpc)
{
    const char *shared = getenv("FEDPET_SHARED");
    char path[PATH_MAX], ids_path[PATH_MAX], *train, *dev;
    size_t train_len, dev_len, header = strlen(HEADER);
    snprintf(path, sizeof path, "%s/data/glue/MRPC/train.tsv", shared ? shared : "../shared");
    if (!file_exists(path))
        cr_skip_test("no %s", path);
    cr_assert_eq(file_read(path, 16 << 20, &train, &train_len, &e), 0);
    snprintf(path, sizeof path, "%s/data/glue/MRPC/dev.tsv", shared ? shared : "../shared");
    cr_assert_eq(file_read(path, 16 << 20, &dev, &dev_len, &e), 0);
    snprintf(path, sizeof path, "%s/both", hub.dir);
    snprintf(ids_path, sizeof ids_path, "%s/ids", hub.dir);
    FILE *both = fopen(path, "w"), *ids = fopen(ids_path, "w");
    fwrite(train, 1, train_len, both);
    fwrite(dev + header, 1, dev_len - header, both);
    for (const char *line = dev + header; *line; line += strcspn(line, "\n") + 1) {
        const char *first = strchr(line, '\t') + 1, *second = strchr(first, '\t') + 1;
        fprintf(ids, "%.*s\n", (int)(second - first + (ptrdiff_t)strcspn(second, "\t")), first);
    }
    fclose(both);
    fclose(ids);
    cr_assert_eq(fetch_mrpc_split(path, path, ids_path, hub.dir, &e), 0, "%s", e.text);
    cr_assert(hub_same(&hub, "train.tsv", train, train_len));
    cr_assert(hub_same(&hub, "dev.tsv", dev, dev_len));
    free(train);
    free(dev);
}

/* --- the table --- */

Test(fetch_glue, knows_the_official_archive)
{
    const struct fetch_task *task;
    struct fetch_sum sum;
    size_t n = 0;
    for (task = fetch_glue_table; task->name; task++, n++) {
        const struct fetch_task *found;
        char name[32];
        snprintf(name, sizeof name, "glue/%s", task->name);
        cr_expect_eq(fetch_glue_find(name, &found, &e), 0);
        cr_expect_eq(found, task);
        cr_expect(strcmp(task->file[0], "train.tsv") == 0 && task->file[2] != NULL);
        for (size_t i = 0; i < FETCH_GLUE_SOURCES && task->source[i].path; i++)
            cr_expect(fetch_sum_parse(&sum, task->source[i].sha256) && sum.kind == FETCH_SHA256);
    }
    cr_assert_eq(n, 9);
    cr_assert_eq(fetch_glue_find("glue/sst-2", &task, &e), ERR_USAGE);
    cr_assert(strstr(e.text, "glue/sst2"), "%s", e.text);
    cr_assert_eq(fetch_glue_find("sst2", &task, &e), ERR_USAGE);
}
