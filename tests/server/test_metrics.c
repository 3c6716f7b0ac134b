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
static const struct metrics_now nothing = {.refusals = no_refusals,
                                           .rss_bytes = -1,
                                           .open_fds = -1,
                                           .max_fds = -1,
                                           .cpu_seconds = -1,
                                           .started = -1};

Test(metrics, a_fresh_page_is_well_formed_and_leaves_out_what_is_unknown)
{
    struct metrics m;
    metrics_init(&m);
    char *page = page_of(&m, &nothing);
    page_check(page);
    cr_assert_eq(page_value(page, "fedpet_rounds_committed_total"), 0);
    cr_assert_eq(page_value(page, "fedpet_updates_total{outcome=\"accepted\",reason=\"\"}"), 0);
    cr_assert_null(strstr(page, "process_"));
    free(page);
}

Test(metrics, what_was_counted_is_shown_beside_what_lives)
{
    struct metrics m;
    uint64_t refusals[REASONS] = {[REASON_LATE] = 4};
    struct metrics_now now = nothing;
    metrics_init(&m);
    m.update[REASON_NONE] = 7;
    m.update[REASON_SCHEMA] = 2;
    m.bytes_in[METRICS_CLIENTS] = (uint64_t)1 << 60;
    m.handshake_failed[METRICS_ENROLMENT] = 3;
    now.bytes_in[METRICS_CLIENTS] = 1;
    now.refusals = refusals;
    now.rss_bytes = 4096;
    char *page = page_of(&m, &now);
    page_check(page);
    cr_assert_eq(page_value(page, "fedpet_updates_total{outcome=\"accepted\",reason=\"\"}"), 7);
    cr_assert_eq(page_value(page, "fedpet_updates_total{outcome=\"refused\",reason=\"schema\"}"),
                 2);
    cr_assert_eq(page_value(page, "fedpet_refusals_total{reason=\"late\"}"), 4);
    cr_assert_not_null(
        strstr(page, "fedpet_received_bytes_total{port=\"clients\"} 1152921504606846977\n"));
    cr_assert_eq(page_value(page, "fedpet_handshakes_total{port=\"enrolment\",outcome=\"failed\"}"),
                 3);
    cr_assert_eq(page_value(page, "process_resident_memory_bytes"), 4096);
    free(page);
}

Test(metrics, buckets_are_cumulative_and_their_bounds_inclusive)
{
    struct metrics m;
    metrics_init(&m);
    static const double seconds[] = {0, 1, 1.001, 60, 21600, 21601, 1e9};
    double sum = 0;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        metrics_add(&m.round, seconds[i]);
        sum += seconds[i];
    }
    char *page = page_of(&m, &nothing);
    page_check(page);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{le=\"1\"}"), 2);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{le=\"5\"}"), 3);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{le=\"60\"}"), 4);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{le=\"21600\"}"), 5);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_bucket{le=\"+Inf\"}"), 7);
    cr_assert_eq(page_value(page, "fedpet_round_duration_seconds_count"), 7);
    cr_assert_float_eq(page_value(page, "fedpet_round_duration_seconds_sum"), sum, 10);
    free(page);
}

Test(metrics, a_page_that_does_not_fit_is_an_error)
{
    struct metrics m;
    struct buf out;
    metrics_init(&m);
    buf_init(&out, 1000);
    cr_assert_eq(metrics_write(&m, &nothing, &out), ERR_NOMEM);
    buf_release(&out);
}
