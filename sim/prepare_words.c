#include "sim/prepare_words.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

enum { STEM = 4 }; /* letters from which on a section's name is taken for the beginning of a word */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (unsigned char)c >= 0x80;
}

static bool is_joint(char c)
{
    return c == '.' || c == '-' || c == '_';
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c) || is_joint(c) || c == '+';
}

static bool begins(const char *s, size_t len, const char *with, size_t n)
{
    return len >= n && strncasecmp(s, with, n) == 0;
}

static bool same(const char *s, size_t len, const char *as, size_t n)
{
    return len == n && strncasecmp(s, as, n) == 0;
}

static bool is_name(const char *s, size_t len, const char *name)
{
    size_t n = strlen(name), bare = n;

    if (same(s, len, name, n))
        return true;
    while (bare > 1 && (is_digit(name[bare - 1]) || is_joint(name[bare - 1])))
        bare--;
    size_t lib = n > 4 && strncmp(name, "lib", 3) == 0 ? 3 : 0;
    return same(s, len, name, bare) || same(s, len, name + lib, n - lib) ||
           (bare > lib && same(s, len, name + lib, bare - lib));
}

static bool is_section(const char *s, size_t len, const char *section)
{
    size_t n = strlen(section);

    if (n > 1 && section[n - 1] == 's')
        n--;
    return n >= STEM ? begins(s, len, section, n)
                     : same(s, len, section, n) ||
                           (len == n + 1 && begins(s, len, section, n) && s[n] == 's');
}

static bool is_library(const char *s, size_t len)
{
    return len > 4 && begins(s, len, "lib", 3) && strncasecmp(s + 3, "r", 1) != 0 &&
           strncasecmp(s + 3, "er", 2) != 0;
}

/* Digits with a point or a "v", and no other letters. */
static bool is_version(const char *s, size_t len)
{
    bool marked = len > 1 && (s[0] == 'v' || s[0] == 'V'), digits = false;

    for (size_t i = marked; i < len; i++) {
        if (is_letter(s[i]))
            return false;
        digits |= is_digit(s[i]);
        marked |= s[i] == '.';
    }
    return marked && digits;
}

static bool tells(const struct prepare_words *w, const char *s, size_t len)
{
    if (is_name(s, len, w->name) || is_name(s, len, w->source) || is_library(s, len) ||
        is_version(s, len))
        return true;
    for (size_t i = 0; i < w->n_sections; i++)
        if (is_section(s, len, w->section[i]))
            return true;
    return false;
}

static bool part_tells(const struct prepare_words *w, const char *s, size_t len)
{
    if (tells(w, s, len))
        return true;
    for (size_t from = 0, i = 0; i <= len; i++)
        if (i == len || is_joint(s[i])) {
            if (i > from && (from > 0 || i < len) && tells(w, s + from, i - from))
                return true;
            from = i + 1;
        }
    return false;
}

/* Leaves out spaces at the ends, of several, and before punctuation, empty brackets, all but the
 * last of several punctuation marks, and what joined the first word to those before it. */
static void tidy(char *text)
{
    char *to = text;

    for (const char *s = text + strspn(text, " -,.;:"); *s; s++) {
        bool after_space = to == text || to[-1] == ' ' || to[-1] == '(';
        if (*s == ' ' && after_space)
            continue;
        if (strchr(",.;:)", *s) && to > text && to[-1] == ' ')
            to--;
        if (strchr(",.;:", *s) && to > text && strchr(",;:", to[-1]))
            to--;
        if (*s == ')' && to > text && to[-1] == '(') {
            to--;
            continue;
        }
        *to++ = *s;
    }
    while (to > text && to[-1] == ' ')
        to--;
    *to = '\0';
}

size_t prepare_words_clean(char *text, const struct prepare_words *w)
{
    size_t kept = 0;
    char *to = text;

    for (const char *s = text; *s;) {
        if (!is_word(*s) || is_joint(*s)) {
            *to++ = *s++;
            continue;
        }
        size_t run = 1;
        while (is_word(s[run]))
            run++;
        size_t len = run;
        while (is_joint(s[len - 1]))
            len--;
        if (!part_tells(w, s, len)) {
            memmove(to, s, len);
            to += len;
            kept++;
        }
        memmove(to, s + len, run - len);
        to += run - len;
        s += run;
    }
    *to = '\0';
    tidy(text);
    return kept;
}
