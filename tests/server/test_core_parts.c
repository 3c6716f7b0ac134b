/* Updates that come in parts, in rounds of every kind: what happens to those under way when a round
 * closes, fails or is followed by the next, and when their clients are gone. */
#include "server/intake.h"
#include "server/pending.h"
#include "world.h"
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH = 4 * (WORLD_VALUES - 1) }; /* one of them is LOCAL */

/* Says a part of client k's update: `n` bytes from `at`, or with none the question where to go on.
 */
static void say_part(struct world *w, int k, uint32_t round, size_t at, size_t n)
{
    unsigned char packed[4 * WORLD_VALUES];
    struct msg u = world_update(w, k, round, packed);
    cr_assert_eq(u.update.params.len, LENGTH);
    world_say(w, k,
              &(struct msg){.type = MSG_PART,
                            .part = {.run_id = u.update.run_id,
                                     .round = round,
                                     .update_id = u.update.update_id,
                                     .length = LENGTH,
                                     .offset = at,
                                     .data = {packed + at, n}}});
}

static void say_end(struct world *w, int k, uint32_t round)
{
    unsigned char packed[4 * WORLD_VALUES];
    struct msg u = world_update(w, k, round, packed);
    u.update.uploaded = true;
    u.update.params.data = u.update.control.data = NULL;
    world_say(w, k, &u);
}

static void expect_offset(int line, const struct world *w, int k, unsigned answers, size_t offset)
{
    cr_assert_eq(w->client[k].heard[MSG_PROCEED], answers, "line %d: %u", line,
                 w->client[k].heard[MSG_PROCEED]);
    cr_assert_eq(w->client[k].proceed.offset, offset, "line %d: %zu", line,
                 w->client[k].proceed.offset);
}
#define EXPECT_OFFSET(k, answers, at) expect_offset(__LINE__, &w, k, answers, at)

static void begin_upload(struct world *w, int k, uint32_t round)
{
    unsigned before = w->client[k].heard[MSG_PROCEED];
    say_part(w, k, round, 0, 0);
    say_part(w, k, round, 0, 8);
    expect_offset(__LINE__, w, k, before + 2, 8);
}

static void upload_rest(struct world *w, int k, uint32_t round)
{
    say_part(w, k, round, 8, LENGTH - 8);
    say_end(w, k, round);
}

/* Bytes of files without a name that this process has open. */
static size_t nameless_bytes(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t bytes = 0;
    cr_assert_not_null(d);
    for (const struct dirent *f; (f = readdir(d)) != NULL;) {
        struct stat s;
        int fd = (int)strtol(f->d_name, NULL, 10);
        if (f->d_name[0] != '.' && fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_nlink == 0)
            bytes += (size_t)s.st_size;
    }
    closedir(d);
    return bytes;
}

Test(parts, make_the_same_round_as_whole_updates)
{
    struct world w;
    struct hash want = {{0}};
    for (int in_parts = 0; in_parts < 2; in_parts++) {
        world_open(&w, 3, 3, 0, 2);
        world_join_all(&w, 3);
        for (int k = 0; k < 3; k++) {
            if (in_parts == 0) {
                world_deliver(&w, k, 0);
            } else {
                begin_upload(&w, k, 0);
                upload_rest(&w, k, 0);
            }
            cr_assert(w.client[k].receipt.accepted);
        }
        cr_assert_eq(w.commits, 1);
        if (in_parts == 0)
            want = w.commit[0].hash;
        cr_assert(hash_same(&want, &w.commit[0].hash));
        world_close(&w);
    }
}

Test(parts, a_round_that_closes_refuses_what_is_under_way_and_frees_it)
{
    struct world w;
    world_open(&w, 4, 2, 0, 3);
    w.spec.federation.over_select = 2;
    world_reopen(&w);
    world_join_all(&w, 4);
    size_t before = nameless_bytes();
    begin_upload(&w, 2, 0);
    begin_upload(&w, 3, 0);
    cr_assert_gt(nameless_bytes(), before);
    w.hold = true;
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(nameless_bytes(), before);
    cr_assert_eq(w.client[2].withdrawn, 1);
    say_part(&w, 2, 0, 8, 8); /* it had left before the word came */
    EXPECT_OFFSET(2, 2, 8);
    cr_assert_eq(w.client[2].receipt.reason, REASON_LATE);
    cr_assert_not(msg_withdraws(&w.client[2].receipt));
    cr_assert_neq(w.client[2].conn, 0);
    world_commit(&w);
    say_end(&w, 3, 0);
    cr_assert_eq(w.client[3].receipt.reason, REASON_LATE);
    cr_assert_eq(nameless_bytes(), before);
    begin_upload(&w, 3, 1); /* and it takes part in the next */
    upload_rest(&w, 3, 1);
    cr_assert(w.client[3].receipt.accepted);
    world_close(&w);
}

