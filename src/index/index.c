/* A skip list (Pugh 1990) whose links know how many rows they pass over, so that a place's rank is
 * found on the way to it, and a hash table from document ids to their rows. */
#include "index/index.h"

#include <assert.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "index/rows.h"
#include "secret/crypto.h"

#define BUCKETS_MIN 256
#define SLOTS_FIRST 16

_Static_assert(sizeof(((struct index *)0)->hash_key) == crypto_shorthash_KEYBYTES, "hash key");

/* --- documents --- */

static size_t bucket_of(const struct index *index, struct bytes id)
{
    static const uint8_t none[1] = {0};
    uint8_t hash[crypto_shorthash_BYTES];

    /* Document ids are chosen by clients: a keyed hash keeps them from filling one bucket. */
    crypto_shorthash(hash, id.len > 0 ? id.data : none, id.len, index->hash_key);
    return (size_t)get_u64(hash) & (index->buckets_n - 1);
}

static struct index_doc **doc_link(const struct index *index, struct bytes id)
{
    struct index_doc **link = &index->buckets[bucket_of(index, id)];

    while (*link != NULL && !bytes_equal(bytes_of((*link)->id, (*link)->id_len), id))
        link = &(*link)->next;
    return link;
}

static void buckets_grow(struct index *index)
{
    size_t old_n = index->buckets_n, i;
    struct index_doc **old = index->buckets;
    struct index_doc **wide = calloc(2 * old_n, sizeof(*wide));

    if (wide == NULL) /* longer chains, no harm */
        return;
    index->buckets = wide;
    index->buckets_n = 2 * old_n;
    for (i = 0; i < old_n; i++) {
        while (old[i] != NULL) {
            struct index_doc *doc = old[i];
            size_t to = bucket_of(index, bytes_of(doc->id, doc->id_len));

            old[i] = doc->next;
            doc->next = wide[to];
            wide[to] = doc;
        }
    }
    free(old);
}

static size_t doc_bytes(const struct index_doc *doc)
{
    return sizeof(*doc) + doc->id_len;
}

static enum qk_err doc_new(struct index *index, struct bytes id, struct index_doc **ret_doc)
{
    struct index_doc *doc = malloc(sizeof(*doc) + id.len);
    struct index_doc **link;

    if (doc == NULL)
        return QK_ERR_NOMEM;
    if (index->docs_n >= index->buckets_n)
        buckets_grow(index);
    link = doc_link(index, id);
    assert(*link == NULL);
    *doc = (struct index_doc){.id_len = (uint32_t)id.len};
    memcpy(doc->id, id.data, id.len);
    *link = doc;
    index->docs_n++;
    index->bytes += doc_bytes(doc);
    *ret_doc = doc;
    return QK_OK;
}

static void doc_free(struct index *index, struct index_doc *doc)
{
    index->bytes -= doc_bytes(doc);
    secret_wipe(doc, doc_bytes(doc));
    free(doc);
}

/* --- slots --- */

static enum qk_err slots_reserve(struct index *index)
{
    uint32_t cap = index->slots_cap == 0 ? SLOTS_FIRST : 2 * index->slots_cap;
    struct index_slot *slots;

    if (index->slots_n < index->slots_cap)
        return QK_OK;
    if (index->slots_n >= INDEX_SLOTS_MAX)
        return QK_ERR_TOO_BIG;
    slots = reallocarray(index->slots, cap, sizeof(*slots)); /* ids and counts: no secret */
    if (slots == NULL)
        return QK_ERR_NOMEM;
    index->slots = slots;
    index->slots_cap = cap;
    return QK_OK;
}

/* Documents under one key usually follow each other, so the last one found is tried first. */
enum qk_err rows_slot_of(struct index *index, const uint8_t *key_id, uint32_t *ret_slot)
{
    enum qk_err err;
    uint32_t i;

    if (index->slots_n > 0 &&
        memcmp(index->slots[index->slot_last].key_id, key_id, INDEX_KEY_ID_BYTES) == 0) {
        *ret_slot = index->slot_last;
        return QK_OK;
    }
    for (i = 0; i < index->slots_n; i++)
        if (memcmp(index->slots[i].key_id, key_id, INDEX_KEY_ID_BYTES) == 0)
            break;
    if (i == index->slots_n) {
        err = slots_reserve(index);
        if (err != QK_OK)
            return err;
        index->slots[i] = (struct index_slot){.rows_n = 0};
        memcpy(index->slots[i].key_id, key_id, INDEX_KEY_ID_BYTES);
        index->slots_n++;
    }
    index->slot_last = i;
    *ret_slot = i;
    return QK_OK;
}

