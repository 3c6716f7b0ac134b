#include "base/err.h"
#include "base/file.h"
#include "tests/fetch/hub.h"
#include <criterion/criterion.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* fedpet-client as a process of its own, with its output in files of the scratch folder. */

static struct hub hub;
static char out_path[96], err_path[96], *output, *complaint;

static void open_hub(void)
{
    hub_open(&hub);
    snprintf(out_path, sizeof out_path, "%s/stdout", hub.dir);
    snprintf(err_path, sizeof err_path, "%s/stderr", hub.dir);
    setenv("HF_ENDPOINT", hub.settings.endpoint, 1);
    setenv("HF_HUB_CACHE", hub.settings.cache, 1);
    setenv("HF_TOKEN", "hf_test", 1);
    unsetenv("HF_HUB_OFFLINE");
}

static void close_hub(void)
{
    free(output);
    free(complaint);
    hub_close(&hub);
}

TestSuite(fetch_command, .init = open_hub, .fini = close_hub);

static pid_t start(const char *const *word)
{
    const char *argv[16] = {"fedpet-client", "fetch"};
    for (size_t i = 0; word[i]; i++)
        argv[i + 2] = word[i];
    int out = open(out_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    int err = open(err_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(out, STDOUT_FILENO);
        dup2(err, STDERR_FILENO);
        signal(SIGINT, SIG_DFL);
        execv(FEDPET_BUILD_DIR "/fedpet-client", (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    close(out);
    close(err);
    return pid;
}

/* Its wait status; reads what it wrote. */
static int finish(pid_t pid)
{
    int status = -1;
    struct err e;
    cr_assert_eq(waitpid(pid, &status, 0), pid);
    free(output);
    free(complaint);
    cr_assert_eq(file_read(out_path, 1 << 20, &output, NULL, &e), 0);
    cr_assert_eq(file_read(err_path, 1 << 20, &complaint, NULL, &e), 0);
    return status;
}

static int run(const char *const *word)
{
    int status = finish(start(word));
    cr_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

Test(fetch_command, prints_the_folder_alone_on_stdout)
{
    char expected[PATH_MAX + 128];
    snprintf(expected, sizeof expected, "%s/models--acme--tiny-bert/snapshots/" HUB_COMMIT "\n",
             hub.settings.cache);
    cr_assert_eq(RUN("model", HUB_REPO, "--ca", hub.ca), 0, "%s", complaint);
    cr_assert_str_eq(output, expected);
    cr_assert(strstr(complaint, "fetching file=model.safetensors bytes=300000"), "%s", complaint);
    cr_assert_not(strchr(complaint, '\r'), "no progress bar where there is no terminal");
}

Test(fetch_command, describes_as_json_what_it_did)
{
    cr_assert_eq(RUN("model", HUB_REPO, "--ca", hub.ca, "--format", "json"), 0, "%s", complaint);
    json_t *root = json_loads(output, 0, NULL);
    const json_t *files = json_object_get(root, "files"), *last = json_array_get(files, 2);
    cr_assert_str_eq(json_string_value(json_object_get(root, "commit")), HUB_COMMIT);
    cr_assert(json_is_false(json_object_get(root, "cached")));
    cr_assert_eq(json_array_size(files), 3);
    cr_assert_str_eq(json_string_value(json_object_get(last, "name")), "model.safetensors");
    cr_assert_eq(json_integer_value(json_object_get(last, "bytes")), HUB_WEIGHTS);
    cr_assert(json_is_true(json_object_get(last, "fetched")));
    json_decref(root);
}

Test(fetch_command, can_be_interrupted_and_goes_on)
{
    char part[PATH_MAX + 256];
    struct stat st = {0};
    const struct timespec moment = {0, 10000000};
    hub.stall = true;
    hub.cut = 100000;
    hub.cuts = 1;
    snprintf(part, sizeof part, "%s/models--acme--tiny-bert/blobs/%s.incomplete",
             hub.settings.cache, hub.file[3].etag);
    pid_t pid = start((const char *const[]){"model", HUB_REPO, "--ca", hub.ca, NULL});
    for (int i = 0; i < 6000 && (stat(part, &st) != 0 || st.st_size < 100000); i++)
        nanosleep(&moment, NULL);
    cr_assert_eq(st.st_size, 100000);
    cr_assert_eq(kill(pid, SIGINT), 0);
    int status = finish(pid);
    cr_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
    cr_assert_eq(RUN("model", HUB_REPO, "--ca", hub.ca), 0, "%s", complaint);
    cr_assert(strstr(complaint, "bytes=200000"), "only the rest: %s", complaint);
    cr_assert(hub_same(&hub,
                       "cache/models--acme--tiny-bert/snapshots/" HUB_COMMIT "/model.safetensors",
                       hub.weights, HUB_WEIGHTS));
}

Test(fetch_command, lets_two_processes_fetch_the_same_model)
{
    const char *const word[] = {"model", HUB_REPO, "--ca", hub.ca, NULL};
    pid_t a = start(word), b = start(word);
    cr_assert_eq(finish(a), 0, "%s", complaint);
    cr_assert_eq(finish(b), 0, "%s", complaint);
    cr_assert_eq(hub_count(&hub, true, "GET", "model.safetensors"), 1, "one waits for the other");
}

Test(fetch_command, exits_with_what_went_wrong)
{
    cr_expect_eq(RUN("model"), ERR_USAGE);
    cr_expect_eq(RUN("model", "a", "b"), ERR_USAGE);
    cr_expect_eq(RUN("model", "no model"), ERR_USAGE);
    cr_expect_eq(RUN("data"), ERR_USAGE);
    cr_expect_eq(RUN("data", "glue/nothing"), ERR_USAGE);
    cr_expect_eq(RUN("model", HUB_REPO), ERR_TLS);
    cr_expect_eq(RUN("model", "acme/none", "--ca", hub.ca), ERR_REFUSED);
    cr_expect_eq(RUN("data", "glue/rte", "--ca", hub.ca, "--mirror", hub.settings.endpoint, "--out",
                     hub.dir),
                 ERR_REFUSED, "%s", complaint);
    setenv("HF_HUB_OFFLINE", "1", 1);
    cr_expect_eq(RUN("model", HUB_REPO), ERR_STATE);
    cr_expect_eq(RUN("data", "glue/rte", "--out", hub.dir), ERR_STATE);
    setenv("HF_ENDPOINT", "http://127.0.0.1", 1);
    cr_expect_eq(RUN("model", HUB_REPO), ERR_CONFIG);
}
