/* Cryptoperiods: a version takes as much as its key's limits allow, to the record, whoever writes
 * and however many at once; what is over goes under the next. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "keys/change.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/clock.h"
#include "service/keys/keys_change.h"
#include "service/period.h"
#include "service/keys/reencrypt.h"
#include "service/reencrypt_record.h"
#include "service/timer_uv.h"
#include "wire/records.h"

#define LIMIT 1000u
#define WRITERS_N 64u

static struct documents documents;
static uint8_t key_id[KEY_ID_BYTES];

/* What the hub does: the keyring learns of its records as they are applied. */
static void on_keyring(void *arg, struct bytes key)
{
    struct record record;

    (void)arg;
    if (store_get(documents.service.store, key, &record) == QK_OK)
        cr_assert_eq(keyring_add(documents.service.keyring, record_key_name(key), record.value),
                     QK_OK);
}

static void change_apply(struct key_change *change)
{
    struct wire_command command;

    wire_command_begin(&command, WIRE_KEYRING);
    wire_command_batch(&command);
    keys_change_put(&documents.service, change, &command);
    documents_apply(&documents, &command);
    key_change_fini(change);
}

static void limit(uint64_t records, uint64_t bytes, uint64_t age_s)
{
    struct key_limits limits = {records, bytes, age_s};
    struct key_change change;

    cr_assert_eq(keyring_change_limits(documents.service.keyring, key_id, &limits, &change), QK_OK);
    change_apply(&change);
}

static void setup(void)
{
    uint8_t space[DATABASE_ID_BYTES];
    char path[300];
    uint32_t version;

    documents_init(&documents);
    documents.term = 1;
    documents.service.consensus = (struct consensus *)(void *)&documents; /* never looked into */
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    record_space_id(RECORD_KEYRING, space);
    cr_assert_eq(
        store_watch(documents.service.store, bytes_of(space, sizeof(space)), on_keyring, NULL),
        QK_OK);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    cr_assert_eq(keyring_default(documents.service.keyring, key_id, &version), QK_OK);
    limit(LIMIT, 0, 0);
}

static void teardown(void)
{
    audit_close(documents.service.audit);
    documents_fini(&documents);
}

TestSuite(period, .init = setup, .fini = teardown);

static uint64_t sealed(uint32_t version)
{
    struct store_key_stats stats;

    store_key_stats(documents.service.store, key_id, version, &stats);
    return stats.sealed;
}

static uint32_t active(void)
{
    struct keyring_info info;

    cr_assert_eq(keyring_info_of(documents.service.keyring, key_id, &info), QK_OK);
    return info.active;
}

static void put(unsigned number, char *ret_key, size_t size)
{
    char target[64];
    struct call *made;

    snprintf(target, sizeof(target), "/db/doc%05u", number);
    made = call(&documents, METHOD_PUT, target, "{\"a\":1}");
    cr_assert_eq(made->status, 201, "%s: %d %s", target, made->status, call_text(made));
    snprintf(ret_key, size, "%s", call_field(made, "X-Quorumkeep-Key"));
    call_free(made);
}

Test(period, the_record_after_the_last_one_is_under_the_next_version)
{
    char key[64];

    for (unsigned i = 0; i < LIMIT; i++) {
        put(i, key, sizeof(key));
        cr_assert_str_eq(key, "default/1");
    }
    put(LIMIT, key, sizeof(key));
    cr_assert_str_eq(key, "default/2");
    cr_assert_eq(sealed(1), LIMIT);
    cr_assert_eq(sealed(2), 1);
    put(LIMIT + 1, key, sizeof(key));
    cr_assert_str_eq(key, "default/2");
    cr_assert_eq(documents.service.period.rotations_n, 1);
}

