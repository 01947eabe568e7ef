/* The record of the re-encryption: what is read is written again as the same. */
#include <string.h>

#include "fuzz.h"
#include "service/reencrypt_record.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct reencrypt_record record = {.round = 3,
                                      .state = REENCRYPT_WANTED,
                                      .cursor = "0123456789abcdef/doc",
                                      .cursor_len = 20,
                                      .old_n = 1000000,
                                      .done_n = 777,
                                      .began_s = 1700000000};

    if (number >= 2)
        return false;
    if (number == 1)
        record = (struct reencrypt_record){.round = 1, .state = REENCRYPT_DONE, .index = 99};
    reencrypt_record_encode(&record, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf once = BUF_INIT(REENCRYPT_VALUE_BYTES_MAX);
    struct reencrypt_record record, again;

    if (reencrypt_record_decode(bytes_of(data, len), &record) != QK_OK)
        return 0;
    reencrypt_record_encode(&record, &once);
    fuzz_must(reencrypt_record_decode(buf_bytes(&once), &again));
    fuzz_require(memcmp(&record, &again, sizeof record) == 0);
    buf_fini(&once);
    return 0;
}
