#include "store/tallies.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64
#define DIRTY_MIN 64
#define VERSION_AT (DATABASE_ID_BYTES + KEY_USE_ID_BYTES)

static const uint8_t no_database[DATABASE_ID_BYTES];

void tallies_init(struct tallies *tallies)
{
    *tallies = (struct tallies){0};
}

void tallies_fini(struct tallies *tallies)
{
    free(tallies->slots);
    free(tallies->dirty);
    tallies_init(tallies);
}

void tally_id(const uint8_t *database, const uint8_t *key_id, uint32_t version,
              uint8_t ret_id[static TALLY_ID_BYTES])
{
    memcpy(ret_id, database, DATABASE_ID_BYTES);
    memcpy(ret_id + DATABASE_ID_BYTES, key_id, KEY_USE_ID_BYTES);
    put_u32(ret_id + VERSION_AT, version);
}

bool tally_is_zero(const struct store_key_stats *stats)
{
    static const struct store_key_stats none;

    return memcmp(stats, &none, sizeof none) == 0;
}

/* --- the table ------------------------------------------------------------------------------ */

/* Ids of databases and keys are random, made by the cluster itself: no client aims at a slot. */
static size_t slot_of(const struct tallies *tallies, const uint8_t *id)
{
    uint64_t mixed = get_u32(id + VERSION_AT);

    for (size_t at = 0; at < VERSION_AT; at += 8)
        mixed = (mixed ^ get_u64(id + at)) * 0x9e3779b97f4a7c15ull;
    return (size_t)(mixed >> 32) & (tallies->slots_n - 1);
}

static struct tally *slot_find(const struct tallies *tallies, const uint8_t *id)
{
    size_t at = slot_of(tallies, id);

    while (tallies->slots[at].used && memcmp(tallies->slots[at].id, id, TALLY_ID_BYTES) != 0)
        at = (at + 1) & (tallies->slots_n - 1);
    return &tallies->slots[at];
}

/* A table of `slots_n` with what is not of `leave_out` (NULL: with all). */
static enum qk_err rebuild(struct tallies *tallies, size_t slots_n, const uint8_t *leave_out)
{
    struct tallies next = *tallies;

    next.slots_n = slots_n;
    next.used_n = 0;
    next.slots = calloc(slots_n, sizeof *next.slots);
    if (next.slots == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < tallies->slots_n; i++) {
        const struct tally *tally = &tallies->slots[i];

        if (!tally->used ||
            (leave_out != NULL && memcmp(tally->id, leave_out, DATABASE_ID_BYTES) == 0))
            continue;
        *slot_find(&next, tally->id) = *tally;
        next.used_n++;
    }
    free(tallies->slots);
    *tallies = next;
    return QK_OK;
}

/* Finds or makes; valid until the next one is made. What is found moves nothing. */
static enum qk_err tally_make(struct tallies *tallies, const uint8_t *id, struct tally **ret_tally)
{
    struct tally *slot = tallies->slots_n == 0 ? NULL : slot_find(tallies, id);

    if (slot == NULL || !slot->used) {
        size_t slots_n = tallies->slots_n == 0 ? SLOTS_MIN : tallies->slots_n * 2;

        if (tallies->used_n * 2 >= tallies->slots_n && rebuild(tallies, slots_n, NULL) != QK_OK)
            return QK_ERR_NOMEM;
        slot = slot_find(tallies, id);
        *slot = (struct tally){.used = true};
        memcpy(slot->id, id, TALLY_ID_BYTES);
        tallies->used_n++;
    }
    *ret_tally = slot;
    return QK_OK;
}

void tallies_get(const struct tallies *tallies, const uint8_t id[static TALLY_ID_BYTES],
                 struct store_key_stats *ret_stats)
{
    const struct tally *tally = tallies->slots_n == 0 ? NULL : slot_find(tallies, id);

    *ret_stats = tally != NULL && tally->used ? tally->stats : (struct store_key_stats){0};
}

static enum qk_err dirty_note(struct tallies *tallies, const uint8_t *id)
{
    if (tallies->dirty_n == tallies->dirty_cap) {
        size_t cap = tallies->dirty_cap == 0 ? DIRTY_MIN : 2 * tallies->dirty_cap;
        uint8_t(*dirty)[TALLY_ID_BYTES] = reallocarray(tallies->dirty, cap, TALLY_ID_BYTES);

        if (dirty == NULL)
            return QK_ERR_NOMEM;
        tallies->dirty = dirty;
        tallies->dirty_cap = cap;
    }
    memcpy(tallies->dirty[tallies->dirty_n++], id, TALLY_ID_BYTES);
    return QK_OK;
}

void tallies_clean(struct tallies *tallies)
{
    for (size_t i = 0; i < tallies->dirty_n; i++) {
        struct tally *tally = slot_find(tallies, tallies->dirty[i]);

        if (tally->used)
            tally->dirty = false;
    }
    tallies->dirty_n = 0;
}

