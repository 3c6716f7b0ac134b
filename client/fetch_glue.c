#include "client/fetch_glue.h"
#include "base/file.h"
#include "client/fetch_file.h"
#include "client/fetch_mrpc.h"
#include "client/fetch_zip.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

static const uint64_t MOST_MEMBER = (uint64_t)1 << 30;

#define SPLITS                                                                                     \
    {                                                                                              \
        "train.tsv", "dev.tsv", "test.tsv"                                                         \
    }

const struct fetch_task fetch_glue_table[] = {
    {"cola",
     "CoLA",
     {{"glue/data/CoLA.zip", 376971,
       "f212fcd832b8f7b435fb991f101abf89f96b933ab400603bf198960dfc32cbff"}},
     SPLITS},
    {"sst2",
     "SST-2",
     {{"glue/data/SST-2.zip", 7439277,
       "d67e16fb55739c1b32cdce9877596db1c127dc322d93c082281f64057c16deaa"}},
     SPLITS},
    {"mrpc",
     "MRPC",
     {{"senteval/senteval_data/msr_paraphrase_train.txt", 1047044,
       "60a9b09084528f0673eedee2b69cb941920f0b8cd0eeccefc464a98768457f89"},
      {"senteval/senteval_data/msr_paraphrase_test.txt", 441275,
       "a04e271090879aaba6423d65b94950c089298587d9c084bf9cd7439bd785f784"},
      {"glue/data/mrpc_dev_ids.tsv", 6222,
       "971d7767d81b997fd9060ade0ec23c4fc31cbb226a55d1bd4a1bac474eb81dc7"}},
     SPLITS},
    {"stsb",
     "STS-B",
     {{"glue/data/STS-B.zip", 802872,
       "e60a6393de5a8b5b9bac5020a1554b54e3691f9d600b775bd131e613ac179c85"}},
     SPLITS},
    {"qqp",
     "QQP",
     {{"glue/data/QQP-clean.zip", 41696084,
       "40e7c862c04eb26ee04b67fd900e76c45c6ba8e6d8fab4f8f1f8072a1a3fbae0"}},
     SPLITS},
    {"mnli",
     "MNLI",
     {{"glue/data/MNLI.zip", 312783507,
       "e7c1d896d26ed6caf700110645df426cc2d8ebf02a5ab743d5a5c68ac1c83633"}},
     {"train.tsv", "dev_matched.tsv", "dev_mismatched.tsv", "test_matched.tsv",
      "test_mismatched.tsv"}},
    {"qnli",
     "QNLI",
     {{"glue/data/QNLIv2.zip", 10627589,
       "e634e78627a29adaecd4f955359b22bf5e70f2cbd93b493f2d624138a0c0e5f5"}},
     SPLITS},
    {"rte",
     "RTE",
     {{"glue/data/RTE.zip", 697150,
       "6bf86de103ecd335f3441bd43574d23fef87ecc695977a63b82d5efb206556ee"}},
     SPLITS},
    {"wnli",
     "WNLI",
     {{"glue/data/WNLI.zip", 28999,
       "ae0e8e4d16f4d46d4a0a566ec7ecceccfd3fbfaa4a7a4b4e02848c0f2561ac46"}},
     SPLITS},
    {0},
};

int fetch_glue_find(const char *name, const struct fetch_task **out, struct err *e)
{
    char known[256] = "";
    for (const struct fetch_task *t = fetch_glue_table; t->name; t++) {
        size_t n = strlen(known);
        if (strncmp(name, "glue/", 5) == 0 && strcmp(name + 5, t->name) == 0) {
            *out = t;
            return 0;
        }
        snprintf(known + n, sizeof known - n, " glue/%s", t->name);
    }
    return err_set(e, ERR_USAGE, "there is no data set '%.60s'; known are:%s", name, known);
}

static int folder_of(const struct fetch_task *task, const char *dir, char out[PATH_MAX],
                     struct err *e)
{
    char parent[PATH_MAX];
    int rc = file_join(parent, sizeof parent, dir, "glue", e);
    return rc ? rc : file_join(out, PATH_MAX, parent, task->folder, e);
}

bool fetch_glue_complete(const struct fetch_task *task, const char *dir)
{
    char folder[PATH_MAX], path[PATH_MAX];
    if (folder_of(task, dir, folder, NULL))
        return false;
    for (size_t i = 0; task->file[i]; i++)
        if (file_join(path, sizeof path, folder, task->file[i], NULL) || !file_exists(path))
            return false;
    return true;
}

/* Fetches one file of the archive into the folder, under its own name. */
static int fetch_part(struct fetch_http *h, const struct fetch_source *s, const char *base,
                      const char *folder, char path[PATH_MAX], struct err *e)
{
    char url[1024], part[PATH_MAX];
    const char *name = strrchr(s->path, '/') + 1;
    size_t n = strlen(base);
    bool fetched;
    if (strncasecmp(base, "https://", 8) != 0 || n > sizeof url / 2)
        return err_set(e, ERR_USAGE, "%.100s: must be an https:// address", base);
    snprintf(url, sizeof url, "%s%s%s", base, base[n - 1] == '/' ? "" : "/", s->path);
    int rc = file_join(path, PATH_MAX, folder, name, e);
    if (!rc && snprintf(part, sizeof part, "%s.incomplete", path) >= (int)sizeof part)
        rc = err_set(e, ERR_IO, "the path %.60s... is too long", path);
    if (rc)
        return rc;
    struct fetch_file file = {
        .name = name,
        .url = url,
        .path = path,
        .part = part,
        .lock = folder,
        .size = s->size,
    };
    if (!fetch_sum_parse(&file.sum, s->sha256))
        return err_set(e, ERR_INTERNAL, "%s: no checksum", s->path);
    return fetch_file(h, &file, &fetched, e);
}

static int unpack(const struct fetch_task *task, char path[FETCH_GLUE_SOURCES][PATH_MAX],
                  const char *folder, struct err *e)
{
    size_t n = 0;
    while (task->file[n])
        n++;
    if (task->source[1].path)
        return fetch_mrpc_split(path[0], path[1], path[2], folder, e);
    return fetch_zip_extract(path[0], task->folder, task->file, n, MOST_MEMBER, folder, e);
}

int fetch_glue(struct fetch_http *h, const struct fetch_task *task, const char *base,
               const char *dir, char folder[PATH_MAX], bool *fetched, struct err *e)
{
    char path[FETCH_GLUE_SOURCES][PATH_MAX];
    size_t n = 0;
    int rc = folder_of(task, dir, folder, e);
    if (rc)
        return rc;
    *fetched = !fetch_glue_complete(task, dir);
    if (!*fetched)
        return 0;
    rc = file_mkdirs(folder, 0755, e);
    for (; !rc && n < FETCH_GLUE_SOURCES && task->source[n].path; n++)
        rc = fetch_part(h, &task->source[n], base, folder, path[n], e);
    if (!rc)
        rc = unpack(task, path, folder, e);
    for (size_t i = 0; !rc && i < n; i++)
        unlink(path[i]);
    return rc;
}
