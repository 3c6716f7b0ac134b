/* Clients that only watch: the core as they see it, and as the others do not see them. */
#include "world.h"

static void watch(struct world *w, int k, uint64_t samples)
{
    world_connect(w, k);
    core_observe(w->core, w->client[k].conn);
    world_hello(w, k);
    world_say(
        w, k,
        &(struct msg){.type = MSG_READY, .ready = {w->schema.hash, hash_of("model", 5), samples}});
}

Test(observer, is_no_member_of_the_population_and_gets_the_result)
{
    static const int order[] = {0, 1, 2, 3};
    const char *name[4];
    struct world w;
    world_open(&w, 3, 3, 0, 2);
    watch(&w, 3, 0); /* without any data */
    world_join(&w, 0);
    world_join(&w, 1);
    cr_assert_eq(w.client[0].heard[MSG_TASK], 0, "it does not stand in for the third client");
    world_join(&w, 2);
    for (uint32_t r = 0; r < 2; r++)
        cr_assert_eq(world_play(&w, r, order, 4), 3);
    cr_assert_eq(w.commits, 2);
    cr_assert_eq(w.client[3].heard[MSG_TASK], 0);
    cr_assert_eq(w.client[3].heard[MSG_FINISH], 1);
    cr_assert_arr_eq(w.client[3].final, w.client[0].final, sizeof w.client[0].final);
    cr_assert_eq(core_clients(w.core, name, 4), 3);
    world_close(&w);
}

Test(observer, has_no_influence)
{
    unsigned char packed[4 * WORLD_VALUES];
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    watch(&w, 2, 10);
    world_join_all(&w, 2);
    struct msg m = world_update(&w, 2, 0, packed);
    world_say(&w, 2, &m);
    cr_assert_eq(w.client[2].heard[MSG_RECEIPT], 1);
    cr_assert_not(w.client[2].receipt.accepted);
    cr_assert_eq(w.client[2].receipt.reason, REASON_NOT_SELECTED);
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    world_close(&w);
}

Test(observer, a_client_that_becomes_one_is_selected_no_more)
{
    static const int order[] = {0, 1, 2};
    struct world w;
    world_open(&w, 3, 2, 2, 3);
    world_join_all(&w, 3);
    world_play(&w, 0, order, 3);
    world_disconnect(&w, 1);
    watch(&w, 1, 10);
    unsigned before = w.client[1].heard[MSG_TASK];
    for (int i = 0; i < 8 && w.commits < 3; i++) {
        world_play(&w, core_round(w.core), order, 3);
        world_pass(&w, 60000);
    }
    cr_assert_eq(w.commits, 3);
    cr_assert_eq(w.client[1].heard[MSG_TASK], before);
    cr_assert_eq(w.client[1].heard[MSG_FINISH], 1);
    world_close(&w);
}
