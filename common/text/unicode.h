/* Code points: UTF-8 in and out, and the character classes by which tokenizers clean and split
 * text.
 *
 * The classes are utf8proc's, corrected where the Unicode tables of Hugging Face's tokenizers
 * (several versions at once, by component) say otherwise: unicode_overrides.h, made by
 * tests/interop/tokenizer_unicode.py. Every code point is tested. */
#ifndef TEXT_UNICODE_H
#define TEXT_UNICODE_H

#include "text/ints.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Appends the code points of s[0..len) to out. ERR_DATA naming the byte offset of the first invalid
 * sequence (overlong, surrogate, beyond U+10FFFF, cut short); ERR_NOMEM. out->n is unchanged on
 * failure. */
int unicode_decode(const char *s, size_t len, struct ints *out, struct err *e) MUST_CHECK;

/* Writes c as 1 to 4 bytes of UTF-8 and returns how many. c is a valid code point. */
size_t unicode_encode(int32_t c, char out[4]);

/* White_Space. */
bool unicode_is_space(int32_t c);
/* What BertNormalizer removes: Cc, Cf, Cs, Co, but not tab, line feed and carriage return. */
bool unicode_is_control(int32_t c);
/* What BertPreTokenizer isolates: ASCII that is neither alphanumeric nor space nor control, and
 * general category P. */
bool unicode_is_punctuation(int32_t c);
/* General categories L and N, as GPT-2's \p{L} and \p{N}. */
bool unicode_is_letter(int32_t c);
bool unicode_is_number(int32_t c);
/* General category Mn (BertNormalizer's strip_accents), and M (StripAccents). */
bool unicode_is_nonspacing_mark(int32_t c);
bool unicode_is_mark(int32_t c);
/* A word character, \w of UTS #18: Alphabetic, M, Nd, Pc, Join_Control. */
bool unicode_is_word(int32_t c);
/* BertNormalizer's "Chinese characters": the CJK ideograph blocks. */
bool unicode_is_cjk(int32_t c);
/* Has no decomposition in Hugging Face's tables although utf8proc knows one. */
bool unicode_is_atomic(int32_t c);
/* Simple lower case. (The one code point whose full lower case is longer, U+0130, is the caller's
 * business.) */
int32_t unicode_lower(int32_t c);

#endif
