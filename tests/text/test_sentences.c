/* The task "conll": tagged words in columns and JSON lines, and what is refused. */
#include "support.h"
#include "text/dataset.h"
#include "text/pack.h"
#include "text/sentences.h"

static char conll[] = "conll";

static struct task_spec task_in(struct scratch *s)
{
    return (struct task_spec){.name = conll, .data = s->dir};
}

static struct dataset *read_ok(const struct task_spec *task, enum split split, size_t max_length,
                               const char *column)
{
    struct tokenizer *t = golden_tokenizer("wordpiece");
    struct dataset *d = NULL;
    struct err e = {0};

    cr_assert_eq(dataset_open(&d, task, split, t, max_length, column, &e), 0, "%s", e.text);
    cr_assert_eq(d->head, HEAD_TOKENS);
    tokenizer_close(t);
    return d;
}

static void refuse_split(const struct task_spec *task, enum split split, const char *column,
                         int code, const char *say)
{
    struct tokenizer *t = golden_tokenizer("wordpiece");
    struct dataset *d = NULL;
    struct err e = {0};

    cr_expect_eq(dataset_open(&d, task, split, t, 32, column, &e), code, "%d %s", e.code, e.text);
    cr_expect_null(d);
    cr_expect_not_null(strstr(e.text, say), "\"%s\" lacks \"%s\"", e.text, say);
    tokenizer_close(t);
}

static void refuse(const struct task_spec *task, const char *column, int code, const char *say)
{
    refuse_split(task, SPLIT_TRAIN, column, code, say);
}

static void expect_sentence(const struct dataset *d, size_t i, int32_t n, const char *const *word,
                            const char *const *tag)
{
    const struct sentence *s = d->example[i].sentence;

    cr_assert_eq(s->n, n, "sentence %zu has %d words", i, s->n);
    for (int32_t k = 0; k < n; k++) {
        cr_expect_str_eq(s->word[k], word[k]);
        cr_expect_str_eq(d->label_name[s->tag[k]], tag[k]);
    }
}

static const char *const lives[] = {"Ada", "Lovelace", "lives", "."};
static const char *const lives_tag[] = {"B-PER", "I-PER", "O", "O"};
static const char *const london[] = {"London", "calls"};
static const char *const london_tag[] = {"B-LOC", "O"};

static const char text[] =
    "-DOCSTART- -X- O\n\nAda NNP B-PER\nLovelace\tNNP  I-PER\nlives V O\n. . O\n\n"
    " \r\n\n-DOCSTART- -X- O\n\nLondon NNP B-LOC\r\ncalls V O";

Test(conll, columns)
{
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);

    scratch_text(&s, "train.txt", text);
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, 32, NULL);
    cr_assert_eq(d->n, 2);
    cr_assert_eq(d->n_labels, 4);
    cr_expect_str_eq(d->label_name[0], "O");
    cr_expect_str_eq(d->label_name[1], "B-LOC");
    cr_expect_str_eq(d->label_name[2], "B-PER");
    cr_expect_str_eq(d->label_name[3], "I-PER");
    expect_sentence(d, 0, 4, lives, lives_tag);
    expect_sentence(d, 1, 2, london, london_tag);
    cr_expect_eq(d->example[0].label, -1);
    dataset_close(d);
    scratch_close(&s);
}

/* The first token of each word has its tag, all others have none; what does not fit is cut. */
Test(conll, tags_go_to_first_tokens)
{
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);

    scratch_text(&s, "train.txt", text);
    for (size_t max_length = 4; max_length <= 32; max_length += 28) {
        struct dataset *d = read_ok(&task, SPLIT_TRAIN, max_length, NULL);
        const struct example *x = &d->example[0];
        int32_t next = 0;
        cr_assert(x->n_tokens <= (int32_t)max_length);
        cr_expect_eq(example_tag(x, 0), -1);
        cr_expect_eq(example_tag(x, x->n_tokens - 1), -1);
        for (int32_t i = 0; i < x->n_tokens; i++)
            if (x->word[i] >= 0) {
                cr_expect_eq(x->word[i], next);
                cr_expect_eq(example_tag(x, i), x->sentence->tag[next]);
                next++;
            }
        cr_expect(max_length == 32 ? next == 4 : next >= 1 && next < 4, "%d of %zu", next,
                  max_length);
        dataset_close(d);
    }
    scratch_close(&s);
}

