#include "service/catalog_table.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

#define TABLE_ITEMS_FIRST 16

static struct bytes entry_name(const struct catalog_entry *entry)
{
    switch (entry->kind) {
    case CATALOG_DATABASE:
        return bytes_str(entry->database.name);
    case CATALOG_USER:
        return bytes_str(entry->user.name);
    case CATALOG_GRANTS:
        return bytes_of(entry->grants.key_id, KEY_ID_BYTES);
    case CATALOG_TOKEN:
        return bytes_of(entry->token.id, sizeof(entry->token.id));
    case CATALOG_POLICY:
        return BYTES_NONE; /* there is one */
    }
    return BYTES_NONE;
}

void catalog_entry_free(struct catalog_entry *entry)
{
    if (entry == NULL)
        return;
    switch (entry->kind) {
    case CATALOG_DATABASE:
        access_list_fini(&entry->database.rights);
        break;
    case CATALOG_USER:
        user_fini(&entry->user);
        break;
    case CATALOG_GRANTS:
        access_list_fini(&entry->grants.list);
        break;
    case CATALOG_TOKEN:
    case CATALOG_POLICY:
        break;
    }
    secret_wipe(entry, sizeof(*entry));
    free(entry);
}

/* The place of `name`, or where it would stand. */
static size_t table_place(const struct catalog_table *table, struct bytes name, bool *ret_found)
{
    size_t low = 0, high = table->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (bytes_compare(entry_name(table->items[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *ret_found = low < table->n && bytes_equal(entry_name(table->items[low]), name);
    return low;
}

static enum qk_err table_reserve(struct catalog_table *table)
{
    size_t cap = table->cap == 0 ? TABLE_ITEMS_FIRST : 2 * table->cap;
    struct catalog_entry **items;

    if (table->n < table->cap)
        return QK_OK;
    items = reallocarray(table->items, cap, sizeof(*items)); /* pointers: no secret to wipe */
    if (items == NULL)
        return QK_ERR_NOMEM;
    table->items = items;
    table->cap = cap;
    return QK_OK;
}

enum qk_err catalog_table_put(struct catalog_table *table, struct catalog_entry *entry)
{
    size_t at;
    bool found;

    assert(table != NULL && entry != NULL);

    at = table_place(table, entry_name(entry), &found);
    if (found) {
        catalog_entry_free(table->items[at]);
        table->items[at] = entry;
        return QK_OK;
    }
    if (table_reserve(table) != QK_OK)
        return QK_ERR_NOMEM;
    memmove(table->items + at + 1, table->items + at, (table->n - at) * sizeof(*table->items));
    table->items[at] = entry;
    table->n++;
    return QK_OK;
}

void catalog_table_remove(struct catalog_table *table, struct bytes key)
{
    size_t at;

    for (at = 0; at < table->n; at++) {
        if (bytes_equal(bytes_of(table->items[at]->key, CATALOG_KEY_BYTES), key))
            break;
    }
    if (at == table->n)
        return;
    catalog_entry_free(table->items[at]);
    table->n--;
    memmove(table->items + at, table->items + at + 1, (table->n - at) * sizeof(*table->items));
}

const struct catalog_entry *catalog_table_find(const struct catalog_table *table, struct bytes name)
{
    bool found;
    size_t at = table_place(table, name, &found);

    return found ? table->items[at] : NULL;
}

void catalog_table_fini(struct catalog_table *table)
{
    while (table->n > 0)
        catalog_entry_free(table->items[--table->n]);
    free(table->items);
    *table = (struct catalog_table){NULL, 0, 0};
}
