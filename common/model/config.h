/* config.json of a Hugging Face model directory. */
#ifndef MODEL_CONFIG_H
#define MODEL_CONFIG_H

#include "model/model.h"

/* Reads dir/config.json. *name: its "_name_or_path" (or NULL), from `mem`. ERR_IO; ERR_MODEL naming
 * the field: unsupported model_type, activation, position type, decoder or quantization; a size
 * missing or out of range; hidden not a multiple of heads. Absent rates and options take
 * transformers' defaults. */
int config_read(struct model_config *c, char **name, const char *dir, struct arena *mem,
                struct err *e) MUST_CHECK;

#endif
