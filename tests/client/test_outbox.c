/* The last update on disk: what is read back, for whom, and what damage does. */
#include "base/file.h"
#include "client/outbox.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LEN = 20 };

static char dir[64], path[128];
static struct outbox_key key;
static size_t sent;     /* bytes of the encoded parameters */
static uint32_t coding; /* how they are encoded */
static unsigned char params[LEN], control[LEN];

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/fedpet-outbox-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/" OUTBOX_FILE, dir);
    key = (struct outbox_key){.run_id = "0123456789abcdef", .index = 3, .len = LEN};
    memset(key.schema.byte, 7, sizeof key.schema.byte);
    sent = LEN;
    coding = 0;
    for (int i = 0; i < LEN; i++) {
        params[i] = (unsigned char)(i + 1);
        control[i] = (unsigned char)(100 + i);
    }
}

static void fini(void)
{
    unlink(path);
    cr_expect_eq(rmdir(dir), 0);
}

TestSuite(outbox, .init = setup, .fini = fini);

static void put(uint32_t round)
{
    struct err e;
    struct hash base = hash_of("base", 4);
    const struct agent_result r = {.params = params,
                                   .len = sent,
                                   .coding = coding,
                                   .control = key.scaffold ? control : NULL,
                                   .control_len = key.scaffold ? LEN : 0,
                                   .samples = 10,
                                   .steps = 4,
                                   .train_loss = 1.0 / 3,
                                   .seconds = 0.25,
                                   .n_metrics = 2,
                                   .metric = {{"accuracy", 0.5, 12}, {"f1", 0.75, 13}}};
    cr_assert_eq(outbox_write(dir, &key, round, &base, &r, &e), 0, "%s", e.text);
}

static bool is_there(void)
{
    struct outbox o;
    struct err e;
    bool found;
    cr_assert_eq(outbox_read(&o, dir, &key, &found, &e), 0, "%s", e.text);
    if (found)
        outbox_close(&o);
    return found;
}

static void check(uint32_t round)
{
    struct outbox o;
    struct err e;
    bool found;
    struct hash base = hash_of("base", 4);
    cr_assert_eq(outbox_read(&o, dir, &key, &found, &e), 0, "%s", e.text);
    cr_assert(found);
    cr_assert_eq(o.round, round);
    cr_assert(hash_same(&o.base, &base));
    cr_assert_eq(o.result.len, sent);
    cr_assert_eq(o.result.coding, coding);
    cr_assert_arr_eq(o.result.params, params, sent);
    cr_assert_eq(o.result.control_len, key.scaffold ? LEN : 0);
    if (key.scaffold)
        cr_assert_arr_eq(o.result.control, control, LEN);
    else
        cr_assert_null(o.result.control);
    cr_assert(o.result.samples == 10 && o.result.steps == 4 && o.result.seconds == 0.25);
    cr_assert_eq(o.result.train_loss, 1.0 / 3);
    cr_assert_eq(o.result.n_metrics, 2);
    cr_assert_str_eq(o.result.metric[1].name, "f1");
    cr_assert(o.result.metric[0].value == 0.5 && o.result.metric[1].weight == 13);
    outbox_close(&o);
}

Test(outbox, gives_back_what_was_put_last)
{
    cr_assert_not(is_there());
    put(4);
    check(4);
    put(5);
    check(5);
    outbox_remove(dir);
    cr_assert_not(is_there());
    outbox_remove(dir);
}

Test(outbox, holds_a_change_of_the_control_variate)
{
    key.scaffold = true;
    put(0);
    check(0);
}

Test(outbox, holds_what_is_encoded)
{
    for (int k = 0; k < 2; k++) {
        key.scaffold = k;
        sent = 7;
        coding = 35;
        put(2);
        check(2);
    }
}

Test(outbox, of_another_run_client_or_schema_is_ignored)
{
    const struct outbox_key mine = key;
    put(4);
    key.run_id[3] = 'x';
    cr_expect_not(is_there());
    key = mine;
    key.index++;
    cr_expect_not(is_there());
    key = mine;
    key.schema.byte[31]++;
    cr_expect_not(is_there());
    key = mine;
    key.len += 4;
    cr_expect_not(is_there());
    key = mine;
    key.scaffold = true;
    cr_expect_not(is_there());
    key = mine;
    cr_expect(is_there());
}

Test(outbox, damage_is_noticed)
{
    char *bytes;
    size_t len;
    struct outbox o;
    struct err e;
    bool found = true;
    put(4);
    cr_assert_eq(file_read(path, 1 << 20, &bytes, &len, NULL), 0);
    for (size_t at = sizeof "fedpet update 1"; at < len; at += len / 9) {
        bytes[at] ^= 1;
        cr_assert_eq(file_write(path, bytes, len, 0600, NULL), 0);
        int rc = outbox_read(&o, dir, &key, &found, &e);
        cr_expect(!found && (rc == ERR_IO || rc == 0)); /* 0: it is another's */
        bytes[at] ^= 1;
    }
    for (size_t cut = 0; cut < len; cut += len / 5) {
        cr_assert_eq(file_write(path, bytes, cut, 0600, NULL), 0);
        cr_expect_eq(outbox_read(&o, dir, &key, &found, &e), ERR_IO, "%zu bytes", cut);
        cr_expect_not(found);
    }
    cr_assert_eq(file_write(path, bytes, len, 0600, NULL), 0);
    check(4);
    free(bytes);
}

Test(outbox, a_folder_that_is_not_there_is_an_error)
{
    struct err e;
    struct hash base = {{0}};
    const struct agent_result r = {.params = params, .len = LEN};
    cr_assert_eq(outbox_write("/nonexistent/fedpet", &key, 0, &base, &r, &e), ERR_IO);
    cr_assert_not_null(strstr(e.text, "/nonexistent/fedpet"));
}