Test(parts, a_new_attempt_goes_on_where_the_last_one_failed)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    world_join_all(&w, 2);
    begin_upload(&w, 0, 0);
    world_pass(&w, 61 * 1000);
    cr_assert_eq(w.begins, 2);
    cr_assert_eq(w.client[0].heard[MSG_TASK], 2);
    say_part(&w, 0, 0, 0, 0);
    EXPECT_OFFSET(0, 3, 8);
    upload_rest(&w, 0, 0);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.commits, 1);
    world_close(&w);
}

Test(parts, of_a_client_that_does_not_come_back_are_dropped)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    w.spec.federation.deadline_s = 24 * 3600;
    world_reopen(&w);
    world_join_all(&w, 2);
    size_t before = nameless_bytes();
    begin_upload(&w, 0, 0);
    world_disconnect(&w, 0);
    cr_assert_eq(core_deadline(w.core), w.now + INTAKE_IDLE_MS);
    world_pass(&w, INTAKE_IDLE_MS - 1);
    cr_assert_gt(nameless_bytes(), before);
    world_pass(&w, 1);
    cr_assert_eq(nameless_bytes(), before);
    world_join(&w, 0);
    say_part(&w, 0, 0, 0, 0);
    EXPECT_OFFSET(0, 3, 0); /* anew */
    world_close(&w);
}

Test(parts, an_impossible_length_does_not_hold_up_the_round)
{
    struct world w;
    world_open(&w, 3, 3, 2, 1);
    world_join_all(&w, 3);
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    world_say(&w, 2,
              &(struct msg){.type = MSG_PART,
                            .part = {.run_id = "0123456789abcdef", .length = (size_t)1 << 30}});
    cr_assert_eq(w.client[2].receipt.reason, REASON_SHAPE);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 2);
    cr_assert_eq(w.commit[0].refused, 1);
    world_close(&w);
}

Test(parts, an_update_that_waits_for_the_disk_is_not_asked_for_again)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    world_join_all(&w, 2);
    w.hold_updates = true;
    begin_upload(&w, 0, 0);
    upload_rest(&w, 0, 0);
    cr_assert_eq(w.client[0].heard[MSG_RECEIPT], 0);
    world_disconnect(&w, 0);
    world_join(&w, 0);
    say_part(&w, 0, 0, 0, 0); /* waits for the disk: neither bytes nor a refusal */
    EXPECT_OFFSET(0, 3, LENGTH);
    cr_assert_eq(w.client[0].heard[MSG_RECEIPT], 0);
    world_stored(&w, 0, true);
    cr_assert(w.client[0].receipt.accepted);
    world_close(&w);
}

/* A round of five, with memory for two updates with all metrics, or three with none. */
static void open_narrow(struct world *w, uint32_t deadline_s)
{
    world_open(w, 5, 5, 2, 1);
    w->spec.federation.deadline_s = deadline_s;
    w->max_waiting = 2 * (pending_size(&(struct msg_update){.params.len = LENGTH}) + 1024);
    world_reopen(w);
    world_join_all(w, 5);
    w->hold_updates = true;
    for (int k = 0; k < 5; k++) {
        begin_upload(w, k, 0);
        say_part(w, k, 0, 8, LENGTH - 8);
        expect_offset(__LINE__, w, k, k < 2 ? 3 : 2, k < 2 ? LENGTH : 8);
    }
}

