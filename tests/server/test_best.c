#include "world.h"

static const int all[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};

/* By round in which the clients report: about the initial values, then about each round before. */
static const double accuracy[] = {0.9, 0.3, 0.7, 0.7, 0.2, 0.6, 0.1, 0.8, 0.8, 0.8};
enum { ROUNDS = 10 };

static void reopen(struct world *w, const struct core_config *c)
{
    struct err e = {0};
    core_close(w->core);
    w->core = NULL;
    cr_assert_eq(core_open(&w->core, c, w->now, &e), 0, "%s", e.text);
}

/* A world of three clients whose rounds are scored by their accuracy. */
static struct core_config begin(struct world *w, uint32_t rounds, bool best, uint32_t patience)
{
    world_open(w, 3, 3, 0, rounds);
    w->spec.federation.best = best;
    w->spec.federation.patience = patience;
    w->score = accuracy;
    struct core_config c = world_config(w);
    c.metric = "accuracy";
    reopen(w, &c);
    return c;
}

static void play(struct world *w)
{
    world_join_all(w, 3);
    for (uint32_t round = core_round(w->core); !core_finished(w->core); round++)
        cr_assert_eq(world_play(w, round, all, 3), 3);
}

static void expect_result(struct world *w, const float *want)
{
    cr_assert_eq(w->finished, 1);
    cr_assert_arr_eq(core_params(w->core), want, sizeof w->theta);
    for (int k = 0; k < 3; k++)
        cr_assert_arr_eq(w->client[k].final, want, sizeof w->theta);
}

Test(best, the_first_of_the_highest_scores_wins)
{
    struct best b = {0};
    cr_assert_not(best_enter(&b, 0, NAN, false));
    cr_assert(best_enter(&b, 1, -1, false));
    cr_assert_not(best_enter(&b, 2, -1, false));
    cr_assert_not(best_enter(&b, 3, NAN, false));
    cr_assert_eq(b.since, 2);
    cr_assert(best_stale(&b, 2));
    cr_assert_not(best_stale(&b, 3));
    cr_assert_not(best_stale(&b, 0));
    cr_assert(best_enter(&b, 4, 3, false));
    cr_assert(b.any && b.round == 4 && b.score == 3 && b.since == 0);
}

Test(best, the_lowest_score_wins_where_less_is_better)
{
    struct best b = {0};
    cr_assert(best_enter(&b, 0, 1, true));
    cr_assert_not(best_enter(&b, 1, 2, true));
    cr_assert(best_enter(&b, 2, 0.5, true));
    cr_assert_eq(b.round, 2);
}

Test(best, what_clients_report_scores_the_parameters_that_they_were_sent)
{
    struct world w;
    begin(&w, 5, true, 0);
    play(&w);
    cr_assert_eq(w.commits, 5);
    cr_assert_not(w.commit[0].best.any); /* the initial values are no round */
    cr_assert(w.commit[1].best.any && w.commit[1].best.round == 0);
    cr_assert_eq(w.commit[4].best.round, 1);
    cr_assert_eq(w.commit[4].best.since, 2);
    cr_assert_float_eq(w.commit[4].best.score, 0.7, 1e-12);
    expect_result(&w, w.commit[1].params);
    world_close(&w);
}

Test(best, without_the_setting_the_last_round_is_the_result)
{
    struct world w;
    begin(&w, 5, false, 0);
    play(&w);
    cr_assert_eq(core_best(w.core)->round, 1);
    expect_result(&w, w.commit[4].params);
    world_close(&w);
}

Test(best, less_is_better_when_the_shell_says_so)
{
    struct world w;
    struct core_config c = begin(&w, 5, true, 0);
    c.lower_is_better = true;
    reopen(&w, &c);
    play(&w);
    expect_result(&w, w.commit[3].params);
    world_close(&w);
}

