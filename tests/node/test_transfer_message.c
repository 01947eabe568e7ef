#include "node/transfer_message.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

static struct transfer_message sample(enum transfer_type type)
{
    struct transfer_message message = {.type = type, .offset = 5, .total = 9};

    memset(message.stream, 0x11, sizeof message.stream);
    if (type == TRANSFER_OFFER || type == TRANSFER_CHUNK)
        message.body = bytes_str("body");
    return message;
}

Test(transfer_message, each_is_read_back_and_none_cut_or_changed_crashes)
{
    for (unsigned type = TRANSFER_OFFER; type <= TRANSFER_ASK; type++) {
        struct transfer_message in = sample((enum transfer_type)type), out;
        struct buf buf = BUF_INIT(KIB);

        transfer_message_write(&in, &buf);
        buf_put_bytes(&buf, in.body);
        cr_assert_eq(transfer_message_read(buf_bytes(&buf), &out), QK_OK, "type %u", type);
        cr_assert_eq(out.type, in.type);
        cr_assert(bytes_equal(out.body, in.body));
        for (size_t len = 0; len < buf.len; len++) {
            uint8_t *copy = malloc(len + 1);

            memcpy(copy, buf.data, len);
            cr_assert_neq(transfer_message_read(bytes_of(copy, len), &out), QK_OK);
            free(copy);
        }
        for (size_t at = 0; at < buf.len; at++)
            for (unsigned bit = 0; bit < 8; bit++) {
                enum qk_err err;

                buf.data[at] ^= (uint8_t)(1u << bit);
                err = transfer_message_read(buf_bytes(&buf), &out);
                cr_assert(err == QK_OK || err == QK_ERR_INVALID || err == QK_ERR_CORRUPT);
                buf.data[at] ^= (uint8_t)(1u << bit);
            }
        buf_put_u8(&buf, 0);
        cr_assert_neq(transfer_message_read(buf_bytes(&buf), &out), QK_OK);
        buf_fini(&buf);
    }
}
