/* What a deal with a new MK carries besides the record: everything that was wrapped under the old
 * one, wrapped under the new one, in the same command. Whatever were left behind could not be
 * opened any more, so each record is written under the condition of its version, and a command that
 * adds one conflicts (keys_current.h): then all is built anew. */
#include <string.h>

#include "base/log.h"
#include "keys/keyring.h"
#include "keyslot/keyslot_recovery.h"
#include "service/clock.h"
#include "service/cluster/deal_build.h"
#include "service/keys_current.h"
#include "service/cluster/recovery.h"
#include "service/reencrypt_record.h"
#include "store/store.h"

/* --- keyslots -------------------------------------------------------------------------------- */

/* Of a type that this version can't wrap there is none: one that was left out would be lost. */
static enum qk_err carry_other(struct build *build, const struct deal_keyslot *old)
{
    struct buf *blob = &build->blobs[build->keyslots_n];
    struct deal_keyslot *slot = &build->keyslots[build->keyslots_n];
    enum qk_err err;

    *slot = *old;
    if (build->fresh) {
        *blob = BUF_INIT(DEAL_KEYSLOT_BLOB_BYTES_MAX);
        err = keyslot_rewrap(old, build->cluster->service->cluster_id, build->mk_version, build->mk,
                             blob);
        if (err != QK_OK) {
            log_error("deal", "a keyslot of type %u could not be wrapped for a new master key: %s",
                      old->type, qk_err_text(err));
            return err;
        }
        slot->blob = buf_bytes(blob);
    }
    build->keyslots_n++;
    return QK_OK;
}

enum qk_err deal_carry_keyslots(struct build *build)
{
    const struct deal_record *record = build->cluster->record;
    enum qk_err err = QK_OK;

    for (size_t i = 0; record != NULL && i < record->keyslots_n && err == QK_OK; i++)
        if (record->keyslots[i].type != DEAL_KEYSLOT_CLUSTER)
            err = carry_other(build, &record->keyslots[i]);
    return err;
}

/* --- the keyring ----------------------------------------------------------------------------- */

struct rewrap {
    struct build *build;
    struct wire_command *command;
};

static enum qk_err rewrap_put(void *arg, const struct keyring_record *record)
{
    struct rewrap *rewrap = arg;
    struct record_key key = {.len = (uint16_t)(DATABASE_ID_BYTES + record->name_len)};

    record_space_id(RECORD_KEYRING, key.data);
    memcpy(key.data + DATABASE_ID_BYTES, record->name, record->name_len);
    wire_command_put(rewrap->command, record_key_bytes(&key),
                     hub_version_of(rewrap->build->cluster, &key) + 1, 0,
                     buf_bytes(&record->value));
    return QK_OK;
}

enum qk_err deal_fresh_begin(struct build *build)
{
    struct service *service = build->cluster->service;
    enum qk_err err = secret_new_random(DEAL_MK_BYTES, &build->mk);

    build->mk_version = keyring_mk_version(service->keyring) + 1;
    if (err == QK_OK)
        err = keyring_open(service->origin_id, build->mk, build->mk_version, &build->keyring);
    return err;
}

/* A set of recovery shares that is made meanwhile would hold the old MK. */
void deal_fresh_cond(const struct build *build, struct wire_command *command)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_RECOVERY);

    if (hub_recovery_set(build->cluster) == NULL)
        wire_command_cond(command, record_key_bytes(&key), hub_version_of(build->cluster, &key));
}

enum qk_err deal_fresh_put(struct build *build, struct wire_command *command)
{
    struct rewrap rewrap = {build, command};
    struct cluster *cluster = build->cluster;
    enum qk_err err;

    keys_put_changed(cluster->service, command);
    err = hub_recovery_rewrap(cluster, cluster->mk, build->mk_version, build->mk, command);
    if (err != QK_OK) {
        log_error("deal", "the record of the recovery shares is damaged: %s", qk_err_text(err));
        return err;
    }
    if (build->info.new_keys)
        err = reencrypt_want(cluster->service->store,
                             cluster->removal.reencrypt || hub_wants_new_keys(cluster), command);
    if (err != QK_OK)
        return err;
    return keyring_rewrap(cluster->service->keyring, build->mk, build->mk_version,
                          build->info.new_keys, service_time_s(cluster->service), rewrap_put,
                          &rewrap);
}
