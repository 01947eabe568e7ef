#include <criterion/criterion.h>

#include <string.h>

#include "keys/keyring.h"

static struct secret *mk;
static const uint8_t cluster[CLUSTER_ID_BYTES] = "a cluster's id.";

static void set_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &mk), QK_OK);
}

static void tear_down(void)
{
    secret_free(mk);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(keyring, .init = set_up, .fini = tear_down);

static enum qk_err load(const struct keyring_records *records, const uint8_t *id,
                        const struct secret *key, uint32_t version, struct keyring **ret)
{
    struct bytes names[KEYRING_CREATE_RECORDS_MAX], values[KEYRING_CREATE_RECORDS_MAX];

    for (size_t i = 0; i < records->n; i++) {
        names[i] = bytes_of(records->items[i].name, records->items[i].name_len);
        values[i] = buf_bytes(&records->items[i].value);
    }
    return keyring_load(id, key, version, names, values, records->n, ret);
}

static void expect_same(const struct keyring *a, const struct keyring *b)
{
    uint8_t id_a[KEY_ID_BYTES], id_b[KEY_ID_BYTES];
    uint32_t version_a, version_b;

    cr_assert(secret_equal(keyring_catalog_key(a, &version_a), keyring_catalog_key(b, &version_b)));
    cr_assert_eq(version_a, version_b);
    cr_assert(secret_equal(keyring_revision_key(a), keyring_revision_key(b)));
    cr_assert(secret_equal(keyring_index_key(a), keyring_index_key(b)));
    cr_assert(secret_equal(keyring_audit_key(a), keyring_audit_key(b)));
    cr_assert(secret_equal(keyring_integrity_key(a), keyring_integrity_key(b)));
    cr_assert_eq(keyring_default(a, id_a, &version_a), QK_OK);
    cr_assert_eq(keyring_default(b, id_b, &version_b), QK_OK);
    cr_assert_eq(memcmp(id_a, id_b, KEY_ID_BYTES), 0);
    cr_assert_eq(version_a, version_b);
    cr_assert(
        secret_equal(keyring_data_key(a, id_a, version_a), keyring_data_key(b, id_b, version_b)));
    cr_assert(bytes_equal(keyring_name(b, id_b), bytes_str("default")));
}

Test(keyring, loads_what_was_created)
{
    struct keyring_records records;
    struct keyring *made, *read;
    uint8_t unknown[KEY_ID_BYTES] = {9};
    uint32_t version;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    cr_assert_eq(records.n, KEYRING_CREATE_RECORDS_MAX);
    cr_assert_eq(load(&records, cluster, mk, 1, &read), QK_OK);
    expect_same(made, read);
    cr_assert_eq(keyring_keys_n(read), 1);
    cr_assert_null(keyring_data_key(read, unknown, 1));
    cr_assert(!secret_equal(keyring_catalog_key(made, &version), keyring_index_key(made)));
    cr_assert_eq(version, 1);
    keyring_close(made);
    keyring_close(read);
    keyring_close(NULL);
    keyring_records_fini(&records);
}

Test(keyring, wraps_bind_cluster_master_key_and_its_version)
{
    struct keyring_records records;
    struct keyring *made, *read;
    struct secret *other;
    uint8_t foreign[CLUSTER_ID_BYTES] = "another cluster";

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &other), QK_OK);
    cr_assert_eq(load(&records, cluster, other, 1, &read), QK_ERR_CORRUPT);
    cr_assert_eq(load(&records, foreign, mk, 1, &read), QK_ERR_CORRUPT);
    cr_assert_eq(load(&records, cluster, mk, 2, &read), QK_ERR_STALE);
    secret_free(other);
    keyring_close(made);
    keyring_records_fini(&records);
}

Test(keyring, records_do_not_open_under_each_others_names)
{
    struct keyring_records records;
    struct keyring *made, *read;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    for (size_t i = 0; i < records.n; i++)
        for (size_t j = 0; j < records.n; j++) {
            struct bytes name = bytes_of(records.items[i].name, records.items[i].name_len);
            enum qk_err err;

            cr_assert_eq(keyring_open(cluster, mk, 1, &read), QK_OK);
            err = keyring_add(read, name, buf_bytes(&records.items[j].value));
            cr_assert_eq(err == QK_OK, i == j, "%zu %zu", i, j);
            keyring_close(read);
        }
    keyring_close(made);
    keyring_records_fini(&records);
}

