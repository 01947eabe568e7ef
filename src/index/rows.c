#include "index/rows.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

/* --- one row --- */

static uint8_t *node_data(const struct index_node *node)
{
    return (uint8_t *)(uintptr_t)&node->links[node->height];
}

static size_t node_bytes(const struct index_node *node)
{
    return sizeof(*node) + node->height * sizeof(node->links[0]) + node->sort_len + node->key_len +
           node->value_len;
}

static struct bytes node_sort(const struct index_node *node)
{
    return bytes_of(node_data(node), node->sort_len);
}

static struct bytes node_id(const struct index_node *node)
{
    return bytes_of(node->doc->id, node->doc->id_len);
}

struct index_row rows_node_row(const struct index *index, const struct index_node *node)
{
    const uint8_t *data = node_data(node);

    return (struct index_row){.sort = bytes_of(data, node->sort_len),
                              .id = node_id(node),
                              .key = bytes_of(data + node->sort_len, node->key_len),
                              .value =
                                  bytes_of(data + node->sort_len + node->key_len, node->value_len),
                              .slot = node->slot,
                              .key_id = index->slots[node->slot].key_id};
}

/* xorshift64* (Vigna 2014): heights are no secret, and depend on nothing that a client chooses. */
static uint32_t draw_height(struct index *index)
{
    uint64_t bits = index->heights;
    uint32_t height = 1;

    bits ^= bits >> 12;
    bits ^= bits << 25;
    bits ^= bits >> 27;
    index->heights = bits;
    bits *= 0x2545f4914f6cdd1dull;
    for (bits >>= 32; height < INDEX_HEIGHT_MAX && (bits & 3) == 0; bits >>= 2)
        height++;
    return height;
}

static void copy_to(uint8_t **at, struct bytes from)
{
    if (from.len > 0)
        memcpy(*at, from.data, from.len);
    *at += from.len;
}

enum qk_err rows_node_new(struct index *index, struct index_doc *doc, uint32_t slot, uint32_t nth,
                          const struct index_emit *emit, struct index_node **ret_node)
{
    uint32_t height = draw_height(index);
    struct index_node *node;
    uint8_t *at;

    if (emit->sort.len > INDEX_ROW_BYTES_MAX || emit->key.len > INDEX_ROW_BYTES_MAX ||
        emit->value.len > INDEX_ROW_BYTES_MAX ||
        emit->sort.len + emit->key.len + emit->value.len > INDEX_ROW_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    node = malloc(sizeof(*node) + height * sizeof(node->links[0]) + emit->sort.len + emit->key.len +
                  emit->value.len);
    if (node == NULL)
        return QK_ERR_NOMEM;
    *node = (struct index_node){.doc = doc,
                                .slot = slot,
                                .nth = nth,
                                .sort_len = (uint32_t)emit->sort.len,
                                .key_len = (uint32_t)emit->key.len,
                                .value_len = (uint32_t)emit->value.len,
                                .height = height};
    at = node_data(node);
    copy_to(&at, emit->sort);
    copy_to(&at, emit->key);
    copy_to(&at, emit->value);
    node->same = doc->first;
    doc->first = node;
    index->bytes += node_bytes(node);
    *ret_node = node;
    return QK_OK;
}

void rows_node_free(struct index *index, struct index_node *node)
{
    index->bytes -= node_bytes(node);
    secret_wipe(node, node_bytes(node));
    free(node);
}

/* --- places --- */

int rows_compare(const struct index_node *node, const struct index_place *place)
{
    int order = bytes_compare(node_sort(node), place->bound.sort);

    if (order == 0 && place->bound.has_id)
        order = bytes_compare(node_id(node), place->bound.id);
    if (order == 0 && place->has_nth)
        order = (node->nth > place->nth) - (node->nth < place->nth);
    if (order == 0)
        order = place->bound.behind ? -1 : 1;
    return order;
}

/* The last node of each level before the place, the head if there is none, and their ranks: the
 * head's is 0, the first row's 1. */
struct rows_path {
    const struct index_node *nodes[INDEX_HEIGHT_MAX];
    uint64_t ranks[INDEX_HEIGHT_MAX];
};

static void path_find(const struct index *index, const struct index_place *place,
                      struct rows_path *ret_path)
{
    const struct index_node *node = index->head;
    uint64_t rank = 0;
    unsigned level;

    for (level = index->height; level-- > 0;) {
        while (node->links[level].next != NULL &&
               rows_compare(node->links[level].next, place) < 0) {
            rank += node->links[level].span;
            node = node->links[level].next;
        }
        ret_path->nodes[level] = node;
        ret_path->ranks[level] = rank;
    }
}

static struct index_place place_of(const struct index_node *node)
{
    return (struct index_place){
        .bound = {node_sort(node), true, node_id(node), false}, .has_nth = true, .nth = node->nth};
}

const struct index_node *rows_before(const struct index *index, const struct index_place *place,
                                     uint64_t *ret_n)
{
    struct rows_path path;

    path_find(index, place, &path);
    if (ret_n != NULL)
        *ret_n = path.ranks[0];
    return path.nodes[0] == index->head ? NULL : path.nodes[0];
}

const struct index_node *rows_at(const struct index *index, uint64_t rank)
{
    const struct index_node *node = index->head;
    uint64_t left = rank + 1;
    unsigned level;

    if (rank >= index->rows_n)
        return NULL;
    for (level = index->height; level-- > 0;) {
        while (node->links[level].next != NULL && node->links[level].span <= left) {
            left -= node->links[level].span;
            node = node->links[level].next;
        }
    }
    assert(left == 0);
    return node;
}

/* --- in and out --- */

static struct index_node *changeable(const struct index_node *node)
{
    return (struct index_node *)(uintptr_t)node; /* the path came from an index that is ours */
}

void rows_insert(struct index *index, struct index_node *node)
{
    struct index_place place = place_of(node);
    struct rows_path path;
    unsigned level;

    while (index->height < node->height) {
        index->head->links[index->height] = (struct index_link){NULL, index->rows_n};
        index->height++;
    }
    path_find(index, &place, &path);
    for (level = 0; level < index->height; level++) {
        struct index_link *link = &changeable(path.nodes[level])->links[level];
        uint64_t up_to = path.ranks[0] - path.ranks[level]; /* rows from there to the new one's */

        if (level >= node->height) {
            link->span++;
            continue;
        }
        node->links[level] = (struct index_link){link->next, link->span - up_to};
        *link = (struct index_link){node, up_to + 1};
    }
    node->prev = path.nodes[0] == index->head ? NULL : changeable(path.nodes[0]);
    if (node->links[0].next != NULL)
        node->links[0].next->prev = node;
    index->rows_n++;
    index->slots[node->slot].rows_n++;
}

void rows_remove(struct index *index, struct index_node *node)
{
    struct index_place place = place_of(node);
    struct rows_path path;
    unsigned level;

    path_find(index, &place, &path);
    for (level = 0; level < index->height; level++) {
        struct index_link *link = &changeable(path.nodes[level])->links[level];

        if (link->next == node)
            *link = (struct index_link){node->links[level].next,
                                        link->span + node->links[level].span - 1};
        else
            link->span--;
    }
    if (node->links[0].next != NULL)
        node->links[0].next->prev = node->prev;
    index->rows_n--;
    index->slots[node->slot].rows_n--;
    rows_node_free(index, node);
}
