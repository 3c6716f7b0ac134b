#include "world.h"

static const int forwards[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
static const int backwards[] = {11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};

/* Plays all rounds of a run with everybody there. */
static void play(struct world *w, const int *order)
{
    for (uint32_t round = 0; round < w->spec.federation.rounds; round++) {
        cr_assert_eq(core_round(w->core), round);
        cr_assert_eq(world_play(w, round, order, WORLD_CLIENTS), w->spec.federation.per_round);
    }
}

Test(core, three_rounds_with_five_clients)
{
    struct world w;
    world_open(&w, 5, 5, 0, 3);
    world_join_all(&w, 4);
    cr_assert_eq(w.client[0].heard[MSG_TASK], 0); /* the fifth is missing */
    world_join(&w, 4);
    play(&w, forwards);
    cr_assert_eq(w.commits, 3);
    cr_assert_eq(w.finished, 1);
    cr_assert(core_finished(w.core));
    for (int k = 0; k < 5; k++) {
        cr_assert_eq(w.client[k].heard[MSG_WELCOME], 1);
        cr_assert_eq(w.client[k].heard[MSG_TASK], 3);
        cr_assert_eq(w.client[k].heard[MSG_RECEIPT], 3);
        cr_assert_eq(w.client[k].heard[MSG_FINISH], 1);
        cr_assert(w.client[k].receipt.accepted);
        cr_assert_eq(w.client[k].index, (uint32_t)k);
    }
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_eq(w.commit[i].round, i);
        cr_assert_eq(w.commit[i].n, 5);
        cr_assert_eq(w.commit[i].selected, 5);
        cr_assert_str_eq(w.commit[i].client[4], "client-0004");
    }
    world_close(&w);
}

Test(core, a_commit_is_the_weighted_mean_of_the_updates)
{
    struct world w;
    world_open(&w, 3, 3, 0, 1);
    world_join_all(&w, 3);
    play(&w, forwards);
    for (int i = 0; i < WORLD_VALUES; i++) {
        double sum = 0, weight = 0, loss = 0, accuracy = 0;
        for (int k = 0; k < 3; k++) {
            sum += (10 + k) * (w.theta[i] + 0.001 * (k + 1) * (i - 2));
            loss += (10 + k) * 1.0 / (k + 1);
            accuracy += (0.5 + 0.01 * k) / 3;
            weight += 10 + k;
        }
        double want = i == 2 ? w.theta[i] : sum / weight; /* the third value is LOCAL */
        cr_assert_float_eq(w.commit[0].params[i], want, 1e-7);
        cr_assert_float_eq(w.commit[0].train_loss, loss / weight, 1e-12);
        cr_assert_float_eq(w.commit[0].metric, accuracy, 1e-12);
    }
    struct hash h = tensorset_hash(&w.schema, w.commit[0].params);
    cr_assert(hash_same(&h, &w.commit[0].hash));
    cr_assert_arr_eq(core_params(w.core), w.commit[0].params, sizeof w.theta);
    world_close(&w);
}

Test(core, unweighted_means_count_each_client_once)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    w.spec.federation.weighted = false;
    world_join_all(&w, 2);
    play(&w, forwards);
    cr_assert_float_eq(w.commit[0].params[5], w.theta[5] + 0.001 * 1.5 * 3, 1e-7);
    world_close(&w);
}

Test(core, order_of_connections_and_arrivals_does_not_change_the_result)
{
    struct world a, b;
    world_open(&a, 10, 4, 0, 5);
    world_open(&b, 10, 4, 0, 5);
    for (int k = 0; k < 10; k++)
        world_join(&a, k);
    for (int k = 9; k >= 0; k--)
        world_join(&b, k);
    play(&a, forwards);
    play(&b, backwards);
    for (int i = 0; i < 5; i++) {
        cr_assert(hash_same(&a.commit[i].hash, &b.commit[i].hash), "round %d", i);
        for (int k = 0; k < 4; k++)
            cr_assert_str_eq(a.commit[i].client[k], b.commit[i].client[k]);
    }
    world_close(&a);
    world_close(&b);
}

