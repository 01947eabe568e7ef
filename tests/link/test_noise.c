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
