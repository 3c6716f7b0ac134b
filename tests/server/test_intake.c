/* Updates that come in parts: what is kept of them, what is refused, who gives way. */
#include "server/intake.h"
#include <criterion/criterion.h>
#include <string.h>
#include <sys/stat.h>

enum { LENGTH = 2 * MSG_CHUNK + 1000 };

static struct intake intake;
static struct core_uploads all;
static struct member member[4];
static struct session session[4];
static unsigned char bytes[LENGTH];
static core_time now;

static void setup(void)
{
    memset(member, 0, sizeof member);
    memset(session, 0, sizeof session);
    for (int k = 0; k < 4; k++) {
        session[k].state = SESSION_READY;
        member[k].session = &session[k];
    }
    for (size_t i = 0; i < LENGTH; i++)
        bytes[i] = (unsigned char)(i * 7 + i / 251);
    now = 5000;
    all = (struct core_uploads){0};
    intake_init(&intake, LENGTH, &all);
}

static void fini(void)
{
    intake_release(&intake);
}

TestSuite(intake, .init = setup, .fini = fini);

static struct msg_part part_of(char id, size_t offset, size_t n)
{
    return (struct msg_part){.round = 3,
                             .update_id = hash_of(&id, 1),
                             .length = LENGTH,
                             .offset = offset,
                             .data = {bytes + offset, n}};
}

static void expect_at(int line, int k, const struct msg_part *p, enum msg_reason reason,
                      size_t next)
{
    size_t at = 77;
    cr_assert_eq(intake_part(&intake, &member[k], p, now, &at), reason, "line %d", line);
    cr_assert_eq(at, reason == REASON_NONE ? next : 77, "line %d: %zu", line, at);
}
#define expect_part(k, p, reason, next) expect_at(__LINE__, k, &(p), reason, next)

static void ask(int k, char id, size_t next)
{
    struct msg_part p = part_of(id, 0, 0);
    expect_part(k, p, REASON_NONE, next);
}

static void send_all(int k, char id)
{
    for (size_t at = 0, n; at < LENGTH; at += n) {
        n = LENGTH - at < MSG_CHUNK ? LENGTH - at : MSG_CHUNK;
        struct msg_part p = part_of(id, at, n);
        expect_part(k, p, REASON_NONE, at + n);
    }
}

static struct msg_update update_of(char id, size_t params)
{
    return (struct msg_update){.round = 3,
                               .update_id = hash_of(&id, 1),
                               .params = {NULL, params},
                               .control = {NULL, LENGTH - params},
                               .uploaded = true};
}

static void expect_whole(int k, char id)
{
    struct msg_update u = update_of(id, LENGTH - 500);
    cr_assert_eq(intake_whole(&intake, &member[k], &u), REASON_NONE);
    cr_assert_not(u.uploaded);
    cr_assert_arr_eq(u.params.data, bytes, LENGTH - 500);
    cr_assert_arr_eq(u.control.data, bytes + LENGTH - 500, 500);
}

Test(intake, parts_of_several_clients_make_their_updates)
{
    for (int k = 0; k < 4; k++)
        ask(k, (char)('a' + k), 0);
    for (int k = 0; k < 4; k++)
        send_all(k, (char)('a' + k));
    for (int k = 3; k >= 0; k--) {
        ask(k, (char)('a' + k), LENGTH);
        expect_whole(k, (char)('a' + k));
        expect_whole(k, (char)('a' + k)); /* until it is dropped */
        intake_drop(&intake, &member[k]);
        ask(k, (char)('a' + k), 0);
    }
}

Test(intake, what_does_not_come_next_is_refused_and_disturbs_nothing)
{
    struct msg_part first = part_of('a', 0, MSG_CHUNK), second = part_of('a', MSG_CHUNK, 1000);
    expect_part(0, first, REASON_PART, 0); /* nobody has asked */
    ask(0, 'a', 0);
    ask(1, 'b', 0);
    expect_part(0, second, REASON_PART, 0); /* a gap */
    expect_part(0, first, REASON_NONE, MSG_CHUNK);
    expect_part(0, first, REASON_PART, 0);  /* a duplicate */
    expect_part(1, second, REASON_PART, 0); /* another client's */
    struct msg_part odd[] = {second, second, second, second};
    odd[0].offset--;
    odd[1].length++;
    odd[2].update_id = hash_of("b", 1);
    odd[3].round++;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        expect_part(0, odd[i], i == 1 ? REASON_SHAPE : REASON_PART, 0);
    odd[1].length = LENGTH - 1;
    expect_part(0, odd[1], REASON_PART, 0);
    ask(0, 'a', MSG_CHUNK);
    ask(1, 'b', 0);
    expect_part(0, second, REASON_NONE, MSG_CHUNK + 1000);
}

