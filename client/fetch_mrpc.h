/* MRPC in GLUE's layout from the MSR corpus: the train file's pairs that the list of dev ids names
 * become dev.tsv, the others train.tsv; the test file loses its labels and gets a running index. As
 * the authors' download_glue_data.py does. */
#ifndef CLIENT_FETCH_MRPC_H
#define CLIENT_FETCH_MRPC_H

#include "base/err.h"

/* Rows: Quality, #1 ID, #2 ID, #1 String, #2 String; a byte order mark and line ends of Windows are
 * dropped. ERR_DATA naming file and line: not five columns, or no row; ERR_IO. */
int fetch_mrpc_split(const char *train, const char *test, const char *dev_ids, const char *dir,
                     struct err *e) MUST_CHECK;

#endif