Test(conll, columns_have_numbers)
{
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);

    task.text = (char[]){"2"};
    task.label = (char[]){"-3"};
    scratch_text(&s, "train.conll", "O a x y\nB b x y\n\nO c z z\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, 32, NULL);
    expect_sentence(d, 1, 1, (const char *[]){"c"}, (const char *[]){"c"});
    dataset_close(d);
    task.label = (char[]){"-4"};
    d = read_ok(&task, SPLIT_TRAIN, 32, NULL);
    expect_sentence(d, 0, 2, (const char *[]){"a", "b"}, (const char *[]){"O", "B"});
    dataset_close(d);
    task.label = (char[]){"5"};
    refuse(&task, NULL, ERR_DATA, "train.conll:1: no column 5: there are 4");
    scratch_close(&s);
}

Test(conll, columns_have_names)
{
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);

    task.text = (char[]){"FORM"};
    task.label = (char[]){"NER"};
    scratch_text(&s, "train.txt",
                 "# global.columns = ID FORM NER POS\n# sent_id = 1\n1 a O X\n# b\n2 b B-Y X\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, 32, NULL);
    cr_expect_eq(d->n, 1);
    expect_sentence(d, 0, 2, (const char *[]){"a", "b"}, (const char *[]){"O", "B-Y"});
    dataset_close(d);
    task.label = (char[]){"NE"};
    refuse(&task, NULL, ERR_DATA, "train.txt:1: no column \"NE\"");
    scratch_text(&s, "train.txt", "# O\na B\n");
    refuse(&task, NULL, ERR_DATA, "no column \"FORM\"");
    task.text = task.label = NULL;
    d = read_ok(&task, SPLIT_TRAIN, 32, NULL);
    expect_sentence(d, 0, 2, (const char *[]){"#", "a"}, (const char *[]){"O", "B"});
    dataset_close(d);
    scratch_close(&s);
}

Test(conll, json_lines_and_owners)
{
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);

    scratch_text(
        &s, "train.jsonl",
        "{\"tokens\": [\"Ada\", \"Lovelace\", \"lives\", \".\"], \"tags\": "
        "[\"B-PER\", \"I-PER\", \"O\", \"O\"], \"who\": \"x\"}\n"
        "{\"tokens\": [], \"tags\": [], \"who\": \"y\"}\n\n"
        "{\"tags\": [\"B-LOC\", \"O\"], \"tokens\": [\"London\", \"calls\"], \"who\": 7}\n");
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, 32, "who");
    cr_assert_eq(d->n, 2);
    expect_sentence(d, 0, 4, lives, lives_tag);
    expect_sentence(d, 1, 2, london, london_tag);
    cr_expect_str_eq(d->example[0].owner, "x");
    cr_expect_str_eq(d->example[1].owner, "7");
    dataset_close(d);
    task.text = (char[]){"words"};
    refuse(&task, NULL, ERR_DATA, "train.jsonl:1: \"words\" is missing");
    scratch_close(&s);
}

Test(conll, writes_what_it_reads)
{
    struct scratch s = scratch_open(), out = scratch_open();
    struct task_spec task = task_in(&s);
    static const uint32_t index[] = {1, 0};
    struct err e;

    scratch_text(&s, "train.txt", text);
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, 4, NULL);
    scratch_path(&out, "part.jsonl");
    cr_assert_eq(dataset_write_jsonl(d, index, 2, out.path, &e), 0);
    dataset_close(d);
    struct task_spec back = {.name = conll, .data = out.path};
    d = read_ok(&back, SPLIT_TRAIN, 32, NULL);
    cr_assert_eq(d->n, 2);
    expect_sentence(d, 0, 2, london, london_tag);
    expect_sentence(d, 1, 4, lives, lives_tag);
    dataset_close(d);
    scratch_close(&s);
    scratch_close(&out);
}

