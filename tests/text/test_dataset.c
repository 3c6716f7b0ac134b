/* Data sets: official GLUE layouts, CSV, TSV and JSONL, and what is refused, with file and line. */
#include "support.h"
#include "text/dataset.h"
#include "text/table.h"

static char text_name[] = "text", sentence[] = "sentence", other[] = "other", label[] = "label";

static struct dataset *read_ok(const struct task_spec *task, enum split split, const char *column)
{
    struct tokenizer *t = golden_tokenizer("wordpiece");
    struct dataset *d = NULL;
    struct err e = {0};

    cr_assert_eq(dataset_open(&d, task, split, t, 32, column, &e), 0, "%s", e.text);
    tokenizer_close(t);
    return d;
}

static void refuse(const struct task_spec *task, enum split split, const char *column, int code,
                   const char *say)
{
    struct tokenizer *t = golden_tokenizer("wordpiece");
    struct dataset *d = NULL;
    struct err e = {0};

    cr_expect_eq(dataset_open(&d, task, split, t, 32, column, &e), code, "%d %s", e.code, e.text);
    cr_expect_null(d);
    cr_expect_not_null(strstr(e.text, say), "\"%s\" lacks \"%s\"", e.text, say);
    tokenizer_close(t);
}

static void expect_row(const struct dataset *d, size_t i, const char *text, const char *pair,
                       int32_t class)
{
    const struct example *x = &d->example[i];

    cr_expect_str_eq(x->text, text);
    if (pair)
        cr_expect_str_eq(x->text_pair, pair);
    else
        cr_expect_null(x->text_pair);
    cr_expect_eq(x->label, class, "row %zu: %d", i, x->label);
    cr_expect(x->n_tokens >= 2 && x->n_tokens <= 32);
    cr_expect_eq(x->id[0], 2);
    cr_expect_eq(x->type[x->n_tokens - 1], pair ? 1 : 0);
}

/* A task in a scratch folder. */
static struct task_spec task_in(struct scratch *s, char *name)
{
    return (struct task_spec){.name = name, .data = s->dir};
}

static struct task_spec text_task(char *data)
{
    return (struct task_spec){.name = text_name, .data = data, .text = sentence, .label = label};
}

Test(dataset, sst2_is_single_sentences)
{
    struct scratch s = scratch_open();
    char name[] = "sst2";
    struct task_spec task = task_in(&s, name);

    scratch_text(&s, "train.tsv", "sentence\tlabel\na \"b ,\tc\xC3\xA9 \t1\r\n\nx \t0");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.tsv:2: 3 columns where 2 are expected");
    scratch_text(&s, "train.tsv", "sentence\tlabel\na \"b , c\xC3\xA9 \t1\r\n\nx \t0");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, NULL);
    cr_assert_eq(d->n, 2);
    expect_row(d, 0, "a \"b , c\xC3\xA9 ", NULL, 1);
    expect_row(d, 1, "x ", NULL, 0);
    cr_expect_eq(d->n_labels, 2);
    cr_expect_str_eq(d->label_name[1], "positive");
    cr_expect_null(d->example[0].owner);
    dataset_close(d);
    refuse(&task, SPLIT_DEV, NULL, ERR_IO, "dev.tsv");
    scratch_close(&s);
}

Test(dataset, mrpc_has_a_byte_order_mark_and_literal_quotes)
{
    struct scratch s = scratch_open();
    char name[] = "mrpc";
    struct task_spec task = task_in(&s, name);

    scratch_text(&s, "dev.tsv",
                 "\xEF\xBB\xBFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t\" he said "
                 ".\tnot \"\" so\n0\t1\t2\ta\t\n");
    struct dataset *d = read_ok(&task, SPLIT_DEV, "#1 ID");
    cr_assert_eq(d->n, 2);
    expect_row(d, 0, "\" he said .", "not \"\" so", 1);
    expect_row(d, 1, "a", "", 0);
    cr_expect_str_eq(d->example[0].owner, "7");
    dataset_close(d);
    scratch_close(&s);
}

