/* Runs a fuzz target without libFuzzer: on each of its seeds, on each cut short, and on each with
 * one byte changed. So the targets are built and run by tests/run in every build, and a seed that
 * no longer is what its target reads is noticed. With files in the arguments: on these instead. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"

/* Of one seed: a long one is cut, and changed, at places that are evenly apart. */
#define PLACES_MAX 200
#define SEED_BYTES_MAX (16 * MIB)

/* In memory of its own, so that AddressSanitizer sees each byte read past the end. */
static void run(struct bytes input, size_t flip_at)
{
    uint8_t *copy = malloc(input.len > 0 ? input.len : 1);

    fuzz_require(copy != NULL);
    if (input.len > 0)
        memcpy(copy, input.data, input.len);
    if (flip_at < input.len)
        copy[flip_at] ^= (uint8_t)(1u << (flip_at % 8));
    (void)LLVMFuzzerTestOneInput(copy, input.len);
    free(copy);
}

static void run_seed(struct bytes seed)
{
    size_t step = seed.len / PLACES_MAX + 1;

    run(seed, SIZE_MAX);
    for (size_t at = 0; at < seed.len; at += step) {
        run(bytes_slice(seed, 0, at), SIZE_MAX);
        run(seed, at);
    }
}

static unsigned run_seeds(void)
{
    struct buf seed = BUF_SECRET_INIT(SEED_BYTES_MAX);
    unsigned n = 0;

    while (fuzz_seed(n, &seed)) {
        fuzz_must(buf_error(&seed));
        run_seed(buf_bytes(&seed));
        buf_reset(&seed);
        n++;
    }
    buf_fini(&seed);
    return n;
}

static void run_file(const char *path)
{
    struct buf input = BUF_INIT(SEED_BYTES_MAX);
    uint8_t piece[4096];
    FILE *file = fopen(path, "rb");
    size_t len;

    fuzz_require(file != NULL);
    while ((len = fread(piece, 1, sizeof(piece), file)) > 0)
        buf_put(&input, piece, len);
    (void)fclose(file);
    run(buf_bytes(&input), SIZE_MAX);
    buf_fini(&input);
}

int main(int argc, char **argv)
{
    unsigned n = (unsigned)argc - 1;

    (void)LLVMFuzzerInitialize(&argc, &argv);
    for (int i = 1; i < argc; i++)
        run_file(argv[i]);
    if (argc == 1)
        n = run_seeds();
    (void)printf("%u inputs\n", n);
    return n == 0;
}