/* The tags of every split are numbered as train's are, or as the configuration lists them. */
Test(conll, tags_are_those_of_train)
{
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);
    char *names[] = {(char[]){"B-LOC"}, (char[]){"O"}};

    scratch_text(&s, "train.txt", text);
    scratch_text(&s, "valid.txt", "x O\n");
    scratch_text(&s, "test.txt", "x I-PER\n");
    cr_expect(dataset_has_valid(&task));
    struct dataset *d = read_ok(&task, SPLIT_DEV, 32, NULL);
    cr_expect_eq(d->n_labels, 4);
    cr_expect_eq(d->example[0].sentence->tag[0], 3);
    dataset_close(d);
    task.splits = SPLITS_PAPER;
    d = read_ok(&task, SPLIT_TRAIN, 32, NULL);
    cr_expect_eq(d->n, 2, "the split that there is stays");
    scratch_text(&s, "test.txt", "x B-MISC\n");
    refuse_split(&task, SPLIT_DEV, NULL, ERR_DATA, "those in train: list all in task.labels");
    dataset_close(d);
    task.labels = names;
    task.n_labels = 2;
    d = read_ok(&task, SPLIT_VALID, 32, NULL);
    cr_expect_eq(d->example[0].sentence->tag[0], 1);
    dataset_close(d);
    refuse(&task, NULL, ERR_DATA, "word 1: unknown tag \"B-PER\": it is none of the task's 2");
    scratch_close(&s);
}

Test(conll, refuses_broken_files)
{
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);

    scratch_text(&s, "train.txt", "a B\n\nb O\nc\n");
    refuse(&task, NULL, ERR_DATA, "train.txt:3: word 2: 1 columns where 2 are expected");
    scratch_put(&s, "train.txt", "a B\nb\0 O\n", 9);
    refuse(&task, NULL, ERR_DATA, "NUL byte");
    scratch_text(&s, "train.txt", "a O\nb O\n");
    refuse(&task, NULL, ERR_DATA, "1 tag: at least two");
    scratch_text(&s, "train.txt", "\n \n");
    refuse(&task, NULL, ERR_DATA, "0 tags");
    scratch_text(&s, "train.txt", "a O\n\xff B\n");
    refuse(&task, NULL, ERR_DATA, "train.txt:1: word 2: invalid UTF-8");
    scratch_text(&s, "train.txt", "a O\nb B\n");
    refuse(&task, "who", ERR_CONFIG, "no column \"who\" of owners");
    unlink(scratch_path(&s, "train.txt"));
    scratch_text(&s, "train.jsonl", "{\"tokens\": [\"a\", 1], \"tags\": [\"O\", \"B\"]}\n");
    refuse(&task, NULL, ERR_DATA, "train.jsonl:1: \"tokens\" is not an array of texts");
    scratch_text(&s, "train.jsonl", "{\"tokens\": [\"a\"], \"tags\": [\"O\", \"B\"]}\n");
    refuse(&task, NULL, ERR_DATA, "train.jsonl:1: 1 words, but 2 tags");
    scratch_text(&s, "train.jsonl", "{\"tokens\": [\"a\"]}\n");
    refuse(&task, NULL, ERR_DATA, "train.jsonl:1: \"tags\" is missing");
    scratch_close(&s);
}