Test(dataset, rte_and_mnli_have_named_labels)
{
    struct scratch s = scratch_open();
    char rte[] = "rte", mnli[] = "mnli";
    struct task_spec task = task_in(&s, rte);

    scratch_text(
        &s, "train.tsv",
        "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tnot_entailment\n1\tc\td\tentailment\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, NULL);
    expect_row(d, 0, "a", "b", 1);
    expect_row(d, 1, "c", "d", 0);
    dataset_close(d);
    task.name = mnli;
    scratch_text(&s, "dev_matched.tsv", "sentence1\tsentence2\tgold_label\na\tb\tneutral\n");
    d = read_ok(&task, SPLIT_DEV, NULL);
    cr_expect_eq(d->n_labels, 3);
    expect_row(d, 0, "a", "b", 2);
    dataset_close(d);
    scratch_close(&s);
}

Test(dataset, cola_has_no_header)
{
    struct scratch s = scratch_open();
    char name[] = "cola";
    struct task_spec task = task_in(&s, name);

    scratch_text(&s, "train.tsv", "gj04\t1\t\tOne .\nks08\t0\t*\tTwo .\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, "source");
    cr_assert_eq(d->n, 2);
    expect_row(d, 0, "One .", NULL, 1);
    expect_row(d, 1, "Two .", NULL, 0);
    cr_expect_str_eq(d->example[1].owner, "ks08");
    dataset_close(d);
    scratch_close(&s);
}

Test(dataset, stsb_is_a_regression)
{
    struct scratch s = scratch_open();
    char name[] = "stsb";
    struct task_spec task = task_in(&s, name);

    scratch_text(&s, "train.tsv", "sentence1\tsentence2\tscore\na\tb\t3.800\nc\td\tx\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.tsv:3: \"x\" is not a number");
    scratch_text(&s, "train.tsv", "sentence1\tsentence2\tscore\na\tb\t3.800\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, NULL);
    expect_row(d, 0, "a", "b", -1);
    cr_expect_eq(d->example[0].target, 3.8f);
    cr_expect_eq(d->n_labels, 1);
    cr_expect_null(d->label_name);
    dataset_close(d);
    scratch_close(&s);
}

Test(dataset, qqp_leaves_out_its_broken_rows)
{
    struct scratch s = scratch_open();
    char name[] = "qqp";
    struct task_spec task = task_in(&s, name);

    scratch_text(
        &s, "train.tsv",
        "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\thalf\n4\t5\t6\ta\tb\t1\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, NULL);
    cr_assert_eq(d->n, 1);
    expect_row(d, 0, "a", "b", 1);
    dataset_close(d);
    scratch_close(&s);
}

Test(dataset, csv_fields_may_be_quoted)
{
    struct scratch s = scratch_open();
    char *names[] = {(char[]){"no"}, (char[]){"yes, sir"}};
    struct task_spec task = text_task(s.dir);

    task.text_pair = other;
    task.labels = names;
    task.n_labels = 2;
    scratch_text(&s, "train.csv",
                 "\"sentence\",x,label,other\n"
                 "\"two\nlines, \"\"quoted\"\"\",1,\"yes, sir\",\"\"\r\n"
                 "plain \"as is\",2,no,z\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, "x");
    cr_assert_eq(d->n, 2);
    expect_row(d, 0, "two\nlines, \"quoted\"", "", 1);
    expect_row(d, 1, "plain \"as is\"", "z", 0);
    cr_expect_str_eq(d->example[1].owner, "2");
    cr_expect_str_eq(d->label_name[1], "yes, sir");
    dataset_close(d);
    scratch_text(&s, "train.csv", "sentence,label,other\n\"a\nb\",0,c\n\"d\"e,1,f\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.csv:4: text after a quoted field");
    scratch_text(&s, "train.csv", "sentence,label,other\na,0,c\n\"d,1,f\n\n\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.csv:3: a quoted field does not end");
    scratch_close(&s);
}

Test(dataset, labels_have_names_of_their_own)
{
    static char neg[] = "neg", pos[] = "pos", again[] = "neg";
    char *labels[] = {neg, pos, again};
    struct task_spec task = {.labels = labels, .n_labels = 2};
    struct err e;
    cr_expect(task_check_labels(&task, &e) == 0);
    task.n_labels = 3;
    cr_expect(task_check_labels(&task, &e) == ERR_CONFIG);
    cr_expect(strstr(e.text, "task.labels: \"neg\""), "%s", e.text);
    task = (struct task_spec){.name = (char *)"mnli", .labels = labels, .n_labels = 2};
    cr_expect(task_check_labels(&task, &e) == ERR_CONFIG); /* which has three */
    cr_expect(strstr(e.text, "mnli"), "%s", e.text);
}

Test(dataset, jsonl_labels_may_be_numbers)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);

    scratch_text(&s, "test.jsonl",
                 "{\"sentence\": \"a\\nb\", \"label\": 2, \"who\": 17}\n \n{\"label\": \"0\", "
                 "\"sentence\": \"c\", \"who\": true}");
    struct dataset *d = read_ok(&task, SPLIT_DEV, "who");
    cr_assert_eq(d->n, 2);
    expect_row(d, 0, "a\nb", NULL, 2);
    expect_row(d, 1, "c", NULL, 0);
    cr_expect_str_eq(d->example[0].owner, "17");
    cr_expect_str_eq(d->example[1].owner, "true");
    cr_expect_eq(d->n_labels, 3);
    cr_expect_str_eq(d->label_name[2], "2");
    dataset_close(d);
    scratch_close(&s);
}

Test(dataset, a_task_scored_by_mse_is_a_regression)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);

    task.metric = (char *)"mse";
    scratch_text(&s, "test.jsonl", "{\"sentence\": \"a\", \"label\": 2.5}\n");
    struct dataset *d = read_ok(&task, SPLIT_DEV, NULL);
    cr_expect_eq(d->n_labels, 1);
    cr_expect_eq(d->example[0].target, 2.5f);
    dataset_close(d);
    scratch_close(&s);
}

Test(dataset, bad_jsonl_is_refused_by_line)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);

    task.n_labels = 2;
    scratch_text(&s, "train.jsonl", "{\"sentence\": \"a\", \"label\": 1}\n{\"sentence\": \"a\"\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.jsonl:2: column");
    scratch_text(&s, "train.jsonl",
                 "{\"sentence\": \"a\", \"label\": 1}\n\n{\"sentence\": \"a\"}\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.jsonl:3: \"label\" is missing");
    scratch_text(&s, "train.jsonl", "{\"sentence\": [], \"label\": 1}\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "neither text nor number");
    scratch_text(&s, "train.jsonl", "[1]\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.jsonl:1: not a JSON object");
    scratch_text(&s, "train.jsonl", "{\"sentence\": \"a\", \"label\": 2}\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "unknown label \"2\"");
    scratch_close(&s);
}

