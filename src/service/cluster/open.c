/* What MK opens: the keyring from the store's records, then the catalog; and their closing. */
#include "base/log.h"
#include "keys/keyring.h"
#include "service/audit_mark.h"
#include "service/backup/backup.h"
#include "service/catalog.h"
#include "service/feeds/feeds.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity.h"
#include "service/keys_current.h"
#include "service/query/views.h"
#include "store/store.h"

/* --- keyring and catalog --------------------------------------------------------------------- */

static void opening_drop(struct cluster *cluster)
{
    keyring_close(cluster->opening);
    cluster->opening = NULL;
    secret_free(cluster->mk_opening);
    cluster->mk_opening = NULL;
}

/* An open node stays open with what it has, and tries again. */
static void opening_failed(struct cluster *cluster, enum qk_err err, const char *what)
{
    struct seal_event event = {.kind = SEAL_EV_COMBINED, .ok = false};
    bool recovering = cluster->recovering;

    if (err == QK_ERR_STALE) /* the deal came from a peer, the keyring comes by the log */
        log_info("seal", "%s here is wrapped for another master key: waiting for the log", what);
    else
        log_error("seal", "%s could not be opened: %s", what, qk_err_text(err));
    opening_drop(cluster);
    if (cluster->service->catalog == NULL || cluster->seal.state != SEAL_UNSEALED) {
        catalog_close(cluster->service);
        integrity_close(cluster->service->integrity);
        keyring_close(cluster->service->keyring);
        cluster->service->keyring = NULL;
        secret_free(cluster->mk);
        cluster->mk = NULL;
    }
    if (recovering)
        hub_recovery_opened(cluster, err);
    else
        hub_seal(cluster, &event);
}

static void opened(struct cluster *cluster)
{
    struct seal_event event = {.kind = SEAL_EV_COMBINED, .ok = true};
    bool recovering = cluster->recovering;

    if (recovering) {
        event.kind = SEAL_EV_RECOVERED;
        event.mk_version = keyring_mk_version(cluster->service->keyring);
    }
    hub_seal(cluster, &event);
    if (recovering)
        hub_recovery_opened(cluster, QK_OK);
    keys_opened(cluster->service);
    audit_mark_put(cluster->service);
    hub_refresh_soon(cluster); /* the dealing machine rests while the keys are behind */
}

static void catalog_opened(void *arg, enum qk_err err)
{
    struct cluster *cluster = arg;

    if (cluster->stopped || err == QK_ERR_CLOSED || cluster->service->keyring == NULL)
        return;
    if (err != QK_OK) {
        opening_failed(cluster, err, "the catalog");
        return;
    }
    if (cluster->opening != NULL) /* of a newer deal: whether that opens is still to be told */
        return;
    cluster->counters.unsealed_us = timer_now_us() - cluster->combine_began_us;
    log_info("seal", "unsealed %.1f ms after the last share arrived",
             (double)cluster->counters.unsealed_us / 1000.0);
    if (hub_needs_aes(cluster) && !aead_has_aes256gcm())
        log_error("seal", "this node has no AES instructions, or may not use them: what is sealed "
                          "with aes-256-gcm can't be read or written here");
    opened(cluster);
}

static enum qk_err keyring_fill(struct cluster *cluster, struct keyring *keyring)
{
    uint8_t space[DATABASE_ID_BYTES];
    struct store_cursor *cursor = NULL;
    struct store_row row;
    bool from_store = true; /* else the keyring said it: a record that is not what was written */
    enum qk_err err;

    record_space_id(RECORD_KEYRING, space);
    err = store_cursor_open_prefix(cluster->service->store, bytes_of(space, sizeof(space)), false,
                                   &cursor);
    secret_scope_begin(); /* ten thousand keys open in 0.3 s instead of 0.9 */
    while (err == QK_OK) {
        err = store_cursor_next(cursor, &row);
        from_store = err != QK_OK;
        if (err == QK_OK)
            err = keyring_add(keyring, record_key_name(row.key), row.record.value);
    }
    secret_scope_end();
    store_cursor_close(cursor);
    hub_store_result(cluster, from_store ? err : QK_OK);
    return err == QK_ERR_NOT_FOUND ? keyring_complete(keyring) : err;
}