uint32_t index_slots_n(const struct index *index)
{
    return index->slots_n;
}

const uint8_t *index_slot_key(const struct index *index, uint32_t slot)
{
    assert(slot < index->slots_n);

    return index->slots[slot].key_id;
}

uint64_t index_slot_rows(const struct index *index, uint32_t slot)
{
    assert(slot < index->slots_n);

    return index->slots[slot].rows_n;
}

/* --- the whole --- */

enum qk_err index_new(struct index **ret_index)
{
    struct index *index = calloc(1, sizeof(*index));

    assert(ret_index != NULL);

    if (index != NULL) {
        index->buckets = calloc(BUCKETS_MIN, sizeof(*index->buckets));
        index->head =
            calloc(1, sizeof(*index->head) + INDEX_HEIGHT_MAX * sizeof(index->head->links[0]));
    }
    if (index == NULL || index->buckets == NULL || index->head == NULL) {
        index_free(index);
        return QK_ERR_NOMEM;
    }
    index->buckets_n = BUCKETS_MIN;
    index->head->height = INDEX_HEIGHT_MAX;
    index->height = 1;
    random_fill(index->hash_key, sizeof(index->hash_key));
    random_fill(&index->heights, sizeof(index->heights));
    index->heights |= 1;
    *ret_index = index;
    return QK_OK;
}

void index_free(struct index *index)
{
    struct index_node *node;
    size_t i;

    if (index == NULL)
        return;
    while (index->head != NULL && (node = index->head->links[0].next) != NULL) {
        index->head->links[0].next = node->links[0].next;
        rows_node_free(index, node);
    }
    for (i = 0; i < index->buckets_n; i++) {
        while (index->buckets[i] != NULL) {
            struct index_doc *doc = index->buckets[i];

            index->buckets[i] = doc->next;
            doc_free(index, doc);
        }
    }
    free(index->buckets);
    free(index->slots);
    free(index->head);
    free(index);
}

void index_remove(struct index *index, struct bytes id)
{
    struct index_doc **link = doc_link(index, id);
    struct index_doc *doc = *link;

    if (doc == NULL)
        return;
    index->changes++;
    while (doc->first != NULL) {
        struct index_node *node = doc->first;

        doc->first = node->same;
        rows_remove(index, node);
    }
    *link = doc->next;
    index->docs_n--;
    doc_free(index, doc);
}

static enum qk_err put_rows(struct index *index, struct index_doc *doc, uint32_t slot,
                            const struct index_emit *emits, size_t emits_n)
{
    struct index_node *node;
    enum qk_err err = QK_OK;
    size_t i;

    for (i = 0; err == QK_OK && i < emits_n; i++) {
        err = rows_node_new(index, doc, slot, (uint32_t)i, &emits[i], &node);
        if (err == QK_OK)
            rows_insert(index, node);
    }
    return err;
}

enum qk_err index_put(struct index *index, struct bytes id,
                      const uint8_t key_id[static INDEX_KEY_ID_BYTES],
                      const struct index_emit *emits, size_t emits_n)
{
    struct index_doc *doc;
    uint32_t slot;
    enum qk_err err;

    index_remove(index, id);
    if (emits_n == 0)
        return QK_OK;
    if (emits_n > INDEX_DOC_ROWS_MAX || id.len > RECORD_KEY_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    err = rows_slot_of(index, key_id, &slot);
    if (err == QK_OK)
        err = doc_new(index, id, &doc);
    if (err != QK_OK)
        return err;
    index->changes++;
    err = put_rows(index, doc, slot, emits, emits_n);
    if (err != QK_OK)
        index_remove(index, id);
    return err;
}

bool index_is_on_disk(const struct index *index)
{
    return index->disk != NULL;
}

size_t index_bytes(const struct index *index)
{
    return index->bytes + index->buckets_n * sizeof(*index->buckets) +
           index->slots_cap * sizeof(*index->slots);
}

uint64_t index_rows_n(const struct index *index)
{
    return index->rows_n;
}

uint64_t index_changes(const struct index *index)
{
    return index->changes;
}