Test(dataset, bad_files_are_refused_by_line)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);

    task.n_labels = 2;
    scratch_text(&s, "train.tsv", "sentence\tlabel\na\t0\nb\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.tsv:3: 1 columns where 2 are expected");
    scratch_text(&s, "train.tsv", "sentence\tlabel\na\t0\nb\tyes\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.tsv:3: unknown label \"yes\"");
    scratch_text(&s, "train.tsv", "sentence\tlabel\na\t0\n\xC3(\t0\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.tsv:3: invalid UTF-8 at byte 0");
    scratch_put(&s, "train.tsv", "sentence\tlabel\na\0b\t0\n", 21);
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.tsv:2: NUL byte");
    scratch_text(&s, "train.tsv", "");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "the file is empty");
    scratch_text(&s, "train.tsv", "sentence\tlabel\n\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "there are no rows");
    scratch_text(&s, "train.tsv", "text\tlabel\na\t0\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "no column \"sentence\"");
    scratch_text(&s, "train.tsv", "sentence\tlabel\na\t0\n");
    refuse(&task, SPLIT_TRAIN, "who", ERR_DATA, "no column \"who\"");
    task.n_labels = 0;
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "every label is 0");
    scratch_text(&s, "train.tsv", "sentence\tlabel\na\tgood\n");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "task.labels");
    scratch_close(&s);
}

/* Rows of `len` bytes, all empty fields or one long one. */
static void put_long_row(struct scratch *s, char fill, size_t len)
{
    char *row = malloc(len + 32);
    size_t head = (size_t)snprintf(row, len + 32, "sentence\tlabel\n");

    memset(row + head, fill, len);
    memcpy(row + head + len, "\t0\n", 3);
    scratch_put(s, "train.tsv", row, head + len + 3);
    free(row);
}

