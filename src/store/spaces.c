#include "store/spaces.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MIN 64

void spaces_init(struct spaces *spaces)
{
    *spaces = (struct spaces){0};
}

void spaces_fini(struct spaces *spaces)
{
    free(spaces->slots);
    spaces_init(spaces);
}

/* Ids are random, or a small number in their last byte: both ends taken together spread well. */
static size_t slot_of(const struct spaces *spaces, const uint8_t *id)
{
    uint64_t mixed = (get_u64(id) ^ get_u64(id + 8)) * 0x9e3779b97f4a7c15ull;

    return (size_t)(mixed >> 32) & (spaces->slots_n - 1);
}

static struct space *slot_find(const struct spaces *spaces, const uint8_t *id)
{
    size_t at = slot_of(spaces, id);

    while (spaces->slots[at].used && memcmp(spaces->slots[at].id, id, DATABASE_ID_BYTES) != 0)
        at = (at + 1) & (spaces->slots_n - 1);
    return &spaces->slots[at];
}

struct space *spaces_find(const struct spaces *spaces, const uint8_t *id)
{
    struct space *slot;

    if (spaces->slots_n == 0)
        return NULL;
    slot = slot_find(spaces, id);
    return slot->used ? slot : NULL;
}

static enum qk_err spaces_grow(struct spaces *spaces)
{
    struct spaces grown = *spaces;

    grown.slots_n = spaces->slots_n == 0 ? SLOTS_MIN : spaces->slots_n * 2;
    grown.slots = calloc(grown.slots_n, sizeof *grown.slots);
    if (grown.slots == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < spaces->slots_n; i++)
        if (spaces->slots[i].used)
            *slot_find(&grown, spaces->slots[i].id) = spaces->slots[i];
    free(spaces->slots);
    *spaces = grown;
    return QK_OK;
}

enum qk_err spaces_make(struct spaces *spaces, const uint8_t *id, struct space **ret_space)
{
    struct space *slot = spaces_find(spaces, id);

    if (slot == NULL) {
        if (spaces->used_n * 2 >= spaces->slots_n && spaces_grow(spaces) != QK_OK)
            return QK_ERR_NOMEM;
        slot = slot_find(spaces, id);
        *slot = (struct space){.used = true};
        memcpy(slot->id, id, DATABASE_ID_BYTES);
        spaces->used_n++;
    }
    *ret_space = slot;
    return QK_OK;
}

bool spaces_visible(const struct spaces *spaces, struct bytes key, uint64_t stamp)
{
    const struct space *space;

    assert(key.len >= DATABASE_ID_BYTES);
    if (spaces->dropping_n == 0)
        return true;
    space = spaces_find(spaces, key.data);
    return space == NULL || stamp > space->drop_stamp;
}

void spaces_drop(struct spaces *spaces, struct space *space, uint64_t stamp)
{
    if (space->drop_stamp == 0)
        spaces->dropping_n++;
    space->drop_stamp = stamp;
    space->stats = (struct store_stats){0};
    space->dirty = true;
}

void spaces_freed(struct spaces *spaces, const uint8_t *id, uint64_t stamp)
{
    struct space *space = spaces_find(spaces, id);

    if (space == NULL || space->drop_stamp != stamp)
        return;
    space->drop_stamp = 0;
    spaces->dropping_n--;
}