/* --- counting ------------------------------------------------------------------------------- */

/* Adds `by`, or takes it away. */
static void stats_move(struct store_key_stats *stats, const struct store_key_stats *by, bool add)
{
    uint64_t sign = add ? 1 : UINT64_MAX; /* modulo 2^64 */

    stats->doc_count += sign * by->doc_count;
    stats->del_count += sign * by->del_count;
    stats->bodies += sign * by->bodies;
    stats->bytes += sign * by->bytes;
    stats->sealed += by->sealed; /* never taken away */
    stats->sealed_bytes += by->sealed_bytes;
}

static enum qk_err tally_move(struct tallies *tallies, const uint8_t *database,
                              const struct key_use *use, uint32_t version,
                              const struct store_key_stats *by, bool add)
{
    uint8_t id[TALLY_ID_BYTES];
    struct tally *tally;

    tally_id(database, use->key_id, version, id);
    if (tally_make(tallies, id, &tally) != QK_OK)
        return QK_ERR_NOMEM;
    stats_move(&tally->stats, by, add);
    if (version == 0 || tally->dirty)
        return QK_OK;
    tally->dirty = true;
    return dirty_note(tallies, id);
}

/* One key of a record; `first`: the record itself counts under it. */
static enum qk_err use_move(struct tallies *tallies, const struct tally_record *record,
                            const struct key_use *use, bool first, bool add)
{
    bool doc = first && (record->flags & WIRE_DOC) != 0;
    bool deleted = (record->flags & WIRE_DELETED) != 0;
    struct store_key_stats by = {.doc_count = doc && !deleted,
                                 .del_count = doc && deleted,
                                 .bodies = use->bodies,
                                 .bytes = first ? record->bytes : 0};
    enum qk_err err = tally_move(tallies, record->database, use, use->version, &by, add);

    if (err == QK_OK)
        err = tally_move(tallies, record->database, use, 0, &by, add);
    if (add) {
        by.sealed = use->sealed;
        by.sealed_bytes = use->sealed_bytes;
    }
    return err == QK_OK ? tally_move(tallies, no_database, use, use->version, &by, add) : err;
}

static enum qk_err record_move(struct tallies *tallies, const struct tally_record *record, bool add)
{
    struct key_uses uses = record->uses;
    struct key_use use;
    enum qk_err err = QK_OK;

    assert((record->flags & WIRE_KEYED) != 0);
    for (bool first = true; err == QK_OK && key_uses_next(&uses, &use); first = false)
        err = use_move(tallies, record, &use, first, add);
    return err;
}

enum qk_err tallies_add(struct tallies *tallies, const struct tally_record *record)
{
    return record_move(tallies, record, true);
}

enum qk_err tallies_remove(struct tallies *tallies, const struct tally_record *record)
{
    return record_move(tallies, record, false);
}

/* The database's share leaves the sums; its own entries leave the table, and, being all zero then,
 * the file. */
enum qk_err tallies_drop(struct tallies *tallies, const uint8_t *database)
{
    enum qk_err err = QK_OK;
    bool some = false;

    for (size_t i = 0; i < tallies->slots_n && err == QK_OK; i++) {
        const struct tally *tally = &tallies->slots[i];
        uint32_t version = get_u32(tally->id + VERSION_AT);
        struct store_key_stats by = tally->stats;
        struct key_use use;

        if (!tally->used || memcmp(tally->id, database, DATABASE_ID_BYTES) != 0)
            continue;
        some = true;
        if (version == 0)
            continue;
        err = dirty_note(tallies, tally->id);
        memcpy(use.key_id, tally->id + DATABASE_ID_BYTES, KEY_USE_ID_BYTES);
        if (err == QK_OK) /* the sum is there: no entry is made, no slot moves */
            err = tally_move(tallies, no_database, &use, version, &by, false);
    }
    return err == QK_OK && some ? rebuild(tallies, tallies->slots_n, database) : err;
}

enum qk_err tallies_load(struct tallies *tallies, const uint8_t id[static TALLY_ID_BYTES],
                         const struct store_key_stats *stats)
{
    struct tally *tally;
    uint8_t all[TALLY_ID_BYTES];

    if (tally_make(tallies, id, &tally) != QK_OK)
        return QK_ERR_NOMEM;
    tally->stats = *stats;
    if (memcmp(id, no_database, DATABASE_ID_BYTES) == 0)
        return QK_OK;
    memcpy(all, id, VERSION_AT);
    put_u32(all + VERSION_AT, 0);
    if (tally_make(tallies, all, &tally) != QK_OK)
        return QK_ERR_NOMEM;
    stats_move(&tally->stats, stats, true);
    return QK_OK;
}
