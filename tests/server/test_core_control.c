/* A run that is paused, resumed, ended: at every point of a round. */
#include "world.h"

static const int all[] = {0, 1, 2, 3};

static void begin(struct world *w, bool hold_begin, bool hold_updates, bool hold)
{
    world_open(w, 4, 4, 0, 3);
    w->hold_begin = hold_begin;
    w->hold_updates = hold_updates;
    w->hold = hold;
    world_join_all(w, 4);
}

static void pause(struct world *w, bool paused)
{
    core_pause(w->core, paused, w->now);
    world_drain(w);
}

static void end(struct world *w)
{
    core_end(w->core, w->now);
    world_drain(w);
}

static void check_ended(struct world *w, unsigned rounds)
{
    char text[256];
    cr_assert(core_finished(w->core));
    cr_assert_eq(w->finished, 1);
    cr_assert_eq(w->failure.code, 0);
    cr_assert_eq(w->commits, rounds);
    for (int k = 0; k < 4; k++)
        cr_assert_eq(w->client[k].heard[MSG_FINISH], 1);
    core_status(w->core, w->now, text, sizeof text);
    cr_assert_not_null(strstr(text, "stopped after"), "%s", text);
    world_pass(w, 100000);
    cr_assert_eq(w->commits, rounds);
    world_close(w);
}

Test(core_control, a_paused_run_ends_its_round_and_begins_none)
{
    struct world w;
    char text[256];
    begin(&w, false, false, false);
    pause(&w, true);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "paused after this round; round 1 of 3: 0 of 4"), "%s", text);
    cr_assert_eq(world_play(&w, 0, all, 4), 4);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.begins, 1);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "paused; round 2 of 3: waiting to be resumed"), "%s", text);
    world_pass(&w, 100000);
    cr_assert_eq(core_deadline(w.core), CORE_NEVER);
    pause(&w, false);
    cr_assert_eq(w.begins, 2);
    for (uint32_t round = 1; round < 3; round++)
        cr_assert_eq(world_play(&w, round, all, 4), 4);
    cr_assert(core_finished(w.core));
    cr_assert_eq(w.commits, 3);
    world_close(&w);
}

Test(core_control, a_pause_changes_no_bit)
{
    struct world straight, paused;
    begin(&straight, false, false, false);
    begin(&paused, false, false, false);
    for (uint32_t round = 0; round < 3; round++) {
        pause(&paused, true);
        world_play(&straight, round, all, 4);
        world_play(&paused, round, all, 4);
        pause(&paused, false);
        cr_assert(hash_same(&straight.commit[round].hash, &paused.commit[round].hash));
    }
    world_close(&straight);
    world_close(&paused);
}

Test(core_control, a_paused_round_without_quorum_waits_to_be_tried_again)
{
    struct world w;
    begin(&w, false, false, false);
    pause(&w, true);
    world_deliver(&w, 0, 0);
    world_pass(&w, 61000);
    cr_assert_eq(w.commits, 0);
    cr_assert_eq(w.begins, 1);
    pause(&w, false);
    cr_assert_eq(w.begins, 2);
    cr_assert_eq(world_play(&w, 0, all, 4), 4);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].attempt, 1);
    world_close(&w);
}

Test(core_control, ended_while_it_waits_for_clients)
{
    struct world w;
    world_open(&w, 4, 4, 0, 3);
    world_join_all(&w, 3);
    end(&w);
    world_join(&w, 3); /* gets the result, too */
    check_ended(&w, 0);
}

Test(core_control, ended_while_a_selection_is_stored)
{
    struct world w;
    begin(&w, true, false, false);
    end(&w);
    cr_assert_not(core_finished(w.core));
    core_begun(w.core, w.now);
    world_drain(&w);
    for (int k = 0; k < 4; k++)
        cr_assert_eq(w.client[k].heard[MSG_TASK], 0);
    check_ended(&w, 0);
}

Test(core_control, ended_in_a_round_that_is_then_given_up)
{
    struct world w;
    begin(&w, false, false, false);
    cr_assert_eq(world_play(&w, 0, all, 4), 4);
    world_deliver(&w, 0, 1);
    end(&w);
    world_deliver(&w, 1, 1); /* too late */
    cr_assert_not(w.client[1].receipt.accepted);
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < WORLD_VALUES; i++)
            cr_assert_eq(w.client[k].final[i], w.commit[0].params[i]);
    check_ended(&w, 1);
}

Test(core_control, ended_while_updates_are_stored_it_waits_for_these)
{
    struct world w;
    begin(&w, false, true, false);
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    end(&w);
    cr_assert_not(core_finished(w.core));
    world_stored(&w, 0, true);
    cr_assert_not(core_finished(w.core));
    world_stored(&w, 1, true);
    check_ended(&w, 0);
}

Test(core_control, ended_while_a_round_is_stored_that_round_counts)
{
    struct world w;
    begin(&w, false, false, true);
    cr_assert_eq(world_play(&w, 0, all, 4), 4);
    end(&w);
    cr_assert_not(core_finished(w.core));
    world_commit(&w);
    check_ended(&w, 1);
}

Test(core_control, ended_for_its_best_round)
{
    static const double score[] = {0.5, 0.9, 0.6};
    struct world w;
    struct core_config c;
    struct err e = {0};
    world_open(&w, 4, 4, 0, 9);
    core_close(w.core);
    w.spec.federation.best = true;
    w.score = score;
    c = world_config(&w);
    c.metric = "accuracy";
    cr_assert_eq(core_open(&w.core, &c, w.now, &e), 0, "%s", e.text);
    world_join_all(&w, 4);
    for (uint32_t round = 0; round < 3; round++)
        cr_assert_eq(world_play(&w, round, all, 4), 4);
    end(&w); /* round 2 measured the result of round 1, 0.9, and round 3 that of round 2 */
    for (int i = 0; i < WORLD_VALUES; i++)
        cr_assert_eq(core_params(w.core)[i], w.commit[0].params[i]);
    check_ended(&w, 3);
}