Test(period, many_who_write_at_once_fill_a_version_to_the_record)
{
    struct call *calls[WRITERS_N];
    unsigned number = 0;

    for (unsigned round = 0; round < 2500 / WRITERS_N; round++) {
        for (unsigned i = 0; i < WRITERS_N; i++) {
            char target[64];

            snprintf(target, sizeof(target), "/db/doc%05u", number++);
            calls[i] = call_begin(&documents, METHOD_PUT, target, bytes_str("{\"a\":1}"));
            call_start(calls[i]);
        }
        for (unsigned i = 0; i < WRITERS_N; i++) {
            call_run(calls[i]);
            cr_assert_eq(calls[i]->status, 201, "%d %s", calls[i]->status, call_text(calls[i]));
            call_free(calls[i]);
        }
    }
    cr_assert_eq(sealed(1), LIMIT);
    cr_assert_eq(sealed(2), LIMIT);
    cr_assert_eq(sealed(3), number - 2 * LIMIT);
}

Test(period, a_bulk_request_larger_than_a_period_is_spread_over_as_many_versions)
{
    struct buf body = BUF_INIT(1 * MIB);
    struct call *made;
    json_t *reply;

    buf_put_str(&body, "{\"docs\":[");
    for (unsigned i = 0; i < 2500; i++)
        buf_printf(&body, "%s{\"_id\":\"b%05u\"}", i == 0 ? "" : ",", i);
    buf_put_str(&body, "]}");
    buf_put_u8(&body, 0);
    made = call(&documents, METHOD_POST, "/db/_bulk_docs", (const char *)body.data);
    cr_assert_eq(made->status, 201, "%d", made->status);
    reply = call_json(made);
    cr_assert_eq(json_array_size(reply), 2500);
    for (size_t i = 0; i < 2500; i++)
        cr_assert_not_null(json_object_get(json_array_get(reply, i), "ok"), "%zu", i);
    json_decref(reply);
    call_free(made);
    buf_fini(&body);
    cr_assert_eq(sealed(1), LIMIT);
    cr_assert_eq(sealed(2), LIMIT);
    cr_assert_eq(sealed(3), 500);
}

/* Another leader has filled the version behind the back of this one. */
static void fill_up(struct documents *of)
{
    struct key_use use = {.version = 1, .bodies = LIMIT, .sealed = LIMIT, .sealed_bytes = LIMIT};
    const uint8_t elsewhere[DATABASE_ID_BYTES] = {0xee};
    struct record_key key = record_document(elsewhere, bytes_str("full"));
    struct buf value = BUF_INIT(1 * KIB);
    struct wire_command command;

    memcpy(use.key_id, key_id, KEY_ID_BYTES);
    use.sealed = (uint16_t)(LIMIT - sealed(1));
    key_uses_put(&use, 1, &value);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), 1, WIRE_KEYED, buf_bytes(&value));
    documents_apply(of, &command);
    buf_fini(&value);
}

Test(period, what_was_sealed_before_another_leader_filled_the_version_is_sealed_again)
{
    char key[64];

    put(0, key, sizeof(key));
    documents.interfere = fill_up;
    put(1, key, sizeof(key));
    cr_assert_str_eq(key, "default/2");
    cr_assert_eq(sealed(1), LIMIT);
    cr_assert_eq(sealed(2), 1);
}

Test(period, it_is_over_by_bytes_too)
{
    struct store_key_stats stats;
    char key[64];

    put(0, key, sizeof(key));
    store_key_stats(documents.service.store, key_id, 1, &stats);
    cr_assert_gt(stats.sealed_bytes, 0);
    limit(0, 100 * stats.sealed_bytes, 0);
    for (unsigned i = 1; i < 100; i++)
        put(i, key, sizeof(key));
    cr_assert_str_eq(key, "default/1");
    put(100, key, sizeof(key));
    cr_assert_str_eq(key, "default/2");
}

static void tick_until_rotated(uint32_t from)
{
    uint64_t began = uv_hrtime();

    while (active() == from) {
        documents.service.period.looked_ms = 0;
        uv_update_time(&documents.loop);
        period_tick(&documents.service);
        (void)uv_run(&documents.loop, UV_RUN_NOWAIT);
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000);
    }
}

static void now_is(uint64_t time_s)
{
    documents.service.clock.version = 1;
    documents.service.clock.base_s = time_s;
    documents.service.clock.base_ms = timer_now_ms(&documents.loop);
}