/* A sentence of 1 MiB is read, a longer one is not; nor are more tags than there may be. */
Test(conll, limits)
{
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);
    size_t line = strlen("word O\n"), n = TABLE_MAX_ROW / line;
    char *big = malloc((n + 2) * line + 16);

    for (size_t i = 0; i < n + 1; i++)
        memcpy(big + i * line, i ? "word O\n" : "word B\n", line);
    scratch_put(&s, "train.txt", big, (n - 1) * line);
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, 8, NULL);
    cr_expect_eq(d->example[0].sentence->n, (int32_t)n - 1);
    dataset_close(d);
    scratch_put(&s, "train.txt", big, (n + 1) * line);
    refuse(&task, NULL, ERR_DATA, "are there blank lines?");
    size_t len = 0;
    for (int i = 0; i <= SENTENCES_MAX_TAGS; i++)
        len += (size_t)snprintf(big + len, 16, "w T%d\n", i);
    scratch_put(&s, "train.txt", big, len);
    refuse(&task, NULL, ERR_DATA, "more than 4096 tags");
    free(big);
    scratch_close(&s);
}

Test(conll, packs_tags_beside_tokens)
{
    static const struct model_config config = {.family = FAMILY_BERT, .types = 2, .positions = 64};
    static const uint32_t index[] = {0, 1};
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);
    struct packing p;
    struct arena mem;
    struct err e;

    scratch_text(&s, "train.txt", text);
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, 32, NULL);
    arena_init(&mem, ARENA_NO_CAP);
    cr_assert_eq(pack_examples(d, index, 2, &config, &mem, &p, &e), 0);
    cr_assert_eq(p.n, 1);
    const struct batch *b = &p.batch[0];
    cr_expect_null(b->label);
    cr_expect_null(b->target);
    cr_expect_eq(pack_scored(b), 6);
    cr_expect_eq(dataset_rows(d, index, 2), b->tokens);
    for (int i = 0; i < b->n; i++) {
        const struct example *x = &d->example[p.example[0][i]];
        for (int k = 0; k < x->n_tokens; k++)
            cr_expect_eq(b->tag[b->off[i] + k], example_tag(x, k));
    }
    arena_release(&mem);
    dataset_close(d);
    scratch_close(&s);
}

Test(conll, a_full_arena_is_an_error)
{
    static const struct model_config config = {.family = FAMILY_BERT, .types = 2, .positions = 64};
    static const uint32_t index[] = {0, 1};
    struct scratch s = scratch_open();
    struct task_spec task = task_in(&s);
    struct packing p;
    struct arena mem;
    struct err e;

    scratch_text(&s, "train.txt", text);
    struct dataset *d = read_ok(&task, SPLIT_TRAIN, 32, NULL);
    arena_init(&mem, 64);
    cr_expect_eq(pack_examples(d, index, 2, &config, &mem, &p, &e), ERR_NOMEM);
    arena_release(&mem);
    dataset_close(d);
    scratch_close(&s);
}

/* Words and tags of CoNLL 2003 (Tjong Kim Sang and De Meulder 2003, tables 1 and 2). */
Test(conll, conll_2003_is_complete)
{
    static const struct {
        enum split split;
        size_t sentences, words, entities;
    } part[] = {{SPLIT_VALID, 3250, 51362, 5942}, {SPLIT_DEV, 3453, 46435, 5648}};
    char data[512];

    if (!shared_path("data/ner/conll2003", data))
        cr_skip("no %s: set FEDPET_SHARED", data);
    const struct task_spec task = {.name = conll, .data = data};
    for (size_t k = 0; k < sizeof part / sizeof *part; k++) {
        struct dataset *d = read_ok(&task, part[k].split, 128, NULL);
        size_t words = 0, begun = 0;
        for (size_t i = 0; i < d->n; i++) {
            const struct sentence *s = d->example[i].sentence;
            words += (size_t)s->n;
            for (int32_t w = 0; w < s->n; w++)
                begun += d->label_name[s->tag[w]][0] == 'B';
        }
        cr_expect_eq(d->n_labels, 9);
        cr_expect_eq(d->n, part[k].sentences, "%zu sentences", d->n);
        cr_expect_eq(words, part[k].words, "%zu words", words);
        cr_expect_eq(begun, part[k].entities, "%zu entities", begun);
        dataset_close(d);
    }
}
