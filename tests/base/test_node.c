#include "base/node.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct arena mem;

static void begin(void)
{
    arena_init(&mem, 32 << 20);
}

static void end(void)
{
    arena_release(&mem);
}

TestSuite(node, .init = begin, .fini = end);

static struct node *parse(const char *text)
{
    struct node *root = NULL;
    struct err e = {0};

    cr_assert_eq(node_parse(&mem, "f.yaml", true, text, strlen(text), &root, &e), 0, "%s", e.text);
    return root;
}

static void expect_error(const char *text, size_t len, int code, const char *part)
{
    struct node *root = (struct node *)&mem;
    struct err e = {0};

    cr_assert_eq(node_parse(&mem, "f.yaml", true, text, len, &root, &e), code, "%s", text);
    cr_assert(strstr(e.text, part), "'%s' not in '%s'", part, e.text);
    cr_assert_eq((void *)root, (void *)&mem, "the output is untouched");
}

static void expect_written(const struct node *n, bool nulls, const char *want)
{
    struct buf out = {.limit = 1 << 20};

    cr_assert_eq(node_write(n, nulls, &out), 0);
    cr_assert(buf_size(&out) == strlen(want) && memcmp(buf_bytes(&out), want, strlen(want)) == 0,
              "%.*s instead of %s", (int)buf_size(&out), (const char *)buf_bytes(&out), want);
    buf_release(&out);
}

Test(node, a_document_becomes_a_tree_with_lines)
{
    struct node *root = parse("# comment\na: 1\nb:\n  - x\n  - {c: 'null', d: ~}\n");
    char origin[32];

    cr_assert_eq(root->kind, NODE_MAP);
    const struct node *b = node_get(root, "b"), *map = b->child->next;
    cr_assert(b->kind == NODE_LIST && b->line == 4);
    cr_assert_str_eq(b->child->text, "x");
    cr_assert_null(map->next);
    cr_assert(!node_is_null(node_get(map, "c")) && node_is_null(node_get(map, "d")));
    cr_assert_null(node_get(root, "c"));
    cr_assert_null(node_get(b, "c"), "a list has no keys");
    node_origin(node_get(map, "c"), origin, sizeof origin);
    cr_assert_str_eq(origin, "f.yaml:5");
    expect_written(root, true, "{a: 1, b: [x, {c: \"null\", d: null}]}");
    expect_written(root, false, "{a: 1, b: [x, {c: \"null\"}]}");
}

Test(node, empty_documents_have_no_root)
{
    cr_assert_null(parse(""));
    cr_assert_null(parse("# only a comment\n"));
    cr_assert(node_is_null(parse("---\n")));
}

Test(node, whatever_is_not_plain_is_refused_with_its_line)
{
    static const struct {
        const char *text, *part;
    } kase[] = {
        {"a: 1\nb: [1, 2\nc: 3\n", "f.yaml:"},
        {"a: 1\n  b: 2\n", "f.yaml:2"},
        {"a: 1\nb: 2\na: 3\n", "a: f.yaml:3: a key that occurs twice"},
        {"a: &x 1\n", "anchors"},
        {"a: &x [1]\n", "anchors"},
        {"a: &x {b: 1}\n", "anchors"},
        {"a: 1\nb: *x\n", "f.yaml:2: aliases"},
        {"a: !!str 1\n", "tags"},
        {"!foo {a: 1}\n", "tags"},
        {"? [a, b]\n: 1\n", "a key must be"},
        {"a: 1\n---\nb: 2\n", "second document"},
        {"a: \"x\\0y\"\n", "NUL"},
        {"\"a\\0\": 1\n", "NUL"},
        {"a: \x01\n", "f.yaml"},
        {"a: \xff\n", "f.yaml"},
        {"\t- a\n", "f.yaml"},
    };

    for (size_t i = 0; i < sizeof kase / sizeof *kase; i++)
        expect_error(kase[i].text, strlen(kase[i].text), ERR_CONFIG, kase[i].part);
    expect_error("a: b\0c", 6, ERR_CONFIG, "f.yaml");
}

/* A list in a list, `depth` in all, one value a line. */
static size_t nested(char *text, size_t depth)
{
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    return 2 * depth;
}

Test(node, depth_is_limited)
{
    char text[4 * NODE_MAX_DEPTH];
    struct node *root;

    cr_assert_eq(node_parse(&mem, "f", true, text, nested(text, NODE_MAX_DEPTH), &root, NULL), 0);
    expect_error(text, nested(text, NODE_MAX_DEPTH + 1), ERR_CONFIG, "nested too deeply");
}

