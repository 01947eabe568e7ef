/* Sealed: each write leaves its digests in the journal. The keyring opens -> the journal is added
 * up
 * -> a scan of all records -> the sums are live, and follow each write -> they are held against the
 * peers', again every minute; now and then another scan looks whether the file still is what was
 * applied. The keyring is wiped -> the sum of this moment is sealed for the file and remembered,
 * the journal begins anew.
 *
 * A failure (no memory, a file that can't be read, a snapshot swapped in) gives the sums up: all is
 * read again. Whatever is found is told and nothing else changes: the node goes on serving, since
 * it can't know that the peer is the one who is right. */
#include "service/integrity/integrity.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "base/log.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity_private.h"

#define TICK_MS 250
#define RETRY_MS 2000
#define COMPARE_MS 60000
#define COMPARE_SOON_MS 3000

const char *integrity_standing_text(enum integrity_standing standing)
{
    switch (standing) {
    case INTEGRITY_UNVERIFIED:
        return "unverified";
    case INTEGRITY_SOUND:
        return "sound";
    case INTEGRITY_DAMAGED:
        return "damaged";
    }
    return "unverified";
}

/* --- keys ------------------------------------------------------------------------------------ */

static void keys_free(struct integrity *integrity)
{
    secret_free(integrity->element_key);
    secret_free(integrity->root_key);
    integrity->element_key = integrity->root_key = NULL;
}

static enum qk_err keys_make(const struct service *service, struct secret **ret_element,
                             struct secret **ret_root)
{
    const struct secret *key = keyring_integrity_key(service->keyring);
    struct bytes origin = bytes_of(service->origin_id, CLUSTER_ID_BYTES);
    enum qk_err err;

    *ret_element = *ret_root = NULL;
    if (key == NULL)
        return QK_ERR_NOT_FOUND;
    err = kdf_derive(key, "multiset", origin, ret_element);
    if (err == QK_OK)
        err = kdf_derive(key, "root", origin, ret_root);
    if (err != QK_OK) {
        secret_free(*ret_element);
        *ret_element = NULL;
    }
    return err;
}

static void begin(struct integrity *integrity)
{
    if (!integrity->base_known && integrity->attach_stamp != UINT64_MAX)
        integrity_base_read(integrity);
    integrity->attach_stamp = UINT64_MAX; /* the journal of the process's begin is used up */
    integrity->expected_known = integrity->base_known && !integrity->journal.lost;
    integrity->expected = integrity->base;
    integrity->journal.lost = false;
    integrity->live = false;
    integrity->base_failed = false;
    integrity->scan_next_ms = 0;
    accumulator_fini(&integrity->sums);
    if (integrity->journal.n == 0)
        accumulator_forget(&integrity->sums, store_applied(integrity->service->store));
    else
        accumulator_forget(&integrity->sums, integrity->journal.items[0].index - 1);
    if (integrity_drain(integrity))
        integrity_tick_soon(integrity, 0);
}

/* With the same integrity key (a new MK wraps it anew) all goes on. */
void integrity_open(struct integrity *integrity)
{
    struct secret *element = NULL, *root = NULL;
    enum qk_err err;

    if (integrity == NULL || !integrity->attached)
        return;
    err = keys_make(integrity->service, &element, &root);
    if (err != QK_OK) {
        log_error("integrity", "the records are not verified: %s", qk_err_text(err));
        return;
    }
    if (integrity->element_key != NULL && secret_equal(element, integrity->element_key)) {
        secret_free(element);
        secret_free(root);
        return;
    }
    integrity_close(integrity);
    integrity->element_key = element;
    integrity->root_key = root;
    begin(integrity);
}

/* The sum of this moment, for the file and for the next opening in this process. */
static void base_keep(struct integrity *integrity)
{
    struct store_position at = {store_applied(integrity->service->store),
                                store_applied_term(integrity->service->store),
                                store_stamp(integrity->service->store)};

    integrity->base_known = integrity->live || integrity->expected_known;
    integrity->base = integrity->live ? integrity->sums.total : integrity->expected;
    integrity->base_standing = integrity_standing_now(integrity);
    buf_reset(&integrity->last_root);
    if (integrity->base_known && integrity_root_now(integrity, &at, &integrity->last_root) != QK_OK)
        buf_reset(&integrity->last_root);
}

void integrity_close(struct integrity *integrity)
{
    if (integrity == NULL || integrity->element_key == NULL)
        return;
    integrity_verify_stop(integrity, "the node was sealed");
    integrity_round_stop(integrity);
    if (integrity_drain(integrity) && integrity->attached)
        base_keep(integrity);
    else
        integrity->base_known = false;
    integrity_scan_stop(integrity->scan);
    keys_free(integrity);
    accumulator_fini(&integrity->sums);
    integrity->live = integrity->expected_known = false;
    integrity->standing = INTEGRITY_UNVERIFIED;
    integrity->findings_n = integrity->peers_n = integrity->places_n = 0;
    integrity->findings_all_n = 0;
    integrity->told = false;
    integrity_journal_clear(&integrity->journal);
    timer_stop(integrity->timer);
}

/* --- life ------------------------------------------------------------------------------------ */

static void tick(void *arg);

enum qk_err integrity_new(struct service *service, const struct integrity_settings *settings,
                          struct integrity **ret_integrity)
{
    struct integrity *integrity = calloc(1, sizeof(*integrity));
    enum qk_err err;

    assert(service != NULL && ret_integrity != NULL);

    if (integrity == NULL)
        return QK_ERR_NOMEM;
    integrity->service = service;
    integrity->settings = *settings;
    integrity->last_root = BUF_INIT(INTEGRITY_ROOT_BYTES);
    err = timer_new(service->loop, tick, integrity, &integrity->timer);
    if (err != QK_OK) {
        free(integrity);
        return err;
    }
    *ret_integrity = integrity;
    return QK_OK;
}

