#include "base/file.h"
#include "client/fetch_hub.h"
#include "client/fetch_sum.h"
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- checksums --- */

static bool is_sum(const char *text, const char *hex)
{
    struct fetch_sum sum;
    if (!fetch_sum_parse(&sum, hex))
        return false;
    struct fetch_digest *d = fetch_digest_begin(sum.kind, strlen(text));
    for (; *text; text++)
        fetch_digest_feed(d, text, 1);
    return fetch_digest_end(d, &sum);
}

Test(fetch_sum, known_answers)
{
    /* git hash-object of an empty file and of "hello\n"; FIPS 180-4's "abc" */
    cr_assert(is_sum("", "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"));
    cr_assert(is_sum("hello\n", "ce013625030ba8dba906f756967f9e9ca394464a"));
    cr_assert(is_sum("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    cr_assert_not(
        is_sum("abd", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    cr_assert_not(is_sum("hello", "ce013625030ba8dba906f756967f9e9ca394464a"));
}

Test(fetch_sum, takes_hexadecimal_digits_alone)
{
    struct fetch_sum sum;
    cr_assert_not(fetch_sum_parse(&sum, ""));
    cr_assert_not(fetch_sum_parse(&sum, "d41d8cd98f00b204e9800998ecf8427e"));
    cr_assert_not(fetch_sum_parse(&sum, "E69DE29BB2D1D6434B8B29AE775AD8C2E48C5391"));
    cr_assert_not(fetch_sum_parse(&sum, "../de29bb2d1d6434b8b29ae775ad8c2e48c5391"));
    cr_assert(fetch_sum_is_commit("e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"));
    cr_assert_not(fetch_sum_is_commit("main"));
}

/* --- settings --- */

static const char *const variables[] = {"HF_HOME",
                                        "HF_HUB_CACHE",
                                        "HUGGINGFACE_HUB_CACHE",
                                        "XDG_CACHE_HOME",
                                        "HF_ENDPOINT",
                                        "HF_TOKEN",
                                        "HUGGING_FACE_HUB_TOKEN",
                                        "HF_TOKEN_PATH",
                                        "HF_HUB_DISABLE_IMPLICIT_TOKEN",
                                        "HF_HUB_OFFLINE",
                                        "TRANSFORMERS_OFFLINE"};
static struct fetch_hub hub;
static struct err e;
static char dir[] = "/tmp/fedpet-home-XXXXXX";

static void clear(void)
{
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++)
        unsetenv(variables[i]);
    cr_assert_not_null(mkdtemp(dir));
    setenv("HOME", dir, 1);
}

static void sweep(void)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_expect_eq(system(command), 0);
}

TestSuite(fetch_settings, .init = clear, .fini = sweep);

static const char *below(const char *path)
{
    static char out[128];
    snprintf(out, sizeof out, "%s/%s", dir, path);
    return out;
}

Test(fetch_settings, are_those_of_huggingface_hub)
{
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0, "%s", e.text);
    cr_assert_str_eq(hub.endpoint, "https://huggingface.co");
    cr_assert_str_eq(hub.cache, below(".cache/huggingface/hub"));
    cr_assert_str_eq(hub.token, "");
    cr_assert_not(hub.offline);
    setenv("XDG_CACHE_HOME", "/x", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_str_eq(hub.cache, "/x/huggingface/hub");
    setenv("HF_HOME", "~/hf", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_str_eq(hub.cache, below("hf/hub"));
    setenv("HUGGINGFACE_HUB_CACHE", "/old", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_str_eq(hub.cache, "/old");
    setenv("HF_HUB_CACHE", "/new", 1);
    setenv("HF_ENDPOINT", "https://mirror.example/hf//", 1);
    setenv("HF_HUB_OFFLINE", "yes", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_str_eq(hub.cache, "/new");
    cr_assert_str_eq(hub.endpoint, "https://mirror.example/hf");
    cr_assert(hub.offline);
    setenv("HF_HUB_OFFLINE", "0", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_not(hub.offline);
}

Test(fetch_settings, finds_the_token)
{
    setenv("HF_HOME", dir, 1);
    cr_assert_eq(file_write(below("token"), "hf_file\n", 8, 0600, &e), 0);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_str_eq(hub.token, "hf_file");
    setenv("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_str_eq(hub.token, "");
    setenv("HF_TOKEN", " hf_variable\n", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_str_eq(hub.token, "hf_variable");
    unsetenv("HF_HUB_DISABLE_IMPLICIT_TOKEN");
    unsetenv("HF_TOKEN");
    cr_assert_eq(file_write(below("other"), "hf_other", 8, 0600, &e), 0);
    setenv("HF_TOKEN_PATH", "~/other", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), 0);
    cr_assert_str_eq(hub.token, "hf_other");
}

Test(fetch_settings, refuses_what_no_request_can_carry)
{
    setenv("HF_TOKEN", "hf_x\r\nHost: elsewhere", 1);
    cr_assert_eq(fetch_hub_settings(&hub, &e), ERR_CONFIG);
    cr_assert_not(strstr(e.text, "hf_x"), "%s", e.text);
    unsetenv("HF_TOKEN");
    static const char *const bad[] = {"http://huggingface.co", "huggingface.co", "https://", "/"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        setenv("HF_ENDPOINT", bad[i], 1);
        cr_expect_eq(fetch_hub_settings(&hub, &e), ERR_CONFIG, "%s", bad[i]);
    }
    unsetenv("HF_ENDPOINT");
    unsetenv("HOME");
    cr_assert_eq(fetch_hub_settings(&hub, &e), ERR_IO);
}
