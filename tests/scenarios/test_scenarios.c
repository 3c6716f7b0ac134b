/* Every file of this folder is played with its faults, and each of its runs without them, alone. */
#include "scenario.h"
#include "stage.h"
#include <criterion/criterion.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>

TestSuite(scenarios, .timeout = 120);

/* One run of a scenario beside what it is alone, without faults. */
static void check_run(const char *path, const struct scenario *s, size_t r,
                      const struct outcome *got)
{
    const struct scenario_run *run = &s->run[r];
    uint32_t rounds = r == 0 ? s->expect.rounds : run->rounds;
    bool timeless = run->mode == MODE_SYNC || run->per_round == s->clients;
    struct scenario alone = *s;
    struct outcome calm;
    alone.runs = 1;
    alone.run[0] = *run;
    stage_play(&alone, true, &calm);
    cr_expect_eq(calm.run[0].finished, s->clients, "%s: not even without faults", path);
    cr_expect_eq(got->run[r].rounds, rounds, "%s: %u rounds", path, got->run[r].rounds);
    cr_expect_eq(got->run[r].finished, s->clients, "%s: %u clients have the result", path,
                 got->run[r].finished);
    cr_expect(!timeless || hash_same(&got->run[r].result, &calm.run[0].result) == s->expect.same,
              "%s: the result", path);
    cr_expect(!s->expect.everybody || got->run[r].counted == s->clients,
              "%s: only %u clients have counted", path, got->run[r].counted);
}

static void check(const char *path, const struct scenario *s, const struct outcome *got)
{
    unsigned happened = 0;
    for (int kind = 0; kind < FAULT_KINDS; kind++)
        happened += got->happened[kind];
    for (size_t r = 0; r < s->runs; r++)
        check_run(path, s, r, got);
    cr_expect_geq(happened, s->expect.happened, "%s: %u faults", path, happened);
    cr_expect_leq(got->ms / 1000, s->expect.within_s, "%s: %" PRId64 " s", path, got->ms / 1000);
    for (int r = 1; r < REASONS; r++)
        cr_expect(s->expect.refused[r] == -1 ||
                      (s->expect.refused[r] == -2
                           ? got->refused[r] > 0
                           : (uint64_t)s->expect.refused[r] == got->refused[r]),
                  "%s: refused for %s %" PRIu64 " times", path, msg_reason_name((enum msg_reason)r),
                  got->refused[r]);
}

Test(scenarios, come_to_the_end_that_they_say)
{
    glob_t files;
    cr_assert_eq(glob(FEDPET_TEST_DIR "/scenarios/*.yaml", 0, NULL, &files), 0);
    cr_assert_geq(files.gl_pathc, 10);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        struct scenario s;
        struct outcome got;
        struct err e = {0};
        cr_assert_eq(scenario_read(&s, files.gl_pathv[i], &e), 0, "%s", e.text);
        stage_play(&s, false, &got);
        check(files.gl_pathv[i], &s, &got);
    }
    globfree(&files);
}

/* The files are worth nothing if a slip of the pen goes unnoticed. */
Test(scenarios, mistakes_are_named)
{
    static const struct {
        const char *text, *says;
    } wrong[] = {{"clients: 3\nrounds: x\n", ":2: rounds: not a number"},
                 {"faults: [{what: dropp}]\n", ":1: what: none of the words"},
                 {"faults: [{rate: 1}]\n", "a fault without `what`"},
                 {"expect: {refused: {lat: 1}}\n", "lat: none of the words"},
                 {"expect: {refused: {late: {a: 1}}}\n", "late: not a number"},
                 {"beside: {mode: none}\n", "mode: none of the words"},
                 {"beside: {clients: 3}\n", "clients: unknown key"},
                 {"expect: {same: yes}\n", "same: none of the words"},
                 {"expect: {same: {a: 1}}\n", "same: none of the words"},
                 {"client: 3\n", "client: unknown key"}};
    char path[] = "/tmp/fedpet-scenario-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct scenario s;
        struct err e = {0};
        FILE *f = fopen(path, "w");
        fputs(wrong[i].text, f);
        fclose(f);
        cr_assert_eq(scenario_read(&s, path, &e), ERR_CONFIG);
        cr_assert_not_null(strstr(e.text, wrong[i].says), "%s", e.text);
    }
    remove(path);
}