/* An open node has a new MK: its catalog stays as it is, since names and bodies are the same. */
static void opened_again(struct cluster *cluster)
{
    cluster->counters.unsealed_us = timer_now_us() - cluster->combine_began_us;
    log_info("seal", "the master key's version %u is open %.1f ms after the last share arrived",
             keyring_mk_version(cluster->service->keyring),
             (double)cluster->counters.unsealed_us / 1000.0);
    opened(cluster);
    views_key_changed(cluster->service, BYTES_NONE);
    catalog_keys_changed(cluster->service);
    hub_refresh_soon(
        cluster); /* the dealing machine waits for this, and nothing else would tell it */
}

static void keyring_flushed(void *arg, enum qk_err err)
{
    struct cluster *cluster = arg;

    if (cluster->stopped || err == QK_ERR_CLOSED || cluster->opening == NULL)
        return;
    if (err == QK_OK && cluster->opening_again) { /* the file may lack what changed */
        cluster->opening_again = false;
        store_flush(cluster->service->store, keyring_flushed, cluster);
        return;
    }
    if (err == QK_OK)
        err = keyring_fill(cluster, cluster->opening);
    if (err != QK_OK) {
        opening_failed(cluster, err, "the keyring");
        return;
    }
    keyring_close(cluster->service->keyring);
    cluster->service->keyring = cluster->opening;
    cluster->opening = NULL;
    secret_free(cluster->mk);
    cluster->mk = cluster->mk_opening;
    cluster->mk_opening = NULL;
    cluster->service->keys.behind = false;
    integrity_open(cluster->service->integrity);
    if (cluster->service->catalog != NULL) {
        opened_again(cluster);
        return;
    }
    if (cluster->service->catalog_opening != NULL) /* with the keys of an earlier deal */
        catalog_close(cluster->service);
    err = catalog_open(cluster->service, catalog_opened, cluster);
    if (err != QK_OK)
        opening_failed(cluster, err, "the catalog");
}

void hub_open(struct cluster *cluster, uint32_t mk_version)
{
    enum qk_err err;

    keyring_close(cluster->opening);
    cluster->opening = NULL;
    cluster->opening_again = false;
    err = keyring_open(cluster->service->origin_id, cluster->mk_opening, mk_version,
                       &cluster->opening);
    if (err != QK_OK) {
        opening_failed(cluster, err, "the keyring");
        return;
    }
    store_flush(cluster->service->store, keyring_flushed, cluster);
}

/* A record wrapped for another MK than the keyring's is of a deal that was applied just now: the
 * seal machine hears of it in the loop's next turn. */
void hub_keyring_changed(struct cluster *cluster, struct bytes key)
{
    struct record record;
    enum qk_err err;

    cluster->opening_again = cluster->opening != NULL;
    if (cluster->service->keyring == NULL)
        return;
    if (key.len == 0)
        err = keyring_fill(cluster, cluster->service->keyring);
    else if (store_get(cluster->service->store, key, &record) == QK_OK)
        err = keyring_add(cluster->service->keyring, record_key_name(key), record.value);
    else
        return;
    if (err == QK_ERR_STALE)
        cluster->service->keys.behind = true;
    else if (err != QK_OK)
        log_error("seal", "a keyring record is damaged: %s", qk_err_text(err));
    else
        views_key_changed(cluster->service, record_key_name(key));
}

/* --- closing --------------------------------------------------------------------------------- */

void hub_wipe(struct cluster *cluster)
{
    backups_seal(cluster->service->backups);
    integrity_close(cluster->service->integrity);
    hub_recovery_wipe(cluster, "the node was sealed");
    catalog_close(cluster->service);
    opening_drop(cluster);
    audit_mark_put(cluster->service); /* the last that the key can vouch for */
    keyring_close(cluster->service->keyring);
    cluster->service->keyring = NULL;
    secret_free(cluster->mk);
    cluster->mk = NULL;
    cluster->service->keys.behind = false;
    keys_wake(cluster->service, cluster->stopped ? QK_ERR_CLOSED : QK_ERR_SEALED);
    secret_free(cluster->own_share);
    cluster->own_share = NULL;
    while (cluster->shares_n > 0)
        hub_share_drop(cluster, cluster->shares_x[0]);
    hub_deal_wipe(cluster);
    secret_stack_burn();
    hub_note_open(cluster);
}

void hub_note_open(struct cluster *cluster)
{
    bool open = service_is_open(cluster->service);

    if (open == cluster->opened)
        return;
    cluster->opened = open;
    if (open)
        feeds_open(cluster->service);
    else
        feeds_close(cluster->service, QK_ERR_SEALED);
    if (open && cluster->ops.opened != NULL)
        cluster->ops.opened(cluster->ops.arg);
    if (!open && cluster->ops.closed != NULL)
        cluster->ops.closed(cluster->ops.arg);
}
