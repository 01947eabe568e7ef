/* Rows of a peer (service/integrity_rows): what is read is written again as the same. */
#include <string.h>

#include "fuzz.h"
#include "service/integrity/integrity_rows.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct integrity_row row = {.name = bytes_str("ada"), .version = 3, .stamp = 900};

    if (number >= 2)
        return false;
    integrity_row_put(&row, out);
    if (number == 1)
        integrity_row_put(&row, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct reader reader = reader_of(bytes_of(data, len));
    struct buf again = BUF_INIT(1 << 20);
    struct integrity_row row;

    while (integrity_row_read(&reader, &row) == QK_OK)
        integrity_row_put(&row, &again);
    fuzz_require(again.len <= len && (again.len == 0 || memcmp(again.data, data, again.len) == 0));
    buf_fini(&again);
    return 0;
}
