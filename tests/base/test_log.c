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

/* --- lines held back --- */

static size_t occurrences(const char *of)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, of)); at += strlen(of))
        n++;
    return n;
}

static unsigned long held_back(const char *like)
{
    unsigned long sum = 0;
    char pattern[64];

    snprintf(pattern, sizeof pattern, "like=\"%s\"", like);
    for (const char *at = text; (at = strstr(at, "lines held back count=")); at++) {
        const char *end = strchr(at, '\n');
        const char *found = strstr(at, pattern);
        if (found && found < end)
            sum += strtoul(at + strlen("lines held back count="), NULL, 10);
    }
    return sum;
}

Test(log, a_place_that_warns_without_end_is_held_back_and_counted)
{
    FILE *out = capture(LOG_INFO, false);

    for (int i = 0; i < 500; i++) {
        log_warn("connection lost address=%d", i);
        log_info("client connected client=%d", i);
    }
    for (int i = 0; i < LOG_BURST; i++)
        log_error("another place x=%d", i);
    finish(out);
    size_t said = occurrences("connection lost address=");
    cr_assert_geq(said, LOG_BURST);
    cr_assert_lt(said, 500, "all of them");
    cr_assert_eq(said + held_back("connection lost"), 500, "%zu said", said);
    cr_assert_eq(occurrences("client connected"), 500, "what is no warning is never held back");
    cr_assert_eq(occurrences("another place"), LOG_BURST);
    free(text);
}

Test(log, more_places_than_the_table_holds_are_not_limited)
{
    enum { PLACES = 100, EACH = 30 };
    static char fmt[PLACES][32]; /* a place is known by its format */
    FILE *out = capture(LOG_INFO, false);

    for (int i = 0; i < PLACES; i++)
        snprintf(fmt[i], sizeof fmt[i], "place %d of many", i);
    for (int k = 0; k < EACH; k++)
        for (int i = 0; i < PLACES; i++)
            log_line(LOG_WARN, fmt[i], 0);
    finish(out);
    cr_assert_eq(occurrences("place 99 of many\n"), EACH);
    cr_assert_geq(occurrences("place 0 of many\n"), LOG_BURST);
    cr_assert_eq(occurrences("place 0 of many\n") + held_back("place 0 of many"), EACH);
    free(text);
}

/* --- the file --- */

static json_t *line_of(const char *path, size_t number)
{
    FILE *in = fopen(path, "r");
    char line[8192];
    json_t *j = NULL;

    cr_assert_not_null(in, "%s", path);
    for (size_t i = 0; i <= number && fgets(line, sizeof line, in); i++)
        if (i == number)
            j = json_loads(line, 0, NULL);
    fclose(in);
    return j;
}

static void expect_event(const char *path, size_t number, const char *event)
{
    json_t *j = line_of(path, number);

    cr_assert_not_null(j, "%s has no line %zu", path, number);
    cr_assert_str_eq(json_string_value(json_object_get(j, "event")), event);
    json_decref(j);
}

Test(log, the_file_gets_json_and_is_opened_anew_after_rotation)
{
    char folder[] = "/tmp/fedpet-log-XXXXXX", path[64], old[64];
    struct err e = {0};

    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/log", folder);
    snprintf(old, sizeof old, "%s/log.1", folder);
    const struct log_settings s = {.level = LOG_ERROR, .file = path};
    cr_assert_eq(log_begin("fedpet-test", &s, &e), 0, "%s", e.text);
    log_error("disk full path=\"%s\" left=%d", "/x", 0);
    log_info("not shown");
    cr_assert_eq(rename(path, old), 0);
    log_error("still in the old one");
    cr_assert_eq(log_begin("fedpet-test", &s, &e), 0, "%s", e.text);
    log_error("in the new one");
    static char nowhere[] = "/nowhere/log";
    struct log_settings bad = s;
    bad.file = nowhere;
    cr_assert_eq(log_begin("fedpet-test", &bad, &e), ERR_IO);
    cr_assert(strstr(e.text, "log.file: /nowhere/log"), "%s", e.text);
    log_error("in the same one");
    expect_event(old, 0, "disk full");
    expect_event(old, 1, "still in the old one");
    cr_assert_null(line_of(old, 2));
    expect_event(path, 0, "in the new one");
    expect_event(path, 1, "in the same one");
    bad.file = NULL;
    cr_assert_eq(log_begin("fedpet-test", &bad, &e), 0);
    log_error("on stderr alone");
    cr_assert_null(line_of(path, 2));
    cr_assert(remove(path) == 0 && remove(old) == 0 && remove(folder) == 0);
}