Test(core, goes_on_from_a_stored_round_with_the_same_bits)
{
    struct world whole, rest;
    world_open(&whole, 6, 3, 0, 4);
    world_join_all(&whole, 6);
    play(&whole, forwards);

    world_open(&rest, 6, 3, 0, 4);
    core_close(rest.core);
    struct core_config c = world_config(&rest);
    const char *names[6];
    cr_assert_eq(core_clients(whole.core, names, 6), 6);
    c.round = 2;
    c.params = whole.commit[1].params;
    c.client = names;
    c.n_clients = 6;
    cr_assert_eq(core_open(&rest.core, &c, 0, NULL), 0);
    for (int k = 0; k < 6; k++)
        world_join(&rest, k);
    for (uint32_t round = 2; round < 4; round++)
        cr_assert_eq(world_play(&rest, round, forwards, 6), 3);
    cr_assert(core_finished(rest.core));
    cr_assert(hash_same(&rest.commit[1].hash, &whole.commit[3].hash));
    world_close(&whole);
    world_close(&rest);
}

Test(core, a_run_that_was_complete_hands_out_its_result)
{
    struct world w;
    world_open(&w, 2, 1, 0, 4);
    core_close(w.core);
    struct core_config c = world_config(&w);
    c.round = 4;
    cr_assert_eq(core_open(&w.core, &c, 0, NULL), 0);
    world_drain(&w);
    cr_assert_eq(w.finished, 1);
    world_join(&w, 1);
    cr_assert_eq(w.client[1].heard[MSG_FINISH], 1);
    cr_assert_eq(w.client[1].heard[MSG_TASK], 0);
    core_drain(w.core, 0);
    world_drain(&w);
    cr_assert_eq(w.client[1].goodbye.reason, REASON_NONE);
    cr_assert_eq(w.client[1].goodbye.retry_after_s, 0);
    world_close(&w);
}

/* Three clients and two places: who has the result is told to go. */
static void end_in_a_crowd(struct world *w)
{
    world_open(w, 3, 2, 0, 1);
    w->room = 2;
    world_reopen(w);
    world_join_all(w, 2);
    cr_assert_eq(world_play(w, 0, forwards, 2), 2);
    cr_assert_eq(w->finished, 1);
    for (int k = 0; k < 2; k++) {
        cr_assert_eq(w->client[k].conn, 0, "sent away when it had delivered");
        w->client[k].heard[MSG_GOODBYE] = 0;
        world_join(w, k);
        cr_assert_eq(w->client[k].heard[MSG_FINISH], 1);
        cr_assert_eq(w->client[k].heard[MSG_GOODBYE], 1);
        cr_assert_geq(w->client[k].goodbye.retry_after_s, 6 * 3600);
        cr_assert_neq(w->client[k].conn, 0, "it is not hurried");
    }
}

Test(core, a_result_is_read_before_the_connection_ends)
{
    struct world w;
    end_in_a_crowd(&w);
    world_disconnect(&w, 0);
    world_pass(&w, 59 * 60 * 1000);
    cr_assert_neq(w.client[1].conn, 0);
    world_pass(&w, 60 * 1000); /* by then it is read, or never */
    cr_assert_eq(w.client[1].conn, 0);
    cr_assert_eq(w.client[1].heard[MSG_GOODBYE], 1);
    cr_assert_eq(core_refusals(w.core)[REASON_LATE], 0);
    world_close(&w);
}

Test(core, nobody_reads_while_the_server_stops_or_on_a_connection_that_was_replaced)
{
    struct world w;
    end_in_a_crowd(&w);
    uint64_t lost = w.client[0].conn;
    world_connect(&w, 0);
    cr_assert_neq(w.client[0].conn, lost);
    cr_assert_eq(core_limit(w.core, lost, MSG_PING), 0, "it is gone");
    world_join(&w, 0);
    core_drain(w.core, w.now);
    world_drain(&w);
    for (int k = 0; k < 2; k++)
        cr_assert_eq(w.client[k].conn, 0);
    world_close(&w);
}

Test(core, nothing_is_sent_while_a_commit_is_being_stored)
{
    struct world w;
    world_open(&w, 2, 2, 0, 2);
    w.hold = true;
    world_join_all(&w, 2);
    cr_assert_eq(world_play(&w, 0, forwards, 2), 2);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(core_round(w.core), 0);
    world_disconnect(&w, 1);
    world_join(&w, 1);
    world_pass(&w, 3600 * 1000);
    cr_assert_eq(w.client[1].heard[MSG_TASK], 1);
    cr_assert_eq(w.commits, 1);
    world_commit(&w);
    cr_assert_eq(core_round(w.core), 1);
    cr_assert_eq(w.client[1].heard[MSG_TASK], 2);
    cr_assert_arr_eq(w.client[1].task, w.commit[0].params, sizeof w.client[1].task);
    core_committed(w.core, w.now); /* once too often */
    cr_assert_eq(core_round(w.core), 1);
    world_close(&w);
}

