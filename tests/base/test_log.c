#include "base/log.h"

#include <criterion/criterion.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static char *text;
static size_t size;

static FILE *capture(enum log_level level, bool json)
{
    FILE *out = open_memstream(&text, &size);

    log_setup("fedpet-test", out, level, json);
    return out;
}

/* Back to stderr before the stream is gone. */
static void finish(FILE *out)
{
    log_setup("fedpet-test", NULL, LOG_INFO, false);
    fclose(out);
}

Test(log, human_lines_carry_level_and_program)
{
    FILE *out = capture(LOG_INFO, false);

    log_info("round %d committed clients=%d", 3, 10);
    log_debug("not shown");
    finish(out);
    cr_assert_eq(text[10], 'T', "a time in front: %s", text);
    cr_assert(strstr(text, "Z fedpet-test info: round 3 committed clients=10\n"), "%s", text);
    cr_assert_null(strstr(text, "not shown"));
    free(text);
}

Test(log, what_a_peer_says_cannot_forge_a_line_or_reach_the_terminal)
{
    FILE *out = capture(LOG_INFO, false);

    log_warn("peer says %s", "a\nERROR\x1b[2J \xff\xc3 \xc2\x9b \xe6\x97\xa5");
    finish(out);
    cr_assert(strstr(text, "warn: peer says a\\x0aERROR\\x1b[2J \\xff\\xc3 \\u009b \xe6\x97\xa5\n"),
              "%s", text);
    free(text);
}

Test(log, json_lines_parse_whatever_the_text)
{
    FILE *out = capture(LOG_DEBUG, true);
    char all[256];

    for (int i = 0; i < 255; i++)
        all[i] = (char)(i + 1);
    all[255] = '\0';
    log_debug("%s", all);
    log_error("say \"hi\" \\ \xe6\x97\xa5 \xed\xa0\x80 \xf4\x90\x80\x80 \xc0\xaf \xe0\x80\xaf");
    finish(out);
    char *second = strchr(text, '\n');
    *second++ = '\0';
    json_t *one = json_loads(text, 0, NULL), *two = json_loads(second, 0, NULL);
    cr_assert(one && two, "%s\n%s", text, second);
    cr_assert_str_eq(json_string_value(json_object_get(two, "level")), "error");
    cr_assert_str_eq(json_string_value(json_object_get(two, "program")), "fedpet-test");
    const char *message = json_string_value(json_object_get(two, "message"));
    cr_assert_eq(strncmp(message, "say \"hi\" \\ \xe6\x97\xa5 \xef\xbf\xbd", 16), 0, "%s", message);
    json_decref(one);
    json_decref(two);
    free(text);
}

Test(log, a_long_message_is_cut_and_says_so)
{
    FILE *out = capture(LOG_INFO, false);
    char big[10000];

    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    log_info("%s", big);
    finish(out);
    cr_assert_lt(size, 5000);
    cr_assert(strstr(text, "xxx...\n"));
    free(text);
}
