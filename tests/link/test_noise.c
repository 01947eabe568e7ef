/* The published vectors of Noise: tests/vectors/README.md. */
#include <criterion/criterion.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "link/noise.h"
#include "patterns.h"
#include "secret/crypto.h"
#include "secret/secret.h"

#define FIELD_BYTES_MAX 256

static void arena_open(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
}

static void arena_close(void)
{
    cr_expect_eq(secret_stats().secrets_n, 0, "a secret was not freed");
    secret_arena_fini();
}

TestSuite(noise, .init = arena_open, .fini = arena_close, .timeout = 60);

struct field {
    uint8_t data[FIELD_BYTES_MAX];
    size_t len;
};

static struct field field_of_text(const char *text)
{
    struct field field = {.len = text == NULL ? 0 : strlen(text) / 2};

    cr_assert_leq(field.len, sizeof field.data);
    if (field.len > 0)
        cr_assert_eq(hex_decode(bytes_str(text), field.data, field.len), QK_OK);
    return field;
}

static struct field field_of(const json_t *vector, const char *side, const char *name)
{
    char key[64];

    (void)snprintf(key, sizeof key, "%s_%s", side, name);
    return field_of_text(json_string_value(json_object_get(vector, key)));
}

static struct bytes field_bytes(const struct field *field)
{
    return bytes_of(field->data, field->len);
}

static struct secret *secret_of(const struct field *field)
{
    struct secret *secret = NULL;

    if (field->len > 0)
        cr_assert_eq(secret_new_copy(field->data, field->len, &secret), QK_OK);
    return secret;
}

/* One end of a vector. */
struct side {
    struct noise noise;
    struct noise_cipher send, receive;
    struct secret *static_key, *psk;
};

static void side_open(struct side *side, const struct noise_pattern *pattern, const json_t *vector,
                      const char *name)
{
    struct field prologue = field_of(vector, name, "prologue");
    struct field static_key = field_of(vector, name, "static");
    struct field ephemeral = field_of(vector, name, "ephemeral");
    struct field remote = field_of(vector, name, "remote_static");
    const json_t *psks;
    uint8_t pk[NOISE_KEY_BYTES];
    char key[16];

    memset(side, 0, sizeof *side);
    (void)snprintf(key, sizeof key, "%s_psks", name);
    psks = json_object_get(vector, key);
    if (json_array_size(psks) > 0) {
        struct field psk = field_of_text(json_string_value(json_array_get(psks, 0)));

        side->psk = secret_of(&psk);
    }
    side->static_key = secret_of(&static_key);
    if (side->static_key != NULL)
        cr_assert_eq(x25519_public(side->static_key, pk), QK_OK);
    struct noise_config config = {
        .pattern = pattern,
        .initiator = strcmp(name, "init") == 0,
        .prologue = field_bytes(&prologue),
        .static_key = side->static_key,
        .static_pk = side->static_key != NULL ? pk : NULL,
        .remote_pk = remote.len > 0 ? remote.data : NULL,
        .psk = side->psk,
        .ephemeral = secret_of(&ephemeral),
    };
    cr_assert_eq(noise_init(&side->noise, &config), QK_OK);
}

static void side_split(struct side *side)
{
    if (side->noise.initiator)
        cr_assert_eq(noise_split(&side->noise, &side->send.key, &side->receive.key), QK_OK);
    else
        cr_assert_eq(noise_split(&side->noise, &side->receive.key, &side->send.key), QK_OK);
}

static void side_close(struct side *side)
{
    noise_fini(&side->noise);
    noise_cipher_fini(&side->send);
    noise_cipher_fini(&side->receive);
    secret_free(side->static_key);
    secret_free(side->psk);
}

