#include "model/jsonfile.h"
#include "sim/report.h"
#include "tests/server/folder.h"
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static struct report *must_open(const struct folder *f, const struct run_spec *spec)
{
    const struct report_info info = {.model = "m",
                                     .wire = "proto",
                                     .baseline = "federated",
                                     .unit = "round",
                                     .units = 2,
                                     .spec = spec,
                                     .metric = "accuracy",
                                     .threads = 1,
                                     .trainable = 100};
    struct report *r;
    struct err e;
    cr_assert_eq(report_open(&r, folder_file(f, "out"), &info, &e), 0, "%s", e.text);
    report_start(r, 0.5);
    return r;
}

/* Two rounds; their summary. */
static json_t *summary_of(const struct folder *f, struct run_spec *spec)
{
    struct report *r = must_open(f, spec);
    const struct result_record result = {.round = 2, .value = 0.75};
    struct err e;
    json_t *summary;
    for (uint32_t k = 1; k <= 2; k++) {
        const struct round_record record = {.round = k,
                                            .scored = true,
                                            .value = 0.5 + 0.125 * k,
                                            .counted = true,
                                            .bytes_up = 1000 * k,
                                            .bytes_down = 10 * k};
        cr_assert_eq(report_round(r, &record, &e), 0, "%s", e.text);
    }
    cr_assert_eq(report_finish(r, &result, false, &e), 0, "%s", e.text);
    report_close(r);
    summary = json_load_file(folder_file(f, "out/summary.json"), 0, NULL);
    cr_assert_not_null(summary);
    return summary;
}

static double number(const json_t *summary, const char *key)
{
    return json_number_value(json_object_get(summary, key));
}

Test(report, the_payload_counts_the_control_variates)
{
    char task[] = "rte", method[] = "lora";
    for (int scaffold = 0; scaffold < 2; scaffold++) {
        struct folder f = folder_make();
        struct run_spec spec = {.task.name = task, .peft.method = method};
        spec.federation.scaffold = scaffold;
        json_t *summary = summary_of(&f, &spec);
        cr_expect_eq(number(summary, "trainable_parameters"), 100);
        cr_expect_eq(number(summary, "payload_bytes"), scaffold ? 800 : 400);
        cr_expect_eq(number(summary, "bytes_up_per_client"), 1500);
        cr_expect_eq(number(summary, "bytes_down_per_client"), 15);
        cr_expect_eq(number(summary, "best_round"), 2);
        cr_expect_eq(number(summary, "value"), 0.75);
        json_decref(summary);
        folder_remove(&f);
    }
}

/* A regression that diverges has squared errors without end. */
Test(report, what_is_no_number_is_null)
{
    char task[] = "stsb", method[] = "lora";
    struct folder f = folder_make();
    struct run_spec spec = {.task.name = task, .peft.method = method};
    struct report *r = must_open(&f, &spec);
    const struct result_record result = {
        .value = INFINITY, .loss = NAN, .models = {.clients = 2, .worst = INFINITY, .mean = NAN}};
    struct err e;
    report_start(r, INFINITY);
    cr_assert_eq(report_finish(r, &result, false, &e), 0, "%s", e.text);
    report_close(r);
    json_t *summary = json_load_file(folder_file(&f, "out/summary.json"), 0, NULL);
    cr_expect(json_is_null(json_object_get(summary, "value")));
    cr_expect(json_is_null(json_object_get(summary, "value_before")));
    cr_expect(json_is_null(json_object_get(json_object_get(summary, "client_models"), "worst")));
    json_decref(summary);
    folder_remove(&f);
}

Test(report, a_run_that_came_to_nothing_leaves_the_folder_free)
{
    struct folder f = folder_make();
    struct run_spec spec = {0};
    struct err e;
    report_close(must_open(&f, &spec));
    struct report *r = must_open(&f, &spec);
    cr_assert_eq(report_round(r, &(struct round_record){.round = 1}, &e), 0, "%s", e.text);
    report_close(r);
    cr_assert_eq(report_open(&r, folder_file(&f, "out"), &(struct report_info){0}, &e), ERR_IO);
    cr_expect_not_null(strstr(e.text, "choose another --out"), "%s", e.text);
    folder_remove(&f);
}
