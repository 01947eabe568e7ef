/* A removal's command holds the whole keyring anew: 10,000 data keys, each with a new version, fit
 * one link message, and making them takes well under a second. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "keys/keyring.h"
#include "keys/keyring_private.h"
#include "wire/command.h"
#include "wire/records.h"

#define KEYS_N 10000u

static const uint8_t cluster[CLUSTER_ID_BYTES] = "a cluster's id.";

static void key_make(struct keyring *keyring, uint32_t number)
{
    struct key_version *version;
    struct data_key *key;
    uint8_t id[KEY_ID_BYTES] = {1};

    put_u32(id + 4, number);
    cr_assert_eq(keyring_key_ensure(keyring, id, &key), QK_OK);
    cr_assert_eq(keyring_version_ensure(key, 1, &version), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &version->key), QK_OK);
    version->state = KEY_ACTIVE;
    version->suite = ENVELOPE_XCHACHA20POLY1305;
    key->active = 1;
    key->name_len = (size_t)snprintf((char *)key->name, sizeof key->name, "key-%u", number);
}

static enum qk_err to_command(void *arg, const struct keyring_record *record)
{
    uint8_t space[DATABASE_ID_BYTES];
    struct record_key key;

    record_space_id(RECORD_KEYRING, space);
    key = record_document(space, bytes_of(record->name, record->name_len));
    wire_command_put(arg, record_key_bytes(&key), 2, 0, buf_bytes(&record->value));
    return QK_OK;
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The records of `command` into a keyring under the new MK. */
static void load(struct keyring *into, struct bytes command)
{
    struct wire_reader reader;
    struct wire_op op;

    cr_assert_eq(wire_reader_open(command, &reader), QK_OK);
    cr_assert(wire_reader_batch(&reader));
    secret_scope_begin();
    while (wire_reader_op(&reader, &op))
        cr_assert_eq(keyring_add(into, record_key_name(op.key), op.value), QK_OK);
    secret_scope_end();
    cr_assert_not(wire_reader_batch(&reader));
    cr_assert_eq(wire_reader_end(&reader), QK_OK);
}

Test(rewrap, ten_thousand_keys_with_new_versions_fit_one_message)
{
    struct keyring_records records;
    struct keyring *keyring, *next;
    struct secret *mk, *fresh;
    struct wire_command command;
    struct bytes bytes;
    uint64_t began, made, loaded;

    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &mk), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &fresh), QK_OK);
    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &keyring), QK_OK);
    for (uint32_t i = 0; i < KEYS_N - 1; i++)
        key_make(keyring, i);
    wire_command_begin(&command, WIRE_DEAL);
    wire_command_batch(&command);
    began = now_ms();
    cr_assert_eq(keyring_rewrap(keyring, fresh, 2, true, 2000, to_command, &command), QK_OK);
    cr_assert_eq(wire_command_end(&command, &bytes), QK_OK);
    made = now_ms();
    cr_assert_eq(keyring_open(cluster, fresh, 2, &next), QK_OK);
    load(next, bytes);
    loaded = now_ms();
    fprintf(stderr, "[----] %u data keys: %zu bytes, made in %u ms, opened in %u ms\n", KEYS_N,
            bytes.len, (unsigned)(made - began), (unsigned)(loaded - made));
    cr_assert_eq(keyring_keys_n(next), KEYS_N);
    cr_assert_leq(bytes.len, LINK_MESSAGE_BYTES_MAX);
    keyring_close(next);
    wire_command_fini(&command);
    keyring_close(keyring);
    keyring_records_fini(&records);
    secret_free(fresh);
    secret_free(mk);
    secret_arena_fini();
}