Test(node, number_is_limited)
{
    static char text[2 * NODE_MAX_COUNT + 2];
    struct node *root;

    text[0] = '[';
    for (size_t i = 0; i < NODE_MAX_COUNT; i++)
        memcpy(text + 1 + 2 * i, "x,", 2);
    text[2 * NODE_MAX_COUNT + 1] = ']';
    expect_error(text, sizeof text, ERR_CONFIG, "too many values");
    text[2 * NODE_MAX_COUNT - 1] = ']'; /* one entry less, the list itself counts */
    cr_assert_eq(node_parse(&mem, "f", true, text, 2 * NODE_MAX_COUNT, &root, NULL), 0);
}

/* Every cap from nothing to enough: an error or a tree, never a crash or a leak. */
Test(node, a_full_arena_is_an_error)
{
    static const char text[] = "a: {b: [1, 2, {c: some text}]}\nd: x\n";
    size_t failed = 0;

    for (size_t cap = 0; cap < 4096; cap += 64) {
        struct arena small;
        struct node *root;
        struct err e = {0};

        arena_init(&small, cap);
        int rc = node_parse(&small, "f", true, text, strlen(text), &root, &e);
        cr_assert(rc == 0 || rc == ERR_NOMEM);
        failed += rc != 0;
        arena_release(&small);
    }
    cr_assert(failed > 5 && failed < 60, "%zu", failed);
}

Test(node, merge_lays_over_and_keeps_the_rest)
{
    struct node *base = parse("a: 1\nb: {x: 1, y: 2}\nc: {z: 1}\nd: [1, 2]\n");

    node_merge(base, parse("b: {y: 3, w: 4}\nc:\nd: [3]\ne: 5\n"));
    expect_written(base, true, "{a: 1, b: {x: 1, y: 3, w: 4}, c: {z: 1}, d: [3], e: 5}");
    node_merge(base, parse("a: ~\nb: 7\n"));
    expect_written(base, true, "{a: null, b: 7, c: {z: 1}, d: [3], e: 5}");
    node_merge(base, node_map(&mem, "x"));
    expect_written(base, true, "{a: null, b: 7, c: {z: 1}, d: [3], e: 5}");
}

/* Texts that YAML could read as something else. */
static const char *const awkward[] = {
    "",
    "~",
    "null",
    "a b",
    " a ",
    "a: b",
    "a #b",
    "#",
    "-",
    "--",
    "---",
    "...",
    "- a",
    "[a]",
    "{a}",
    "'a'",
    "\"a\"",
    "\\",
    "a\nb",
    "\t",
    "\x1b\x7f",
    "%a",
    "@a",
    "`a",
    "&a",
    "*a",
    "!a",
    "|",
    ">",
    "?",
    "? a",
    "a,b",
    "\xc2\x85",
    ":",
    "a:",
    "1e-3",
    "\xe2\x80\xa8\xe2\x80\xa9",
    "\xef\xbb\xbf",
    "\xe6\x97\xa5\xe6\x9c\xac",
    "\xf0\x9f\x98\x80",
    "\xc2\x80\xc2\x9f\xc2\xa0",
};

/* Whatever the text, what is written is read back as the same text. */
Test(node, written_texts_are_read_back)
{
    for (size_t i = 0; i < sizeof awkward / sizeof *awkward; i++) {
        struct node *n = node_scalar(&mem, "x", awkward[i]), *back;
        struct buf out = {.limit = 1000};
        struct err e = {0};

        n->quoted = true;
        n->key = "k";
        struct node map = {.kind = NODE_MAP, .child = n};
        cr_assert_eq(node_write(&map, true, &out), 0);
        cr_assert_eq(
            node_parse(&mem, "x", true, (const char *)buf_bytes(&out), buf_size(&out), &back, &e),
            0, "%zu: %s", i, e.text);
        cr_assert_str_eq(node_get(back, "k")->text, awkward[i]);
        cr_assert(!node_is_null(node_get(back, "k")), "%zu", i);
        buf_release(&out);
    }
}

Test(node, writing_beyond_the_limit_is_an_error)
{
    static const char want[] = "{a: [1, \"x y\", null], \"b \": {}}";
    struct node *root = parse("a: [1, x y, ~]\n'b ': {}\n");

    for (size_t limit = 0; limit < sizeof want - 1; limit++) {
        struct buf out = {.limit = limit};

        cr_assert_eq(node_write(root, true, &out), ERR_NOMEM);
        cr_assert_eq(memcmp(want, limit ? (const char *)buf_bytes(&out) : "", buf_size(&out)), 0);
        buf_release(&out);
    }
    expect_written(root, true, want);
}
