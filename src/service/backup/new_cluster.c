#include "service/backup/new_cluster.h"

#include <assert.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "consensus/offline.h"
#include "keys/keyring.h"
#include "seal/node_sec.h"
#include "audit/audit.h"
#include "wire/command.h"
#include "wire/records.h"

#define COMMAND_OPS_MAX 4096
#define SHARES_BYTES_MAX (RECOVERY_SHARES_MAX * RECOVERY_TEXT_BYTES_MAX)
#define FIRST_NAME "restored" /* until the node leads and writes its own */

/* --- what there is --------------------------------------------------------------------------- */

static enum qk_err sys_get(struct store *store, const char *name, struct bytes *ret_value)
{
    struct record_key key = record_system(RECORD_SYS, name);
    struct record record;
    enum qk_err err = store_get(store, record_key_bytes(&key), &record);

    if (err == QK_OK)
        *ret_value = record.value;
    return err;
}

enum qk_err old_cluster_read(struct store *store, struct old_cluster *ret_old, struct buf *message)
{
    struct bytes value = BYTES_NONE;
    enum qk_err err = sys_get(store, RECORD_CLUSTER, &value);

    if (err == QK_OK)
        err = system_cluster_decode(value, &ret_old->info);
    if (err != QK_OK) {
        buf_printf(message, "there is no cluster in it: %s", qk_err_text(err));
        return err;
    }
    err = sys_get(store, RECORD_RECOVERY, &value);
    if (err == QK_OK)
        err = recovery_set_decode(value, &ret_old->recovery);
    if (err == QK_ERR_NOT_FOUND)
        buf_put_str(message, "its cluster had no recovery shares: nothing can open it");
    else if (err != QK_OK)
        buf_printf(message, "the record of its recovery shares: %s", qk_err_text(err));
    return err;
}

/* --- the rewriting --------------------------------------------------------------------------- */

/* Commands at one index, the last of which is the caller's. */
struct rewriting {
    struct store *store;
    uint64_t index, term;
    struct wire_command command;
    unsigned ops_n;
    enum qk_err err;
};

static void command_open(struct rewriting *rewriting)
{
    wire_command_begin(&rewriting->command, WIRE_KEYRING);
    wire_command_batch(&rewriting->command);
    rewriting->ops_n = 0;
}

static void command_apply(struct rewriting *rewriting, bool last)
{
    struct buf results = BUF_INIT(4 * KIB);
    struct bytes bytes = BYTES_NONE;

    if (rewriting->err == QK_OK)
        rewriting->err = wire_command_end(&rewriting->command, &bytes);
    if (rewriting->err == QK_OK)
        rewriting->err =
            store_apply(rewriting->store, rewriting->index, rewriting->term, last, bytes, &results);
    if (rewriting->err == QK_OK)
        rewriting->err = wire_result_single(buf_bytes(&results), NULL);
    buf_fini(&results);
    wire_command_fini(&rewriting->command);
}

static void op_done(struct rewriting *rewriting)
{
    if (++rewriting->ops_n < COMMAND_OPS_MAX)
        return;
    command_apply(rewriting, false);
    command_open(rewriting);
}

static void put(struct rewriting *rewriting, struct record_key key, struct bytes value)
{
    struct record record;
    enum qk_err err = store_get(rewriting->store, record_key_bytes(&key), &record);

    if (err != QK_OK && err != QK_ERR_NOT_FOUND)
        rewriting->err = err;
    wire_command_put(&rewriting->command, record_key_bytes(&key),
                     err == QK_OK ? record.version + 1 : 1, 0, value);
    op_done(rewriting);
}

/* Every record under `prefix` but those that are written anew. */
static void drop_all(struct rewriting *rewriting, struct bytes prefix)
{
    static const char *const kept[] = {RECORD_CLUSTER, RECORD_RECOVERY, RECORD_NEXT};
    struct store_cursor *cursor = NULL;
    struct store_row row;
    enum qk_err err = store_cursor_open_prefix(rewriting->store, prefix, false, &cursor);

    while (err == QK_OK && (err = store_cursor_next(cursor, &row)) == QK_OK) {
        bool keep = false;

        for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
            keep = keep || bytes_equal(record_key_name(row.key), bytes_str(kept[i]));
        if (keep)
            continue;
        wire_command_delete(&rewriting->command, row.key);
        op_done(rewriting);
    }
    store_cursor_close(cursor);
    if (err != QK_ERR_NOT_FOUND && rewriting->err == QK_OK)
        rewriting->err = err;
}

