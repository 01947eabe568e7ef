#include "store/pending.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS_MIN 1024

_Static_assert(sizeof(((struct pending *)0)->hash_key) == crypto_shorthash_KEYBYTES, "hash key");

/* Document ids are chosen by clients: a keyed hash keeps them from filling one bucket. */
enum qk_err pending_init(struct pending *pending)
{
    *pending = (struct pending){.buckets_n = BUCKETS_MIN};
    pending->buckets = calloc(BUCKETS_MIN, sizeof *pending->buckets);
    if (pending->buckets == NULL)
        return QK_ERR_NOMEM;
    randombytes_buf(pending->hash_key, sizeof pending->hash_key);
    return QK_OK;
}

void pending_fini(struct pending *pending)
{
    assert(pending->entries_n == 0);
    free(pending->buckets);
    pending->buckets = NULL;
}

struct bytes pending_key(const struct pending_entry *entry)
{
    return bytes_of(entry->data, entry->key_len);
}

struct bytes pending_value(const struct pending_entry *entry)
{
    return bytes_of(entry->data + entry->key_len, entry->value_len);
}

static size_t bucket_of(const struct pending *pending, struct bytes key)
{
    uint8_t hash[crypto_shorthash_BYTES];

    crypto_shorthash(hash, key.data, key.len, pending->hash_key);
    return (size_t)get_u64(hash) & (pending->buckets_n - 1);
}

/* The link that points at the entry of that key, or at NULL. */
static struct pending_entry **pending_link(const struct pending *pending, struct bytes key,
                                           bool local)
{
    struct pending_entry **link = &pending->buckets[bucket_of(pending, key)];

    while (*link != NULL &&
           ((((*link)->type == PENDING_LOCAL) != local) || !bytes_equal(pending_key(*link), key)))
        link = &(*link)->same;
    return link;
}

const struct pending_entry *pending_find(const struct pending *pending, struct bytes key,
                                         bool local)
{
    return *pending_link(pending, key, local);
}

/* More buckets when the chains grow; without memory for them the chains are only longer. */
static void pending_grow(struct pending *pending)
{
    struct pending grown = *pending;

    grown.buckets_n = pending->buckets_n * 2;
    grown.buckets = calloc(grown.buckets_n, sizeof *grown.buckets);
    if (grown.buckets == NULL)
        return;
    for (size_t i = 0; i < pending->buckets_n; i++) {
        struct pending_entry *entry = pending->buckets[i], *same;

        for (; entry != NULL; entry = same) {
            size_t at = bucket_of(&grown, pending_key(entry));

            same = entry->same;
            entry->same = grown.buckets[at];
            grown.buckets[at] = entry;
        }
    }
    free(pending->buckets);
    *pending = grown;
}

static void table_enter(struct pending *pending, struct pending_entry *entry)
{
    struct pending_entry **link =
        pending_link(pending, pending_key(entry), entry->type == PENDING_LOCAL);

    if (*link != NULL) { /* the write before stays in its batch but is no longer the newest */
        (*link)->newest = false;
        entry->same = (*link)->same;
    } else {
        pending->entries_n++;
    }
    entry->newest = true;
    *link = entry;
    if (pending->entries_n > pending->buckets_n)
        pending_grow(pending);
}

static size_t entry_bytes(const struct pending_entry *entry)
{
    return sizeof *entry + entry->key_len + entry->value_len;
}

enum qk_err pending_add(struct pending *pending, struct pending_batch *batch,
                        const struct pending_entry *what, struct bytes key, struct bytes value)
{
    struct pending_entry *entry;

    assert(key.len > 0 && key.len <= RECORD_KEY_BYTES_MAX);
    entry = malloc(sizeof *entry + key.len + value.len);
    if (entry == NULL)
        return QK_ERR_NOMEM;
    *entry = *what;
    entry->next = NULL;
    entry->same = NULL;
    entry->newest = false;
    entry->key_len = (uint16_t)key.len;
    entry->value_len = value.len;
    memcpy(entry->data, key.data, key.len);
    if (value.len > 0)
        memcpy(entry->data + key.len, value.data, value.len);
    if (batch->tail == NULL)
        batch->head = entry;
    else
        batch->tail->next = entry;
    batch->tail = entry;
    batch->dirty = true;
    if (entry->type != PENDING_PUT || (entry->flags & WIRE_DOC) == 0)
        batch->soon = true;
    batch->bytes += entry_bytes(entry);
    pending->bytes += entry_bytes(entry);
    if (entry->type != PENDING_DROP)
        table_enter(pending, entry);
    return QK_OK;
}

static void table_leave(struct pending *pending, const struct pending_entry *entry)
{
    struct pending_entry **link =
        pending_link(pending, pending_key(entry), entry->type == PENDING_LOCAL);

    assert(*link == entry);
    *link = entry->same;
    pending->entries_n--;
}

void pending_batch_fini(struct pending *pending, struct pending_batch *batch)
{
    struct pending_entry *entry = batch->head, *next;

    for (; entry != NULL; entry = next) {
        next = entry->next;
        if (entry->newest)
            table_leave(pending, entry);
        pending->bytes -= entry_bytes(entry);
        free(entry);
    }
    free(batch->stats);
    free(batch->tallies);
    *batch = (struct pending_batch){0};
}
