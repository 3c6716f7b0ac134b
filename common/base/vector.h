/* Memory for vectors of parameters, from kilobytes (an adapter) to gigabytes (a whole model). */
#ifndef BASE_VECTOR_H
#define BASE_VECTOR_H

#include <stddef.h>

/* As malloc(n * width) and calloc(n, width), n may be 0; free() frees. Large ones ask for huge
 * pages (madvise(2)), where the kernel offers them: a vector that lives for one training of one
 * client is then mapped by a fault per 2 MiB instead of one per 4 KiB. NULL without memory. */
void *vector_alloc(size_t n, size_t width);
void *vector_zeroed(size_t n, size_t width);

/* From here on memory that is freed stays with the process, and the next vector of any thread takes
 * it: for a process that trains client after client, as pages that the system clears anew each time
 * cost more than what is done with them. Call it before there are threads. */
void vector_reuse(void);

#endif