static void put_sys(struct rewriting *rewriting, struct record_key key, struct buf *value)
{
    if (rewriting->err == QK_OK)
        rewriting->err = buf_error(value);
    put(rewriting, key, buf_bytes(value));
    buf_reset(value);
}

static void put_system(struct rewriting *rewriting, const struct old_cluster *old,
                       const struct new_cluster *made, const struct recovery_set *set,
                       const uint8_t noise_pk[static X25519_BYTES])
{
    struct buf value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_cluster info = old->info;
    struct system_next next = {2, 2};
    struct system_member self = {.name = FIRST_NAME, .x = 1, .raft_id = 1, .state = MEMBER_ACTIVE};

    memcpy(info.origin, system_cluster_origin(&old->info), CLUSTER_ID_BYTES);
    memcpy(info.id, made->cluster_id, CLUSTER_ID_BYTES);
    system_cluster_encode(&info, &value);
    put_sys(rewriting, record_system(RECORD_SYS, RECORD_CLUSTER), &value);
    system_next_encode(&next, &value);
    put_sys(rewriting, record_system(RECORD_SYS, RECORD_NEXT), &value);
    memcpy(self.noise_pk, noise_pk, sizeof self.noise_pk);
    self.joined_s = (uint64_t)time(NULL);
    system_member_encode(&self, &value);
    put_sys(rewriting, record_member(made->node_id), &value);
    recovery_set_encode(set, &value);
    put_sys(rewriting, record_system(RECORD_SYS, RECORD_RECOVERY), &value);
    buf_fini(&value);
}

static enum qk_err put_key(void *arg, const struct keyring_record *record)
{
    struct rewriting *rewriting = arg;
    uint8_t space[DATABASE_ID_BYTES];

    record_space_id(RECORD_KEYRING, space);
    put(rewriting, record_document(space, bytes_of(record->name, record->name_len)),
        buf_bytes(&record->value));
    return rewriting->err;
}

enum qk_err old_cluster_keyring(struct store *store, const struct old_cluster *old,
                                const struct secret *mk, struct keyring **ret_keyring)
{
    uint8_t space[DATABASE_ID_BYTES];
    struct store_cursor *cursor = NULL;
    struct keyring *keyring = NULL;
    struct store_row row;
    enum qk_err err =
        keyring_open(system_cluster_origin(&old->info), mk, old->recovery.mk_version, &keyring);

    record_space_id(RECORD_KEYRING, space);
    if (err == QK_OK)
        err = store_cursor_open_prefix(store, bytes_of(space, sizeof space), false, &cursor);
    while (err == QK_OK && (err = store_cursor_next(cursor, &row)) == QK_OK)
        err = keyring_add(keyring, record_key_name(row.key), row.record.value);
    store_cursor_close(cursor);
    if (err == QK_ERR_NOT_FOUND)
        err = keyring_complete(keyring);
    if (err == QK_OK)
        *ret_keyring = keyring;
    else
        keyring_close(keyring);
    return err;
}

/* --- what makes it new ----------------------------------------------------------------------- */

struct fresh {
    struct secret *mk;
    uint32_t mk_version;
    struct recovery_set set;
    struct node_sec *sec;
};

static enum qk_err fresh_keys(const struct old_cluster *old, struct fresh *fresh,
                              struct new_cluster *made)
{
    enum qk_err err = secret_new_random(DEAL_MK_BYTES, &fresh->mk);

    fresh->mk_version = old->recovery.mk_version + 1;
    made->t = old->recovery.t;
    made->n = old->recovery.n;
    if (err == QK_OK)
        err = recovery_set_make(made->cluster_id, 1, (uint64_t)time(NULL), made->n, made->t,
                                fresh->mk_version, fresh->mk, &fresh->set, &made->shares);
    return err;
}

static enum qk_err fresh_node(const char *dir, const struct new_cluster *made, struct fresh *fresh)
{
    char path[PATH_MAX];
    struct secret *identity = NULL, *psk = NULL;
    uint8_t pk[X25519_BYTES];
    enum qk_err err = x25519_keypair(&identity, pk);

    (void)snprintf(path, sizeof path, "%s/node.sec", dir);
    if (err == QK_OK)
        err = secret_new_random(KEY_BYTES, &psk);
    if (err == QK_OK)
        err = node_sec_create(path, made->cluster_id, made->node_id, 1, 1, identity, psk,
                              &fresh->sec);
    if (err == QK_OK)
        err = node_sec_set_founded(fresh->sec);
    secret_free(identity);
    secret_free(psk);
    return err;
}

