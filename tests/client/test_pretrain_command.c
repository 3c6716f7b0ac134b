/* fedpet-client pretrain as a process: killed, interrupted, out of disk space, badly called. */
#include "base/file.h"
#include "base/hash.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 60, LINES = 200, MAX_WORDS = 48 };

static char dir[64];

static void put(const char *name, const char *bytes, size_t len)
{
    char path[PATH_MAX];
    struct err e;
    cr_assert_eq(file_join(path, sizeof path, dir, name, &e), 0);
    cr_assert_eq(file_write(path, bytes, len, 0644, &e), 0, "%s", e.text);
}

static void put_config(const char *name, int vocab, double dropout)
{
    char text[512];
    int n = snprintf(text, sizeof text,
                     "{\"model_type\": \"roberta\", \"vocab_size\": %d, \"hidden_size\": 16, "
                     "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
                     "\"intermediate_size\": 32, \"max_position_embeddings\": 34, "
                     "\"type_vocab_size\": 1, \"pad_token_id\": 1, "
                     "\"hidden_dropout_prob\": %g}",
                     vocab, dropout);
    put(name, text, (size_t)n);
}

static void put_tokenizer(void)
{
    json_t *vocab = json_pack("{s:i, s:i, s:i, s:i, s:i}", "<s>", 0, "<pad>", 1, "</s>", 2, "<unk>",
                              3, "<mask>", 4);
    char word[16];
    for (int i = 0; i < WORDS; i++) {
        snprintf(word, sizeof word, "w%d", i);
        json_object_set_new(vocab, word, json_integer(5 + i));
    }
    json_t *all =
        json_pack("{s:{s:s}, s:{s:s, s:[s, i], s:[s, i]}, s:{s:s, s:s, s:s, s:o}}", "pre_tokenizer",
                  "type", "BertPreTokenizer", "post_processor", "type", "BertProcessing", "sep",
                  "</s>", 2, "cls", "<s>", 0, "model", "type", "WordPiece", "unk_token", "<unk>",
                  "continuing_subword_prefix", "##", "vocab", vocab);
    char *text = json_dumps(all, 0);
    put("tokenizer.json", text, strlen(text));
    free(text);
    json_decref(all);
}

static void make_folder(void)
{
    static char text[LINES * 24 * 4];
    size_t len = 0;
    snprintf(dir, sizeof dir, "/tmp/fedpet-pretrain-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    for (int l = 0; l < LINES; l++)
        for (int k = 0, n = 6 + l % 15; k < n; k++)
            len += (size_t)snprintf(text + len, sizeof text - len, "w%d%s", (l + k) % WORDS,
                                    k + 1 < n ? " " : "\n");
    put("text.txt", text, len);
    put("empty.txt", "", 0);
    put("binary.txt",
        "\x7f"
        "ELF\0\1\2\3",
        8);
    put_config("config.json", 5 + WORDS, 0.1);
    put_config("small.json", WORDS, 0.1);
    put_tokenizer();
}

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    cr_expect_eq(system(command), 0);
}

TestSuite(pretrain_command, .init = make_folder, .fini = remove_folder);

/* Runs the words of a command line in the folder. file_limit: bytes that a file may have. */
static pid_t start(const char *line, rlim_t file_limit)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char copy[2048], *argv[MAX_WORDS] = {(char *)(uintptr_t) "fedpet-client"}, *save = NULL;
    int n = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &save); w && n < MAX_WORDS - 1;
         w = strtok_r(NULL, " ", &save))
        argv[n++] = w;
    if (chdir(dir) != 0)
        _exit(126);
    signal(SIGINT, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit limit = {file_limit, file_limit};
    if (file_limit != RLIM_INFINITY && setrlimit(RLIMIT_FSIZE, &limit) != 0)
        _exit(125);
    if (!freopen("stdout", "w", stdout) || !freopen("stderr", "w", stderr))
        _exit(124);
    execv(FEDPET_BUILD_DIR "/fedpet-client", argv);
    _exit(127);
}

static int finish(pid_t pid)
{
    int status;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    return status;
}

static int run(const char *line)
{
    int status = finish(start(line, RLIM_INFINITY));
    cr_assert(WIFEXITED(status), "%s", line);
    return WEXITSTATUS(status);
}

static char *in_folder(const char *name, char path[PATH_MAX])
{
    struct err e;
    cr_assert_eq(file_join(path, PATH_MAX, dir, name, &e), 0);
    return path;
}

/* Whether the complaint of the last command has a text. */
static bool says(const char *what)
{
    char path[PATH_MAX], *text;
    struct err e;
    cr_assert_eq(file_read(in_folder("stderr", path), 1 << 20, &text, NULL, &e), 0);
    bool found = strstr(text, what) != NULL;
    if (!found)
        fprintf(stderr, "no \"%s\" in: %s\n", what, text);
    free(text);
    return found;
}

static struct hash weights(const char *model)
{
    char path[PATH_MAX], name[64];
    struct file_map m;
    struct err e;
    snprintf(name, sizeof name, "%s/model.safetensors", model);
    cr_assert_eq(file_map_open(&m, in_folder(name, path), &e), 0, "%s", e.text);
    struct hash h = hash_of(m.bytes, m.len);
    file_map_close(&m);
    return h;
}

#define NEW "pretrain --config config.json --tokenizer . --data text.txt --document line "
#define SMALL "--set local.max_length=16 --set local.batch_size=8 "
#define LONG NEW SMALL "--hold-out 20 --set local.steps=300 --evaluate-every 50 --out "

/* The file's number: each checkpoint is a new one. 0: there is none. */
static ino_t number_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? st.st_ino : 0;
}

