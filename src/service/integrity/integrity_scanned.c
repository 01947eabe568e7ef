/* What a scan of all records comes to. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity_private.h"

#define RETRY_MS 2000

/* --- scans ----------------------------------------------------------------------------------- */

static bool is_dropped(const struct integrity_scanned *scanned, const uint8_t *space)
{
    for (size_t i = 0; i < scanned->dropped_n; i++)
        if (memcmp(scanned->dropped[i], space, DATABASE_ID_BYTES) == 0)
            return true;
    return false;
}

static enum qk_err merge_part(struct integrity *integrity, const struct integrity_scanned *scanned,
                              const struct accumulator *part, bool take)
{
    enum qk_err err = QK_OK;

    for (size_t i = 0; i < part->spaces_n && err == QK_OK; i++) {
        const struct accumulator_space *space = part->spaces[i];

        for (unsigned k = 0; k < ACCUMULATOR_BUCKETS && err == QK_OK; k++)
            if (!is_dropped(scanned, space->id))
                err = accumulator_put(&integrity->sums, space->id, k, &space->buckets[k], take);
    }
    return err;
}

/* The sums of the changes become those of all records. */
static void scan_first(struct integrity *integrity, const struct integrity_scanned *scanned)
{
    enum qk_err err = merge_part(integrity, scanned, &scanned->sums, false);

    if (err == QK_OK)
        err = merge_part(integrity, scanned, &scanned->base, true);
    if (err != QK_OK) {
        integrity_again(integrity, qk_err_text(err));
        return;
    }
    accumulator_forget(&integrity->sums, scanned->index);
    integrity->live = true;
    integrity->base_failed =
        integrity->expected_known && !multiset_equal(&integrity->expected, &integrity->sums.total);
    if (integrity->base_failed)
        log_error("integrity", "store.mdb is not what this node wrote: it was changed while the "
                               "node did not run");
    integrity_stand(integrity, integrity->base_failed      ? INTEGRITY_DAMAGED
                               : integrity->expected_known ? integrity->base_standing
                                                           : INTEGRITY_UNVERIFIED);
    integrity->round_next_ms = 0;
}

static void place_add(struct integrity *integrity, const uint8_t *space, uint32_t buckets)
{
    struct integrity_place *place;

    if (buckets == 0 || integrity->places_n == INTEGRITY_PLACES_MAX)
        return;
    place = &integrity->places[integrity->places_n++];
    memcpy(place->space, space, DATABASE_ID_BYTES);
    place->buckets = buckets;
}

/* A later one: is the file still what was applied? */
static void scan_again(struct integrity *integrity, const struct integrity_scanned *scanned)
{
    const struct accumulator *file = &scanned->sums, *applied = &scanned->base;

    integrity->places_n = 0;
    for (size_t i = 0; i < file->spaces_n; i++)
        place_add(
            integrity, file->spaces[i]->id,
            accumulator_differ(file->spaces[i], accumulator_space(applied, file->spaces[i]->id)));
    for (size_t i = 0; i < applied->spaces_n; i++)
        if (accumulator_space(file, applied->spaces[i]->id) == NULL)
            place_add(integrity, applied->spaces[i]->id,
                      accumulator_differ(applied->spaces[i], NULL));
    if (integrity->places_n == 0)
        return;
    log_error("integrity", "store.mdb is not what was applied: records of %u databases differ",
              integrity->places_n);
    integrity_stand(integrity, INTEGRITY_DAMAGED);
}

static void changes_take(struct integrity *integrity, const struct integrity_scanned *scanned)
{
    if (!scanned->changes)
        return;
    integrity->changes_scanned = true;
    integrity->changes_wrong_n = scanned->changes_wrong_n;
    snprintf(integrity->changes_text, sizeof(integrity->changes_text), "%s", scanned->changes_text);
    if (scanned->changes_wrong_n > 0)
        log_error("integrity", "store.mdb: %" PRIu64 " rows of the feeds of changes are wrong: %s",
                  scanned->changes_wrong_n, scanned->changes_text);
}

static void tell_idle(struct integrity *integrity)
{
    void (*idle)(void *arg) = integrity->idle;

    integrity->idle = NULL;
    if (idle != NULL)
        idle(integrity->idle_arg);
}

void integrity_scan_ended(struct integrity *integrity, enum qk_err err,
                          const struct integrity_scanned *scanned, const char *what)
{
    /* While the scan still is the one that hears of drops: those of the last moment count, too. */
    bool usable = err == QK_OK && integrity->element_key != NULL && integrity_drain(integrity);

    integrity->scan = NULL;
    integrity->scan_next_ms = timer_now_ms(integrity->service->loop) + RETRY_MS;
    if (usable) {
        integrity->scanned_n = scanned->rows_n;
        integrity->scanned_s = (uint64_t)time(NULL);
        if (integrity->live)
            scan_again(integrity, scanned);
        else
            scan_first(integrity, scanned);
        changes_take(integrity, scanned);
    } else if (err == QK_ERR_CORRUPT)
        log_error("integrity", "%s", what);
    tell_idle(integrity);
}