static void exchange(struct side *from, struct side *to, const json_t *message, bool handshake)
{
    struct field payload = field_of_text(json_string_value(json_object_get(message, "payload")));
    struct field expected =
        field_of_text(json_string_value(json_object_get(message, "ciphertext")));
    struct buf sealed = BUF_INIT(1024);
    struct buf plain = BUF_SECRET_INIT(1024);

    if (handshake)
        cr_assert_eq(noise_write(&from->noise, field_bytes(&payload), &sealed), QK_OK);
    else
        cr_assert_eq(noise_cipher_seal(&from->send, field_bytes(&payload), &sealed), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&sealed), field_bytes(&expected)), "ciphertext differs");
    if (handshake)
        cr_assert_eq(noise_read(&to->noise, buf_bytes(&sealed), &plain), QK_OK);
    else
        cr_assert_eq(noise_cipher_open(&to->receive, buf_bytes(&sealed), &plain), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&plain), field_bytes(&payload)));
    buf_fini(&sealed);
    buf_fini(&plain);
}

static void check_hash(const json_t *vector, const struct side *side)
{
    struct field hash = field_of_text(json_string_value(json_object_get(vector, "handshake_hash")));

    if (hash.len > 0)
        cr_assert(
            bytes_equal(field_bytes(&hash), bytes_of(side->noise.hash, sizeof side->noise.hash)));
}

static void run_vector(const json_t *vector)
{
    const char *named = json_string_value(json_object_get(vector, "name"));
    const char *name = json_string_value(json_object_get(vector, "protocol_name"));
    const struct noise_pattern *pattern = pattern_find(name != NULL ? name : named);
    const json_t *messages = json_object_get(vector, "messages");
    struct side sides[2];

    cr_assert_not_null(pattern, "no table for %s", name != NULL ? name : named);
    cr_assert_gt(json_array_size(messages), pattern->messages_n);
    side_open(&sides[0], pattern, vector, "init");
    side_open(&sides[1], pattern, vector, "resp");
    for (size_t i = 0; i < json_array_size(messages); i++) {
        size_t from = pattern->messages_n == 1 ? 0 : i % 2;

        if (i == pattern->messages_n) {
            side_split(&sides[0]);
            side_split(&sides[1]);
            check_hash(vector, &sides[0]);
            check_hash(vector, &sides[1]);
        }
        exchange(&sides[from], &sides[1 - from], json_array_get(messages, i),
                 i < pattern->messages_n);
    }
    side_close(&sides[0]);
    side_close(&sides[1]);
}

static void run_file(const char *file, size_t vectors_n)
{
    char path[512];
    json_error_t error;
    json_t *root;
    const json_t *vectors;

    (void)snprintf(path, sizeof path, "%s/%s", QK_VECTORS_DIR, file);
    root = json_load_file(path, 0, &error);
    cr_assert_not_null(root, "%s: %s", path, error.text);
    vectors = json_object_get(root, "vectors");
    cr_assert_eq(json_array_size(vectors), vectors_n);
    for (size_t i = 0; i < vectors_n; i++)
        run_vector(json_array_get(vectors, i));
    json_decref(root);
}

Test(noise, vectors_of_noise_c_pass)
{
    run_file("noise_c_basic_25519_ChaChaPoly_BLAKE2b.json", 9);
}

Test(noise, vectors_of_cacophony_pass)
{
    run_file("noise_cacophony_25519_ChaChaPoly_BLAKE2b.json", 19);
}

Test(noise, vectors_of_snow_pass)
{
    run_file("noise_snow_25519_ChaChaPoly_BLAKE2b.json", 11);
}

/* --- what an attacker may try --- */

/* Two ends of a product pattern, up to just before message `message_n` is read. */
struct pair {
    struct side ends[2];
    uint8_t pks[2][NOISE_KEY_BYTES];
    struct buf message; /* the one that is due */
};

static struct secret *known_secret(uint8_t seed)
{
    uint8_t raw[NOISE_KEY_BYTES];
    struct secret *secret;

    memset(raw, seed, sizeof raw);
    cr_assert_eq(secret_new_copy(raw, sizeof raw, &secret), QK_OK);
    return secret;
}

static void pair_end(struct pair *pair, unsigned i, const struct noise_pattern *pattern)
{
    struct side *side = &pair->ends[i];
    struct noise_config config = {
        .pattern = pattern,
        .initiator = i == 0,
        .prologue = bytes_str("prologue"),
        .static_key = side->static_key,
        .static_pk = pair->pks[i],
        .remote_pk = i == 0 ? pair->pks[1] : NULL,
        .psk = side->psk,
        .ephemeral = known_secret((uint8_t)(20 + i)),
    };

    cr_assert_eq(noise_init(&side->noise, &config), QK_OK);
}