Test(keyring, every_altered_or_cut_record_is_refused)
{
    struct keyring_records records;
    struct keyring *made, *read;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    cr_assert_eq(keyring_open(cluster, mk, 1, &read), QK_OK);
    for (size_t i = 0; i < records.n; i++) {
        struct bytes name = bytes_of(records.items[i].name, records.items[i].name_len);
        struct buf *value = &records.items[i].value;

        for (size_t at = 0; at < value->len; at++) {
            value->data[at] ^= 1;
            cr_assert_neq(keyring_add(read, name, buf_bytes(value)), QK_OK, "record %zu byte %zu",
                          i, at);
            value->data[at] ^= 1;
            cr_assert_neq(keyring_add(read, name, bytes_of(value->data, at)), QK_OK);
        }
    }
    cr_assert_eq(keyring_complete(read), QK_ERR_NOT_FOUND);
    keyring_close(read);
    keyring_close(made);
    keyring_records_fini(&records);
}

Test(keyring, a_missing_record_is_noticed)
{
    struct keyring_records records;
    struct keyring *made, *read;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    for (size_t i = 0; i < records.n; i++) {
        struct keyring_records fewer = {.n = 0};

        for (size_t k = 0; k < records.n; k++)
            if (k != i)
                fewer.items[fewer.n++] = records.items[k];
        cr_assert_eq(load(&fewer, cluster, mk, 1, &read), QK_ERR_NOT_FOUND);
    }
    keyring_close(made);
    keyring_records_fini(&records);
}

static enum qk_err add_to(void *arg, const struct keyring_record *record)
{
    return keyring_add(arg, bytes_of(record->name, record->name_len), buf_bytes(&record->value));
}

Test(keyring, rewrapped_records_open_under_the_new_master_key_with_the_same_keys)
{
    struct keyring_records records;
    struct keyring *made, *next;
    struct secret *fresh;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &fresh), QK_OK);
    cr_assert_eq(keyring_open(cluster, fresh, 2, &next), QK_OK);
    cr_assert_eq(keyring_rewrap(made, fresh, 2, false, 2000, add_to, next), QK_OK);
    cr_assert_eq(keyring_complete(next), QK_OK);
    expect_same(made, next);
    secret_free(fresh);
    keyring_close(next);
    keyring_close(made);
    keyring_records_fini(&records);
}

/* What a rewrap with new versions gives, in another keyring. */
static struct keyring *renewed(const struct keyring *from, uint32_t mk_version)
{
    struct keyring *next;
    struct secret *fresh;

    cr_assert_eq(secret_new_random(KEY_BYTES, &fresh), QK_OK);
    cr_assert_eq(keyring_open(cluster, fresh, mk_version, &next), QK_OK);
    cr_assert_eq(keyring_rewrap(from, fresh, mk_version, true, 2000, add_to, next), QK_OK);
    cr_assert_eq(keyring_complete(next), QK_OK);
    secret_free(fresh);
    return next;
}

Test(keyring, new_versions_are_active_and_the_old_ones_decrypt_only)
{
    struct keyring_records records;
    struct keyring *made, *next;
    struct keyring_info info;
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;
    struct key_version_info about;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    next = renewed(made, 2);
    cr_assert_eq(keyring_default(next, id, &version), QK_OK);
    cr_assert_eq(version, 2);
    cr_assert(!secret_equal(keyring_data_key(next, id, 1), keyring_data_key(next, id, 2)));
    cr_assert(secret_equal(keyring_data_key(next, id, 1), keyring_data_key(made, id, 1)));
    cr_assert_null(keyring_data_key(made, id, 2));
    cr_assert_eq(keyring_info_at(next, 0, &info), QK_OK);
    cr_assert_eq(memcmp(info.key_id, id, sizeof id), 0);
    cr_assert(bytes_equal(info.name, bytes_str("default")));
    cr_assert_eq(info.versions_n, 2);
    about = keyring_version_at(next, &info, 0);
    cr_assert(about.version == 1 && about.state == KEY_DECRYPT_ONLY && about.created_s == 1000);
    about = keyring_version_at(next, &info, 1);
    cr_assert(about.version == 2 && about.state == KEY_ACTIVE && about.created_s == 2000);
    cr_assert_eq(about.suite, ENVELOPE_XCHACHA20POLY1305);
    cr_assert_eq(keyring_info_at(next, 1, &info), QK_ERR_NOT_FOUND);
    keyring_close(next);
    keyring_close(made);
    keyring_records_fini(&records);
}

Test(keyring, new_versions_renew_the_catalog_and_the_revision_key_and_keep_blind_indexes)
{
    struct keyring_records records;
    struct keyring *made, *next;
    uint32_t before, after;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    next = renewed(made, 2);
    cr_assert(!secret_equal(keyring_catalog_key(made, &before), keyring_catalog_key(next, &after)));
    cr_assert(before == 1 && after == 2);
    cr_assert(secret_equal(keyring_data_key(next, keyring_catalog_id, 1),
                           keyring_catalog_key(made, &before)));
    cr_assert(!secret_equal(keyring_revision_key(made), keyring_revision_key(next)));
    cr_assert(secret_equal(keyring_index_key(made), keyring_index_key(next)));
    cr_assert(secret_equal(keyring_audit_key(made), keyring_audit_key(next)));
    cr_assert(secret_equal(keyring_integrity_key(made), keyring_integrity_key(next)));
    keyring_close(next);
    keyring_close(made);
    keyring_records_fini(&records);
}

