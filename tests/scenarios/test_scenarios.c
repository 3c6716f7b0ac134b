/* Every file of this folder is played twice: without its faults, and with them. */
#include "scenario.h"
#include "stage.h"
#include <criterion/criterion.h>
#include <glob.h>
#include <inttypes.h>
#include <stdio.h>

TestSuite(scenarios, .timeout = 120);

static void check(const char *path, const struct scenario *s, const struct outcome *calm,
                  const struct outcome *got)
{
    unsigned happened = 0;
    for (int kind = 0; kind < FAULT_KINDS; kind++)
        happened += got->happened[kind];
    cr_expect_eq(calm->finished, s->clients, "%s: not even without faults", path);
    cr_expect_eq(got->rounds, s->expect.rounds, "%s: %u rounds", path, got->rounds);
    cr_expect_eq(got->finished, s->clients, "%s: %u clients have the result", path, got->finished);
    cr_expect_eq(hash_same(&got->result, &calm->result), s->expect.same, "%s: the result", path);
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
        struct outcome calm, got;
        struct err e = {0};
        cr_assert_eq(scenario_read(&s, files.gl_pathv[i], &e), 0, "%s", e.text);
        stage_play(&s, true, &calm);
        stage_play(&s, false, &got);
        check(files.gl_pathv[i], &s, &calm, &got);
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
