/* Well-formed UTF-8 (Unicode 15, table 3-7), for text that a stranger may have written. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stddef.h>

/* Bytes of the character at `s`, which is part of a NUL-terminated text: 1 to 4; 0 when none begins
 * there (overlong, surrogate, beyond U+10FFFF, cut short) and at the NUL. */
size_t utf8_length(const char *s);

#endif