Test(dataset, rows_have_a_limit)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);

    task.n_labels = 2;
    put_long_row(&s, 'a', TABLE_MAX_ROW - 10);
    dataset_close(read_ok(&task, SPLIT_TRAIN, NULL));
    put_long_row(&s, 'a', TABLE_MAX_ROW + 10);
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.tsv:2: row of more than");
    put_long_row(&s, '\t', TABLE_MAX_ROW + 10);
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "train.tsv:2: row of more than");
    scratch_close(&s);
}

Test(dataset, wrong_configuration_names_the_key)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);
    char unknown[] = "sst3";

    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "no file train of kind");
    scratch_text(&s, "train.tsv", "sentence\tlabel\na\t0\n");
    task.data = s.path;
    refuse(&task, SPLIT_DEV, NULL, ERR_DATA, "no dev split");
    scratch_text(&s, "train.txt", "x");
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "ends in none of");
    task.data = s.dir;
    task.label = NULL;
    refuse(&task, SPLIT_TRAIN, NULL, ERR_CONFIG, "task.label");
    task.text = NULL;
    refuse(&task, SPLIT_TRAIN, NULL, ERR_CONFIG, "task.text");
    task.data = NULL;
    refuse(&task, SPLIT_TRAIN, NULL, ERR_CONFIG, "task.data");
    task.name = unknown;
    refuse(&task, SPLIT_TRAIN, NULL, ERR_CONFIG, "\"sst3\" is not one of sst2, mrpc, rte");
    scratch_close(&s);
}