Test(keyring, versions_stay_in_order_over_many_renewals)
{
    struct keyring_records records;
    struct keyring *now, *next;
    struct keyring_info info;
    struct key_version_info about;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &now), QK_OK);
    for (uint32_t n = 2; n <= 20; n++) {
        next = renewed(now, n);
        keyring_close(now);
        now = next;
    }
    cr_assert_eq(keyring_info_at(now, 0, &info), QK_OK);
    cr_assert(info.versions_n == 20 && info.active == 20);
    for (uint32_t i = 0; i < 20; i++) {
        about = keyring_version_at(now, &info, i);
        cr_assert_eq(about.version, i + 1);
        cr_assert_eq(about.state, i == 19 ? KEY_ACTIVE : KEY_DECRYPT_ONLY);
    }
    keyring_close(now);
    keyring_records_fini(&records);
}

Test(keyring, a_holder_of_the_old_master_key_gets_nothing_out_of_the_new_records)
{
    struct keyring_records records;
    struct keyring *made, *old;
    struct secret *fresh;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &fresh), QK_OK);
    /* He may claim the version that the records name: what he has is another key. */
    cr_assert_eq(keyring_open(cluster, mk, 2, &old), QK_OK);
    cr_assert_eq(keyring_rewrap(made, fresh, 2, true, 2000, add_to, old), QK_ERR_CORRUPT);
    cr_assert_eq(keyring_keys_n(old), 0);
    keyring_close(old);
    secret_free(fresh);
    keyring_close(made);
    keyring_records_fini(&records);
}

Test(keyring, the_catalog_key_is_found_under_no_name)
{
    struct keyring_records records;
    struct keyring *made;
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    cr_assert_eq(keyring_find(made, bytes_str("sys/catalog"), id, &version), QK_ERR_NOT_FOUND);
    cr_assert_eq(keyring_find(made, BYTES_NONE, id, &version), QK_ERR_NOT_FOUND);
    keyring_close(made);
    keyring_records_fini(&records);
}

Test(keyring, halves_of_a_member_come_back_and_bind_node_and_generation)
{
    struct keyring_records records;
    struct keyring_record record;
    struct keyring *made;
    struct secret *d, *p, *d2, *p2;
    uint8_t node[NODE_ID_BYTES] = "a node's own id", name[KEYRING_NAME_BYTES_MAX];
    size_t name_len = keyring_halves_name(node, 5, name);

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &d), QK_OK);
    cr_assert_eq(secret_new_random(KEY_BYTES, &p), QK_OK);
    cr_assert_eq(keyring_seal_halves(made, node, 5, d, p, &record), QK_OK);
    cr_assert_eq(record.name_len, name_len);
    cr_assert_eq(
        keyring_open_halves(made, bytes_of(name, name_len), buf_bytes(&record.value), &d2, &p2),
        QK_OK);
    cr_assert(secret_equal(d, d2) && secret_equal(p, p2));
    name[name_len - 1] = 6;
    secret_free(d2);
    secret_free(p2);
    cr_assert_eq(
        keyring_open_halves(made, bytes_of(name, name_len), buf_bytes(&record.value), &d2, &p2),
        QK_ERR_CORRUPT);
    buf_fini(&record.value);
    secret_free(d);
    secret_free(p);
    keyring_close(made);
    keyring_records_fini(&records);
}

Test(keyring, an_envelope_finds_its_key)
{
    struct keyring_records records;
    struct keyring *made;
    struct buf sealed = BUF_INIT(1024), out = BUF_SECRET_INIT(1024);
    struct envelope_aad aad = {.record_kind = ENVELOPE_DOCUMENT};
    uint8_t id[KEY_ID_BYTES];
    uint32_t version;

    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &made), QK_OK);
    cr_assert_eq(keyring_default(made, id, &version), QK_OK);
    cr_assert_eq(envelope_seal(keyring_data_key(made, id, version), id, version, &aad,
                               bytes_str("body"), &sealed),
                 QK_OK);
    cr_assert_eq(keyring_open_envelope(made, &aad, buf_bytes(&sealed), &out), QK_OK);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str("body")));
    sealed.data[27] ^= 2; /* key version 3 */
    cr_assert_eq(keyring_open_envelope(made, &aad, buf_bytes(&sealed), &out), QK_ERR_NOT_FOUND);
    buf_fini(&sealed);
    buf_fini(&out);
    keyring_close(made);
    keyring_records_fini(&records);
}
