#include "net/token.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct token sample(void)
{
    struct token t;
    for (int i = 0; i < TOKEN_SECRET; i++)
        t.secret[i] = (unsigned char)(0xf0 + i);
    t.ca = hash_of("abc", 3);
    return t;
}

/* The secret's form was computed with Python's base64.urlsafe_b64encode, the digest is FIPS 180-4's
 * example. */
static const char golden[] = "fedpet1.8PHy8_T19vf4-fr7_P3-_w."
                             "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

Test(token, has_one_text_form)
{
    struct token t = sample(), back;
    struct err e = {0};
    char text[TOKEN_TEXT];
    token_format(&t, text);
    cr_assert_str_eq(text, golden);
    cr_assert_eq(token_parse(text, &back, &e), 0, "%s", e.text);
    cr_assert_arr_eq(back.secret, t.secret, TOKEN_SECRET);
    cr_assert_arr_eq(back.ca.byte, t.ca.byte, HASH_BYTES);
}

Test(token, every_other_text_is_refused_or_another_token)
{
    struct token t, same = sample();
    struct err e = {0};
    size_t n = strlen(golden);
    for (size_t i = 0; i < n; i++) {
        for (int c = 1; c < 256; c++) {
            char text[sizeof golden];
            memcpy(text, golden, sizeof golden);
            if (text[i] == (char)c)
                continue;
            text[i] = (char)c;
            t = same;
            if (token_parse(text, &t, &e) == 0)
                cr_assert(memcmp(&t, &same, sizeof t) != 0, "%s", text);
            else
                cr_assert(memcmp(&t, &same, sizeof t) == 0, "output touched");
        }
    }
}

Test(token, lengths_and_noise_are_refused)
{
    char text[2 * TOKEN_TEXT];
    struct token t;
    struct err e = {0};
    for (size_t n = 0; n < strlen(golden); n++) {
        snprintf(text, sizeof text, "%.*s", (int)n, golden);
        cr_assert_eq(token_parse(text, &t, &e), ERR_TLS);
    }
    snprintf(text, sizeof text, "%s ", golden);
    cr_assert_eq(token_parse(text, &t, &e), ERR_TLS);
    snprintf(text, sizeof text, " %s", golden);
    cr_assert_eq(token_parse(text, &t, &e), ERR_TLS);
    /* The same secret with one of the two spare bits set. */
    snprintf(text, sizeof text, "%s", golden);
    text[29] = 'x';
    cr_assert_eq(token_parse(text, &t, &e), ERR_TLS);
    cr_assert(!strstr(e.text, "8PHy8"), "the secret must not be in a message");
}

Test(token, secrets_are_fresh_and_digests_tell_them_apart)
{
    struct token a, b;
    struct err e = {0};
    struct hash ca = hash_of("ca", 2);
    cr_assert_eq(token_make(&a, &ca, &e), 0);
    cr_assert_eq(token_make(&b, &ca, &e), 0);
    struct hash da = token_digest(&a), db = token_digest(&b), again = token_digest(&a);
    cr_assert(hash_same(&da, &again));
    cr_assert(!hash_same(&da, &db));
    again.byte[HASH_BYTES - 1] ^= 1;
    cr_assert(!hash_same(&da, &again));
}