Test(dataset, what_is_written_as_jsonl_is_read_back)
{
    struct scratch s = scratch_open(), out = scratch_open();
    char name[] = "mrpc", text[] = "text", pair[] = "text_pair";
    struct task_spec task = task_in(&s, name);
    const uint32_t index[] = {2, 0};
    struct err e;

    scratch_text(&s, "train.tsv",
                 "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t\" \\ "
                 "\xF0\x9F\x98\x80\tx\n0\t1\t2\ta\tb\n0\t1\t2\tc\t\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, NULL);
    scratch_path(&out, "part.jsonl");
    cr_assert_eq(dataset_write_jsonl(d, index, 2, out.path, &e), 0);
    struct task_spec back = {.name = text,
                             .data = out.path,
                             .text = text,
                             .text_pair = pair,
                             .label = label,
                             .labels = (char **)(uintptr_t)d->label_name,
                             .n_labels = d->n_labels};
    struct dataset *part = read_ok(&back, SPLIT_TRAIN, NULL);
    cr_assert_eq(part->n, 2);
    expect_row(part, 0, "c", "", 0);
    expect_row(part, 1, "\" \\ \xF0\x9F\x98\x80", "x", 1);
    cr_expect_eq(memcmp(part->example[1].id, d->example[0].id,
                        (size_t)d->example[0].n_tokens * sizeof(int32_t)),
                 0);
    dataset_close(part);
    dataset_close(d);
    scratch_close(&out);
    scratch_close(&s);
}

Test(dataset, regression_targets_survive_jsonl)
{
    struct scratch s = scratch_open(), out = scratch_open();
    char text[] = "text";
    struct task_spec task = text_task(s.dir);
    const uint32_t index[] = {0, 1};
    struct err e;

    task.n_labels = 1;
    scratch_text(&s, "train.tsv", "sentence\tlabel\na\t0.1\nb\t-3\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, NULL);
    scratch_path(&out, "part.jsonl");
    cr_assert_eq(dataset_write_jsonl(d, index, 2, out.path, &e), 0);
    struct task_spec back = {
        .name = text, .data = out.path, .text = text, .label = label, .n_labels = 1};
    struct dataset *part = read_ok(&back, SPLIT_TRAIN, NULL);
    cr_expect_eq(part->example[0].target, 0.1f);
    cr_expect_eq(part->example[1].target, -3.0f);
    cr_expect_eq(part->example[1].label, -1);
    dataset_close(part);
    dataset_close(d);
    scratch_close(&out);
    scratch_close(&s);
}

Test(dataset, every_task_is_complete)
{
    struct scratch s = scratch_open();

    for (const struct task_info *t = task_table; t->name; t++) {
        char name[16];
        struct task_spec task = task_in(&s, name);
        snprintf(name, sizeof name, "%s", t->name);
        cr_expect_eq(task_find(t->name), t);
        cr_expect(t->what && t->metric, "%s", t->name);
        cr_expect((t->labels == NULL) == (t->n_labels < 2), "%s", t->name);
        if (strcmp(name, "conll") == 0)
            refuse(&task, SPLIT_DEV, NULL, ERR_DATA, "no file dev or test");
        else if (strcmp(name, "text") != 0)
            refuse(&task, SPLIT_DEV, NULL, ERR_IO, ".tsv");
    }
    cr_expect_null(task_find("sst"));
    scratch_close(&s);
}

/* --- validation ----------------------------------------------------------------------------- */

/* n rows "word K", labels by turns. */
static void put_rows(struct scratch *s, const char *name, int n)
{
    static char rows[64 * 1024];
    size_t len = (size_t)snprintf(rows, sizeof rows, "sentence\tlabel\n");

    for (int i = 0; i < n; i++)
        len += (size_t)snprintf(rows + len, sizeof rows - len, "word %d\t%d\n", i, i % 2);
    scratch_put(s, name, rows, len);
}

/* train_test_split(range(10), random_state=42, test_size=0.1) */
Test(splits, paper_cuts_train_as_scikit_learn_does)
{
    static const int train[] = {1, 5, 0, 7, 2, 9, 4, 3, 6};
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);
    char expected[32];

    put_rows(&s, "train.tsv", 10);
    cr_expect_not(dataset_has_valid(&task));
    refuse(&task, SPLIT_VALID, NULL, ERR_DATA, "no file valid of kind");
    task.splits = SPLITS_PAPER;
    cr_expect(dataset_has_valid(&task));
    struct dataset *d = read_ok(&task, SPLIT_VALID, "sentence");
    cr_assert_eq(d->n, 1);
    expect_row(d, 0, "word 8", NULL, 0);
    cr_expect_str_eq(d->example[0].owner, "word 8");
    dataset_close(d);
    d = read_ok(&task, SPLIT_TRAIN, NULL);
    cr_assert_eq(d->n, 9);
    for (size_t i = 0; i < 9; i++) {
        snprintf(expected, sizeof expected, "word %d", train[i]);
        expect_row(d, i, expected, NULL, train[i] % 2);
    }
    dataset_close(d);
    put_rows(&s, "dev.tsv", 10);
    d = read_ok(&task, SPLIT_DEV, NULL);
    cr_expect_eq(d->n, 10, "dev is whole");
    dataset_close(d);
    scratch_close(&s);
}

Test(splits, a_file_of_validation_examples_comes_first)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);

    task.splits = SPLITS_PAPER;
    put_rows(&s, "train.tsv", 10);
    scratch_text(&s, "valid.csv", "sentence,label\na,0\nb,1\n");
    for (int split = SPLIT_TRAIN; split <= SPLIT_VALID; split++) {
        struct dataset *d = read_ok(&task, (enum split)split, NULL);
        cr_expect_eq(d->n, split == SPLIT_TRAIN ? 10 : 2);
        dataset_close(d);
    }
    task.splits = SPLITS_OFFICIAL;
    cr_expect(dataset_has_valid(&task));
    dataset_close(read_ok(&task, SPLIT_VALID, NULL));
    scratch_close(&s);
}

Test(splits, what_cannot_be_cut_is_refused)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir), file = text_task(s.path);

    task.splits = file.splits = SPLITS_PAPER;
    put_rows(&s, "train.tsv", 1);
    refuse(&task, SPLIT_TRAIN, NULL, ERR_DATA, "1 rows cannot be cut");
    put_rows(&s, "train.tsv", 0);
    refuse(&task, SPLIT_VALID, NULL, ERR_DATA, "0 rows cannot be cut");
    put_rows(&s, "train.tsv", 4);
    cr_expect_not(dataset_has_valid(&file));
    refuse(&file, SPLIT_VALID, NULL, ERR_DATA, "no valid split");
    struct dataset *d = read_ok(&file, SPLIT_TRAIN, NULL);
    cr_expect_eq(d->n, 4, "one file is whole");
    dataset_close(d);
    struct task_spec glue = task_in(&s, (char[]){"rte"});
    cr_expect_not(dataset_has_valid(&glue));
    refuse(&glue, SPLIT_VALID, NULL, ERR_DATA, "set task.splits to paper");
    scratch_close(&s);
}

