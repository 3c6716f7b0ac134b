/* A Hugging Face model directory that is being made: it appears whole or not at all. */
#ifndef MODEL_MODEL_DIR_H
#define MODEL_MODEL_DIR_H

#include "base/err.h"
#include "model/safetensors.h"
#include <jansson.h>
#include <limits.h>

#define MODEL_CONFIG "config.json"
#define MODEL_WEIGHTS "model.safetensors"

struct model_dir {
    const char *dir;                       /* where it is to appear; borrowed */
    char temp[PATH_MAX], parent[PATH_MAX]; /* where its files go meanwhile */
};

/* Makes the folder `temp` beside `dir`, whose parents are made, too. ERR_IO: dir exists already,
 * ...
 */
int model_dir_begin(struct model_dir *d, const char *dir, struct err *e) MUST_CHECK;
/* rc 0: all files are in temp: it becomes dir, durably. Else removes what is there of them, and
 * returns rc. ERR_IO. */
int model_dir_end(struct model_dir *d, int rc, struct err *e) MUST_CHECK;

/* Writes model.safetensors by safetensors_stream. Its errors. */
int model_dir_write_weights(const char *dir, const struct st_out *t, size_t n,
                            safetensors_values_fn values, void *ctx, struct err *e) MUST_CHECK;
/* The config.json of a model directory: the caller's. Errors of jsonfile_read. */
int model_dir_read_config(const char *dir, json_t **config, struct err *e) MUST_CHECK;

/* Copies the files of a tokenizer, as far as they are there, from one folder to another. ERR_IO,
 * ERR_NOMEM. */
int model_dir_copy_tokenizer(const char *from, const char *to, struct err *e) MUST_CHECK;
/* Removes a model directory's files, and the folder if nothing else is in it. */
void model_dir_remove(const char *dir);

#endif
