#include "service/period.h"

#include <string.h>

#include "service/clock.h"
#include "store/store.h"

static bool is_catalog_key(const uint8_t *key_id)
{
    return memcmp(key_id, keyring_catalog_id, KEY_ID_BYTES) == 0;
}

/* --- sealing ---------------------------------------------------------------------------------- */

void period_begin(struct service *service)
{
    service->period.taken_n = 0;
    service->period.taken_bytes = 0;
}

/* Below `max` by at least `more`, without overflow. */
static bool has_room(uint64_t used, uint64_t taken, uint64_t more, uint64_t max)
{
    return used <= max && taken <= max - used && more <= max - used - taken;
}

enum qk_err period_take(struct service *service, const uint8_t key_id[static KEY_ID_BYTES],
                        uint32_t version, uint64_t bytes)
{
    struct service_period *period = &service->period;
    struct store_key_stats stats;
    struct key_limits limits;
    struct keyring_info info;
    enum qk_err err = keyring_info_of(service->keyring, key_id, &info);

    if (err != QK_OK)
        return err;
    limits = key_limits_in_force(&info.limits);
    store_key_stats(service->store, key_id, version, &stats);
    if (!has_room(stats.sealed, period->taken_n, 1, limits.records) ||
        !has_room(stats.sealed_bytes, period->taken_bytes, bytes, limits.bytes)) {
        memcpy(period->full_key, key_id, KEY_ID_BYTES);
        period->full_version = version;
        return QK_ERR_KEY_FULL;
    }
    period->taken_n++;
    period->taken_bytes += bytes;
    return QK_OK;
}

/* Catalog records carry no list of keys, so nothing counts them; they are few. */
void period_cond(const struct service *service, struct wire_command *command,
                 const uint8_t key_id[static KEY_ID_BYTES])
{
    uint8_t tag[WIRE_TAG_BYTES];
    struct key_limits limits;
    struct keyring_info info;

    if (is_catalog_key(key_id) || keyring_info_of(service->keyring, key_id, &info) != QK_OK ||
        info.active == 0)
        return;
    limits = key_limits_in_force(&info.limits);
    memcpy(tag, key_id, KEY_ID_BYTES);
    put_u32(tag + KEY_ID_BYTES, info.active);
    wire_command_limit(command, tag, limits.records, limits.bytes);
}

/* --- telling ---------------------------------------------------------------------------------- */

/* Until `max` is reached, if it goes on as it has since `age_s`. */
static uint64_t left_at_rate(uint64_t used, uint64_t max, uint64_t age_s)
{
    double rate = (double)used / (double)(age_s > 0 ? age_s : 1);
    double left;

    if (used >= max)
        return 0;
    if (used == 0)
        return UINT64_MAX;
    left = (double)(max - used) / rate;
    return left >= (double)INT64_MAX ? UINT64_MAX : (uint64_t)left;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static enum qk_err active_info(const struct service *service, const struct keyring_info *info,
                               struct key_version_info *ret_version)
{
    for (size_t i = info->versions_n; i > 0; i--) {
        struct key_version_info version = keyring_version_at(service->keyring, info, i - 1);

        if (version.version == info->active) {
            *ret_version = version;
            return QK_OK;
        }
    }
    return QK_ERR_NOT_FOUND;
}

enum qk_err period_life(const struct service *service, const uint8_t key_id[static KEY_ID_BYTES],
                        struct period_life *ret_life)
{
    struct period_life life = {.sealed = 0};
    struct key_version_info version;
    struct store_key_stats stats;
    struct keyring_info info;
    uint64_t now_s = service_time_s(service);
    enum qk_err err = keyring_info_of(service->keyring, key_id, &info);

    if (err == QK_OK)
        err = active_info(service, &info, &version);
    if (err != QK_OK)
        return err;
    store_key_stats(service->store, key_id, info.active, &stats);
    life.limits = key_limits_in_force(&info.limits);
    life.sealed = stats.sealed;
    life.bytes = stats.sealed_bytes;
    life.age_s = now_s > version.created_s ? now_s - version.created_s : 0;
    life.left_s = life.age_s < life.limits.age_s ? life.limits.age_s - life.age_s : 0;
    life.left_s = least(life.left_s, left_at_rate(life.sealed, life.limits.records, life.age_s));
    life.left_s = least(life.left_s, left_at_rate(life.bytes, life.limits.bytes, life.age_s));
    *ret_life = life;
    return QK_OK;
}

static json_t *of_max(uint64_t used, uint64_t max)
{
    return json_pack("{s:I, s:I}", "used", (json_int_t)used, "max", (json_int_t)max);
}

json_t *period_json(const struct service *service, const uint8_t key_id[static KEY_ID_BYTES])
{
    struct period_life life;

    if (period_life(service, key_id, &life) != QK_OK)
        return json_null();
    return json_pack("{s:o, s:o, s:o, s:I}", "records", of_max(life.sealed, life.limits.records),
                     "bytes", of_max(life.bytes, life.limits.bytes), "age_s",
                     of_max(life.age_s, life.limits.age_s), "left_s", (json_int_t)life.left_s);
}

double period_used(const struct period_life *life)
{
    const double parts[] = {(double)life->sealed / (double)life->limits.records,
                            (double)life->bytes / (double)life->limits.bytes,
                            (double)life->age_s / (double)life->limits.age_s};
    double most = 0;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        most = parts[i] > most ? parts[i] : most;
    return most < 1 ? most : 1;
}

void period_figures(const struct service *service, struct period_figures *ret_figures)
{
    *ret_figures = service_is_open(service) ? service->period.looked : (struct period_figures){0};
    ret_figures->rotations_n = service->period.rotations_n;
}