/* The number of classes is that of the whole file, whichever part has the largest. */
Test(splits, both_parts_count_the_same_labels)
{
    struct scratch s = scratch_open();
    struct task_spec task = text_task(s.dir);

    task.splits = SPLITS_PAPER;
    scratch_text(&s, "train.tsv",
                 "sentence\tlabel\na\t0\na\t0\na\t1\na\t0\na\t0\na\t0\na\t1\n"
                 "a\t0\na\t4\na\t0\n");
    for (int split = SPLIT_TRAIN; split <= SPLIT_VALID; split++) {
        struct dataset *d = read_ok(&task, (enum split)split, NULL);
        cr_expect_eq(d->n_labels, 5);
        dataset_close(d);
    }
    scratch_close(&s);
}

Test(splits, mnli_has_two_dev_sets)
{
    static const char row[] = "gold_label\tsentence1\tsentence2\n%s\ta\tb\n";
    struct scratch s = scratch_open();
    char matched[64], mismatched[64];

    snprintf(matched, sizeof matched, row, "neutral");
    snprintf(mismatched, sizeof mismatched, row, "contradiction");
    scratch_text(&s, "dev_matched.tsv", matched);
    scratch_text(&s, "dev_mismatched.tsv", mismatched);
    struct task_spec task = task_in(&s, (char[]){"mnli"}),
                     unlike = task_in(&s, (char[]){"mnli-mm"});
    struct dataset *d = read_ok(&task, SPLIT_DEV, NULL);
    expect_row(d, 0, "a", "b", 2);
    dataset_close(d);
    d = read_ok(&unlike, SPLIT_DEV, NULL);
    expect_row(d, 0, "a", "b", 0);
    dataset_close(d);
    scratch_close(&s);
}

/* --- metrics of tasks ----------------------------------------------------------------------- */

Test(task, metric_is_the_tasks_own_unless_told)
{
    static const struct {
        char name[8], metric[16];
        uint32_t n_labels;
        int rc;
        enum metric want;
    } c[] = {
        {"mrpc", "", 2, 0, METRIC_F1},
        {"cola", "", 2, 0, METRIC_MATTHEWS},
        {"stsb", "", 1, 0, METRIC_CORRELATION},
        {"stsb", "mse", 1, 0, METRIC_MSE},
        {"text", "", 1, 0, METRIC_MSE},
        {"text", "", 7, 0, METRIC_ACCURACY},
        {"text", "macro_f1", 7, 0, METRIC_MACRO_F1},
        {"text", "spearman", 1, 0, METRIC_SPEARMAN},
        {"conll", "", 9, 0, METRIC_ENTITY_F1},
        {"conll", "accuracy", 9, 0, METRIC_ACCURACY},
        {"conll", "f1", 2, ERR_CONFIG, 0},
        {"text", "f1", 7, ERR_CONFIG, 0},
        {"text", "entity_f1", 7, ERR_CONFIG, 0},
        {"text", "pearson", 2, ERR_CONFIG, 0},
        {"text", "accuracy", 1, ERR_CONFIG, 0},
        {"sst2", "recall", 2, ERR_CONFIG, 0},
    };
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        char name[8], metric[16];
        enum metric m = METRIC_COUNT;
        struct err e;
        memcpy(name, c[i].name, sizeof name);
        memcpy(metric, c[i].metric, sizeof metric);
        const struct task_spec task = {.name = name, .metric = metric[0] ? metric : NULL};
        cr_expect_eq(task_metric(&task, c[i].n_labels, &m, &e), c[i].rc, "case %zu", i);
        cr_expect(c[i].rc ? m == METRIC_COUNT : m == c[i].want, "case %zu: %d", i, (int)m);
    }
}
