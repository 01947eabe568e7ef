#include <criterion/criterion.h>

#include <string.h>

#include "base/encode.h"
#include "secret/crypto.h"

static struct secret *key;

static void up(void)
{
    uint8_t raw[KEY_BYTES];

    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)i;
    cr_assert_eq(secret_new_copy(raw, sizeof raw, &key), QK_OK);
}

static void down(void)
{
    secret_free(key);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(siv, .init = up, .fini = down);

static void expect(const char *plain, const char *hex)
{
    struct buf sealed = BUF_INIT(1024), opened = BUF_SECRET_INIT(1024);
    uint8_t want[256];
    size_t len = strlen(hex) / 2;

    cr_assert_eq(hex_decode(bytes_str(hex), want, len), QK_OK);
    cr_assert_eq(siv_seal(key, bytes_str("context"), bytes_str(plain), &sealed), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&sealed), bytes_of(want, len)));
    cr_assert_eq(siv_open(key, bytes_str("context"), buf_bytes(&sealed), &opened), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&opened), bytes_str(plain)));
    buf_fini(&sealed);
    buf_fini(&opened);
}

/* From a program of its own in another language: BLAKE2b of Python's hashlib, and XChaCha20 written
 * out after draft-irtf-cfrg-xchacha-03. */
Test(siv, bytes_are_those_of_the_definition)
{
    expect(
        "a document id of more than one block of the stream cipher, which is 64 bytes",
        "8391f14d6be9033c7d1ec2e0f9cccc1a65a0297ee232a9b26f56298c711123c71094cf94926ccbde428099720c"
        "0c269bd73358138fc73ecd1bff451670eec1e8791e09942ef20fc960110fe1d0ba0bdf3d48d0956906c75c5e33"
        "c322");
    expect("", "46d10c6096fe92f8a7104b457a5fb154");
}

Test(siv, another_context_or_key_gives_other_bytes)
{
    struct buf one = BUF_INIT(64), two = BUF_INIT(64), three = BUF_INIT(64);
    struct secret *other;

    cr_assert_eq(secret_new_random(KEY_BYTES, &other), QK_OK);
    cr_assert_eq(siv_seal(key, bytes_str("a"), bytes_str("name"), &one), QK_OK);
    cr_assert_eq(siv_seal(key, bytes_str("b"), bytes_str("name"), &two), QK_OK);
    cr_assert_eq(siv_seal(other, bytes_str("a"), bytes_str("name"), &three), QK_OK);
    cr_assert(!bytes_equal(buf_bytes(&one), buf_bytes(&two)));
    cr_assert(!bytes_equal(buf_bytes(&one), buf_bytes(&three)));
    secret_free(other);
    buf_fini(&one);
    buf_fini(&two);
    buf_fini(&three);
}

Test(siv, altered_or_cut_bytes_are_corrupt_and_leave_no_output)
{
    struct buf sealed = BUF_INIT(64), opened = BUF_SECRET_INIT(64);

    cr_assert_eq(siv_seal(key, bytes_str("c"), bytes_str("a name"), &sealed), QK_OK);
    buf_put_str(&opened, "before");
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 1;
        cr_assert_eq(siv_open(key, bytes_str("c"), buf_bytes(&sealed), &opened), QK_ERR_CORRUPT);
        sealed.data[i] ^= 1;
        cr_assert_eq(siv_open(key, bytes_str("c"), bytes_of(sealed.data, i), &opened),
                     QK_ERR_CORRUPT);
        cr_assert(bytes_equal(buf_bytes(&opened), bytes_str("before")));
    }
    cr_assert_eq(siv_open(key, bytes_str("d"), buf_bytes(&sealed), &opened), QK_ERR_CORRUPT);
    buf_fini(&sealed);
    buf_fini(&opened);
}

Test(siv, wiped_key_and_full_buffer_are_errors)
{
    struct buf sealed = BUF_INIT(64), small = BUF_INIT(20), opened = BUF_SECRET_INIT(3);

    cr_assert_eq(siv_seal(key, bytes_str("c"), bytes_str("a name"), &sealed), QK_OK);
    cr_assert_eq(siv_seal(key, bytes_str("c"), bytes_str("a name"), &small), QK_ERR_TOO_BIG);
    cr_assert_eq(siv_open(key, bytes_str("c"), buf_bytes(&sealed), &opened), QK_ERR_TOO_BIG);
    secret_wipe_all();
    cr_assert_eq(siv_seal(key, bytes_str("c"), bytes_str("a name"), &sealed), QK_ERR_SEALED);
    cr_assert_eq(siv_open(key, bytes_str("c"), buf_bytes(&sealed), &opened), QK_ERR_SEALED);
    buf_fini(&sealed);
    buf_fini(&small);
    buf_fini(&opened);
}
