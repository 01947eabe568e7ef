#include "access/login_token.h"

#include <criterion/criterion.h>
#include <string.h>

static struct secret *key;

static void setup(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_MLOCK, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &key), QK_OK);
}

static void teardown(void)
{
    secret_free(key);
    secret_arena_fini();
}

TestSuite(login_token, .init = setup, .fini = teardown);

static void make(uint8_t *ret_id, uint8_t *ret_hash, struct buf *ret_text)
{
    *ret_text = BUF_SECRET_INIT(256);
    cr_assert_eq(login_token_make(key, ret_id, ret_hash, ret_text), QK_OK);
}

static struct login_token example(void)
{
    struct login_token token = {.user_name = "ada",
                                .credential_version = 7,
                                .kind = LOGIN_TOKEN_VAULT,
                                .label = "backup of the \xc3\xa4lder ones",
                                .created_s = 1700000000,
                                .expires_s = 1700003600,
                                .limit_s = 1700864000};

    memset(token.id, 0x11, sizeof token.id);
    memset(token.user_id, 0x22, sizeof token.user_id);
    memset(token.hash, 0x33, sizeof token.hash);
    return token;
}

Test(login_token, what_is_made_is_read_again)
{
    uint8_t id[PRINCIPAL_TOKEN_BYTES], hash[HASH_BYTES];
    uint8_t again_id[PRINCIPAL_TOKEN_BYTES], again_hash[HASH_BYTES];
    struct buf text;

    make(id, hash, &text);
    cr_assert_eq(text.len, LOGIN_TOKEN_TEXT_BYTES);
    cr_assert(bytes_starts_with(buf_bytes(&text), bytes_str(LOGIN_TOKEN_PREFIX)));
    cr_assert_eq(login_token_read(key, buf_bytes(&text), again_id, again_hash), QK_OK);
    cr_assert_arr_eq(id, again_id, sizeof id);
    cr_assert_arr_eq(hash, again_hash, sizeof hash);
    buf_fini(&text);
}

Test(login_token, no_two_are_alike_and_another_key_makes_another_hash)
{
    uint8_t id[2][PRINCIPAL_TOKEN_BYTES], hash[2][HASH_BYTES];
    struct buf text[2];
    struct secret *other;

    make(id[0], hash[0], &text[0]);
    make(id[1], hash[1], &text[1]);
    cr_assert_arr_neq(id[0], id[1], sizeof id[0]);
    cr_assert_arr_neq(hash[0], hash[1], sizeof hash[0]);
    cr_assert_eq(secret_new_random(KEY_BYTES, &other), QK_OK);
    cr_assert_eq(login_token_read(other, buf_bytes(&text[0]), id[1], hash[1]), QK_OK);
    cr_assert_arr_neq(hash[0], hash[1], sizeof hash[0]);
    secret_free(other);
    buf_fini(&text[0]);
    buf_fini(&text[1]);
}

Test(login_token, a_text_cut_or_changed_anywhere_is_none)
{
    uint8_t id[PRINCIPAL_TOKEN_BYTES], hash[HASH_BYTES];
    char bent[LOGIN_TOKEN_TEXT_BYTES + 2];
    struct buf text;

    make(id, hash, &text);
    for (size_t len = 0; len < text.len; len++)
        cr_assert_eq(login_token_read(key, bytes_of(text.data, len), id, hash), QK_ERR_INVALID);
    for (size_t at = 0; at < text.len; at++) {
        memcpy(bent, text.data, text.len);
        bent[at] ^= 1;
        cr_assert_eq(login_token_read(key, bytes_of(bent, text.len), id, hash), QK_ERR_INVALID);
    }
    memcpy(bent, text.data, text.len);
    memset(bent + text.len, 'q', 2);
    cr_assert_eq(login_token_read(key, bytes_of(bent, text.len + 1), id, hash), QK_ERR_INVALID);
    cr_assert_eq(login_token_read(key, BYTES_NONE, id, hash), QK_ERR_INVALID);
    buf_fini(&text);
}

Test(login_token, the_record_comes_back_as_it_was)
{
    struct login_token token = example(), again;
    struct buf out = BUF_INIT(4 * KIB);

    login_token_encode(&token, &out);
    cr_assert_eq(login_token_decode(buf_bytes(&out), &again), QK_OK);
    cr_assert_eq(memcmp(&token, &again, sizeof token), 0);
    buf_fini(&out);
}

Test(login_token, a_record_cut_anywhere_or_with_more_after_it_is_corrupt)
{
    struct login_token token = example(), again;
    struct buf out = BUF_INIT(4 * KIB);

    login_token_encode(&token, &out);
    for (size_t len = 0; len < out.len; len++)
        cr_assert_eq(login_token_decode(bytes_of(out.data, len), &again), QK_ERR_CORRUPT);
    buf_put_u8(&out, 0);
    cr_assert_eq(login_token_decode(buf_bytes(&out), &again), QK_ERR_CORRUPT);
    buf_fini(&out);
}

Test(login_token, flipped_bytes_of_a_record_never_read_past_it)
{
    struct login_token token = example(), again;
    struct buf out = BUF_INIT(4 * KIB);

    login_token_encode(&token, &out);
    for (size_t at = 0; at < out.len; at++) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            out.data[at] ^= (uint8_t)bit;
            if (login_token_decode(buf_bytes(&out), &again) == QK_OK) {
                cr_assert_leq(strlen(again.label), LOGIN_TOKEN_LABEL_BYTES_MAX);
                cr_assert_leq(strlen(again.user_name), USER_NAME_BYTES_MAX);
            }
            out.data[at] ^= (uint8_t)bit;
        }
    }
    buf_fini(&out);
}

Test(login_token, is_good_for_its_user_and_its_time_alone)
{
    struct login_token token = example();
    struct user user = {.name = "ada", .credential_version = 7, .admin = true};
    struct principal who;

    memset(user.id, 0x22, sizeof user.id);
    cr_assert(login_token_is_good(&token, &user, token.expires_s - 1));
    cr_assert_not(login_token_is_good(&token, &user, token.expires_s));
    cr_assert_not(login_token_is_good(&token, NULL, 0));
    who = login_token_principal(&token, &user);
    cr_assert(principal_has_token(&who));
    cr_assert_arr_eq(who.token_id, token.id, sizeof who.token_id);
    cr_assert(who.admin);
    user.credential_version++; /* a new password */
    cr_assert_not(login_token_is_good(&token, &user, 0));
    user.credential_version--;
    user.disabled = true;
    cr_assert_not(login_token_is_good(&token, &user, 0));
    user.disabled = false;
    user.id[0]++; /* another user of that name */
    cr_assert_not(login_token_is_good(&token, &user, 0));
    who = user_principal(&user);
    cr_assert_not(principal_has_token(&who));
}

Test(login_token, labels_are_short_clean_text)
{
    char label[LOGIN_TOKEN_LABEL_BYTES_MAX + 2];

    memset(label, 'x', sizeof label);
    cr_assert_eq(login_token_label_check(bytes_of(label, LOGIN_TOKEN_LABEL_BYTES_MAX)), QK_OK);
    cr_assert_eq(login_token_label_check(bytes_of(label, LOGIN_TOKEN_LABEL_BYTES_MAX + 1)),
                 QK_ERR_INVALID);
    cr_assert_eq(login_token_label_check(bytes_str("a\nb")), QK_ERR_INVALID);
    cr_assert_eq(login_token_label_check(bytes_str("\xff")), QK_ERR_INVALID);
    cr_assert_eq(login_token_label_check(BYTES_NONE), QK_OK);
}