Test(intake, an_update_is_whole_or_not_at_all)
{
    struct msg_update u = update_of('a', LENGTH);
    cr_assert_eq(intake_whole(&intake, &member[0], &u), REASON_PART);
    ask(0, 'a', 0);
    struct msg_part first = part_of('a', 0, MSG_CHUNK);
    expect_part(0, first, REASON_NONE, MSG_CHUNK);
    cr_assert_eq(intake_whole(&intake, &member[0], &u), REASON_PART);
    ask(0, 'b', 0); /* another update takes its place */
    send_all(0, 'b');
    cr_assert_eq(intake_whole(&intake, &member[0], &u), REASON_PART);
    u = update_of('b', LENGTH - 1);
    u.control.len = 0;
    cr_assert_eq(intake_whole(&intake, &member[0], &u), REASON_PART);
    u.params.len = LENGTH + 1;
    u.control.len = (size_t)-1; /* which with params is LENGTH again */
    cr_assert_eq(intake_whole(&intake, &member[0], &u), REASON_PART);
    u = update_of('b', LENGTH);
    u.round = 4;
    cr_assert_eq(intake_whole(&intake, &member[0], &u), REASON_PART);
    cr_assert_null(u.params.data);
    expect_whole(0, 'b');
}

Test(intake, lengths_that_cannot_be_are_refused)
{
    struct msg_part p = part_of('a', 0, 0);
    p.length = LENGTH + 1;
    expect_part(0, p, REASON_SHAPE, 0);
    cr_assert_eq(intake.fd, -1);
    cr_assert_null(intake.partial);
}

static void two_places(void)
{
    intake_release(&intake);
    intake_init(&intake, INTAKE_BYTES / 2 - 65536, &all);
    cr_assert_eq(intake.places, 2);
    ask(0, 'a', 0);
    now++;
    ask(1, 'b', 0);
    now++;
}

Test(intake, who_is_away_gives_way_and_who_is_here_does_not)
{
    two_places();
    struct msg_part c = part_of('c', 0, 0), first = part_of('a', 0, MSG_CHUNK);
    expect_part(0, first, REASON_NONE, MSG_CHUNK);
    expect_part(2, c, REASON_INTERNAL, 0);
    member[0].session = NULL;
    session[1].state = SESSION_WELCOMED;
    expect_part(2, c, REASON_NONE, 0); /* 1 has been silent for longer */
    member[0].session = &session[0];
    session[1].state = SESSION_READY;
    ask(0, 'a', MSG_CHUNK);
    struct msg_part b = part_of('b', 0, 0);
    expect_part(1, b, REASON_INTERNAL, 0);
    intake_drop(&intake, &member[2]);
    expect_part(1, b, REASON_NONE, 0);
}

Test(intake, another_update_of_a_client_takes_its_own_place)
{
    ask(0, 'a', 0);
    ask(1, 'c', 0);
    send_all(0, 'a');
    expect_whole(0, 'a');
    all.taken += INTAKE_BYTES; /* by other runs */
    size_t taken = all.taken;
    ask(0, 'b', 0);
    cr_assert_eq(all.taken, taken);
    send_all(0, 'b');
    expect_whole(0, 'b');
    all.taken -= INTAKE_BYTES;
}

Test(intake, who_has_stalled_gives_way)
{
    two_places();
    struct msg_part c = part_of('c', 0, 0), b = part_of('b', 0, MSG_CHUNK);
    expect_part(1, b, REASON_NONE, MSG_CHUNK);
    now = 5000 + INTAKE_STALLED_MS - 1;
    expect_part(2, c, REASON_INTERNAL, 0);
    now++;
    expect_part(2, c, REASON_NONE, 0); /* in place of 0 */
    ask(1, 'b', MSG_CHUNK);
    struct msg_part a = part_of('a', 0, 0);
    expect_part(0, a, REASON_INTERNAL, 0);
}

Test(intake, what_is_idle_is_dropped_in_its_time)
{
    cr_assert_eq(intake_deadline(&intake), CORE_NEVER);
    ask(0, 'a', 0);
    struct msg_part first = part_of('a', 0, MSG_CHUNK);
    now += 1000;
    expect_part(0, first, REASON_NONE, MSG_CHUNK);
    ask(1, 'b', 0);
    member[0].session = NULL;
    now += 1000;
    struct msg_part b = part_of('b', 0, MSG_CHUNK);
    expect_part(1, b, REASON_NONE, MSG_CHUNK);
    cr_assert_eq(intake_deadline(&intake), 6000 + INTAKE_IDLE_MS);
    intake_expire(&intake, 6000 + INTAKE_IDLE_MS - 1);
    cr_assert_eq(intake.taken, 2);
    intake_expire(&intake, 6000 + INTAKE_IDLE_MS);
    cr_assert_eq(intake.taken, 1);
    cr_assert_eq(intake_deadline(&intake), 7000 + INTAKE_IDLE_MS);
    ask(1, 'b', MSG_CHUNK);
    ask(0, 'a', 0); /* anew */
}

Test(intake, the_file_is_empty_when_nobody_uploads)
{
    struct stat s;
    ask(0, 'a', 0);
    send_all(0, 'a');
    ask(1, 'b', 0);
    intake_drop(&intake, &member[0]);
    cr_assert_eq(fstat(intake.fd, &s), 0);
    cr_assert_gt(s.st_size, 0);
    intake_drop(&intake, &member[1]);
    intake_drop(&intake, &member[1]);
    cr_assert_eq(fstat(intake.fd, &s), 0);
    cr_assert_eq(s.st_size, 0);
    ask(0, 'a', 0);
    send_all(0, 'a');
    expect_whole(0, 'a');
}
