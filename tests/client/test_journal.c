/* The client's state on disk: which of two states a training goes on from, and what happens to the
 * file. */
#include "base/file.h"
#include "client/journal.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNT = 5 };
#define RUN "0123456789abcdef"

static char dir[64], path[128];
static struct run_spec spec;
static struct hash schema;

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/fedpet-journal-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/" JOURNAL_FILE, dir);
    spec = (struct run_spec){.local.carry_optimizer = true, .federation.scaffold = true};
    spec.federation.upload = (char *)(uintptr_t) "topk";
    memset(schema.byte, 7, sizeof schema.byte);
}

static void fini(void)
{
    unlink(path);
    cr_expect_eq(rmdir(dir), 0);
}

TestSuite(journal, .init = setup, .fini = fini);

static struct journal *open_run(const char *run)
{
    struct journal *j;
    struct err e;
    cr_assert_eq(journal_open(&j, dir, run, &schema, &spec, COUNT, &e), 0, "%s", e.text);
    return j;
}

/* A training that adds to every value, 1 to the first: what it began with is seen in the end. */
static float train(struct journal *j, uint32_t round, uint32_t counted, float add, bool *lost)
{
    struct err e;
    struct local_state *s = journal_begin(j, counted, lost);
    cr_assert_eq(s->size, 4 * COUNT);
    for (size_t i = 0; i < s->size; i++)
        s->values[i] += add;
    s->step += 3;
    float sum = s->values[s->size - 1];
    cr_assert_eq(s->values[0], sum);
    cr_assert_eq(journal_commit(j, round, &e), 0, "%s", e.text);
    return sum;
}

Test(journal, goes_on_from_the_last_that_counted)
{
    bool lost;
    struct journal *j = open_run(RUN);
    cr_expect_eq(train(j, 0, 0, 1, &lost), 1);
    cr_expect_eq(train(j, 2, 1, 10, &lost), 11);     /* round 0 counted */
    cr_expect_eq(train(j, 3, 1, 100, &lost), 101);   /* round 2 did not */
    cr_expect_eq(train(j, 3, 1, 200, &lost), 201);   /* the same once more */
    cr_expect_eq(train(j, 7, 4, 1000, &lost), 1201); /* round 3 counted */
    cr_expect_eq(lost, false);
    cr_expect_eq(train(j, 9, 7, 5, &lost), 5); /* round 6 was not ours */
    cr_expect_eq(lost, true);
    journal_close(j);
}

/* The same, with every training by another process. */
Test(journal, survives_its_process)
{
    static const struct {
        uint32_t round, counted;
        float add, sum;
    } step[] = {{0, 0, 1, 1},     {0, 0, 2, 2},     {2, 1, 10, 12},     {3, 1, 100, 102},
                {3, 1, 200, 202}, {5, 4, 500, 702}, {6, 6, 1000, 1702}, {6, 6, 3000, 3702}};
    for (size_t i = 0; i < sizeof step / sizeof *step; i++) {
        bool lost;
        struct journal *j = open_run(RUN);
        float sum = train(j, step[i].round, step[i].counted, step[i].add, &lost);
        cr_expect_eq(sum, step[i].sum, "training %zu: %g", i, (double)sum);
        cr_expect_not(lost);
        journal_close(j);
    }
}

Test(journal, keeps_the_step_count_of_each_state)
{
    bool lost;
    struct journal *j = open_run(RUN);
    train(j, 0, 0, 1, &lost);
    train(j, 1, 1, 1, &lost);
    journal_close(j);
    j = open_run(RUN);
    cr_expect_eq(journal_begin(j, 1, &lost)->step, 3);
    journal_close(j);
    j = open_run(RUN);
    cr_expect_eq(journal_begin(j, 2, &lost)->step, 6);
    journal_close(j);
}

/* A process that dies while it trains has changed nothing. */
Test(journal, is_not_touched_before_the_commit)
{
    bool lost;
    struct journal *j = open_run(RUN);
    train(j, 0, 0, 1, &lost);
    journal_begin(j, 1, &lost)->values[0] = 99;
    journal_close(j);
    j = open_run(RUN);
    cr_expect_eq(journal_begin(j, 1, &lost)->values[0], 1);
    journal_close(j);
}

Test(journal, of_another_run_is_ignored)
{
    bool lost;
    struct journal *j = open_run(RUN);
    train(j, 0, 0, 1, &lost);
    journal_close(j);
    j = open_run("fedcba9876543210");
    cr_expect_eq(train(j, 4, 1, 1, &lost), 1);
    cr_expect(lost);
    journal_close(j);
    schema.byte[31]++;
    j = open_run("fedcba9876543210");
    cr_expect_eq(train(j, 5, 0, 1, &lost), 1);
    journal_close(j);
    spec.federation.scaffold = false; /* a state of another size */
    j = open_run("fedcba9876543210");
    cr_expect_eq(journal_begin(j, 0, &lost)->values[0], 0);
    journal_close(j);
}

Test(journal, damage_is_told)
{
    struct journal *j = open_run(RUN);
    struct err e;
    char *text;
    size_t len;
    bool lost;
    train(j, 0, 0, 1, &lost);
    journal_close(j);
    cr_assert_eq(file_read(path, 4096, &text, &len, &e), 0);
    for (size_t cut = 0; cut < len; cut += 37) {
        cr_assert_eq(file_write(path, text, cut, 0600, &e), 0);
        cr_assert_eq(journal_open(&j, dir, RUN, &schema, &spec, COUNT, &e), ERR_IO, "%zu", cut);
        cr_assert_not_null(strstr(e.text, "remove it"), "%s", e.text);
    }
    text[len / 2] ^= 1;
    cr_assert_eq(file_write(path, text, len, 0600, &e), 0);
    cr_assert_eq(journal_open(&j, dir, RUN, &schema, &spec, COUNT, &e), ERR_IO);
    free(text);
}

Test(journal, that_cannot_be_written_starts_again)
{
    struct err e;
    bool lost;
    struct journal *j = open_run(RUN);
    train(j, 0, 0, 1, &lost);
    journal_begin(j, 1, &lost)->values[0] = 99;
    unlink(path);
    cr_assert_eq(rmdir(dir), 0);
    cr_assert_eq(journal_commit(j, 1, &e), ERR_IO);
    cr_expect_eq(journal_begin(j, 1, &lost)->values[0], 1);
    cr_expect_not(lost);
    journal_close(j);
    snprintf(dir, sizeof dir, "/tmp/fedpet-journal-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
}
