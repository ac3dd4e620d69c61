/* Runs a fuzzer on the files that it is given: for compilers that have no fuzzer of their own. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = NULL;
    long len = -1;
    int rc = -1;

    if (file && fseek(file, 0, SEEK_END) == 0)
        len = ftell(file);
    if (len >= 0)
        bytes = malloc((size_t)len + 1);
    if (bytes && fseek(file, 0, SEEK_SET) == 0 && fread(bytes, 1, (size_t)len, file) == (size_t)len)
        rc = LLVMFuzzerTestOneInput(bytes, (size_t)len);
    else
        perror(path);
    free(bytes);
    if (file)
        fclose(file);
    return rc;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (int i = 1; i < argc; i++)
        failed |= replay(argv[i]) != 0;
    return failed;
}
