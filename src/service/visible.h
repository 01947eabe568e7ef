/* What one reader of a database may see, for as long as a reply takes.
 *
 * Rows under a data key that the reader has no grant to decrypt are passed over without being
 * opened, and are in no count and no sequence. Administrators see everything. A long reply asks
 * again at each turn of the loop (visible_turn): when the login, the right to the database or a
 * grant that rows were shown by is gone, the reply ends with an error; a list of half the rows must
 * not look like a whole one. */
#ifndef SERVICE_VISIBLE_H
#define SERVICE_VISIBLE_H

#include "doc/record.h"
#include "service/catalog.h"
#include "service/exchange.h"
#include "service/seq.h"
#include "store/store.h"

struct visible_key {
    uint8_t id[KEY_ID_BYTES];
    bool shown;
};

struct visible {
    struct service *service;
    struct exchange *exchange;
    uint8_t database[DATABASE_ID_BYTES];
    bool ids_hidden;          /* of the database: for doc_name_to_id */
    bool everything;          /* an administrator */
    uint64_t generation;      /* of the catalog, when `keys` were judged */
    struct visible_key *keys; /* those met so far, ascending */
    size_t keys_n, keys_cap;
    struct secret *seq_key; /* NULL: sequences are shown as they are */
};

/* For a reader whom read_database has let in, in the same turn. Ends with visible_fini, on errors
 * too. */
MUST_USE enum qk_err visible_init(struct visible *visible, struct service *service,
                                  struct exchange *exchange,
                                  const struct catalog_database *database);
void visible_fini(struct visible *visible);
/* At the start of each later turn. QK_ERR_DENIED, QK_ERR_UNAUTHENTICATED: the reply must end. */
MUST_USE enum qk_err visible_turn(struct visible *visible);
/* For a feed that rests between the rows: it lets go of what it can make again, and begins another
 * moment, at which what became visible meanwhile is shown. Errors as visible_turn. */
void visible_rest(struct visible *visible);
MUST_USE enum qk_err visible_renew(struct visible *visible);
/* The database is still there, under the name that the request has. */
bool visible_database_is_there(const struct visible *visible);
/* Whether rows under that key are shown. */
MUST_USE enum qk_err visible_key(struct visible *visible, const uint8_t key_id[static KEY_ID_BYTES],
                                 bool *ret_shown);

/* The winner of a document's record that a cursor brought, and whether it is shown. QK_ERR_CORRUPT,
 * which is logged: `ret_shown` is set all the same (of a damaged one nobody knows whose it is). */
MUST_USE enum qk_err visible_row(struct visible *visible, const struct store_row *row,
                                 struct doc_leaf *ret_leaf, bool *ret_shown);

/* The database's figures as this reader may know them: counts and bytes of what is shown. `seq` is
 * the true one, to be told by visible_seq_format alone. */
void visible_stats(const struct visible *visible, struct store_stats *ret_stats);

/* Sequences count the writes to a database, hidden ones too: for who does not see everything they
 * are sealed, and no two texts of one sequence are alike. */
MUST_USE enum qk_err visible_seq_format(const struct visible *visible, uint64_t seq,
                                        char ret_text[static SEQ_TEXT_BYTES_MAX + 1]);
/* QK_ERR_INVALID. Of who gets sealed ones only those are taken, and 0. */
MUST_USE enum qk_err visible_seq_parse(const struct visible *visible, struct bytes text,
                                       uint64_t *ret_seq);

#endif
