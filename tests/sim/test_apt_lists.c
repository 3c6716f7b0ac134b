/* Stanzas, package lists and translations. */
#include "debian.h"
#include "sim/apt_lists.h"
#include "sim/deb822.h"
#include "sim/prepare_words.h"

static const char *const fields[] = {"Name", "Text", NULL};

/* "NAME=TEXT" of each stanza, with "|" behind; "-" for what is absent. */
static int stanzas(const char *bytes, char *out, size_t size, struct err *e)
{
    struct folder f = folder_make();
    struct deb822 d;
    bool more = true;
    debian_write(&f, "list", bytes);
    const char *path = folder_file(&f, "list");
    int rc = deb822_open(&d, path, fields, e);
    for (*out = '\0'; !rc && more;) {
        rc = deb822_next(&d, &more, e);
        if (rc || !more)
            break;
        const char *name = deb822_value(&d, 0), *text = deb822_value(&d, 1);
        size_t n = strlen(out);
        snprintf(out + n, size - n, "%s=%s|", name ? name : "-", text ? text : "-");
    }
    deb822_close(&d);
    folder_remove(&f);
    return rc;
}

static void expect_stanzas(const char *bytes, const char *want)
{
    char got[256];
    struct err e = {0};
    cr_assert_eq(stanzas(bytes, got, sizeof got, &e), 0, "%s", e.text);
    cr_expect_str_eq(got, want);
}

Test(deb822, stanzas_and_continued_fields)
{
    expect_stanzas("", "");
    expect_stanzas("\n \n", "");
    expect_stanzas("Name: a\nText: b\n", "a=b|");
    expect_stanzas("\n\nName:a\n\n\nTEXT: b", "a=-|-=b|");
    expect_stanzas("Other: x\n y\nText: one\n two\n .\n  three\nName: a\n more\n",
                   "a\nmore=one\ntwo\n\n three|");
    expect_stanzas("# comment\nName: a\n# comment\nText:\n b:c\n", "a=\nb:c|");
    expect_stanzas("Names: x\nName: a\n", "a=-|");
}

Test(deb822, refuses_what_is_no_list)
{
    char got[256];
    struct err e = {0};
    cr_expect_eq(stanzas("Name: a\nhello\n", got, sizeof got, &e), ERR_DATA);
    cr_expect_not_null(strstr(e.text, "list:2: no field"), "%s", e.text);
    cr_expect_eq(stanzas(": a\n", got, sizeof got, &e), ERR_DATA);

    char *long_value = malloc(DEB822_MAX_VALUE + 64);
    memcpy(long_value, "Text: ", 6);
    memset(long_value + 6, 'x', DEB822_MAX_VALUE);
    memcpy(long_value + 6 + DEB822_MAX_VALUE, "\n", 2);
    cr_expect_eq(stanzas(long_value, got, sizeof got, &e), ERR_DATA);
    cr_expect_not_null(strstr(e.text, "KiB"), "%s", e.text);
    free(long_value);
}

/* ---- Lists ---- */

static const struct package *find(const struct apt_lists *l, const char *name)
{
    for (size_t i = 0; i < l->n; i++)
        if (strcmp(l->package[i].name, name) == 0)
            return &l->package[i];
    cr_assert_fail("no package %s", name);
    return NULL;
}

static struct apt_lists must_read(const char *path)
{
    struct apt_lists l;
    struct err e = {0};
    cr_assert_eq(apt_lists_read(&l, path, &e), 0, "%s", e.text);
    return l;
}

Test(apt_lists, what_apt_cache_prints)
{
    struct folder f = folder_make();
    debian_write(&f, "avail",
                 "Package: b\nSource: src (1:2.0-1)\nMaintainer: A Team <a@b.c>\n"
                 "Section: contrib/net\nDescription: does things\n\n"
                 "Package: a\nMaintainer: B\nSection: web\n"
                 "Description: a synopsis\n first  line\n   indented\n .\n  end.  \n\n"
                 "Package: c\nMaintainer: B\nSection: web\nDescription-en: English.\n text\n\n"
                 "Package: no-section\nMaintainer: B\nDescription: left out\n\n"
                 "Package: bare\nMaintainer: B\nSection: web\n");
    struct apt_lists l = must_read(folder_file(&f, "avail"));
    cr_assert_eq(l.n, 4);
    cr_expect_str_eq(l.package[0].name, "a");
    cr_expect_str_eq(l.package[0].text, "a synopsis. first  line indented end.");
    cr_expect_str_eq(l.package[0].source, "a");
    const struct package *b = find(&l, "b");
    cr_expect_str_eq(b->source, "src");
    cr_expect_str_eq(b->section, "net");
    cr_expect_str_eq(b->maintainer, "A Team");
    cr_expect_str_eq(b->text, "does things");
    cr_expect_str_eq(find(&l, "c")->text, "English. text");
    cr_expect_null(find(&l, "bare")->text);
    cr_expect_eq(l.described, 3);
    cr_expect_eq(l.at_length, 2);
    apt_lists_release(&l);
    folder_remove(&f);
}

