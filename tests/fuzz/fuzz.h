/* What the fuzz targets share. A target is one file fuzz_NAME.c with LLVMFuzzerTestOneInput and
 * fuzz_seed, built by clang with -Dfuzz=true and run by tests/fuzz/run. A property that does not
 * hold ends the process, as a sanitizer's finding does. */
#ifndef FUZZ_FUZZ_H
#define FUZZ_FUZZ_H

#include "base/bytes.h"
#include "base/limits.h"

struct secret;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Each target's: appends its seed of that number, made by the product's own encoders; false when
 * there are no more. With QK_FUZZ_SEEDS=DIR in the environment a target writes its seeds and ends.
 */
bool fuzz_seed(unsigned number, struct buf *out);

/* Ends the process unless `holds`. */
void fuzz_require(bool holds);
/* The same for what must succeed. */
void fuzz_must(enum qk_err err);
/* For what may succeed or fail. */
static inline void fuzz_any(enum qk_err err)
{
    (void)err;
}
/* A key of 32 bytes `fill`, alive as long as the process; the same one for the same `fill`. */
struct secret *fuzz_key(uint8_t fill);
/* Reads each byte, so that AddressSanitizer sees a view that leads out of its buffer. */
void fuzz_touch(struct bytes bytes);

#endif
