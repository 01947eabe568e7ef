#include "access/list.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "wire/pack.h"

static const uint8_t anna[USER_ID_BYTES] = {1}, bert[USER_ID_BYTES] = {2};

static struct access_list list_of_some(void)
{
    struct access_list list = {NULL, 0};

    cr_assert_eq(access_list_add_user(&list, anna, GRANT_ENCRYPT), QK_OK);
    cr_assert_eq(access_list_add_role(&list, bytes_str("staff"), GRANT_DECRYPT), QK_OK);
    cr_assert_eq(access_list_add_user(&list, bert, GRANT_MANAGE), QK_OK);
    return list;
}

static enum qk_err decode(struct bytes in, struct access_list *ret_list)
{
    struct unpack unpack = unpack_of(in);

    access_list_decode(&unpack, ret_list);
    return unpack_end(&unpack);
}

Test(access_list, bits_add_up_and_an_entry_without_bits_is_gone)
{
    struct access_list list = list_of_some();

    cr_assert_eq(access_list_add_user(&list, anna, GRANT_DECRYPT), QK_OK);
    cr_assert_eq(list.n, 3);
    cr_assert_eq(access_list_bits_of_user(&list, anna), GRANT_ENCRYPT | GRANT_DECRYPT);
    access_list_remove_user(&list, anna, GRANT_ENCRYPT);
    cr_assert_eq(access_list_bits_of_user(&list, anna), GRANT_DECRYPT);
    access_list_remove_user(&list, anna, ACCESS_BITS_ALL);
    cr_assert_eq(list.n, 2);
    cr_assert_eq(access_list_bits_of_user(&list, anna), 0);
    access_list_remove_user(&list, anna, ACCESS_BITS_ALL);
    access_list_remove_role(&list, bytes_str("none"), ACCESS_BITS_ALL);
    cr_assert_eq(list.n, 2);
    access_list_remove_role(&list, bytes_str("staff"), ACCESS_BITS_ALL);
    cr_assert_eq(access_list_bits_of_role(&list, bytes_str("staff")), 0);
    cr_assert_eq(access_list_bits_of_user(&list, bert), GRANT_MANAGE);
    cr_assert_eq(access_list_add_user(&list, anna, 0), QK_OK);
    cr_assert_eq(list.n, 1);
    access_list_fini(&list);
}

Test(access_list, a_role_is_no_user_of_the_same_bytes)
{
    struct access_list list = {NULL, 0};
    const uint8_t id[USER_ID_BYTES] = "abcdefghijklmno";

    cr_assert_eq(access_list_add_role(&list, bytes_str("abcdefghijklmno"), GRANT_MANAGE), QK_OK);
    cr_assert_eq(access_list_bits_of_user(&list, id), 0);
    access_list_fini(&list);
}

Test(access_list, comes_back_as_it_was)
{
    struct access_list list = list_of_some(), back, copy;
    struct buf out = BUF_INIT(ACCESS_LIST_BYTES_MAX);

    access_list_encode(&list, &out);
    cr_assert_eq(decode(buf_bytes(&out), &back), QK_OK);
    cr_assert_eq(back.n, list.n);
    cr_assert_eq(memcmp(back.items, list.items, list.n * sizeof(*list.items)), 0);
    cr_assert_eq(access_list_copy(&back, &copy), QK_OK);
    access_list_fini(&back);
    cr_assert_eq(access_list_bits_of_role(&copy, bytes_str("staff")), GRANT_DECRYPT);
    access_list_fini(&copy);
    access_list_fini(&list);
    buf_fini(&out);
}

Test(access_list, truncated_or_changed_bytes_never_give_more_than_was_written)
{
    struct access_list list = list_of_some(), back;
    struct buf out = BUF_INIT(ACCESS_LIST_BYTES_MAX);
    size_t at;
    int bit;

    access_list_encode(&list, &out);
    for (at = 0; at < out.len; at++) {
        cr_assert_neq(decode(bytes_of(out.data, at), &back), QK_OK);
        access_list_fini(&back);
        for (bit = 0; bit < 8; bit++) {
            out.data[at] ^= (uint8_t)(1 << bit);
            if (decode(buf_bytes(&out), &back) == QK_OK)
                cr_assert_leq(back.n, list.n);
            access_list_fini(&back);
            out.data[at] ^= (uint8_t)(1 << bit);
        }
    }
    buf_put_u8(&out, 0);
    cr_assert_neq(decode(buf_bytes(&out), &back), QK_OK);
    access_list_fini(&back);
    access_list_fini(&list);
    buf_fini(&out);
}

static enum qk_err decode_entries(unsigned n, const char *role, uint64_t bits)
{
    struct buf out = BUF_INIT(ACCESS_LIST_BYTES_MAX);
    struct access_list back;
    enum qk_err err;

    pack_array(&out, n);
    for (unsigned i = 0; i < n; i++) {
        pack_array(&out, 2);
        pack_text(&out, role);
        pack_u64(&out, bits);
    }
    err = decode(buf_bytes(&out), &back);
    access_list_fini(&back);
    buf_fini(&out);
    return err;
}

Test(access_list, what_cannot_have_been_written_is_refused)
{
    char long_name[ROLE_NAME_BYTES_MAX + 2] = "";

    cr_assert_eq(decode_entries(1, "staff", GRANT_DECRYPT), QK_OK);
    cr_assert_neq(decode_entries(2, "staff", GRANT_DECRYPT), QK_OK); /* the same twice */
    cr_assert_neq(decode_entries(1, "staff", 0), QK_OK);
    cr_assert_neq(decode_entries(1, "staff", ACCESS_BITS_ALL + 1), QK_OK);
    cr_assert_neq(decode_entries(1, "", GRANT_DECRYPT), QK_OK);
    cr_assert_neq(decode_entries(1, "a\nb", GRANT_DECRYPT), QK_OK);
    cr_assert_neq(decode_entries(1, "_admin", GRANT_DECRYPT), QK_OK);
    memset(long_name, 'a', ROLE_NAME_BYTES_MAX);
    cr_assert_eq(decode_entries(1, long_name, GRANT_DECRYPT), QK_OK);
    long_name[ROLE_NAME_BYTES_MAX] = 'a';
    cr_assert_neq(decode_entries(1, long_name, GRANT_DECRYPT), QK_OK);
}

Test(access_list, holds_its_maximum_and_not_one_more)
{
    struct access_list list = {NULL, 0}, back;
    struct buf out = BUF_INIT(ACCESS_LIST_BYTES_MAX);
    char role[ROLE_NAME_BYTES_MAX + 1];
    unsigned i;

    for (i = 0; i < ACCESS_LIST_MAX; i++) {
        snprintf(role, sizeof(role), "%0*u", ROLE_NAME_BYTES_MAX, i);
        cr_assert_eq(access_list_add_role(&list, bytes_str(role), GRANT_DECRYPT), QK_OK);
    }
    cr_assert_eq(access_list_add_user(&list, anna, GRANT_DECRYPT), QK_ERR_TOO_BIG);
    access_list_encode(&list, &out);
    cr_assert_eq(buf_error(&out), QK_OK); /* the longest fits a record */
    cr_assert_eq(decode(buf_bytes(&out), &back), QK_OK);
    cr_assert_eq(back.n, ACCESS_LIST_MAX);
    access_list_fini(&back);
    access_list_fini(&list);
    buf_fini(&out);
}
