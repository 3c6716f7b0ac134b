/* Rounds that select more clients than they need: the first updates make the round, and the others
 * are told at once. */
#include "world.h"

/* All of `clients` are selected for `goal` updates. */
static void open_all_selected(struct world *w, uint32_t clients, uint32_t goal, uint32_t quorum)
{
    world_open(w, clients, goal, quorum, 3);
    w->spec.federation.over_select = (double)clients / goal;
    world_reopen(w);
    world_join_all(w, (int)clients);
    for (uint32_t k = 0; k < clients; k++)
        cr_assert_eq(w->client[k].heard[MSG_TASK], 1);
}

Test(over_select, rounds_up_and_never_below_the_goal)
{
    static const struct {
        double factor;
        uint32_t goal, selected;
    } t[] = {{0, 10, 10},     {1, 10, 10}, {1.1, 10, 11},          {1.3, 10, 13},
             {1.3, 100, 130}, {1.3, 1, 2}, {1.01, 7, 8},           {1.1, 30, 33},
             {2, 5, 10},      {0.5, 4, 4}, {10, 1000000, 10000000}};
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        const struct federation_spec f = {.per_round = t[i].goal, .over_select = t[i].factor};
        cr_expect_eq(spec_selected(&f), t[i].selected, "%g of %u: %u", t[i].factor, t[i].goal,
                     spec_selected(&f));
    }
}

Test(over_select, more_than_there_are_is_a_mistake_of_the_configuration)
{
    struct err e = {0};
    const struct federation_spec f = {
        .clients = 10, .per_round = 8, .deadline_s = 1, .over_select = 1.3};
    cr_assert_eq(spec_check_federation(&f, &e), ERR_CONFIG);
    cr_assert_str_eq(e.text, "federation.over_select 1.3 selects 11 clients for a round, more than "
                             "federation.clients, which is 10");
}

Test(over_select, the_first_updates_make_the_round)
{
    struct world w;
    open_all_selected(&w, 5, 3, 0);
    world_deliver(&w, 4, 0);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.commits, 0);
    world_deliver(&w, 3, 0);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 3);
    cr_assert_eq(w.commit[0].selected, 5);
    cr_assert_str_eq(w.commit[0].client[0], "client-0001");
    cr_assert_str_eq(w.commit[0].client[1], "client-0003");
    cr_assert_str_eq(w.commit[0].client[2], "client-0004");
    world_close(&w);
}

Test(over_select, the_sum_does_not_know_who_came_first)
{
    struct hash want = {{0}};
    static const int order[3][3] = {{0, 2, 4}, {4, 2, 0}, {2, 0, 4}};
    for (int how = AGGREGATION_FEDAVG; how <= AGGREGATION_KRUM; how++) {
        for (int i = 0; i < 3; i++) {
            struct world w;
            world_open(&w, 5, 3, 0, 3);
            w.spec.federation.over_select = 5.0 / 3;
            world_aggregate(&w, (enum aggregation)how);
            world_join_all(&w, 5);
            for (int k = 0; k < 3; k++)
                world_deliver(&w, order[i][k], 0);
            cr_assert_eq(w.commits, 1);
            if (i == 0)
                want = w.commit[0].hash;
            cr_assert(hash_same(&w.commit[0].hash, &want), "%d %d", how, i);
            world_close(&w);
        }
    }
}

Test(over_select, stragglers_are_told_at_once_and_are_ready_for_the_next_round)
{
    struct world w;
    open_all_selected(&w, 5, 3, 0);
    world_disconnect(&w, 0);
    for (int k = 2; k < 5; k++)
        world_deliver(&w, k, 0);
    cr_assert_eq(w.client[1].withdrawn, 1);
    cr_assert_eq(w.client[1].receipt.round, 0);
    cr_assert_eq(w.client[1].receipt.reason, REASON_LATE);
    cr_assert_eq(w.client[1].task_round, 1); /* and has its next task */
    for (int k = 2; k < 5; k++)
        cr_assert_eq(w.client[k].withdrawn, 0);
    cr_assert_eq(core_refusals(w.core)[REASON_LATE], 0); /* no update was refused */
    world_join(&w, 0);                                   /* it was away: the next task tells it */
    cr_assert_eq(w.client[0].task_round, 1);
    cr_assert_eq(w.client[0].counted, 0);
    cr_assert_eq(w.client[2].counted, 1);
    world_close(&w);
}

Test(over_select, a_late_update_is_refused_and_counted)
{
    struct world w;
    open_all_selected(&w, 4, 2, 0);
    w.hold = true;
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    world_deliver(&w, 2, 0); /* the round is closed, but not stored */
    cr_assert_not(w.client[2].receipt.accepted);
    cr_assert_eq(w.client[2].receipt.reason, REASON_LATE);
    cr_assert_not(msg_withdraws(&w.client[2].receipt));
    world_deliver(&w, 0, 0); /* a repeat of one that counts is not late */
    cr_assert(w.client[0].receipt.accepted);
    world_deliver(&w, 0, 0); /* a repeat of one that counts is not late */
    cr_assert(w.client[0].receipt.accepted);
    world_commit(&w);
    world_deliver(&w, 3, 0); /* the next one is open */
    cr_assert_eq(w.client[3].receipt.reason, REASON_LATE);
    cr_assert_eq(core_refusals(w.core)[REASON_LATE], 2);
    cr_assert_eq(w.stores, 2); /* what is stored counts */
    world_close(&w);
}

Test(over_select, no_more_is_stored_than_counts)
{
    struct world w;
    open_all_selected(&w, 4, 2, 0);
    w.hold_updates = true;
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    world_deliver(&w, 2, 0);
    cr_assert_eq(w.stores, 2);
    cr_assert_eq(w.client[2].receipt.reason, REASON_LATE);
    world_stored(&w, 0, true);
    world_stored(&w, 1, false); /* the disk is full: its place is free again ... */
    cr_assert_eq(w.client[1].goodbye.reason, REASON_INTERNAL);
    cr_assert_eq(w.commits, 0);
    w.hold_updates = false;
    world_deliver(&w, 3, 0); /* ... for whoever comes first */
    cr_assert_eq(w.commits, 1);
    cr_assert_str_eq(w.commit[0].client[1], "client-0003");
    world_close(&w);
}

Test(over_select, quorum_and_deadline_are_as_without)
{
    struct world w;
    open_all_selected(&w, 5, 3, 2);
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.commits, 0);
    world_pass(&w, 61 * 1000);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    for (int k = 2; k < 5; k++)
        cr_assert_eq(w.client[k].withdrawn, 1);
    world_deliver(&w, 0, 1);
    world_pass(&w, 61 * 1000); /* one is not enough: the same round again */
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(core_round(w.core), 1);
    world_close(&w);
}

Test(over_select, a_round_of_which_all_others_failed_does_not_wait)
{
    struct world w;
    unsigned char packed[4 * WORLD_VALUES];
    open_all_selected(&w, 4, 3, 2);
    for (int k = 0; k < 2; k++) {
        struct msg m = world_update(&w, k, 0, packed);
        m.update.samples = 0;
        world_say(&w, k, &m);
    }
    world_deliver(&w, 2, 0);
    world_deliver(&w, 3, 0);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    cr_assert_eq(w.client[0].withdrawn, 0); /* it knows already */
    world_close(&w);
}
