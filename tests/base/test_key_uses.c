#include "base/key_uses.h"

#include "base/limits.h"

#include <criterion/criterion.h>
#include <string.h>

static void sample(struct buf *out)
{
    struct key_use uses[2] = {{.version = 7, .bodies = 2, .sealed = 1, .sealed_bytes = 300},
                              {.version = 1, .bodies = 1}};

    memset(uses[0].key_id, 'a', sizeof uses[0].key_id);
    memset(uses[1].key_id, 'b', sizeof uses[1].key_id);
    key_uses_put(uses, 2, out);
}

Test(key_uses, what_is_put_is_read_back_and_the_rest_is_told)
{
    struct buf value = BUF_INIT(KIB);
    struct key_uses uses;
    struct key_use use;
    struct bytes rest;

    sample(&value);
    cr_assert_eq(value.len, 1 + 2 * KEY_USE_BYTES);
    buf_put_str(&value, "rest");
    cr_assert_eq(key_uses_open(buf_bytes(&value), &uses, &rest), QK_OK);
    cr_assert(bytes_equal(rest, bytes_str("rest")));
    cr_assert(key_uses_next(&uses, &use));
    cr_assert_eq(use.key_id[15], 'a');
    cr_assert_eq(use.version, 7);
    cr_assert_eq(use.bodies, 2);
    cr_assert_eq(use.sealed, 1);
    cr_assert_eq(use.sealed_bytes, 300);
    cr_assert(key_uses_next(&uses, &use));
    cr_assert_eq(use.key_id[0], 'b');
    cr_assert_eq(use.sealed, 0);
    cr_assert_not(key_uses_next(&uses, &use));
    buf_fini(&value);
}

Test(key_uses, a_list_cut_anywhere_is_refused)
{
    struct buf value = BUF_INIT(KIB);
    struct key_uses uses;

    sample(&value);
    for (size_t len = 0; len < value.len; len++)
        cr_assert_eq(key_uses_open(bytes_of(value.data, len), &uses, NULL), QK_ERR_INVALID);
    buf_fini(&value);
}

Test(key_uses, a_list_of_none_a_version_of_zero_and_more_sealed_than_there_is_are_refused)
{
    static const size_t at[] = {0, 20, 22}; /* n; the low bytes of version and bodies */
    struct buf value = BUF_INIT(KIB);
    struct key_uses uses;

    sample(&value);
    for (size_t i = 0; i < sizeof at / sizeof at[0]; i++) {
        uint8_t was = value.data[at[i]];

        value.data[at[i]] = 0;
        cr_assert_eq(key_uses_open(buf_bytes(&value), &uses, NULL), QK_ERR_INVALID, "%zu", at[i]);
        value.data[at[i]] = was;
    }
    value.data[24] = 3;
    cr_assert_eq(key_uses_open(buf_bytes(&value), &uses, NULL), QK_ERR_INVALID);
    buf_fini(&value);
}

Test(key_uses, any_byte_changed_is_read_without_harm)
{
    struct buf value = BUF_INIT(KIB);
    struct key_uses uses;
    struct key_use use;

    sample(&value);
    for (size_t at = 0; at < value.len; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            uint8_t was = value.data[at];

            value.data[at] = (uint8_t)byte;
            if (key_uses_open(buf_bytes(&value), &uses, NULL) == QK_OK)
                while (key_uses_next(&uses, &use))
                    cr_assert(use.version > 0 && use.bodies > 0 && use.sealed <= use.bodies);
            value.data[at] = was;
        }
    buf_fini(&value);
}