Test(period, an_old_version_is_replaced_by_itself_and_a_young_one_is_not)
{
    struct period_life life;

    now_is(2000);
    limit(0, 0, 3600);
    cr_assert_eq(period_life(&documents.service, key_id, &life), QK_OK);
    cr_assert_leq(life.left_s, 3600);
    cr_assert_gt(life.left_s, 0);
    now_is(2000 + life.left_s);
    tick_until_rotated(1);
    cr_assert_eq(active(), 2);
    for (int i = 0; i < 20; i++) {
        documents.service.period.looked_ms = 0;
        period_tick(&documents.service);
        (void)uv_run(&documents.loop, UV_RUN_NOWAIT);
    }
    cr_assert_eq(active(), 2);
}

Test(period, a_full_version_is_replaced_by_itself)
{
    fill_up(&documents);
    tick_until_rotated(1);
    cr_assert_eq(active(), 2);
}

Test(period, a_follower_rotates_nothing)
{
    fill_up(&documents);
    documents.leader = false;
    for (int i = 0; i < 20; i++) {
        documents.service.period.looked_ms = 0;
        period_tick(&documents.service);
        (void)uv_run(&documents.loop, UV_RUN_NOWAIT);
    }
    cr_assert_eq(active(), 1);
}

Test(period, a_key_that_can_have_no_further_version_refuses_and_says_so)
{
    struct key_change change;

    for (unsigned i = 1; i < KEY_VERSIONS_MAX; i++) {
        cr_assert_eq(keyring_change_rotate(documents.service.keyring, key_id, 0, 2000, &change),
                     QK_OK);
        change_apply(&change);
    }
    limit(0, 1, 0);
    expect_error(&documents, METHOD_PUT, "/db/a", "{\"a\":1}", 503, "key_full",
                 "the data key has sealed as much as its limits allow, and can have no further "
                 "version: create another key, or raise its limits");
}

Test(period, how_long_it_lasts_is_told_by_age_or_as_fast_as_it_fills)
{
    struct period_life life;
    char key[64];

    now_is(1000000);
    limit(LIMIT, 0, 2000000);
    for (unsigned i = 0; i < 100; i++)
        put(i, key, sizeof(key));
    cr_assert_eq(period_life(&documents.service, key_id, &life), QK_OK);
    cr_assert_eq(life.sealed, 100);
    cr_assert_eq(life.limits.records, LIMIT);
    cr_assert_eq(life.left_s,
                 (life.age_s * 9 < 2000000 - life.age_s ? life.age_s * 9 : 2000000 - life.age_s));
}

static void drive_until_done(struct reencrypt_record *ret_record)
{
    uint64_t began = uv_hrtime(), version;

    do {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
        cr_assert_eq(reencrypt_record_get(documents.service.store, ret_record, &version), QK_OK);
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000, "it never ends");
    } while (ret_record->state != REENCRYPT_DONE);
}

/* What a round has sealed is not old for it, though later periods have begun. */
Test(period, a_round_of_re_encryption_larger_than_a_period_comes_to_its_end)
{
    struct reencrypt_record record;
    struct store_key_stats stats;
    struct key_change change;
    struct wire_command command;
    char key[64];

    limit(0, 0, 0);
    for (unsigned i = 0; i < 2500; i++)
        put(i, key, sizeof(key));
    limit(LIMIT, 0, 0);
    cr_assert_eq(reencrypt_new(&documents.service, &documents.service.reencrypt), QK_OK);
    cr_assert_eq(keyring_change_rotate(documents.service.keyring, key_id, 0, 2000, &change), QK_OK);
    wire_command_begin(&command, WIRE_KEYRING);
    wire_command_batch(&command);
    keys_change_put(&documents.service, &change, &command);
    cr_assert_eq(reencrypt_want(documents.service.store, true, &command), QK_OK);
    documents_apply(&documents, &command);
    key_change_fini(&change);
    drive_until_done(&record);
    store_key_stats(documents.service.store, key_id, 1, &stats);
    cr_assert_eq(stats.bodies, 0);
    cr_assert_eq(sealed(2), LIMIT);
    cr_assert_eq(sealed(3), LIMIT);
    cr_assert_eq(sealed(4), 500);
    cr_assert_eq(record.fresh_n, 1);
    reencrypt_free(documents.service.reencrypt);
    documents.service.reencrypt = NULL;
}
