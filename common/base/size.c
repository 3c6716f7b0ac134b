#include "base/size.h"
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char units[] = "BKMGT";

bool size_parse(const char *text, uint64_t *bytes)
{
    uint64_t n = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0)
        return false;
    for (size_t i = 0; i < digits && n <= SIZE_MAX_BYTES; i++)
        n = 10 * n + (uint64_t)(text[i] - '0');
    if (text[digits] != '\0') {
        const char *unit = strchr(units, text[digits]);
        if (unit == NULL || text[digits + 1] != '\0')
            return false;
        for (; unit > units && n <= SIZE_MAX_BYTES; unit--)
            n *= 1024;
    }
    if (n > SIZE_MAX_BYTES)
        return false;
    *bytes = n;
    return true;
}

const char *size_text(uint64_t bytes, char out[SIZE_TEXT])
{
    const char *unit = units;
    for (; bytes != 0 && bytes % 1024 == 0 && unit[1] != '\0'; unit++)
        bytes /= 1024;
    snprintf(out, SIZE_TEXT, "%" PRIu64 "%c", bytes, *unit);
    return out;
}