static void pair_open(struct pair *pair, const struct noise_pattern *pattern, unsigned message_n)
{
    memset(pair, 0, sizeof *pair);
    pair->message = (struct buf){.max = 1024};
    for (unsigned i = 0; i < 2; i++) {
        pair->ends[i].static_key = known_secret((uint8_t)(10 + i));
        pair->ends[i].psk = known_secret(30);
        cr_assert_eq(x25519_public(pair->ends[i].static_key, pair->pks[i]), QK_OK);
    }
    for (unsigned i = 0; i < 2; i++)
        pair_end(pair, i, pattern);
    for (unsigned i = 0; i <= message_n; i++) {
        struct buf payload = BUF_SECRET_INIT(1024);

        buf_reset(&pair->message);
        cr_assert_eq(
            noise_write(&pair->ends[i % 2].noise, bytes_str("some payload"), &pair->message),
            QK_OK);
        if (i < message_n)
            cr_assert_eq(
                noise_read(&pair->ends[(i + 1) % 2].noise, buf_bytes(&pair->message), &payload),
                QK_OK);
        buf_fini(&payload);
    }
}

static void pair_close(struct pair *pair)
{
    side_close(&pair->ends[0]);
    side_close(&pair->ends[1]);
    buf_fini(&pair->message);
}

/* What the reader of message `message_n` says to `cut` bytes of it with byte `flip` altered. */
static enum qk_err read_altered(const struct noise_pattern *pattern, unsigned message_n, size_t cut,
                                size_t flip, uint8_t mask, size_t *ret_len)
{
    struct buf payload = BUF_SECRET_INIT(1024);
    struct pair pair;
    struct noise *reader;
    enum qk_err err;

    pair_open(&pair, pattern, message_n);
    reader = &pair.ends[(message_n + 1) % 2].noise;
    *ret_len = pair.message.len;
    if (flip < pair.message.len)
        pair.message.data[flip] ^= mask;
    err = noise_read(reader, bytes_slice(buf_bytes(&pair.message), 0, cut), &payload);
    if (err != QK_OK) {
        cr_assert(!noise_is_open(reader), "a failed handshake goes on");
        cr_assert_eq(payload.len, 0);
    }
    buf_fini(&payload);
    pair_close(&pair);
    return err;
}

static void alter_everything(const struct noise_pattern *pattern)
{
    for (unsigned message_n = 0; message_n < pattern->messages_n; message_n++) {
        size_t len;

        cr_assert_eq(read_altered(pattern, message_n, SIZE_MAX, SIZE_MAX, 0, &len), QK_OK);
        for (size_t i = 0; i < len; i++) {
            cr_assert_eq(read_altered(pattern, message_n, i, SIZE_MAX, 0, &len), QK_ERR_CORRUPT);
            cr_assert_eq(read_altered(pattern, message_n, SIZE_MAX, i, 0x01, &len), QK_ERR_CORRUPT,
                         "message %u byte %zu", message_n, i);
            cr_assert_eq(read_altered(pattern, message_n, SIZE_MAX, i, 0x80, &len), QK_ERR_CORRUPT,
                         "message %u byte %zu", message_n, i);
        }
    }
}

Test(noise, members_handshake_cut_or_altered_anywhere_is_corrupt)
{
    alter_everything(&noise_ikpsk2);
}

Test(noise, join_handshake_cut_or_altered_anywhere_is_corrupt)
{
    alter_everything(&noise_xkpsk3);
}

Test(noise, oversized_message_is_corrupt)
{
    static uint8_t big[65536];
    struct buf payload = BUF_SECRET_INIT(1024);
    struct pair pair;

    pair_open(&pair, &noise_ikpsk2, 0);
    cr_assert_eq(noise_read(&pair.ends[1].noise, bytes_of(big, sizeof big), &payload),
                 QK_ERR_CORRUPT);
    pair_close(&pair);
    buf_fini(&payload);
}

/* The points of small order on Curve25519 and its twist (Langley, Hamburg, Turner: RFC 7748,
 * section 6.1 asks for the all-zero check; the list is libsodium's and that of cr.yp.to/ecdh.html).
 */