Test(best, a_run_that_is_never_scored_ends_with_its_last_round)
{
    struct world w;
    struct core_config c = begin(&w, 4, true, 1);
    c.metric = "f1"; /* nobody reports it */
    reopen(&w, &c);
    play(&w);
    cr_assert_eq(w.commits, 4);
    cr_assert_not(core_best(w.core)->any);
    expect_result(&w, w.commit[3].params);
    world_close(&w);
}

Test(best, patience_ends_a_run_early_and_says_why)
{
    struct world w;
    char text[256];
    begin(&w, ROUNDS, true, 3);
    play(&w);
    cr_assert_eq(w.commits, 6); /* the second is best; the third to fifth, scored one later, not */
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_str_eq(text, "ended early, after 6 of 10 rounds: 3 brought none better; best so far: "
                           "round 2 (accuracy 0.7000)");
    expect_result(&w, w.commit[1].params);
    world_close(&w);
    begin(&w, ROUNDS, false, 3);
    play(&w);
    cr_assert_eq(w.commits, 6);
    expect_result(&w, w.commit[5].params);
    world_close(&w);
    begin(&w, ROUNDS, true, 5); /* patient enough for a better one */
    play(&w);
    cr_assert_eq(w.commits, 10);
    expect_result(&w, w.commit[6].params);
    world_close(&w);
}

Test(best, the_shell_scores_the_round_that_it_stores)
{
    static const double value[] = {0.1, 0.5, 0.4, 0.3};
    struct world w;
    struct core_config c = begin(&w, ROUNDS, true, 2);
    c.metric = NULL;
    reopen(&w, &c);
    w.hold = true;
    world_join_all(&w, 3);
    for (uint32_t round = 0; round < 4; round++) {
        cr_assert_eq(world_play(&w, round, all, 3), 3);
        core_scored(w.core, round + 1, 9); /* not there yet */
        if (round > 1)
            core_scored(w.core, round - 2, 9); /* long gone */
        core_scored(w.core, round, value[round]);
        cr_assert_eq(core_finished(w.core), false);
        world_commit(&w);
    }
    cr_assert(core_finished(w.core));
    core_scored(w.core, 3, 9); /* too late */
    cr_assert_eq(core_best(w.core)->round, 1);
    expect_result(&w, w.commit[1].params);
    world_close(&w);
}

/* Plays a run, then again from each of its commits, as after a restart. */
static void restart_everywhere(enum server_optimizer kind, uint32_t patience)
{
    struct world whole, rest;
    const char *names[3];
    struct core_config c = begin(&whole, ROUNDS, true, patience);
    whole.spec.federation.optimizer = kind;
    whole.spec.federation.server_lr = 0.1;
    whole.spec.federation.server_beta1 = 0.9;
    whole.spec.federation.server_beta2 = 0.99;
    whole.spec.federation.server_tau = 1e-3;
    reopen(&whole, &c);
    play(&whole);
    cr_assert_eq(core_clients(whole.core, names, 3), 3);
    for (unsigned cut = 0; cut < whole.commits; cut++) {
        c = begin(&rest, ROUNDS, true, patience);
        rest.spec.federation = whole.spec.federation;
        c.client = names;
        c.n_clients = 3;
        c.round = cut + 1;
        c.params = whole.commit[cut].params;
        c.state = whole.commit[cut].state;
        c.best = whole.commit[cut].best;
        if (c.best.any)
            c.best_params = whole.commit[c.best.round].params;
        reopen(&rest, &c);
        world_drain(&rest);
        play(&rest);
        cr_assert_eq(rest.commits, whole.commits - cut - 1);
        if (rest.commits > 0)
            cr_assert(hash_same(&rest.commit[rest.commits - 1].hash,
                                &whole.commit[whole.commits - 1].hash));
        expect_result(&rest, core_params(whole.core));
        world_close(&rest);
    }
    world_close(&whole);
}

Test(best, a_restart_after_any_round_changes_nothing)
{
    for (int kind = SERVER_FEDAVG; kind <= SERVER_FEDYOGI; kind++) {
        restart_everywhere((enum server_optimizer)kind, 0);
        restart_everywhere((enum server_optimizer)kind, 3);
    }
}