static void timer_gone(void *arg)
{
    free(arg);
}

void integrity_free(struct integrity *integrity)
{
    if (integrity == NULL)
        return;
    assert(integrity->scan == NULL);
    integrity_close(integrity);
    integrity_verify_free(integrity);
    integrity_journal_clear(&integrity->journal);
    buf_fini(&integrity->last_root);
    timer_free(integrity->timer, timer_gone, integrity);
}

void integrity_attach(struct integrity *integrity)
{
    struct store_observer observer = {.arg = integrity,
                                      .changed = integrity_changed,
                                      .swapped = integrity_swapped,
                                      .committing = integrity_committing,
                                      .fact = INTEGRITY_FACT};

    if (integrity == NULL)
        return;
    integrity_journal_clear(&integrity->journal);
    buf_reset(&integrity->last_root);
    integrity->base_known = integrity->root_bad = false;
    integrity->base = (struct multiset){{0}};
    integrity->attach_stamp = store_stamp(integrity->service->store);
    integrity->attached = true;
    store_observe(integrity->service->store, &observer);
}

/* The store still writes what is pending, and asks for what goes with it. */
void integrity_detach(struct integrity *integrity)
{
    if (integrity == NULL)
        return;
    integrity_close(integrity);
    integrity->attached = false;
}

void integrity_again(struct integrity *integrity, const char *why)
{
    if (integrity->element_key != NULL)
        log_info("integrity", "all records are read again: %s", why);
    integrity_verify_stop(integrity, why);
    integrity_round_stop(integrity);
    integrity_scan_stop(integrity->scan);
    accumulator_fini(&integrity->sums);
    accumulator_forget(&integrity->sums, store_applied(integrity->service->store));
    integrity->live = integrity->expected_known = false;
    integrity->journal.n = 0;
    integrity->standing = INTEGRITY_UNVERIFIED;
    integrity->scan_next_ms = 0;
    if (integrity->element_key != NULL)
        integrity_tick_soon(integrity, TICK_MS);
}

bool integrity_let_go(struct integrity *integrity, void (*idle)(void *arg), void *arg)
{
    if (integrity == NULL)
        return true;
    integrity->held_until_ms = timer_now_ms(integrity->service->loop) + RETRY_MS;
    if (integrity->scan == NULL)
        return true;
    integrity_scan_stop(integrity->scan);
    if (idle != NULL) { /* who only asks does not take the place of one who waits */
        integrity->idle = idle;
        integrity->idle_arg = arg;
    }
    return false;
}

/* --- standing -------------------------------------------------------------------------------- */

void integrity_stand(struct integrity *integrity, enum integrity_standing standing)
{
    struct buf text = BUF_INIT(4 * KIB);

    if (integrity->standing == standing && (standing != INTEGRITY_DAMAGED || integrity->told))
        return;
    integrity->standing = standing;
    if (standing == INTEGRITY_SOUND) {
        integrity->root_bad = integrity->told = false;
        log_info("integrity", "the records of this node are verified");
    } else if (standing == INTEGRITY_DAMAGED) {
        integrity->told = true;
        integrity_alarm(integrity, &text);
        log_error("integrity", "%.*s", (int)text.len, (const char *)text.data);
    }
    audit_event(integrity->service->audit, "integrity", "standing",
                integrity_standing_text(standing), NULL);
    buf_fini(&text);
}

/* --- time ------------------------------------------------------------------------------------ */

void integrity_tick_soon(struct integrity *integrity, uint64_t ms)
{
    if (!integrity->stopped)
        timer_start(integrity->timer, ms);
}

static void scan_if_due(struct integrity *integrity, uint64_t now_ms)
{
    if (integrity->live || integrity->scan != NULL || now_ms < integrity->scan_next_ms ||
        now_ms < integrity->held_until_ms || cluster_is_restoring(integrity->service->cluster))
        return;
    if (integrity_scan_begin(integrity, false, false) != QK_OK)
        integrity->scan_next_ms = now_ms + RETRY_MS;
}

static void round_if_due(struct integrity *integrity, uint64_t now_ms)
{
    if (!integrity->live)
        return;
    if (integrity->round != NULL) {
        integrity_round_tick(integrity);
        return;
    }
    if (now_ms < integrity->round_next_ms)
        return;
    integrity->round_next_ms =
        now_ms + (integrity->standing == INTEGRITY_UNVERIFIED ? COMPARE_SOON_MS : COMPARE_MS);
    integrity_round_begin(integrity);
}

/* The first one an interval after the records were verified at the opening. */
static void scrub_if_due(struct integrity *integrity, uint64_t now_ms)
{
    uint64_t every_ms = integrity->settings.scrub_s * 1000;

    if (every_ms == 0 || !integrity->live)
        return;
    if (integrity->scrub_next_ms == 0)
        integrity->scrub_next_ms = now_ms + every_ms;
    if (now_ms < integrity->scrub_next_ms)
        return;
    integrity->scrub_next_ms = now_ms + every_ms;
    if (integrity_verify_begin(integrity, true) != QK_OK)
        integrity->scrub_next_ms = now_ms + RETRY_MS;
}

static void tick(void *arg)
{
    struct integrity *integrity = arg;
    uint64_t now_ms = timer_now_ms(integrity->service->loop);

    if (integrity->stopped || integrity->element_key == NULL || !integrity->attached)
        return;
    integrity_tick_soon(integrity, TICK_MS);
    scan_if_due(integrity, now_ms);
    round_if_due(integrity, now_ms);
    scrub_if_due(integrity, now_ms);
}