Test(apt_lists, a_folder_with_translations)
{
    struct folder f = folder_make();
    debian_write(&f, "x_InRelease", "not a list");
    debian_write(&f, "x_main_binary-amd64_Packages",
                 "Package: a\nMaintainer: M\nSection: web\nDescription: short\n"
                 "Description-md5: 11\n\n"
                 "Package: b\nMaintainer: M\nSection: web\nDescription: only\n"
                 "Description-md5: 22\n");
    debian_write(&f, "y_main_binary-amd64_Packages",
                 "Package: a\nMaintainer: M\nSection: net\nDescription: another\n");
    debian_write(&f, "x_main_i18n_Translation-en",
                 "Package: a\nDescription-md5: 11\nDescription-en: short\n and long\n");
    debian_write(&f, "x_main_i18n_Translation-de",
                 "Package: b\nDescription-md5: 22\nDescription-en: falsch\n");
    struct apt_lists l = must_read(f.path);
    cr_expect_eq(l.files, 3);
    cr_expect_eq(l.n, 2);
    cr_expect_str_eq(find(&l, "a")->section, "web");
    cr_expect_str_eq(find(&l, "a")->text, "short. and long");
    cr_expect_str_eq(find(&l, "b")->text, "only");
    cr_expect_eq(l.at_length, 1);
    apt_lists_release(&l);
    folder_remove(&f);
}

static void expect_refusal(const struct folder *f, const char *name, int code, const char *says)
{
    struct apt_lists l;
    struct err e = {0};
    cr_expect_eq(apt_lists_read(&l, folder_file(f, name), &e), code, "%s", name);
    cr_expect_not_null(strstr(e.text, says), "\"%s\" does not say \"%s\"", e.text, says);
}

Test(apt_lists, says_what_is_missing)
{
    struct folder f = folder_make();
    debian_write(&f, "stripped", "Package: a\nMaintainer: M\nSection: web\n");
    debian_write(&f, "empty", "");
    debian_write(&f, "prose", "this is no list\n");
    expect_refusal(&f, "stripped", ERR_DATA, "Acquire::Languages=en");
    expect_refusal(&f, "empty", ERR_DATA, "apt-get update");
    expect_refusal(&f, "prose", ERR_DATA, "prose:1: no field");
    expect_refusal(&f, "absent", ERR_IO, "absent");
    struct apt_lists l;
    struct err e;
    cr_expect_eq(apt_lists_read(&l, f.path, &e), ERR_DATA);
    cr_expect_not_null(strstr(e.text, "no package lists; run apt-get update"), "%s", e.text);
    folder_remove(&f);
}

/* ---- Words that tell ---- */

static void expect_clean(const char *name, const char *text, const char *want, size_t words)
{
    static const char *const section[] = {"games", "graphics", "net", "x11"};
    char got[256];
    snprintf(got, sizeof got, "%s", text);
    size_t n = prepare_words_clean(got, &(struct prepare_words){name, "libthing2", section, 4});
    cr_expect_str_eq(got, want);
    cr_expect_eq(n, words, "%s: %zu words", text, n);
}

Test(prepare_words, names_go)
{
    expect_clean("super-tux", "Super-Tux: a jump 'n run", "a jump 'n run", 4);
    expect_clean("a2", "part of libthing2, of Thing and of thing2.", "part of, of and of.", 5);
    expect_clean("a2", "something else things", "something else things", 3);
    expect_clean("tool3", "the tool3-based and tool (TOOL) kit", "the and kit", 3);
}

Test(prepare_words, sections_go)
{
    expect_clean("p", "a game with gameplay, for GAMES and gamers", "a with, for and", 4);
    expect_clean("p", "graphical, graph, graphic", "graph,", 1);
    expect_clean("p", "net nets network (X11) internet", "network internet", 2);
    expect_clean("p", "a net-based and game_like toy", "a and toy", 3);
}

Test(prepare_words, libraries_and_versions_go)
{
    expect_clean("p", "uses libpng16, libfoo-bar; a library of liberal libre books",
                 "uses; a library of liberal libre books", 7);
    expect_clean("p", "version 2.4, v4 and 1.0-3 in 3D on 64 bits", "version, and in 3D on 64 bits",
                 7);
    expect_clean("p", "ends here. v", "ends here. v", 3);
    expect_clean("p", "2.0 - 3.1", "", 0);
    expect_clean("p", "", "", 0);
    expect_clean("p", "caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC net",
                 "caf\xC3\xA9 \xE6\x97\xA5\xE6\x9C\xAC", 2);
}
