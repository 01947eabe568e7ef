/* The rotation at a period's end: an ordinary write of the key's records. Those who wait for it go
 * on when it has ended, however it did; where the key is still full, they begin another.
 *
 *     period_wait, period_tick -> rotation -> submit (info record's latch) -> applied -> waiters
 */
#include "service/period.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "keys/change.h"
#include "audit/audit.h"
#include "service/clock.h"
#include "service/keys/keys_change.h"
#include "service/keys_current.h"
#include "service/reencrypt_record.h"
#include "service/submit.h"
#include "service/timer_uv.h"
#include "store/store.h"

/* By age, or full and nobody waits: so many at a time, so that a thousand keys of one age do not
 * take the log for themselves. */
#define ROTATIONS_MAX 16
#define TICK_MS 1000
#define LOOK_KEYS 2000 /* at a tick: about a millisecond */
#define RETRY_MS 60000 /* a key that can have no further version is tried again so often */

struct period_waiter {
    struct period_waiter *next;
    void (*cb)(void *arg, enum qk_err err);
    void *arg;
};

struct rotation {
    struct rotation *next;
    struct service *service;
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t from; /* the version to be replaced */
    bool proposed, done;
    enum qk_err refused; /* by the keyring: no further version can be made */
    struct period_waiter *first, *last;
};

/* --- the write -------------------------------------------------------------------------------- */

static enum qk_err rotation_evaluate(void *arg, struct wire_command *command)
{
    struct rotation *rotation = arg;
    struct service *service = rotation->service;
    struct key_change change;
    struct keyring_info info;
    enum qk_err err = keyring_info_of(service->keyring, rotation->key_id, &info);

    if (err != QK_OK || info.active != rotation->from)
        return QK_OK; /* somebody has rotated or destroyed it */
    err = keyring_change_rotate(service->keyring, rotation->key_id, 0, service_time_s(service),
                                &change);
    if (err == QK_ERR_TOO_BIG)
        rotation->refused = QK_ERR_KEY_FULL;
    if (err != QK_OK)
        return err == QK_ERR_TOO_BIG ? QK_OK : err;
    wire_command_batch(command);
    keys_change_put(service, &change, command);
    err = reencrypt_rotated(service->store, rotation->key_id, rotation->from, command);
    key_change_fini(&change);
    rotation->proposed = err == QK_OK;
    return err;
}

static void rotation_result(void *arg, size_t at, const struct wire_result *result)
{
    struct rotation *rotation = arg;

    (void)at;
    rotation->done = rotation->done || (result->ok && rotation->proposed);
}

static void rotation_tell(const struct rotation *rotation)
{
    char id[2 * KEY_ID_BYTES + 1], version[16];

    hex_encode(rotation->key_id, KEY_ID_BYTES, id);
    (void)snprintf(version, sizeof(version), "%" PRIu32, rotation->from + 1);
    log_info("keys", "the period of data key %s version %" PRIu32 " is over: rotated", id,
             rotation->from);
    audit_event(rotation->service->audit, "key_rotate", "by", "period", "key", id, "version",
                version, NULL);
}

static void rotation_unlink(struct rotation *rotation)
{
    struct rotation **at = &rotation->service->period.rotations;

    while (*at != rotation)
        at = &(*at)->next;
    *at = rotation->next;
}

static void rotation_done(void *arg, enum qk_err err)
{
    struct rotation *rotation = arg;
    struct service *service = rotation->service;
    struct period_waiter *waiter = rotation->first;

    rotation_unlink(rotation);
    if (rotation->done) {
        service->period.rotations_n++;
        rotation_tell(rotation);
        err = QK_OK;
    } else if (err == QK_OK && rotation->refused != QK_OK) {
        err = rotation->refused;
        service->period.retry_ms = timer_now_ms(service->loop) + RETRY_MS;
        log_error("keys", "a data key has as many versions as it can: it is not rotated");
    }
    while (waiter != NULL) {
        struct period_waiter *next = waiter->next;

        waiter->cb(waiter->arg, err);
        free(waiter);
        waiter = next;
    }
    free(rotation);
}

static const struct submit_ops rotation_ops = {rotation_evaluate, rotation_result, rotation_done};

/* --- beginning ---------------------------------------------------------------------------------
 */

static struct rotation *rotation_find(const struct service *service, const uint8_t *key_id)
{
    struct rotation *rotation = service->period.rotations;

