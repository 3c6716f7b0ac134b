#include "client/scorecard.h"
#include "client/cmd.h"
#include "text/entities.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static double mean_loss(const struct score *s)
{
    return s->n ? s->loss_sum / (double)s->n : 0;
}

/* --- text ----------------------------------------------------------------------------------- */

static int widest(const char *const *name, uint32_t n, const char *heading)
{
    size_t width = strlen(heading);
    for (uint32_t i = 0; i < n; i++)
        if (strlen(name[i]) > width)
            width = strlen(name[i]);
    return width < 40 ? (int)width : 40;
}

static void print_matches(const char *heading, const char *const *name, const struct match *m,
                          uint32_t n)
{
    int width = widest(name, n, heading);
    printf("\n%-*s  %9s  %9s  %9s  %6s  %6s\n", width, heading, "true", "predicted", "precision",
           "recall", "f1");
    for (uint32_t i = 0; i < n; i++)
        printf("%-*s  %9" PRIu64 "  %9" PRIu64 "  %9.4f  %6.4f  %6.4f\n", width, name[i],
               m[i].truth, m[i].guess, match_precision(&m[i]), match_recall(&m[i]),
               match_f1(&m[i]));
}

static int print_entities(const struct score *s, const struct dataset *d, struct err *e)
{
    struct entities types;
    int rc = entities_open(&types, d->label_name, d->n_labels, e);
    if (rc)
        return rc;
    const char *all_name = "all";
    struct match all = score_entities(s);
    print_matches("entity", types.type, s->entity, types.n_types);
    print_matches("entities", &all_name, &all, 1);
    entities_close(&types);
    return 0;
}

int scorecard_text(const struct score *s, enum metric own, const struct dataset *d, struct err *e)
{
    int rc = 0;
    printf("%s %.4f  loss %.4f  %" PRIu64 " %s\n", metric_name(own), score_value(s, own),
           mean_loss(s), s->n, d->head == HEAD_TOKENS ? "words" : "examples");
    for (int m = 0; m < METRIC_COUNT; m++)
        if (m != (int)own && task_metric_fits((enum metric)m, d->head, s->n_labels))
            printf("%s %.4f\n", metric_name((enum metric)m), score_value(s, (enum metric)m));
    if (d->label_name)
        print_matches(d->head == HEAD_TOKENS ? "tag" : "label", d->label_name, s->label,
                      s->n_labels);
    if (d->head == HEAD_TOKENS)
        rc = print_entities(s, d, e);
    if (!rc && (fflush(stdout) || ferror(stdout)))
        rc = err_sys(e, ERR_IO, errno, "standard output");
    return rc;
}

/* --- JSON ----------------------------------------------------------------------------------- */

static json_t *metrics_json(const struct score *s, enum head_kind head)
{
    json_t *all = json_object();
    for (int m = 0; m < METRIC_COUNT; m++)
        if (task_metric_fits((enum metric)m, head, s->n_labels))
            json_object_set_new(all, metric_name((enum metric)m),
                                json_real(score_value(s, (enum metric)m)));
    return all;
}

static json_t *matches_json(const char *key, const char *const *name, const struct match *m,
                            uint32_t n)
{
    json_t *all = json_array();
    for (uint32_t i = 0; i < n; i++)
        json_array_append_new(all,
                              json_pack("{s:s, s:I, s:I, s:f, s:f, s:f}", key, name[i], "true",
                                        (json_int_t)m[i].truth, "predicted", (json_int_t)m[i].guess,
                                        "precision", match_precision(&m[i]), "recall",
                                        match_recall(&m[i]), "f1", match_f1(&m[i])));
    return all;
}

int scorecard_json(const struct score *s, enum metric own, const struct dataset *d, struct err *e)
{
    struct entities types;
    json_t *root = json_pack("{s:s, s:f, s:f, s:I, s:o}", "metric", metric_name(own), "value",
                             score_value(s, own), "loss", mean_loss(s),
                             d->head == HEAD_TOKENS ? "words" : "examples", (json_int_t)s->n,
                             "metrics", metrics_json(s, d->head));
    if (d->label_name)
        json_object_set_new(root, "labels",
                            matches_json("label", d->label_name, s->label, s->n_labels));
    if (d->head == HEAD_TOKENS) {
        int rc = entities_open(&types, d->label_name, d->n_labels, e);
        if (rc) {
            json_decref(root);
            return rc;
        }
        json_object_set_new(root, "entities",
                            matches_json("type", types.type, s->entity, types.n_types));
        entities_close(&types);
    }
    return cmd_print_json(root, true, e);
}
