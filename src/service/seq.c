#include "service/seq.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "service/params.h"

#define SEQ_MARK_BYTES 8

void seq_format(const uint8_t database[static DATABASE_ID_BYTES], uint64_t seq,
                char ret_text[static SEQ_TEXT_BYTES_MAX + 1])
{
    int len = snprintf(ret_text, SEQ_TEXT_BYTES_MAX + 1, "%" PRIu64 "-", seq);

    assert(len > 1 && len <= 21);
    hex_encode(database, SEQ_MARK_BYTES, ret_text + len);
}

enum qk_err seq_parse(const uint8_t database[static DATABASE_ID_BYTES], struct bytes text,
                      uint64_t *ret_seq)
{
    uint8_t mark[SEQ_MARK_BYTES];
    const uint8_t *dash;
    struct bytes digits;
    uint64_t seq;

    assert(ret_seq != NULL);

    if (text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"')
        text = bytes_slice(text, 1, text.len - 2);
    dash = text.len == 0 ? NULL : memchr(text.data, '-', text.len);
    digits = dash == NULL ? text : bytes_slice(text, 0, (size_t)(dash - text.data));
    if (!parse_u64(digits, &seq))
        return QK_ERR_INVALID;
    if (dash != NULL) {
        text = bytes_slice(text, digits.len + 1, text.len);
        if (hex_decode(text, mark, sizeof(mark)) != QK_OK)
            return QK_ERR_INVALID;
        if (memcmp(mark, database, sizeof(mark)) != 0)
            seq = 0;
    }
    *ret_seq = seq;
    return QK_OK;
}
