/*
 * seeds FOLDER TABLE...: the bytes of each row of the tables as a file in FOLDER, for the fuzzers
 * to begin with. Rows of more than SEED_MAX bytes are left out: they would slow all others down.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SEED_MAX = 4096, LINE_MAX_LEN = 1 << 15 };

/* "81a161c0", "00*5" for five times 00; spaces mean nothing. Returns how many bytes, or -1. */
static long unhex(unsigned char *to, const char *text)
{
    long len = 0;

    while (*text != '\0' && *text != '\t' && *text != '\n') {
        char pair[3] = {text[0], text[1], '\0'}, *end;
        long byte = strtol(pair, &end, 16), times = 1;

        if (*text == ' ' || *text == '.') {
            text++;
            continue;
        }
        text += 2;
        if (end == pair + 2 && *text == '*')
            times = strtol(text + 1, (char **)&text, 10);
        if (end != pair + 2 || times < 1 || times > SEED_MAX - len)
            return -1;
        memset(to + len, (int)byte, (size_t)times);
        len += times;
    }
    return len;
}

static int write_seed(const char *folder, const char *name, int row, const char *line)
{
    unsigned char bytes[SEED_MAX];
    long len = unhex(bytes, line);
    char path[4096];
    FILE *seed;
    int ok;

    if (len < 0)
        return 1;
    snprintf(path, sizeof path, "%s/%s-%d", folder, name, row);
    seed = fopen(path, "wb");
    ok = seed != NULL && fwrite(bytes, 1, (size_t)len, seed) == (size_t)len;
    if (seed != NULL)
        ok &= fclose(seed) == 0;
    if (!ok)
        perror(path);
    return ok;
}

static int write_seeds(const char *folder, const char *table)
{
    static char line[LINE_MAX_LEN];
    const char *slash = strrchr(table, '/'), *name = slash != NULL ? slash + 1 : table;
    FILE *f = fopen(table, "r");
    int ok = f != NULL;

    for (int row = 1; ok && fgets(line, sizeof line, f) != NULL; row++)
        if (line[0] != '#' && line[0] != '\n')
            ok = write_seed(folder, name, row, line);
    if (f != NULL)
        fclose(f);
    else
        perror(table);
    return ok;
}

int main(int argc, char **argv)
{
    for (int i = 2; i < argc; i++)
        if (!write_seeds(argv[1], argv[i]))
            return 1;
    return argc < 2;
}