static enum qk_err rewrite(struct store *store, const struct old_cluster *old,
                           const struct secret *old_mk, const struct fresh *fresh,
                           struct new_cluster *made)
{
    struct rewriting rewriting = {
        .store = store, .index = store_applied(store) + 1, .term = store_applied_term(store)};
    uint8_t sys[DATABASE_ID_BYTES];
    struct record_key parts = record_system(RECORD_KEYRING, "dp/");
    struct keyring *keyring = NULL;
    enum qk_err err = old_cluster_keyring(store, old, old_mk, &keyring);

    if (err != QK_OK)
        return err;
    record_space_id(RECORD_SYS, sys);
    command_open(&rewriting);
    drop_all(&rewriting, bytes_of(sys, sizeof sys));
    drop_all(&rewriting, record_key_bytes(&parts));
    put_system(&rewriting, old, made, &fresh->set, fresh->sec->noise_pk);
    if (rewriting.err == QK_OK)
        rewriting.err = keyring_rewrap(keyring, fresh->mk, fresh->mk_version, true,
                                       (uint64_t)time(NULL), put_key, &rewriting);
    command_apply(&rewriting, true);
    keyring_close(keyring);
    made->index = rewriting.index;
    return rewriting.err;
}

/* The log begins behind what the store holds, so that whoever joins takes the store first. */
static enum qk_err found_log(const char *dir, const struct store *store,
                             const struct new_cluster *made, struct buf *message)
{
    char path[PATH_MAX], address[2 * NODE_ID_BYTES + 1], reason[OFFLINE_REASON_BYTES] = "";
    uint64_t term = store_applied_term(store);
    enum qk_err err;

    (void)snprintf(path, sizeof path, "%s/raft", dir);
    hex_encode(made->node_id, NODE_ID_BYTES, address);
    err = consensus_found(path, 1, address, made->index, term, reason);
    if (err != QK_OK)
        buf_printf(message, "'%s': %s", dir, reason);
    return err;
}

static enum qk_err write_audit(const char *dir, const struct old_cluster *old, const char *how,
                               const struct new_cluster *made)
{
    char path[PATH_MAX], index[24];
    char old_id[2 * CLUSTER_ID_BYTES + 1], new_id[2 * CLUSTER_ID_BYTES + 1];
    struct audit *audit = NULL;
    enum qk_err err;

    (void)snprintf(path, sizeof path, "%s/audit.log", dir);
    (void)snprintf(index, sizeof index, "%" PRIu64, made->index);
    hex_encode(old->info.id, CLUSTER_ID_BYTES, old_id);
    hex_encode(made->cluster_id, CLUSTER_ID_BYTES, new_id);
    err = audit_open(path, &audit);
    if (err != QK_OK)
        return err;
    audit_event(audit, "new_cluster", "cluster", new_id, "from", old_id, "by", how, "index", index,
                NULL);
    audit_close(audit);
    return QK_OK;
}

enum qk_err new_cluster_make(struct store *store, const char *dir, const struct old_cluster *old,
                             const struct secret *old_mk, const char *how,
                             struct new_cluster *ret_new, struct buf *message)
{
    struct fresh fresh = {0};
    enum qk_err err;

    *ret_new = (struct new_cluster){.shares = BUF_SECRET_INIT(SHARES_BYTES_MAX)};
    random_fill(ret_new->cluster_id, CLUSTER_ID_BYTES);
    random_fill(ret_new->node_id, NODE_ID_BYTES);
    err = fresh_keys(old, &fresh, ret_new);
    if (err == QK_OK)
        err = fresh_node(dir, ret_new, &fresh);
    if (err == QK_OK)
        err = rewrite(store, old, old_mk, &fresh, ret_new);
    if (err == QK_ERR_CORRUPT || err == QK_ERR_STALE)
        buf_put_str(message, "the keys in it do not open with the master key of these shares");
    else if (err != QK_OK)
        buf_printf(message, "'%s': the new cluster could not be written: %s", dir,
                   qk_err_text(err));
    if (err == QK_OK)
        err = found_log(dir, store, ret_new, message);
    if (err == QK_OK)
        err = write_audit(dir, old, how, ret_new);
    node_sec_free(fresh.sec);
    secret_free(fresh.mk);
    return err;
}

void new_cluster_fini(struct new_cluster *made)
{
    buf_fini(&made->shares);
}
