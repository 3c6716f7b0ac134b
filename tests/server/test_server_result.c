#include "robots.h"
#include "server/export.h"

static struct hash export(const struct deployment *d, const char *round, uint32_t after)
{
    const char *dir = folder_file(&d->folder, "adapter");
    const struct schema *s = peft_schema(d->run.peft);
    float *theta = calloc(s->count, sizeof *theta);
    struct runs_reader run;
    struct err e = {0};
    uint32_t rounds;
    cr_assert_eq(runs_read(&run, d->config, NULL, NULL), 0);
    cr_assert_eq(export_round(&run, round, NULL, dir, &rounds, &e), 0, "%s", e.text);
    cr_assert_eq(rounds, after);
    cr_assert_eq(export_round(&run, "99", NULL, dir, &rounds, &e), ERR_USAGE);
    cr_assert_eq(export_round(&run, "worst", NULL, dir, &rounds, &e), ERR_USAGE);
    runs_close(&run);
    cr_assert_eq(peft_load(d->run.peft, dir, theta, &e), 0, "%s", e.text);
    struct hash h = tensorset_hash(s, theta);
    free(theta);
    folder_remove_tree(dir);
    return h;
}

static void hash_of_round(const struct deployment *d, size_t round, char hex[HASH_HEX])
{
    json_t *status = status_of(d), *row = json_array_get(json_object_get(status, "history"), round);
    cr_assert_not_null(row);
    snprintf(hex, HASH_HEX, "%s", json_string_value(json_object_get(row, "hash")));
    json_decref(status);
}

/* Round 2 of 8 is best, and after three that were not, the run ends with its sixth. */
static void play_for_the_best(struct deployment *d, unsigned kill_after, char last[HASH_HEX])
{
    static const double score[] = {0.9, 0.3, 0.8, 0.5, 0.4, 0.2, 0.9, 0.9};
    static const char *const more[] = {"federation.optimizer=fedyogi", "federation.rounds=8",
                                       "federation.best=true", "federation.patience=3"};
    struct robot r[ROBOTS] = {{.score = score}, {.score = score}, {.score = score}};
    const struct schema *s;
    char hex[HASH_HEX], best[HASH_HEX];
    deployment_make(d, more, sizeof more / sizeof *more);
    robots_play(d, r, kill_after);
    s = peft_schema(d->run.peft);
    hash_of_round(d, 1, best);
    hash_of_round(d, 5, last);
    for (int k = 0; k < ROBOTS; k++) {
        struct hash final = tensorset_hash(s, r[k].final);
        hash_hex(&final, hex);
        cr_assert_str_eq(hex, best);
        robot_release(&r[k]);
    }
    json_t *status = status_of(d), *found = json_object_get(status, "best");
    cr_assert_eq(json_integer_value(json_object_get(status, "done")), 6);
    cr_assert_eq(json_integer_value(json_object_get(found, "round")), 2);
    cr_assert_float_eq(json_number_value(json_object_get(found, "score")), 0.8, 1e-12);
    cr_assert_str_eq(json_string_value(json_object_get(found, "metric")), "accuracy");
    json_decref(status);
    cr_assert_eq(server_stop_by(d, SIGTERM), 0);
}

Test(server_result, killed_with_an_optimiser_it_ends_with_the_same_bits_and_the_same_best_round)
{
    struct deployment whole, killed;
    char want[HASH_HEX], got[HASH_HEX];
    play_for_the_best(&whole, 0, want);
    for (unsigned after = 1; after < 6; after += 2) {
        play_for_the_best(&killed, after, got);
        cr_assert_str_eq(got, want);
        deployment_remove(&killed);
    }
    deployment_remove(&whole);
}

Test(server_result, exports_the_best_round_unless_told_which)
{
    static const struct {
        const char *option;
        uint32_t rounds;
    } choice[] = {{NULL, 2}, {"best", 2}, {"latest", 6}, {"6", 6}, {"1", 1}};
    struct deployment d;
    char want[HASH_HEX], got[HASH_HEX];
    play_for_the_best(&d, 0, want);
    for (size_t i = 0; i < sizeof choice / sizeof *choice; i++) {
        struct hash h = export(&d, choice[i].option, choice[i].rounds);
        hash_hex(&h, got);
        hash_of_round(&d, choice[i].rounds - 1, want);
        cr_assert_str_eq(got, want, "choice %zu", i);
    }
    deployment_remove(&d);
}

Test(server_result, an_optimiser_that_runs_away_ends_the_server_and_nothing_is_stored)
{
    static const char *const more[] = {"federation.optimizer=fedavgm",
                                       "federation.server_lr=1000000",
                                       "federation.server_beta1=0.999", "federation.rounds=1000"};
    struct deployment d;
    struct robot r[ROBOTS] = {0};
    uv_loop_t loop;
    deployment_make(&d, more, sizeof more / sizeof *more);
    server_start(&d);
    uv_loop_init(&loop);
    for (int k = 0; k < ROBOTS; k++)
        robot_dial(&r[k], &loop, &d, k);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(server_wait(&d), ERR_STATE);
    json_t *status = status_of(&d);
    for (int k = 0; k < ROBOTS; k++) {
        cr_assert_not(r[k].finished);
        cr_assert_eq(r[k].goodbye.reason, REASON_STOPPING);
        cr_assert_eq(r[k].tasks, 1 + json_integer_value(json_object_get(status, "done")));
        robot_release(&r[k]);
    }
    json_decref(status);
    uv_loop_close(&loop);
    deployment_remove(&d);
}
