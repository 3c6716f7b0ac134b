#include "base/hash.h"

#include <criterion/criterion.h>
#include <string.h>

static void check(const void *bytes, size_t len, const char *want)
{
    char hex[HASH_HEX];
    struct hash h = hash_of(bytes, len);

    hash_hex(&h, hex);
    cr_assert_str_eq(hex, want);
}

/* The examples of FIPS 180-4. */
Test(hash, known_answers)
{
    check("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56,
          "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

Test(hash, pieces_give_the_hash_of_the_whole)
{
    unsigned char text[1000];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (unsigned char)(i * 7);
    struct hash whole = hash_of(text, sizeof text);
    for (size_t piece = 1; piece < 200; piece += 13) {
        struct hash_state state, *s = hash_begin(&state);

        for (size_t at = 0; at < sizeof text; at += piece)
            hash_feed(s, text + at, sizeof text - at < piece ? sizeof text - at : piece);
        struct hash h = hash_end(s);
        cr_assert_eq(memcmp(&h, &whole, sizeof h), 0);
    }
}