Test(parts, the_end_of_an_upload_waits_for_room_and_nobody_is_sent_away)
{
    struct world w;
    open_narrow(&w, 60);
    say_end(&w, 0, 0);
    EXPECT_OFFSET(2, 2, 8);
    say_end(&w, 1, 0);
    EXPECT_OFFSET(2, 3, LENGTH);
    EXPECT_OFFSET(3, 2, 8);
    world_disconnect(&w, 2); /* the room that it was promised is another's */
    EXPECT_OFFSET(3, 3, LENGTH);
    say_end(&w, 3, 0);
    world_join(&w, 2);
    say_part(&w, 2, 0, 0, 0);
    EXPECT_OFFSET(2, 3, LENGTH); /* as before: no answer */
    world_stored(&w, 0, true);
    EXPECT_OFFSET(4, 3, LENGTH); /* its connection is the older one */
    EXPECT_OFFSET(2, 3, LENGTH);
    say_end(&w, 4, 0);
    world_stored(&w, 1, true);
    EXPECT_OFFSET(2, 4, LENGTH);
    say_end(&w, 2, 0);
    for (int k = 2; k < 5; k++)
        world_stored(&w, k, true);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.commit[0].n, 5);
    for (int k = 0; k < 5; k++) {
        cr_assert(w.client[k].receipt.accepted, "%d", k);
        cr_assert_eq(w.client[k].heard[MSG_GOODBYE], 0, "%d", k);
    }
    world_close(&w);
}

/* Connected, but stopped, it answers nothing; the kernel keeps its connection. */
Test(parts, room_that_a_silent_client_was_promised_is_another_ones_in_a_minute)
{
    struct world w;
    open_narrow(&w, 24 * 3600);
    say_end(&w, 1, 0);
    EXPECT_OFFSET(2, 2, 8);
    cr_assert_eq(core_deadline(w.core), w.now + INTAKE_STALLED_MS);
    world_pass(&w, INTAKE_STALLED_MS - 1);
    EXPECT_OFFSET(2, 2, 8);
    world_pass(&w, 1);
    EXPECT_OFFSET(2, 3, LENGTH);
    EXPECT_OFFSET(3, 2, 8);
    cr_assert_eq(core_deadline(w.core), w.now + INTAKE_STALLED_MS); /* of 2 */
    say_end(&w, 2, 0);
    world_stored(&w, 1, true);
    say_end(&w, 0, 0); /* late, but there is room again */
    world_stored(&w, 0, true);
    cr_assert(w.client[0].receipt.accepted);
    world_close(&w);
}

Test(parts, an_update_in_one_message_that_finds_no_room_comes_again)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    w.max_waiting = 1; /* one in any case */
    world_reopen(&w);
    world_join_all(&w, 2);
    w.hold_updates = true;
    world_deliver(&w, 0, 0);
    world_deliver(&w, 1, 0);
    cr_assert_eq(w.client[1].heard[MSG_RECEIPT], 0);
    cr_assert_eq(w.client[1].goodbye.reason, REASON_INTERNAL);
    cr_assert_gt(w.client[1].goodbye.retry_after_s, 0);
    world_stored(&w, 0, true);
    world_join(&w, 1);
    world_deliver(&w, 1, 0);
    world_stored(&w, 1, true);
    cr_assert(w.client[1].receipt.accepted);
    cr_assert_eq(w.commits, 1);
    world_close(&w);
}

Test(parts, that_wait_for_the_disk_are_bounded_by_one_that_is_larger_than_the_bound)
{
    cr_assert(pending_fits(9, 0, 8));
    cr_assert(pending_fits(4, 4, 8));
    cr_assert_not(pending_fits(5, 4, 8));
    cr_assert_not(pending_fits(1, 9, 8));
}

Test(parts, a_round_that_closes_answers_who_waits_for_room)
{
    struct world w;
    open_narrow(&w, 60);
    say_end(&w, 0, 0);
    world_pass(&w, 61 * 1000);
    world_disconnect(&w, 1);
    EXPECT_OFFSET(2, 3, LENGTH);
    say_end(&w, 2, 0);
    EXPECT_OFFSET(4, 2, 8);
    world_stored(&w, 0, true);
    EXPECT_OFFSET(3, 3, LENGTH);
    world_stored(&w, 2, true);
    cr_assert_eq(w.commits, 1);
    cr_assert_eq(w.client[4].receipt.reason, REASON_LATE);
    say_end(&w, 3, 0);
    cr_assert_eq(w.client[3].receipt.reason, REASON_LATE);
    for (int k = 0; k < 5; k++)
        cr_assert_eq(w.client[k].heard[MSG_GOODBYE], 0, "%d", k);
    world_close(&w);
}

