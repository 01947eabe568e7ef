#include "service/backup/backup_facts.h"

#include "keys/keyring.h"
#include "service/cluster/hub.h"
#include "store/store.h"

enum qk_err backup_facts_read(const struct service *service, struct backup_facts *ret_facts)
{
    struct record_key deal_key = record_system(RECORD_SYS, RECORD_DEAL);
    struct record_key recovery_key = record_system(RECORD_SYS, RECORD_RECOVERY);
    struct backup_facts facts = {0};
    struct deal_record *deal = NULL;
    struct record record;
    enum qk_err err;

    if (service->keyring == NULL || service->cluster->mk == NULL)
        return QK_ERR_SEALED;
    facts.mk_version = keyring_mk_version(service->keyring);
    err = store_get(service->store, record_key_bytes(&recovery_key), &record);
    if (err == QK_OK)
        facts.recovery_version = record.version;
    if (err == QK_OK || err == QK_ERR_NOT_FOUND)
        err = store_get(service->store, record_key_bytes(&deal_key), &record);
    if (err == QK_OK) {
        facts.deal_version = record.version;
        err = deal_record_parse(record.value, &deal);
    }
    if (err != QK_OK && err != QK_ERR_NOT_FOUND)
        return err;
    /* A new MK whose records are applied, but whose shares are not yet combined here. */
    if (deal != NULL && deal->mk_version != facts.mk_version)
        err = QK_ERR_BUSY;
    deal_record_free(deal);
    *ret_facts = facts;
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

bool backup_facts_equal(const struct backup_facts *a, const struct backup_facts *b)
{
    return a->deal_version == b->deal_version && a->recovery_version == b->recovery_version &&
           a->mk_version == b->mk_version;
}
