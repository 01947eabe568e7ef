#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

#define SEEDS_MAX 1000

/* The target of the links brings no seeds: its tests are in tests/link. */
__attribute__((weak)) bool fuzz_seed(unsigned number, struct buf *out)
{
    (void)number;
    (void)out;
    return false;
}

void fuzz_require(bool holds)
{
    if (!holds)
        abort();
}

void fuzz_must(enum qk_err err)
{
    if (err != QK_OK) {
        (void)fprintf(stderr, "fuzz: %s\n", qk_err_text(err));
        abort();
    }
}

struct secret *fuzz_key(uint8_t fill)
{
    static struct secret *keys[256];
    uint8_t raw[32];

    if (keys[fill] == NULL) {
        memset(raw, fill, sizeof raw);
        fuzz_must(secret_new_copy(raw, sizeof raw, &keys[fill]));
    }
    return keys[fill];
}

void fuzz_touch(struct bytes bytes)
{
    static volatile uint8_t sum;

    for (size_t i = 0; i < bytes.len; i++)
        sum = (uint8_t)(sum + bytes.data[i]);
}

static bool write_seed(const char *dir, unsigned number)
{
    struct buf seed = BUF_INIT(16 * MIB);
    bool more = fuzz_seed(number, &seed);
    char path[4096];
    FILE *file;

    if (more) {
        fuzz_must(buf_error(&seed));
        (void)snprintf(path, sizeof path, "%s/seed-%03u", dir, number);
        file = fopen(path, "wb");
        fuzz_require(file != NULL);
        fuzz_require(seed.len == 0 || fwrite(seed.data, seed.len, 1, file) == 1);
        fuzz_require(fclose(file) == 0);
    }
    buf_fini(&seed);
    return more;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *dir = getenv("QK_FUZZ_SEEDS");

    (void)argc;
    (void)argv;
    fuzz_must(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT));
    if (dir == NULL)
        return 0;
    for (unsigned i = 0; i < SEEDS_MAX && write_seed(dir, i); i++) {
    }
    exit(0);
}