    while (rotation != NULL && memcmp(rotation->key_id, key_id, KEY_ID_BYTES) != 0)
        rotation = rotation->next;
    return rotation;
}

static enum qk_err rotation_new(struct service *service, const uint8_t *key_id, uint32_t from,
                                struct rotation **ret_rotation)
{
    struct rotation *rotation = calloc(1, sizeof(*rotation));

    if (rotation == NULL)
        return QK_ERR_NOMEM;
    rotation->service = service;
    rotation->from = from;
    memcpy(rotation->key_id, key_id, KEY_ID_BYTES);
    rotation->next = service->period.rotations;
    service->period.rotations = rotation;
    *ret_rotation = rotation;
    return QK_OK;
}

/* It may have ended, and be gone, when this returns QK_OK. */
static enum qk_err rotation_start(struct rotation *rotation)
{
    struct record_key key = record_data_key(rotation->key_id);
    struct bytes view = record_key_bytes(&key);
    enum qk_err err = submit_start(rotation->service, &view, 1, &rotation_ops, rotation);

    if (err == QK_OK)
        return QK_OK;
    rotation_unlink(rotation);
    free(rotation->first);
    free(rotation);
    return err;
}

enum qk_err period_wait(struct service *service, void (*cb)(void *arg, enum qk_err err), void *arg)
{
    const struct service_period *period = &service->period;
    struct rotation *rotation = rotation_find(service, period->full_key);
    struct period_waiter *waiter = calloc(1, sizeof(*waiter));
    bool is_new = rotation == NULL;

    if (waiter == NULL)
        return QK_ERR_NOMEM;
    *waiter = (struct period_waiter){.cb = cb, .arg = arg};
    if (is_new && rotation_new(service, period->full_key, period->full_version, &rotation)) {
        free(waiter);
        return QK_ERR_NOMEM;
    }
    if (rotation->last == NULL)
        rotation->first = waiter;
    else
        rotation->last->next = waiter;
    rotation->last = waiter;
    return is_new ? rotation_start(rotation) : QK_OK;
}

/* --- by itself ---------------------------------------------------------------------------------
 */

static bool is_over(const struct period_life *life)
{
    return life->sealed >= life->limits.records || life->bytes >= life->limits.bytes ||
           life->age_s >= life->limits.age_s;
}

static void note(struct period_figures *figures, const struct period_life *life)
{
    double used = period_used(life);

    figures->left_s =
        figures->keys_n == 0 || life->left_s < figures->left_s ? life->left_s : figures->left_s;
    figures->used = used > figures->used ? used : figures->used;
    figures->keys_n++;
}

static enum qk_err rotate(struct service *service, const struct keyring_info *info)
{
    struct rotation *rotation;
    enum qk_err err;

    if (rotation_find(service, info->key_id) != NULL)
        return QK_OK;
    err = rotation_new(service, info->key_id, info->active, &rotation);
    return err == QK_OK ? rotation_start(rotation) : err;
}

/* The loop waits meanwhile, so some keys at a time; behind the last it begins anew. */
static void look(struct service *service, bool leads)
{
    struct service_period *period = &service->period;
    size_t until = period->look_at + LOOK_KEYS, begun_n = 0;
    struct period_life life;
    struct keyring_info info;

    for (; period->look_at < until && begun_n < ROTATIONS_MAX; period->look_at++) {
        if (keyring_info_at(service->keyring, period->look_at, &info) != QK_OK) {
            period->looked = period->looking;
            period->looking = (struct period_figures){.keys_n = 0};
            period->look_at = 0;
            return;
        }
        if (period_life(service, info.key_id, &life) != QK_OK)
            continue;
        note(&period->looking, &life);
        if (!leads || !is_over(&life))
            continue;
        begun_n++;
        if (rotate(service, &info) != QK_OK)
            return; /* at the next tick */
    }
}

void period_tick(struct service *service)
{
    struct service_period *period = &service->period;
    uint64_t now_ms = timer_now_ms(service->loop);
    bool leads;

    if (service->store == NULL || service->consensus == NULL ||
        now_ms - period->looked_ms < TICK_MS || !service_is_open(service) ||
        !keys_are_current(service))
        return;
    leads = consensus_role(service->consensus) == CONSENSUS_LEADER && period->rotations == NULL &&
            now_ms >= period->retry_ms;
    period->looked_ms = now_ms;
    look(service, leads);
}
