/* A model with its tokenizer, which rests between readings. */
#include "base/file.h"
#include "client/backbone.h"
#include "toy.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char dir[64], vocab[128], data[128];

static void write_to(const char *path, const char *text)
{
    struct err e;
    cr_assert_eq(file_write(path, text, strlen(text), 0644, &e), 0, "%s", e.text);
}

static void setup(void)
{
    const struct random_model shape = {.type = "bert",
                                       .layers = 1,
                                       .hidden = 16,
                                       .heads = 2,
                                       .ffn = 32,
                                       .vocab = 7,
                                       .positions = 32,
                                       .deviation = 0.1f,
                                       .seed = 1};
    struct err e;
    snprintf(dir, sizeof dir, "/tmp/fedpet-backbone-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(random_model_write(&shape, dir, &e), 0, "%s", e.text);
    snprintf(vocab, sizeof vocab, "%s/vocab.txt", dir);
    snprintf(data, sizeof data, "%s/data.jsonl", dir);
    write_to(data, "{\"text\": \"good bad\", \"label\": 1}\n");
}

static void fini(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_expect_eq(system(command), 0);
}

TestSuite(backbone, .init = setup, .fini = fini);

static int read_data(struct backbone *b, int32_t *first, struct err *e)
{
    const struct task_spec task = {.name = (char *)"text", .data = data, .n_labels = 2};
    struct dataset *d;
    int rc = backbone_read(b, &task, SPLIT_TRAIN, 16, NULL, &d, e);
    if (rc)
        return rc;
    *first = d->example[0].id[1];
    dataset_close(d);
    return 0;
}

/* The weights are those of the tokenizer that there was: no other one may read for them. */
Test(backbone, goes_on_after_a_rest_with_its_own_tokenizer_alone)
{
    static const char own[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\nbad\n";
    static const char other[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nbad\ngood\n";
    struct backbone b;
    struct err e;
    int32_t first = 0;
    write_to(vocab, own);
    cr_assert_eq(backbone_open(&b, dir, &e), 0, "%s", e.text);
    for (int again = 0; again < 2; again++) {
        backbone_rest(&b);
        cr_expect_null(b.tokenizer);
        write_to(vocab, other);
        cr_expect_eq(read_data(&b, &first, &e), ERR_MODEL);
        cr_expect_not_null(strstr(e.text, "not the one"), "%s", e.text);
        cr_expect_null(b.tokenizer);
        cr_assert_eq(unlink(vocab), 0);
        cr_expect_neq(read_data(&b, &first, &e), 0);
        write_to(vocab, own);
        cr_assert_eq(read_data(&b, &first, &e), 0, "%s", e.text);
        cr_expect_eq(first, 5);
    }
    backbone_close(&b);
}
