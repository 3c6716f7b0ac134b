/* A run in earnest, then its rounds once more from the journal. */
#include "robots.h"
#include "server/replay.h"
#include "server/store_state.h"

static struct store *open_rounds(const struct deployment *d)
{
    struct store *s = NULL;
    struct err e = {0};
    cr_assert_eq(store_open(&s, run_database(d), STORE_WRITE, &e), 0, "%s", e.text);
    return s;
}

static int replay(const struct deployment *d, uint32_t round, struct replayed *out, struct err *e)
{
    struct runs_reader run;
    cr_assert_eq(runs_read(&run, d->config, NULL, e), 0, "%s", e->text);
    int rc = replay_round(&run, round, out, e);
    runs_close(&run);
    return rc;
}

static void damage(const struct deployment *d, const char *script)
{
    struct store *s = open_rounds(d);
    struct err e = {0};
    cr_assert_eq(sql_script(&s->sql, "damaging", script, &e), 0, "%s", e.text);
    store_close(s);
}

static void play(struct deployment *d, const char *const *more, size_t n, unsigned kill_after)
{
    struct robot r[ROBOTS] = {0};
    deployment_make(d, more, n);
    robots_play(d, r, kill_after);
    for (int k = 0; k < ROBOTS; k++)
        robot_release(&r[k]);
}

Test(replay, gives_what_was_committed)
{
    static const char *const more[] = {"federation.optimizer=fedadam", "federation.rounds=3",
                                       "journal_rounds=10"};
    struct deployment d;
    struct replayed got;
    struct err e = {0};
    play(&d, more, 3, 0);
    for (uint32_t round = 1; round <= 3; round++) { /* beside the running server */
        cr_assert_eq(replay(&d, round, &got, &e), 0, "%s", e.text);
        cr_assert(got.same && got.round == round - 1 && got.updates == ROBOTS);
        cr_assert(hash_same(&got.computed, &got.committed));
    }
    cr_assert_eq(replay(&d, 0, &got, &e), 0, "%s", e.text);
    cr_assert(got.same && got.round == 2);
    cr_assert_eq(replay(&d, 4, &got, &e), ERR_STATE);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

Test(replay, recomputes_what_compares_updates)
{
    static const char *const more[] = {"federation.aggregator=median", "federation.rounds=2",
                                       "journal_rounds=10", "federation.max_update_norm=100"};
    struct deployment d;
    struct replayed got;
    struct err e = {0};
    play(&d, more, 4, 0);
    for (uint32_t round = 1; round <= 2; round++) {
        cr_assert_eq(replay(&d, round, &got, &e), 0, "%s", e.text);
        cr_assert(got.same && got.updates == ROBOTS);
    }
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

Test(replay, recomputes_rounds_without_a_selection)
{
    static const char *const more[] = {"federation.mode=async", "federation.per_round=2",
                                       "federation.rounds=5", "journal_rounds=10"};
    struct deployment d;
    struct replayed got;
    struct err e = {0};
    play(&d, more, 4, 0);
    for (uint32_t round = 1; round <= 5; round++) {
        cr_assert_eq(replay(&d, round, &got, &e), 0, "round %u: %s", round, e.text);
        cr_assert(got.same && got.updates == 2, "round %u", round);
    }
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    deployment_remove(&d);
}

Test(replay, notices_what_was_changed)
{
    static const char *const more[] = {"federation.optimizer=fedavgm", "federation.rounds=3",
                                       "journal_rounds=3"};
    struct deployment d;
    struct replayed got;
    struct err e = {0};
    play(&d, more, 3, 1);
    cr_assert_eq(server_stop_by(&d, SIGTERM), 0);
    damage(&d, "UPDATE round SET hash = zeroblob(32) WHERE number = 2");
    cr_assert_eq(replay(&d, 3, &got, &e), 0, "%s", e.text);
    cr_assert_not(got.same);
    cr_assert_eq(replay(&d, 2, &got, &e), 0);
    cr_assert(got.same);
    damage(&d, "UPDATE journal SET samples = 11 WHERE round = 1 AND client = 'client-0001'");
    cr_assert_eq(replay(&d, 2, &got, &e), 0);
    cr_assert_not(got.same);
    damage(&d, "UPDATE journal SET params = x'01' || substr(params, 2) WHERE round = 1");
    cr_assert_eq(replay(&d, 2, &got, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "damaged"), "%s", e.text);
    damage(&d, "DELETE FROM journal WHERE round = 0 AND client = 'client-0002'");
    cr_assert_eq(replay(&d, 1, &got, &e), ERR_IO);
    damage(&d, "DELETE FROM attempt WHERE round = 0");
    cr_assert_eq(replay(&d, 1, &got, &e), ERR_USAGE);
    cr_assert_not_null(strstr(e.text, "journal_rounds"), "%s", e.text);
    deployment_remove(&d);
}