Test(parts, an_upload_waits_for_a_place_until_another_ends_or_stalls)
{
    struct core_uploads one_place = {.room = 1};
    struct world w;
    world_open(&w, 3, 3, 0, 1);
    w.spec.federation.deadline_s = 24 * 3600;
    w.uploads = &one_place;
    world_reopen(&w);
    world_join_all(&w, 3);
    begin_upload(&w, 0, 0);
    say_part(&w, 1, 0, 0, 0);
    say_part(&w, 2, 0, 0, 0);
    EXPECT_OFFSET(1, 0, 0);
    upload_rest(&w, 0, 0);
    cr_assert(w.client[0].receipt.accepted);
    EXPECT_OFFSET(1, 1, 0);
    EXPECT_OFFSET(2, 0, 0);
    cr_assert_eq(core_deadline(w.core), w.now + INTAKE_STALLED_MS);
    world_pass(&w, INTAKE_STALLED_MS - 1);
    EXPECT_OFFSET(2, 0, 0);
    world_pass(&w, 1); /* 1 has said nothing since */
    EXPECT_OFFSET(2, 1, 0);
    say_part(&w, 2, 0, 0, LENGTH);
    say_end(&w, 2, 0);
    cr_assert(w.client[2].receipt.accepted);
    say_part(&w, 1, 0, 0, 0);
    say_part(&w, 1, 0, 0, LENGTH);
    say_end(&w, 1, 0);
    cr_assert_eq(w.commits, 1);
    world_close(&w);
}

Test(parts, of_several_runs_share_the_servers_room)
{
    const size_t two_places = 2 * (size_t)sysconf(_SC_PAGESIZE);
    struct core_uploads all = {.room = two_places + 2};
    struct world first, second, *run[] = {&first, &second};
    for (int i = 0; i < 2; i++) {
        world_open(run[i], 2, 2, 0, 1);
        run[i]->spec.federation.deadline_s = 24 * 3600;
        run[i]->uploads = &all;
        world_reopen(run[i]);
        world_join_all(run[i], 2);
    }
    begin_upload(&first, 0, 0);
    begin_upload(&first, 1, 0);
    cr_assert_eq(all.taken, two_places);
    begin_upload(&second, 0, 0); /* one place in any case */
    say_part(&second, 1, 0, 0, 0);
    expect_offset(__LINE__, &second, 1, 0, 0);
    cr_assert_eq(core_deadline(second.core), second.now + INTAKE_LOOK_MS);
    world_pass(&second, INTAKE_LOOK_MS);
    expect_offset(__LINE__, &second, 1, 0, 0);
    upload_rest(&first, 0, 0);
    upload_rest(&first, 1, 0);
    cr_assert_eq(first.commits, 1);
    world_pass(&second, INTAKE_LOOK_MS);
    expect_offset(__LINE__, &second, 1, 1, 0);
    cr_assert_eq(all.taken, two_places);
    world_close(&second); /* with what is under way */
    cr_assert_eq(all.taken, 0);
    world_close(&first);
}

Test(parts, of_another_runs_update_are_refused)
{
    struct world w;
    world_open(&w, 2, 2, 0, 1);
    world_join_all(&w, 2);
    size_t before = nameless_bytes();
    for (size_t n = 0; n <= 8; n += 8) {
        unsigned char bytes[8] = {0};
        w.client[0].receipt = (struct msg_receipt){0};
        world_say(
            &w, 0,
            &(struct msg){
                .type = MSG_PART,
                .part = {.run_id = "fedcba9876543210", .length = LENGTH, .data = {bytes, n}}});
        cr_assert_eq(w.client[0].receipt.reason, REASON_RUN);
    }
    cr_assert_eq(w.client[0].heard[MSG_PROCEED], 0);
    cr_assert_eq(nameless_bytes(), before);
    begin_upload(&w, 0, 0);
    upload_rest(&w, 0, 0);
    cr_assert(w.client[0].receipt.accepted);
    world_close(&w);
}

