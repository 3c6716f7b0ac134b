/* Data files out of any bytes. First byte: which reader. */
#include "scratch.h"

#include "text/dataset.h"

enum { MAX_LENGTH = 32, KINDS = 8 };

/* A word list of one's own: the reader matters here, not the tokenizer. */
static struct tokenizer *open_tokenizer(void)
{
    static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\nb\nthe\n##s\n.\n";
    static struct tokenizer *t;
    struct err e;
    if (!t) {
        scratch_write(0, "vocab.txt", vocab, sizeof vocab - 1);
        if (tokenizer_open(&t, scratch_open(), &e))
            abort();
    }
    return t;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char text[] = "text", pair[] = "pair", label[] = "label", yes[] = "yes", no[] = "no";
    static char sst2[] = "sst2", mrpc[] = "mrpc", rte[] = "rte", conll[] = "conll";
    static char *labels[] = {no, yes}, *const named[] = {sst2, mrpc, rte, conll, conll};
    static const char *const file[KINDS] = {"train.csv", "train.tsv", "train.jsonl", "train.tsv",
                                            "train.tsv", "train.tsv", "train.txt",   "train.jsonl"};
    struct dataset *d;
    struct err e = {0};
    if (size < 1)
        return 0;
    struct tokenizer *t = open_tokenizer();
    unsigned kind = data[0] % KINDS;
    char path[SCRATCH_PATH];
    snprintf(path, sizeof path, "%s", scratch_write(1, file[kind], data + 1, size - 1));
    struct task_spec task = {.name = text, .data = path, .text = text, .label = label};
    if (data[0] & 0x80)
        task.text_pair = pair;
    if (kind < 3) {
        task.labels = labels;
        task.n_labels = 2;
    } else {
        task = (struct task_spec){.name = named[kind - 3], .data = scratch_dir};
    }
    if (data[0] & 0x40)
        task.splits = SPLITS_PAPER;
    if (dataset_open(&d, &task, SPLIT_TRAIN, t, MAX_LENGTH, NULL, &e) == 0) {
        for (size_t i = 0; i < d->n; i++)
            if (d->example[i].n_tokens < 1 || d->example[i].n_tokens > MAX_LENGTH ||
                d->example[i].label >= (int32_t)d->n_labels)
                abort();
        dataset_close(d);
    } else if (!e.text[0]) {
        abort();
    }
    unlink(path);
    return 0;
}
