/* Plays the files of a folder to a fuzz target, without a fuzzer: what it once found, and the
 * seeds, stay well. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 1 << 20 };

static int play(const char *path)
{
    static uint8_t bytes[MOST];
    FILE *f = fopen(path, "rb");
    if (!f)
        return 1;
    size_t n = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    /* On the heap and no longer than it is, so that a sanitizer sees a read behind the end. */
    uint8_t *input = malloc(n ? n : 1);
    if (!input)
        return 1;
    for (size_t i = 0; i < n; i++)
        input[i] = bytes[i];
    LLVMFuzzerTestOneInput(input, n);
    free(input);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned played = 0;
    DIR *d = argc == 2 ? opendir(argv[1]) : NULL;
    for (const struct dirent *x; d && (x = readdir(d));) {
        char path[4096];
        if (x->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], x->d_name);
        if (play(path)) {
            fprintf(stderr, "replay: cannot read %s\n", path);
            return 1;
        }
        played++;
    }
    if (d)
        closedir(d);
    printf("%u inputs\n", played);
    return played == 0;
}