/* --- rounds that overlap -------------------------------------------------------------------- */

static void open_async(struct world *w, uint32_t staleness)
{
    world_open(w, 3, 2, 0, 20);
    w->spec.federation.mode = MODE_ASYNC;
    w->spec.federation.concurrency = 3;
    w->spec.federation.max_staleness = staleness;
    world_reopen(w);
    world_join_all(w, 3);
}

/* A round without client 2, who has the task of round 0. */
static void others_make_a_round(struct world *w)
{
    uint32_t round = core_round(w->core);
    for (int k = 0; k < 2; k++)
        world_deliver(w, k, w->client[k].task_round);
    cr_assert_eq(w->commits, round + 1);
}

Test(parts, of_a_stale_but_usable_update_go_on_over_rounds)
{
    struct hash hash[2];
    for (int in_parts = 0; in_parts < 2; in_parts++) {
        struct world w;
        open_async(&w, 3);
        if (in_parts)
            begin_upload(&w, 2, 0);
        others_make_a_round(&w);
        if (in_parts) {
            world_disconnect(&w, 2);
            world_connect(&w, 2);
            world_hello(&w, 2);
            world_say(&w, 2,
                      &(struct msg){.type = MSG_READY,
                                    .ready = {.schema = w.schema.hash,
                                              .model = hash_of("model", 5),
                                              .samples = 10,
                                              .at_work = 1}});
            say_part(&w, 2, 0, 0, 0);
            EXPECT_OFFSET(2, 3, 8);
        }
        w.hold =
            true; /* the next round closes, and the last parts come before its successor opens */
        others_make_a_round(&w);
        if (in_parts)
            upload_rest(&w, 2, 0);
        else
            world_deliver(&w, 2, 0);
        cr_assert_eq(w.client[2].heard[MSG_RECEIPT], 0);
        if (in_parts) {
            say_part(&w, 2, 0, 0, 0); /* held: it is told when the round opens */
            EXPECT_OFFSET(2, 4, LENGTH);
        }
        w.hold = false;
        world_commit(&w);
        cr_assert(w.client[2].receipt.accepted);
        world_deliver(&w, 0, w.client[0].task_round);
        cr_assert_eq(w.commits, 3);
        cr_assert_eq(w.commit[2].n, 2);
        hash[in_parts] = w.commit[2].hash;
        world_close(&w);
    }
    cr_assert(hash_same(&hash[0], &hash[1]));
}

Test(parts, of_an_update_that_has_become_too_stale_are_dropped)
{
    struct world w;
    open_async(&w, 1);
    size_t before = nameless_bytes();
    begin_upload(&w, 2, 0);
    others_make_a_round(&w);
    cr_assert_gt(nameless_bytes(), before);
    others_make_a_round(&w);
    cr_assert_eq(nameless_bytes(), before);
    say_part(&w, 2, 0, 8, 8);
    cr_assert_eq(w.client[2].receipt.reason, REASON_LATE);
    EXPECT_OFFSET(2, 2, 8);
    world_close(&w);
}

Test(parts, of_a_crowd_go_on_although_all_places_are_taken)
{
    struct world w;
    world_open(&w, 3, 2, 0, 20);
    w.spec.federation.mode = MODE_ASYNC;
    w.spec.federation.concurrency = 2;
    w.spec.federation.max_staleness = 3;
    w.room = 2;
    world_reopen(&w);
    world_join_all(&w, 2);
    begin_upload(&w, 0, 0);
    world_disconnect(&w, 0);
    world_join(&w, 2); /* in its place */
    cr_assert_neq(w.client[2].conn, 0);
    world_connect(&w, 0);
    cr_assert_neq(w.client[0].conn, 0, "%s", w.client[0].goodbye.text);
    world_hello(&w, 0);
    world_say(&w, 0,
              &(struct msg){.type = MSG_READY,
                            .ready = {.schema = w.schema.hash,
                                      .model = hash_of("model", 5),
                                      .samples = 10,
                                      .at_work = 1}});
    say_part(&w, 0, 0, 0, 0);
    EXPECT_OFFSET(0, 3, 8);
    world_close(&w);
}