static const char *const low_order_points[] = {
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
};
#define LOW_ORDER_POINTS_N (sizeof low_order_points / sizeof low_order_points[0])

Test(noise, low_order_points_are_refused)
{
    for (size_t i = 0; i < LOW_ORDER_POINTS_N; i++) {
        struct field point = field_of_text(low_order_points[i]);
        struct buf payload = BUF_SECRET_INIT(1024);
        struct buf out = BUF_INIT(1024);
        struct pair pair;

        /* As an ephemeral key on the wire. */
        pair_open(&pair, &noise_ikpsk2, 0);
        memcpy(pair.message.data, point.data, NOISE_KEY_BYTES);
        cr_assert_eq(noise_read(&pair.ends[1].noise, buf_bytes(&pair.message), &payload),
                     QK_ERR_CORRUPT);
        /* As the responder's static key, which the initiator was told. */
        noise_fini(&pair.ends[0].noise);
        memcpy(pair.pks[1], point.data, NOISE_KEY_BYTES);
        pair_end(&pair, 0, &noise_ikpsk2);
        cr_assert_neq(noise_write(&pair.ends[0].noise, BYTES_NONE, &out), QK_OK);
        pair_close(&pair);
        buf_fini(&payload);
        buf_fini(&out);
    }
}

Test(noise, a_psk_that_is_missing_or_another_fails_at_its_message)
{
    struct buf payload = BUF_SECRET_INIT(1024);
    struct secret *other = known_secret(31);
    struct pair pair;

    pair_open(&pair, &noise_xkpsk3, 2);
    noise_set_psk(&pair.ends[1].noise, other);
    cr_assert_eq(noise_read(&pair.ends[1].noise, buf_bytes(&pair.message), &payload),
                 QK_ERR_CORRUPT);
    pair_close(&pair);
    pair_open(&pair, &noise_xkpsk3, 2);
    noise_set_psk(&pair.ends[1].noise, NULL);
    cr_assert_neq(noise_read(&pair.ends[1].noise, buf_bytes(&pair.message), &payload), QK_OK);
    pair_close(&pair);
    secret_free(other);
    buf_fini(&payload);
}

/* --- transport --- */

Test(noise, the_last_nonce_is_never_used)
{
    struct noise_cipher send = {.key = known_secret(1)}, receive = {.key = known_secret(1)};
    struct buf sealed = BUF_INIT(1024);
    struct buf plain = BUF_SECRET_INIT(1024);

    send.nonce = receive.nonce = UINT64_MAX - 1;
    cr_assert_eq(noise_cipher_seal(&send, bytes_str("last"), &sealed), QK_OK);
    cr_assert_eq(noise_cipher_open(&receive, buf_bytes(&sealed), &plain), QK_OK);
    cr_assert_eq(noise_cipher_seal(&send, bytes_str("over"), &sealed), QK_ERR_UNSUPPORTED);
    cr_assert_eq(noise_cipher_open(&receive, buf_bytes(&sealed), &plain), QK_ERR_UNSUPPORTED);
    cr_assert_eq(send.nonce, UINT64_MAX);
    noise_cipher_fini(&send);
    noise_cipher_fini(&receive);
    buf_fini(&sealed);
    buf_fini(&plain);
}

/* Rekey() is ENCRYPT(k, 2^64 - 1, "", zeros): checked against the primitive itself. */
Test(noise, rekey_follows_the_specification)
{
    static const uint8_t zeros[32];
    struct noise_cipher cipher = {.key = known_secret(1), .nonce = 5};
    struct secret *key = known_secret(1);
    struct buf expected = BUF_SECRET_INIT(64);
    const uint8_t *bytes;

    cr_assert_eq(noise_seal(key, UINT64_MAX, BYTES_NONE, bytes_of(zeros, 32), &expected), QK_OK);
    cr_assert_eq(noise_cipher_rekey(&cipher), QK_OK);
    bytes = secret_borrow(cipher.key);
    cr_assert_eq(memcmp(bytes, expected.data, 32), 0);
    secret_return(cipher.key);
    cr_assert_eq(cipher.nonce, 5);
    secret_free(key);
    noise_cipher_fini(&cipher);
    buf_fini(&expected);
}
