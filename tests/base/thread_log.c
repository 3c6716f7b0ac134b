/* Four threads write to one log: no line is lost, none is mixed with another. */
#include "base/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4, LINES = 500 };

static void *chat(void *arg)
{
    for (int i = 0; i < LINES; i++)
        log_info("%s the same words again and again", (const char *)arg);
    return NULL;
}

static int is_whole(const char *line)
{
    const char *at = strstr(line, "info: ");

    return at && at[6] >= 'a' && at[6] <= 'd' &&
           strcmp(at + 7, " the same words again and again") == 0;
}

int main(void)
{
    static char name[THREADS][2] = {"a", "b", "c", "d"};
    pthread_t thread[THREADS];
    char *text;
    size_t size;
    int lines = 0;
    FILE *out = open_memstream(&text, &size);

    log_setup("test", out, LOG_INFO, false);
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&thread[i], NULL, chat, name[i]))
            return 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    log_setup("test", NULL, LOG_INFO, false);
    fclose(out);
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1, lines++) {
        *end = '\0';
        if (!is_whole(line)) {
            fprintf(stderr, "mixed: %s\n", line);
            return 1;
        }
    }
    free(text);
    if (lines != THREADS * LINES)
        fprintf(stderr, "%d lines of %d\n", lines, THREADS * LINES);
    return lines != THREADS * LINES;
}