/* After its first checkpoint. */
static int disturb(const char *line, int by)
{
    char path[PATH_MAX];
    const struct timespec pause = {.tv_nsec = 1000000};
    ino_t before = number_of(in_folder("broken.work/checkpoint", path));
    pid_t pid = start(line, RLIM_INFINITY);
    while (number_of(path) == before && waitpid(pid, NULL, WNOHANG) == 0)
        nanosleep(&pause, NULL);
    kill(pid, by);
    return finish(pid);
}

Test(pretrain_command, killed_and_interrupted_it_arrives_at_the_same_model)
{
    char path[PATH_MAX];
    cr_assert_eq(run(LONG "whole --threads 2"), 0);
    int status = disturb(LONG "broken --threads 1 --checkpoint-every 0", SIGKILL);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    cr_assert(!file_exists(in_folder("broken", path)), "it was not done yet");
    status = disturb(LONG "broken --threads 2 --checkpoint-every 0", SIGINT);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == ERR_STATE);
    cr_expect(says("the same command goes on from there"));
    cr_expect_eq(run(LONG "broken --set local.lr=0.1"), ERR_STATE);
    cr_expect(says("local.lr was 0.0005 and is 0.1:"));
    cr_expect_eq(run(LONG "broken --set local.max_length=20"), ERR_STATE);
    cr_expect(says("local.max_length"));
    put_config("config.json", 5 + WORDS, 0);
    cr_expect_eq(run(LONG "broken"), ERR_STATE);
    cr_expect(says("config.json was"));
    put_config("config.json", 5 + WORDS, 0.1);
    cr_assert_eq(run(LONG "broken"), 0);
    struct hash whole = weights("whole"), broken = weights("broken");
    cr_expect(hash_same(&whole, &broken));
    cr_expect(!file_exists(in_folder("broken.work", path)), "nothing is left");
    cr_expect_eq(run(LONG "broken"), ERR_IO);
    cr_expect(says("exists already"));
}

Test(pretrain_command, without_disk_space_nothing_is_lost)
{
    char path[PATH_MAX];
    cr_assert_eq(run(NEW SMALL "--out whole"), 0);
    for (rlim_t limit = 1 << 10; limit <= 1 << 15; limit *= 2) {
        int status = finish(start(NEW SMALL "--out broken", limit));
        cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == ERR_IO, "%llu bytes",
                  (unsigned long long)limit);
        cr_expect(says("broken.work"));
        cr_expect(!file_exists(in_folder("broken", path)));
    }
    cr_assert_eq(run(NEW SMALL "--out broken"), 0);
    struct hash whole = weights("whole"), broken = weights("broken");
    cr_expect(hash_same(&whole, &broken));
}

Test(pretrain_command, a_summary_in_json)
{
    char path[PATH_MAX];
    cr_assert_eq(run(NEW SMALL "--hold-out 20 --set local.steps=30 --evaluate-every 10 --dtype f16 "
                               "--format json --out model"),
                 0);
    json_t *printed = json_load_file(in_folder("stdout", path), 0, NULL);
    json_t *kept = json_load_file(in_folder("model/pretraining.json", path), 0, NULL);
    cr_assert(printed && kept);
    cr_expect(json_equal(printed, kept));
    cr_expect_eq(json_integer_value(json_object_get(printed, "steps")), 30);
    cr_expect_eq(json_integer_value(json_object_get(printed, "documents")), LINES);
    const json_t *points = json_object_get(printed, "evaluations");
    cr_assert_eq(json_array_size(points), 3);
    double first = json_real_value(json_object_get(json_array_get(points, 0), "loss"));
    double last = json_real_value(json_object_get(json_array_get(points, 2), "loss"));
    cr_expect_gt(first, 0);
    cr_expect_lt(last, first);
    json_decref(printed);
    json_decref(kept);
}

Test(pretrain_command, bad_input_is_told)
{
    static const struct {
        const char *line;
        int status;
        const char *says;
    } bad[] = {
        {"pretrain --config config.json --tokenizer . --out x", ERR_USAGE, "--data"},
        {"pretrain --config config.json --model . --data text.txt --out x", ERR_USAGE, "either"},
        {"pretrain --config config.json --data text.txt --out x", ERR_USAGE, "--tokenizer"},
        {NEW "--out x --dtype int8", ERR_USAGE, "int8"},
        {NEW "--out x --hold-out 1", ERR_USAGE, "--hold-out 1"},
        {NEW "--out x --document page", ERR_USAGE, "page"},
        {NEW, ERR_USAGE, "--out"},
        {NEW SMALL "--out x --set local.max_length=33", ERR_CONFIG, "local.max_length"},
        {NEW SMALL "--out x --set local.max_length=6", ERR_CONFIG, "at least 7"},
        {NEW SMALL "--out x --set peft.method=prompt", ERR_CONFIG, "no model of its own"},
        {NEW SMALL "--out x --set local.pace=6", ERR_CONFIG, "pace"},
        {NEW SMALL "--out x --data empty.txt", ERR_DATA, "empty.txt"},
        {NEW SMALL "--out x --data binary.txt", ERR_DATA, "binary.txt"},
        {NEW SMALL "--out x --data absent.txt", ERR_IO, "absent.txt"},
        {NEW SMALL "--out x --hold-out 500", ERR_DATA, "too few"},
        {"pretrain --config small.json --tokenizer . --data text.txt --out y", ERR_MODEL,
         "65 tokens"},
        {"pretrain --model nowhere --data text.txt --out z", ERR_IO, "nowhere"},
    };
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = run(bad[i].line);
        cr_expect_eq(status, bad[i].status, "%s: %d", bad[i].line, status);
        cr_expect(says(bad[i].says), "%s", bad[i].line);
        cr_expect(!file_exists(in_folder("x", path)));
    }
}
