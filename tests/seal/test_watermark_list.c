/* What is remembered of the peers, as it lies in the store. */
#include "seal/watermark.h"

#include <criterion/criterion.h>
#include <string.h>

static void sample(struct watermark *marks, unsigned n, struct buf *out)
{
    for (unsigned i = 0; i < n; i++) {
        marks[i] = (struct watermark){.boot_counter = 7, .made = 3, .term = 5};
        marks[i].boot_id[2] = 1;
        marks[i].node_id[0] = (uint8_t)i;
        marks[i].index = UINT64_MAX - i;
        marks[i].refused = i % 2;
        if (marks[i].refused)
            marks[i].refused_boot_id[3] = 9;
    }
    watermark_list_encode(marks, n, out);
    cr_assert_eq(buf_error(out), QK_OK);
}

Test(watermark_list, a_full_list_survives_a_round_trip)
{
    struct watermark marks[NODES_MAX], again[NODES_MAX];
    struct buf out = BUF_INIT(WATERMARK_LIST_BYTES_MAX);
    unsigned n = 0;

    memset(marks, 0, sizeof(marks));
    sample(marks, NODES_MAX, &out);
    cr_assert_eq(watermark_list_decode(buf_bytes(&out), again, &n), QK_OK);
    cr_assert_eq(n, NODES_MAX);
    for (unsigned i = 0; i < n; i++) {
        cr_assert_eq(memcmp(marks[i].node_id, again[i].node_id, NODE_ID_BYTES), 0);
        cr_assert_eq(memcmp(marks[i].boot_id, again[i].boot_id, BOOT_ID_BYTES), 0);
        cr_assert_eq(marks[i].index, again[i].index);
        cr_assert_eq(marks[i].refused, again[i].refused);
    }
    buf_fini(&out);
}

Test(watermark_list, a_list_cut_at_any_byte_or_with_more_is_refused)
{
    struct watermark marks[3], again[NODES_MAX];
    struct buf out = BUF_INIT(WATERMARK_LIST_BYTES_MAX);
    unsigned n = 77;

    memset(marks, 0, sizeof(marks));
    sample(marks, 3, &out);
    for (size_t len = 0; len < out.len; len++)
        cr_assert_neq(watermark_list_decode(bytes_of(out.data, len), again, &n), QK_OK);
    buf_put_u8(&out, 0);
    cr_assert_eq(watermark_list_decode(buf_bytes(&out), again, &n), QK_ERR_INVALID);
    cr_assert_eq(n, 77);
    buf_fini(&out);
}

Test(watermark_list, flipped_bytes_never_read_out_of_bounds_and_what_decodes_encodes_again)
{
    struct watermark marks[3], again[NODES_MAX];
    struct buf out = BUF_INIT(WATERMARK_LIST_BYTES_MAX);

    memset(marks, 0, sizeof(marks));
    sample(marks, 3, &out);
    for (size_t at = 0; at < out.len; at++)
        for (unsigned bit = 0; bit < 8; bit++) {
            struct buf second = BUF_INIT(WATERMARK_LIST_BYTES_MAX);
            unsigned n = 0;

            out.data[at] ^= (uint8_t)(1u << bit);
            if (watermark_list_decode(buf_bytes(&out), again, &n) == QK_OK)
                watermark_list_encode(again, n, &second);
            cr_assert_eq(buf_error(&second), QK_OK);
            out.data[at] ^= (uint8_t)(1u << bit);
            buf_fini(&second);
        }
    buf_fini(&out);
}

Test(watermark_list, a_list_of_a_newer_version_or_too_long_is_refused)
{
    static const uint8_t newer[] = {0x92, 2, 0x90};
    static const uint8_t many[] = {0x92, 1, 0xdc, 0xff, 0xff};
    struct watermark again[NODES_MAX];
    unsigned n;

    cr_assert_eq(watermark_list_decode(bytes_of(newer, sizeof(newer)), again, &n),
                 QK_ERR_UNSUPPORTED);
    cr_assert_eq(watermark_list_decode(bytes_of(many, sizeof(many)), again, &n), QK_ERR_INVALID);
}
