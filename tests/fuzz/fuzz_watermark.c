/* What a node remembers of its peers, as it lies in the store: what decodes must encode again, to
 * the same. */
#include <string.h>

#include "fuzz.h"
#include "seal/watermark.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    static struct watermark marks[NODES_MAX];

    if (number > 3)
        return false;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        marks[i].node_id[0] = (uint8_t)i;
        marks[i].boot_counter = i;
        marks[i].index = UINT64_MAX >> i;
        marks[i].refused = i % 2;
    }
    watermark_list_encode(marks, number * 3, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf first = BUF_INIT(WATERMARK_LIST_BYTES_MAX);
    struct buf second = BUF_INIT(WATERMARK_LIST_BYTES_MAX);
    static struct watermark marks[NODES_MAX], again[NODES_MAX];
    unsigned n, again_n;

    if (watermark_list_decode(bytes_of(data, len), marks, &n) != QK_OK)
        return 0;
    watermark_list_encode(marks, n, &first);
    fuzz_must(buf_error(&first));
    fuzz_must(watermark_list_decode(buf_bytes(&first), again, &again_n));
    watermark_list_encode(again, again_n, &second);
    fuzz_require(again_n == n && bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