Test(best, an_optimiser_that_forgets_gives_other_bits)
{
    struct world whole, rest;
    const char *names[3];
    struct core_config c = begin(&whole, 2, false, 0);
    whole.spec.federation.optimizer = SERVER_FEDAVGM;
    whole.spec.federation.server_lr = 1;
    whole.spec.federation.server_beta1 = 0.9;
    reopen(&whole, &c);
    cr_assert_eq(core_carries(&whole.spec, &whole.schema), 5);
    play(&whole);
    cr_assert_eq(core_clients(whole.core, names, 3), 3);
    c = begin(&rest, 2, false, 0);
    rest.spec.federation = whole.spec.federation;
    c.client = names;
    c.n_clients = 3;
    c.round = 1;
    c.params = whole.commit[0].params;
    reopen(&rest, &c);
    play(&rest);
    cr_assert_not(hash_same(&rest.commit[0].hash, &whole.commit[1].hash));
    world_close(&rest);
    world_close(&whole);
}

Test(best, a_step_out_of_range_fails_the_run_and_is_not_committed)
{
    struct world w;
    char text[512];
    struct core_config c = begin(&w, 5, true, 0);
    w.spec.federation.optimizer = SERVER_FEDAVGM;
    w.spec.federation.server_lr = 1e6;
    w.spec.federation.server_beta1 = 0.9;
    w.gain = 1e4;
    reopen(&w, &c);
    world_join_all(&w, 3);
    cr_assert_eq(world_play(&w, 0, all, 3), 3);
    cr_assert_eq(w.client[2].heard[MSG_RECEIPT], 1); /* the update was good */
    cr_assert_eq(w.commits, 0);
    cr_assert_eq(w.finished, 1);
    cr_assert_eq(w.failure.code, ERR_STATE);
    cr_assert_not_null(strstr(w.failure.text, "round 1: "), "%s", w.failure.text);
    cr_assert_not(core_finished(w.core));
    cr_assert_arr_eq(core_params(w.core), w.theta, sizeof w.theta);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "failed: round 1: "), "%s", text);
    world_pass(&w, 3600 * 1000); /* nothing follows ... */
    world_disconnect(&w, 1);
    world_join(&w, 1);
    cr_assert_eq(w.client[1].heard[MSG_TASK], 1);
    cr_assert_eq(w.client[1].heard[MSG_FINISH], 0);
    cr_assert_eq(w.finished, 1);
    core_drain(w.core, w.now); /* ... but the server's end */
    world_drain(&w);
    cr_assert_eq(w.client[1].goodbye.reason, REASON_STOPPING);
    world_close(&w);
}

Test(best, a_deadline_with_quorum_fails_the_run_just_so)
{
    struct world w;
    begin(&w, 5, false, 0);
    struct core_config c = world_config(&w);
    w.spec.federation.quorum = 2;
    w.spec.federation.optimizer = SERVER_FEDADAM;
    w.spec.federation.server_lr = 1e6;
    w.spec.federation.server_beta2 = 0.999999;
    w.spec.federation.server_tau = 1e-12;
    reopen(&w, &c);
    world_join_all(&w, 3);
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.finished, 0);
    world_pass(&w, 60 * 1000);
    cr_assert_eq(w.commits, 0);
    cr_assert_eq(w.failure.code, ERR_STATE);
    world_deliver(&w, 2, 0);
    cr_assert_eq(w.client[2].receipt.reason, REASON_LATE);
    cr_assert_eq(core_deadline(w.core), CORE_NEVER);
    world_close(&w);
}

Test(best, initial_values_that_are_no_numbers_are_refused)
{
    struct world w;
    struct core *core = NULL;
    struct err e = {0};
    world_open(&w, 1, 1, 0, 1);
    w.theta[3] = NAN;
    struct core_config c = world_config(&w);
    cr_assert_neq(core_open(&core, &c, 0, &e), 0);
    cr_assert_neq(e.text[0], '\0');
    cr_assert_null(core);
    world_close(&w);
}
