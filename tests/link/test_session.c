#include <criterion/criterion.h>

#include <string.h>

#include "link/session.h"
#include "secret/secret.h"

static struct session from, to;
static struct buf wire = {.max = 256 * 1024};

static struct secret *known_secret(uint8_t seed)
{
    uint8_t raw[64];
    struct secret *secret;

    memset(raw, seed, sizeof raw);
    cr_assert_eq(secret_new_copy(raw, sizeof raw, &secret), QK_OK);
    return secret;
}

static void pair_open(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    session_init(&from, known_secret(1), known_secret(2), 1000);
    session_init(&to, known_secret(2), known_secret(1), 1000);
}

static void pair_close(void)
{
    session_fini(&from);
    session_fini(&to);
    buf_fini(&wire);
    cr_expect_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(session, .init = pair_open, .fini = pair_close, .timeout = 60);

static struct bytes sealed_record(uint64_t now_ms, const char *text)
{
    buf_reset(&wire);
    cr_assert_eq(session_seal(&from, now_ms, 7, bytes_str("head "), bytes_str(text), &wire), QK_OK);
    cr_assert_eq(get_u16(wire.data), wire.len - SESSION_LENGTH_BYTES);
    return bytes_slice(buf_bytes(&wire), SESSION_LENGTH_BYTES, wire.len);
}

static void pass(uint64_t now_ms, const char *text)
{
    struct bytes sealed = sealed_record(now_ms, text);
    struct bytes body;
    uint8_t kind;

    cr_assert_eq(session_open(&to, sealed, &kind, &body), QK_OK);
    cr_assert_eq(kind, 7);
    cr_assert(bytes_starts_with(body, bytes_str("head ")));
    cr_assert(bytes_equal(bytes_slice(body, 5, body.len), bytes_str(text)));
}

Test(session, records_pass_in_order)
{
    for (unsigned i = 0; i < 100; i++)
        pass(1000 + i, "some text");
}

Test(session, cut_or_altered_records_are_corrupt)
{
    struct bytes sealed = sealed_record(1000, "some text");
    struct bytes body;
    uint8_t kind;

    for (size_t i = 0; i < sealed.len; i++) {
        cr_assert_eq(session_open(&to, bytes_slice(sealed, 0, i), &kind, &body), QK_ERR_CORRUPT);
        wire.data[SESSION_LENGTH_BYTES + i] ^= 1;
        cr_assert_eq(session_open(&to, sealed, &kind, &body), QK_ERR_CORRUPT);
        wire.data[SESSION_LENGTH_BYTES + i] ^= 1;
    }
    cr_assert_eq(session_open(&to, sealed, &kind, &body), QK_OK);
}

Test(session, a_replayed_or_skipped_record_is_corrupt)
{
    struct bytes sealed = sealed_record(1000, "once");
    struct bytes body;
    uint8_t kind;

    cr_assert_eq(session_open(&to, sealed, &kind, &body), QK_OK);
    cr_assert_eq(session_open(&to, sealed, &kind, &body), QK_ERR_CORRUPT);
    (void)sealed_record(1000, "lost");
    sealed = sealed_record(1000, "too early");
    cr_assert_eq(session_open(&to, sealed, &kind, &body), QK_ERR_CORRUPT);
}

Test(session, a_record_at_the_limit_passes_and_one_byte_more_does_not)
{
    static uint8_t big[SESSION_BODY_BYTES_MAX + 1];
    struct bytes body;
    uint8_t kind;

    buf_reset(&wire);
    cr_assert_eq(
        session_seal(&from, 1000, 1, BYTES_NONE, bytes_of(big, SESSION_BODY_BYTES_MAX), &wire),
        QK_OK);
    cr_assert_eq(wire.len, SESSION_LENGTH_BYTES + 65535);
    cr_assert_eq(session_open(&to, bytes_slice(buf_bytes(&wire), 2, wire.len), &kind, &body),
                 QK_OK);
    cr_assert_eq(body.len, SESSION_BODY_BYTES_MAX);
    cr_assert_eq(session_seal(&from, 1000, 1, bytes_of(big, 1),
                              bytes_of(big, SESSION_BODY_BYTES_MAX), &wire),
                 QK_ERR_TOO_BIG);
}

static bool keys_equal(const struct secret *a, uint8_t seed)
{
    struct secret *b = known_secret(seed);
    bool equal = secret_equal(a, b);

    secret_free(b);
    return equal;
}

Test(session, both_ends_rekey_after_65536_records)
{
    for (unsigned i = 0; i < 65535; i++)
        pass(1000, "x");
    cr_assert(keys_equal(from.send.key, 1) && keys_equal(to.receive.key, 1));
    pass(1000, "the last under the old key");
    cr_assert(!keys_equal(from.send.key, 1));
    cr_assert(secret_equal(from.send.key, to.receive.key));
    cr_assert_eq(from.send.nonce, 65536); /* the counter goes on */
    pass(1000, "the first under the new key");
    cr_assert(keys_equal(to.send.key, 2), "the other direction has its own count");
}

Test(session, both_ends_rekey_after_fifteen_minutes)
{
    pass(1000 + SESSION_REKEY_MS - 1, "x");
    cr_assert(keys_equal(from.send.key, 1));
    pass(1000 + SESSION_REKEY_MS, "x");
    cr_assert(!keys_equal(from.send.key, 1));
    cr_assert(secret_equal(from.send.key, to.receive.key));
    pass(1000 + SESSION_REKEY_MS + 1, "x");
    pass(1, "a clock that steps back is no reason");
    cr_assert_eq(from.sent_n, 2);
}

Test(session, a_sender_that_does_not_rekey_is_cut_off)
{
    struct bytes body;
    uint8_t kind;

    for (unsigned i = 0; i < 65536; i++) {
        struct bytes sealed;

        from.sent_n = 0; /* a sender that forgets to count */
        sealed = sealed_record(1000, "");
        cr_assert_eq(session_open(&to, sealed, &kind, &body), QK_OK);
    }
    from.sent_n = 0;
    cr_assert_eq(session_open(&to, sealed_record(1000, ""), &kind, &body), QK_ERR_CORRUPT);
}

Test(session, used_up_nonces_end_the_session)
{
    from.send.nonce = UINT64_MAX;
    buf_reset(&wire);
    cr_assert_eq(session_seal(&from, 1000, 1, BYTES_NONE, BYTES_NONE, &wire), QK_ERR_UNSUPPORTED);
}
