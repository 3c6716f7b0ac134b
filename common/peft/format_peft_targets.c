#include "peft/format_peft.h"
#include <string.h>

enum { PATTERN_BYTES = 512 };

/* PEFT takes an item as the end of a module path. The last word alone, as people write it
 * ("query"), but for "dense", which would be the end of many. */
static const char *target_item(enum family f, enum linear_site site)
{
    const char *name = linear_site_name(f, site), *last = strrchr(name, '.') + 1;
    return strcmp(last, "dense") == 0 ? name : last;
}

static bool ends_with_item(const char *path, const char *item)
{
    size_t n = strlen(path), k = strlen(item);
    return n >= k && strcmp(path + n - k, item) == 0 && (n == k || path[n - k - 1] == '.');
}

/* Would an item of the list select an untargeted site too, as "output.dense" selects
 * "attention.output.dense"? */
static bool list_is_ambiguous(enum family f, uint32_t targets)
{
    for (int s = 0; s < LIN_SITES; s++)
        for (int other = 0; other < LIN_SITES; other++)
            if ((targets >> s & 1) != 0 && (targets >> other & 1) == 0 &&
                ends_with_item(linear_site_name(f, (enum linear_site)other),
                               target_item(f, (enum linear_site)s)))
                return true;
    return false;
}

/* Then a string, which PEFT matches in full as a regular expression: the site must follow the
 * layer's number at once. */
static json_t *target_pattern(enum family f, uint32_t targets)
{
    char pattern[PATTERN_BYTES] = ".*\\.layer\\.\\d+\\.(";
    size_t n = strlen(pattern);
    for (int s = 0; s < LIN_SITES; s++) {
        if ((targets >> s & 1) == 0)
            continue;
        if (pattern[n - 1] != '(')
            pattern[n++] = '|';
        for (const char *c = linear_site_name(f, (enum linear_site)s); *c != '\0'; c++) {
            if (*c == '.')
                pattern[n++] = '\\';
            pattern[n++] = *c;
        }
    }
    pattern[n++] = ')';
    pattern[n] = '\0';
    return json_string(pattern);
}

json_t *peft_target_modules(enum family f, uint32_t targets)
{
    if (list_is_ambiguous(f, targets))
        return target_pattern(f, targets);
    json_t *list = json_array();
    for (int s = 0; s < LIN_SITES; s++)
        if ((targets >> s & 1) != 0)
            json_array_append_new(list, json_string(target_item(f, (enum linear_site)s)));
    return list;
}
