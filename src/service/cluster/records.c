/* The small records as applied here, read again whenever one of them changed, and whoever is told
 * of it: the seal machine, the dealing machine, links, init and join. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "store/store.h"

/* --- records --------------------------------------------------------------------------------- */

bool hub_sys_get(struct cluster *cluster, const char *name, struct record *ret_record)
{
    struct record_key key = record_system(RECORD_SYS, name);
    enum qk_err err = store_get(cluster->service->store, record_key_bytes(&key), ret_record);

    hub_store_result(cluster, err);
    return err == QK_OK;
}

static void read_settings(struct cluster *cluster)
{
    struct record record;

    if (!hub_sys_get(cluster, RECORD_CLUSTER, &record) ||
        (cluster->has_settings && record.version == cluster->settings_version))
        return;
    if (system_cluster_decode(record.value, &cluster->info) == QK_OK) {
        cluster->has_settings = true;
        cluster->settings_version = record.version;
        memcpy(cluster->service->origin_id, system_cluster_origin(&cluster->info),
               CLUSTER_ID_BYTES);
        cluster->peers_dirty = true; /* the unseal quorum may be another */
    } else
        log_error("cluster", "the record of the cluster's settings is damaged");
}

static void audit_deal(struct cluster *cluster, const char *event)
{
    char deal[2 * DEAL_ID_BYTES + 1];
    char epoch[24], members[16];

    hex_encode(cluster->record->deal, DEAL_ID_BYTES, deal);
    snprintf(epoch, sizeof(epoch), "%" PRIu64, cluster->record->epoch);
    snprintf(members, sizeof(members), "%zu", cluster->record->n);
    audit_event(cluster->service->audit, event, "deal", deal, "epoch", epoch, "members", members,
                NULL);
}

/* A record taken over from a peer was proven by this node's own slot alone: its keyslots may have
 * been tampered with on the way. The same deal from the own log takes its place. */
static void record_confirm(struct cluster *cluster, struct deal_record *parsed)
{
    if (memcmp(parsed->deal, cluster->record->deal, DEAL_ID_BYTES) != 0) {
        deal_record_free(parsed);
        return;
    }
    deal_record_free(cluster->record);
    cluster->record = parsed;
}

static void read_deal(struct cluster *cluster)
{
    struct deal_record *parsed = NULL;
    struct record record;
    enum qk_err err;

    if (!hub_sys_get(cluster, RECORD_DEAL, &record) || record.version == cluster->deal_version)
        return;
    err = deal_record_parse(record.value, &parsed);
    if (err != QK_OK) {
        log_error("cluster", "store.mdb: the deal record is damaged: %s", qk_err_text(err));
        return;
    }
    cluster->deal_version = record.version;
    memcpy(cluster->log_deal, parsed->deal, DEAL_ID_BYTES);
    if (cluster->record != NULL && parsed->epoch <= cluster->record->epoch) {
        record_confirm(cluster, parsed);
        return;
    }
    deal_record_free(cluster->record);
    cluster->record = parsed;
    cluster->counters.deals_n++;
    audit_deal(cluster, "deal");
    hub_seal_deal(cluster);
}

static void read_removal(struct cluster *cluster)
{
    struct system_removal *before = NULL;
    struct system_removal now = {0};
    struct record record;
    uint64_t version = 0;

    if (hub_sys_get(cluster, SYSTEM_REMOVAL, &record)) {
        version = record.version;
        if (version != cluster->removal_version &&
            system_removal_decode(record.value, &now) != QK_OK)
            log_error("cluster", "store.mdb: the record of the removal is damaged");
    }
    if (version == cluster->removal_version)
        return;
    before = malloc(sizeof(*before));
    if (before == NULL)
        return; /* the next refresh does it */
    *before = cluster->removal;
    cluster->removal = now;
    cluster->removal_version = version;
    hub_leave_changed(cluster, before);
    free(before);
}

static void read_wanted(struct cluster *cluster)
{
    struct record record;

    cluster->wanted_version = 0;
    memset(&cluster->wanted, 0, sizeof(cluster->wanted));
    if (!hub_sys_get(cluster, SYSTEM_WANTED, &record))
        return;
    cluster->wanted_version = record.version;
    if (system_wanted_decode(record.value, &cluster->wanted) != QK_OK)
        log_error("cluster", "store.mdb: the record of what is wanted of the deal is damaged");
}

static void read_rest(struct cluster *cluster)
{
    struct record record;

    read_removal(cluster);
    read_wanted(cluster);
    if (hub_sys_get(cluster, SYSTEM_DEAL_INFO, &record) &&
        system_deal_info_decode(record.value, &cluster->deal_info) != QK_OK)
        log_error("cluster", "store.mdb: the record deal_info is damaged");
    cluster->begin_version =
        hub_sys_get(cluster, RECORD_DEAL_BEGIN, &record) ? record.version : cluster->begin_version;
    hub_recovery_read(cluster);
    if (hub_sys_get(cluster, RECORD_DEAL_FINAL, &record) && record.value.len == DEAL_ID_BYTES &&
        record.version != cluster->final_version) {
        cluster->final_version = record.version;
        memcpy(cluster->final_deal, record.value.data, DEAL_ID_BYTES);
        if (cluster->record != NULL)
            audit_deal(cluster, "deal_final");
    }
}

void hub_refresh(void *arg)
{
    struct cluster *cluster = arg;

    if (cluster->stopped || !cluster->booted)
        return;
    if (cluster->restoring) {
        hub_members_publish(cluster);
        return;
    }
    clock_read(cluster->service);
    read_settings(cluster);
    hub_control_read(cluster);
    read_rest(cluster);
    hub_members_publish(cluster);
    read_deal(cluster);
    hub_deal(cluster, DEALING_EV_FACTS);
    hub_replace(cluster);
    hub_deal_erase(cluster);
    hub_note_open(cluster);
    hub_leave_note(cluster);
    hub_versions_drive(cluster);
    hub_init_changed(cluster);
    hub_self_record(cluster);
    hub_order_tick(cluster);
    hub_joiner_changed(cluster);
}

void hub_refresh_soon(struct cluster *cluster)
{
    if (!cluster->stopped)
        timer_start(cluster->refresh_timer, 0);
}

static void on_record(void *arg, struct bytes key)
{
    struct cluster *cluster = arg;
    enum record_space space;

    if (cluster->stopped || cluster->restoring)
        return;
    if (key.len == 0) {
        hub_members_changed(cluster, key);
        hub_keyring_changed(cluster, key);
    } else if (record_key_space(key, &space) && space == RECORD_KEYRING) {
        hub_keyring_changed(cluster, key);
        return;
    } else
        hub_members_changed(cluster, key);
    hub_refresh_soon(cluster);
}

enum qk_err hub_watch(struct cluster *cluster)
{
    uint8_t sys[DATABASE_ID_BYTES], keyring[DATABASE_ID_BYTES];
    enum qk_err err;

    record_space_id(RECORD_SYS, sys);
    record_space_id(RECORD_KEYRING, keyring);
    err = store_watch(cluster->service->store, bytes_of(sys, sizeof(sys)), on_record, cluster);
    if (err != QK_OK)
        return err;
    return store_watch(cluster->service->store, bytes_of(keyring, sizeof(keyring)), on_record,
                       cluster);
}

void hub_unwatch(struct cluster *cluster)
{
    if (cluster->service->store != NULL)
        store_unwatch(cluster->service->store, on_record, cluster);
}
