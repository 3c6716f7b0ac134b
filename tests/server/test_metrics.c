#include "page.h"
#include "server/metrics.h"

static char *page_of(const struct metrics *m, const struct metrics_now *now)
{
    struct buf out;
    buf_init(&out, 1 << 18);
    cr_assert_eq(metrics_write(m, now, &out), 0);
    char *text = strndup((const char *)buf_bytes(&out), buf_size(&out));
    buf_release(&out);
    return text;
}

static const uint64_t no_refusals[REASONS];
static struct run_metrics counted;
static struct metrics_run run = {.name = "a", .counted = &counted, .refusals = no_refusals};
static const struct metrics_now nothing = {.run = &run,
                                           .n_runs = 1,
                                           .rss_bytes = -1,
                                           .open_fds = -1,
                                           .max_fds = -1,
                                           .cpu_seconds = -1,
                                           .started = -1};

Test(metrics, a_fresh_page_is_well_formed_and_leaves_out_what_is_unknown)
{
    struct metrics m = {0};
    metrics_init(&counted);
    char *page = page_of(&m, &nothing);
    page_check(page);
    cr_assert_eq(page_value(page, "fedpet_rounds_committed_total{run=\"a\"}"), 0);
    cr_assert_eq(
        page_value(page, "fedpet_updates_total{run=\"a\",outcome=\"accepted\",reason=\"\"}"), 0);
    cr_assert_null(strstr(page, "process_"));
    free(page);
}

Test(metrics, what_was_counted_is_shown_beside_what_lives)
{
    struct metrics m = {0};
    uint64_t refusals[REASONS] = {[REASON_LATE] = 4};
    struct metrics_now now = nothing;
    metrics_init(&counted);
    counted.update[REASON_NONE] = 7;
    counted.update[REASON_SCHEMA] = 2;
    m.bytes_in[METRICS_CLIENTS] = (uint64_t)1 << 60;
    m.handshake_failed[METRICS_ENROLMENT] = 3;
    now.bytes_in[METRICS_CLIENTS] = 1;
    now.held[METRICS_CLIENTS] = 65536;
    run.refusals = refusals;
    now.rss_bytes = 4096;
    char *page = page_of(&m, &now);
    page_check(page);
    cr_assert_eq(
        page_value(page, "fedpet_updates_total{run=\"a\",outcome=\"accepted\",reason=\"\"}"), 7);
    cr_assert_eq(
        page_value(page, "fedpet_updates_total{run=\"a\",outcome=\"refused\",reason=\"schema\"}"),
        2);
    cr_assert_eq(page_value(page, "fedpet_refusals_total{run=\"a\",reason=\"late\"}"), 4);
    cr_assert_not_null(
        strstr(page, "fedpet_received_bytes_total{port=\"clients\"} 1152921504606846977\n"));
    cr_assert_eq(page_value(page, "fedpet_handshakes_total{port=\"enrolment\",outcome=\"failed\"}"),
                 3);
    cr_assert_eq(page_value(page, "fedpet_unsent_bytes{port=\"clients\"}"), 65536);
    cr_assert_eq(page_value(page, "process_resident_memory_bytes"), 4096);
    free(page);
}

Test(metrics, buckets_are_cumulative_and_their_bounds_inclusive)
{
    struct metrics m = {0};
    metrics_init(&counted);
    static const double seconds[] = {0, 1, 1.001, 60, 21600, 21601, 1e9};
    double sum = 0;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        metrics_add(&counted.round, seconds[i]);
        sum += seconds[i];
    }
    char *page = page_of(&m, &nothing);
    page_check(page);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{run=\"a\",le=\"1\"}"), 2);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{run=\"a\",le=\"5\"}"), 3);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{run=\"a\",le=\"60\"}"), 4);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{run=\"a\",le=\"21600\"}"),
                 5);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{run=\"a\",le=\"+Inf\"}"),
                 7);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_count{run=\"a\"}"), 7);
    cr_assert_float_eq(page_value(page, "fedpet_round_duration_seconds_sum{run=\"a\"}"), sum, 10);
    free(page);
}

Test(metrics, each_run_has_its_samples_and_one_put_aside_no_refusals)
{
    struct run_metrics other;
    struct metrics m = {0};
    struct metrics_run both[] = {run, {.name = "b-2", .counted = &other, .failing = true}};
    struct metrics_now now = nothing;
    metrics_init(&counted);
    metrics_init(&other);
    counted.rounds = 3;
    other.rounds = 5;
    metrics_add(&other.commit, 0.5);
    now.run = both;
    now.n_runs = 2;
    char *page = page_of(&m, &now);
    page_check(page);
    cr_assert_eq(page_value(page, "fedpet_rounds_committed_total{run=\"a\"}"), 3);
    cr_assert_eq(page_value(page, "fedpet_rounds_committed_total{run=\"b-2\"}"), 5);
    cr_assert_eq(page_value(page, "fedpet_commit_duration_seconds_count{run=\"a\"}"), 0);
    cr_assert_eq(page_value(page, "fedpet_commit_duration_seconds_count{run=\"b-2\"}"), 1);
    cr_assert_eq(page_value(page, "fedpet_run_failing{run=\"b-2\"}"), 1);
    cr_assert_eq(page_value(page, "fedpet_refusals_total{run=\"a\",reason=\"late\"}"), 0);
    cr_assert_null(strstr(page, "fedpet_refusals_total{run=\"b-2\""));
    free(page);
}

Test(metrics, a_page_that_does_not_fit_is_an_error)
{
    struct metrics m = {0};
    struct buf out;
    metrics_init(&counted);
    buf_init(&out, 1000);
    cr_assert_eq(metrics_write(&m, &nothing, &out), ERR_NOMEM);
    buf_release(&out);
}
