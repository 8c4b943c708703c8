/* replay.c: runs a target over a corpus directory without libFuzzer: every
 * file, and every beginning of it, each in a block of its exact size. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "fuzz.h"

enum { INPUT_MAX = 65536, PREFIXES_MAX = 2000 };

static void run(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);

    MUST_HOLD(copy);
    memcpy(copy, data, len);
    LLVMFuzzerTestOneInput(copy, len);
    free(copy);
}

static int replay(const char *path)
{
    static uint8_t data[INPUT_MAX];
    FILE *file = fopen(path, "rb");
    size_t len, prefix;

    if (!file)
        return -1;
    len = fread(data, 1, sizeof data, file);
    fclose(file);
    for (prefix = 0; prefix < len && prefix < PREFIXES_MAX; prefix++)
        run(data, prefix);
    run(data, len);
    return 0;
}

int main(int argc, char **argv)
{
    DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
    const struct dirent *entry;
    char path[4096];
    int count = 0;

    if (!dir) {
        fprintf(stderr, "usage: %s CORPUS_DIRECTORY\n", argv[0]);
        return 2;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", argv[1], entry->d_name);
        if (replay(path) != 0) {
            perror(path);
            return 1;
        }
        count++;
    }
    closedir(dir);
    if (count == 0) {
        fprintf(stderr, "%s: empty corpus\n", argv[1]);
        return 1;
    }
    printf("%d inputs\n", count);
    return 0;
}
