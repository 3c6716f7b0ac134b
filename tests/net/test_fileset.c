#include "net/fileset.h"

#include "base/file.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES = 3, PATH = 64, GENERATION = 5000, KILLS = 60 };

struct scratch {
    char dir[32], path[FILES][PATH];
    struct fileset set;
};

static void scratch_init(struct scratch *s)
{
    static const char *const names[FILES] = {"key.pem", "cert.pem", "ca.pem"};
    static const mode_t modes[FILES] = {0600, 0644, 0640};
    const char *path[FILES];
    *s = (struct scratch){.dir = "/tmp/fedpet-set-XXXXXX"};
    cr_assert(mkdtemp(s->dir));
    for (int i = 0; i < FILES; i++) {
        snprintf(s->path[i], PATH, "%s/%s", s->dir, names[i]);
        path[i] = s->path[i];
    }
    cr_assert_eq(fileset_init(&s->set, path, modes, FILES, NULL), 0);
}

static void scratch_release(struct scratch *s)
{
    char command[PATH];
    snprintf(command, sizeof command, "rm -r %s", s->dir);
    cr_assert_eq(system(command), 0);
}

static char *read_file(const char *path)
{
    char *text = NULL;
    struct err e = {0};
    cr_assert_eq(file_read(path, 1 << 20, &text, NULL, &e), 0, "%s", e.text);
    return text;
}

static void expect(const struct scratch *s, int i, const char *text)
{
    char *got = read_file(s->path[i]);
    cr_assert_str_eq(got, text);
    free(got);
}

Test(fileset, replaces_some_or_all_with_their_modes)
{
    struct scratch s;
    struct stat st;
    scratch_init(&s);
    const char *const all[FILES] = {"one\n2 7\n", "", "three"}, *const some[FILES] = {"1", NULL,
                                                                                      "3"};
    cr_assert_eq(fileset_recover(&s.set, NULL), 0);
    cr_assert_eq(fileset_replace(&s.set, all, NULL), 0);
    for (int i = 0; i < FILES; i++)
        expect(&s, i, all[i]);
    cr_assert(stat(s.path[0], &st) == 0 && (st.st_mode & 0777) == 0600);
    cr_assert_eq(fileset_replace(&s.set, some, NULL), 0);
    expect(&s, 0, "1");
    expect(&s, 1, "");
    expect(&s, 2, "3");
    cr_assert_not(file_exists(s.set.journal));
    scratch_release(&s);
}

static void write_generations(const struct scratch *s)
{
    static char text[FILES][GENERATION];
    for (int g = 0;; g++) {
        const char *all[FILES];
        for (int i = 0; i < FILES; i++) {
            memset(text[i], 'a' + g % 26, GENERATION - 1);
            all[i] = text[i];
        }
        if (fileset_replace(&s->set, all, NULL))
            _exit(1);
    }
}

/* Killed anywhere, the files are of one generation once recovered. */
Test(fileset, a_kill_leaves_all_old_or_all_new, .timeout = 120)
{
    struct scratch s;
    unsigned between = 0;
    scratch_init(&s);
    for (unsigned kills = 0; kills < KILLS; kills++) {
        int how;
        pid_t child = fork();
        cr_assert_geq(child, 0);
        if (child == 0)
            write_generations(&s);
        usleep(3000 + kills * 137);
        cr_assert_eq(kill(child, SIGKILL), 0);
        cr_assert_eq(waitpid(child, &how, 0), child);
        cr_assert(WIFSIGNALED(how));
        between += file_exists(s.set.journal);
        cr_assert_eq(fileset_recover(&s.set, NULL), 0);
        cr_assert_not(file_exists(s.set.journal));
        if (!file_exists(s.path[0]))
            continue; /* killed before the first was complete */
        char *first = read_file(s.path[0]);
        cr_assert_eq(strlen(first), GENERATION - 1);
        for (int i = 1; i < FILES; i++)
            expect(&s, i, first);
        free(first);
    }
    cr_log_info("%u of %d kills came in the middle of a replacement", between, KILLS);
    scratch_release(&s);
}

/* Every state that a crash can leave: a journal, and some of the files already new. */
Test(fileset, recovers_from_between_any_two_steps)
{
    static const char journal[] = "fedpet fileset 1\n0 4\nnew12 5\nnew 3";
    struct scratch s;
    scratch_init(&s);
    for (int replaced = 0; replaced <= 2; replaced++) {
        const char *const old[FILES] = {"old 1", "old 2", "old 3"};
        cr_assert_eq(fileset_replace(&s.set, old, NULL), 0);
        cr_assert_eq(file_write(s.set.journal, journal, sizeof journal - 1, 0600, NULL), 0);
        if (replaced > 0)
            cr_assert_eq(file_write(s.path[0], "new1", 4, 0600, NULL), 0);
        if (replaced > 1)
            cr_assert_eq(file_write(s.path[2], "new 3", 5, 0600, NULL), 0);
        cr_assert_eq(fileset_recover(&s.set, NULL), 0);
        expect(&s, 0, "new1");
        expect(&s, 1, "old 2");
        expect(&s, 2, "new 3");
    }
    scratch_release(&s);
}

Test(fileset, other_journals_change_nothing)
{
    static const char *const foreign[] = {
        "",
        "something else\n",
        "fedpet fileset 1\n7 1\nx",
        "fedpet fileset 1\n0 9\nshort",
        "fedpet fileset 1\n0 -1\nx",
        "fedpet fileset 1\n0 1x",
    };
    const char *const old[FILES] = {"old", NULL, NULL};
    struct scratch s;
    struct err e = {0};
    scratch_init(&s);
    cr_assert_eq(fileset_replace(&s.set, old, NULL), 0);
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        cr_assert_eq(file_write(s.set.journal, foreign[i], strlen(foreign[i]), 0600, NULL), 0);
        cr_assert_eq(fileset_recover(&s.set, &e), ERR_IO, "%s", foreign[i]);
        cr_assert(strstr(e.text, ".next"), "%s", e.text);
        expect(&s, 0, "old");
    }
    scratch_release(&s);
}
