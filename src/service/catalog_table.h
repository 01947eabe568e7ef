/* The entries of the catalog in memory, in order of their names: one table for each kind. A new
 * kind is a value of the enum, a member of the union, its name (catalog_table.c), and its decoding
 * (catalog_record.c, in a file of its own). */
#ifndef SERVICE_CATALOG_TABLE_H
#define SERVICE_CATALOG_TABLE_H

#include "service/catalog.h"

enum catalog_kind { CATALOG_DATABASE, CATALOG_USER, CATALOG_GRANTS, CATALOG_TOKEN, CATALOG_POLICY };
#define CATALOG_KINDS_N 5

struct catalog_entry {
    uint8_t key[CATALOG_KEY_BYTES]; /* of its record */
    uint64_t version;               /* of its record */
    enum catalog_kind kind;
    union {
        struct catalog_database database;
        struct user user;
        struct catalog_grants grants;
        struct login_token token;
        struct key_policy policy;
    };
};

struct catalog_table {
    struct catalog_entry **items; /* owned */
    size_t n, cap;
};

/* Takes over `entry`, which replaces one of the same name. QK_ERR_NOMEM: the caller still owns it.
 */
MUST_USE enum qk_err catalog_table_put(struct catalog_table *table, struct catalog_entry *entry);
/* Removes and wipes the entry whose record has that key, if any. */
void catalog_table_remove(struct catalog_table *table, struct bytes key);
const struct catalog_entry *catalog_table_find(const struct catalog_table *table,
                                               struct bytes name);
/* The open catalog's table of that kind; valid until control returns to the loop. */
const struct catalog_table *catalog_table_of(const struct catalog *catalog, enum catalog_kind kind);
void catalog_table_fini(struct catalog_table *table);
void catalog_entry_free(struct catalog_entry *entry); /* wipes; NULL is fine */

#endif