Test(core, counts_the_bytes_between_task_and_receipt)
{
    struct world w;
    unsigned char packed[4 * WORLD_VALUES];
    struct core_out out;
    world_open(&w, 1, 1, 0, 1);
    world_connect(&w, 0);
    core_traffic(w.core, 1, 1000, 2000); /* handshake */
    world_hello(&w, 0);
    world_ready(&w, 0);
    core_traffic(w.core, 1, 1000, 2500); /* the task went out */
    core_traffic(w.core, 1, 1700, 2500); /* the update came in */
    struct msg m = world_update(&w, 0, 0, packed);
    core_message(w.core, 1, &m, w.now);
    cr_assert(core_next(w.core, &out));
    cr_assert_eq(out.kind, OUT_STORE);
    cr_assert_eq(out.update->bytes_up, 700);
    core_stored(w.core, out.update->client, true, w.now);
    cr_assert(core_next(w.core, &out));
    cr_assert_eq(out.msg.type, MSG_RECEIPT);
    core_traffic(w.core, 1, 1700, 2560); /* the receipt went out */
    cr_assert(core_next(w.core, &out));
    cr_assert_eq(out.kind, OUT_AGGREGATE);
    world_aggregated(&w);
    cr_assert(core_next(w.core, &out));
    cr_assert_eq(out.kind, OUT_COMMIT);
    core_traffic(w.core, 1, 9000, 9000); /* does not count any more */
    cr_assert_eq(out.commit->contribution[0].bytes_up, 700);
    cr_assert_eq(out.commit->contribution[0].bytes_down, 560);
    world_close(&w);
}

Test(core, says_what_it_waits_for)
{
    struct world w;
    char text[256];
    world_open(&w, 5, 5, 0, 20);
    world_join_all(&w, 3);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_str_eq(text, "round 1 of 20: waiting for clients: 3 of 5 ready");
    world_connect(&w, 3);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_str_eq(text, "round 1 of 20: waiting for clients: 3 of 5 ready, 1 preparing");
    world_hello(&w, 3);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_str_eq(text, "round 1 of 20: waiting for clients: 3 of 5 ready, 1 preparing");
    world_ready(&w, 3);
    world_join(&w, 4);
    world_deliver(&w, 2, 0);
    world_disconnect(&w, 3);
    core_status(w.core, w.now + 17500, text, sizeof text);
    cr_assert_str_eq(
        text,
        "round 1 of 20: 1 of 5 updates, 43 s left; waits for client-0000, client-0001, client-0003 "
        "(away) and 1 more");
    struct msg paused = {.type = MSG_PAUSED, .paused.why = PAUSE_BATTERY};
    world_say(&w, 1, &paused);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_not_null(strstr(text, "client-0000, client-0001 (paused: on battery), client-0003"),
                       "%s", text);
    paused.paused.why = PAUSE_NONE;
    world_say(&w, 1, &paused);
    core_status(w.core, w.now, text, sizeof text);
    cr_assert_null(strstr(text, "paused"), "%s", text);
    char small[8];
    core_status(w.core, w.now, small, sizeof small);
    cr_assert_str_eq(small, "round 1");
    world_close(&w);
}

Test(core, numbers_that_contradict_each_other_are_refused)
{
    struct world w;
    world_open(&w, 4, 2, 1, 3);
    struct core_config c = world_config(&w);
    struct core *core = NULL;
    const struct federation_spec good = w.spec.federation;
    struct federation_spec bad[4];
    for (int i = 0; i < 4; i++)
        bad[i] = good;
    bad[0].per_round = 5;
    bad[1].quorum = 3;
    bad[2].per_round = 0;
    bad[3].deadline_s = 0;
    for (int i = 0; i < 4; i++) {
        struct err e = {0};
        w.spec.federation = bad[i];
        cr_assert_eq(core_open(&core, &c, 0, &e), ERR_CONFIG);
        cr_assert_neq(e.text[0], '\0');
        cr_assert_null(core);
    }
    w.spec.federation = good;
    world_close(&w);
}
