/* Indexes over databases: those of views and of Mango. In memory while the node is unsealed or, of
 * kind plain and blind, on the disk (views_file.h).
 *
 * A group is the indexes of one design document's views over one database, known by the database
 * and a hash of what decides about the rows. It is built at its first use, in slices of the loop,
 * and brought up to date whenever somebody waits for it: a walk over the database's sequence from
 * where it stands, which opens each document once for all its views. What is deleted without a
 * trace (a purge, a dropped database, a store swapped in) is heard of by watching the store.
 *
 *     read point -> views_open -> views_wait (the database's sequence as of now) -> rows
 *
 * A group knows no rights: its rows carry the data key of their document, and who shows them asks
 * for each key (visible.h). All that is in memory is gone when the node seals, or a data key is
 * destroyed. All groups
 * together keep to the setting [index] memory_mib: those that nobody reads give way, the one not
 * used for longest first. */
#ifndef SERVICE_QUERY_VIEWS_H
#define SERVICE_QUERY_VIEWS_H

#include "doc/view.h"
#include "index/index.h"
#include "service/catalog.h"
#include "service/service.h"

#define VIEW_GROUPS_MAX 10000
/* What a client is told of QK_ERR_UNSUPPORTED from views_wait. */
#define VIEWS_KEY_TOO_LONG                                                                         \
    "a document has a key of more than 400 bytes, which an index of kind plain cannot hold: use "  \
    "kind memory or blind"
#define VIEWS_BYTES_DEFAULT (512 * MIB)

struct view_group;

/* The group of `design` over `database`, made if it is not there. Takes over `design` on success.
 * The caller gives it back with views_release. `name` is what _active_tasks says, "_design/x".
 * QK_ERR_NOMEM, QK_ERR_FULL (too many groups). */
MUST_USE enum qk_err views_open(struct service *service, const struct catalog_database *database,
                                struct bytes name, struct view_design *design,
                                struct view_group **ret_group);
/* NULL is fine. */
void views_release(struct view_group *group);
/* Calls `cb` once, never inside this call, when the rows are those of sequence `seq` of the
 * database or of a later one. An error: QK_ERR_SEALED, QK_ERR_CLOSED (the database is gone),
 * QK_ERR_FULL ([index] memory_mib is not enough), QK_ERR_NOMEM (also at once, then it is not
 * called) and those of the store. */
MUST_USE enum qk_err views_wait(struct view_group *group, uint64_t seq,
                                void (*cb)(void *arg, enum qk_err err), void *arg);
/* While a reader gathers something of one moment over several turns of the loop, updates rest: for
 * VIEWS_PIN_MS at most, counted from the first of those who hold it so. */
#define VIEWS_PIN_MS 1000u
void views_pin(struct view_group *group);
void views_unpin(struct view_group *group);
/* Brings it up to date without anybody waiting. */
void views_refresh(struct view_group *group);

/* The rows must not be looked at any more: the node sealed, a key was destroyed, or the database is
 * gone. To be asked in each turn of the loop. */
bool views_is_dead(const struct view_group *group);
/* "_design/x", of who asked for it first. */
struct bytes views_name(const struct view_group *group);
const struct view_design *views_design(const struct view_group *group);
/* Of the design document's `at`th view; NULL once the group is dead. */
const struct index *views_index(const struct view_group *group, size_t at);
uint64_t views_seq(const struct view_group *group); /* whose rows these are; 0: not built */
/* False: the rows on the disk are not looked through yet; views_wait sees to it. */
bool views_is_ready(const struct view_group *group);
uint64_t views_file_bytes(const struct view_group *group); /* on the disk */
/* A reader met a row that does not open: all of them are of no use. */
void views_damaged(struct view_group *group);
bool views_is_updating(const struct view_group *group);
size_t views_waiting_n(const struct view_group *group);
size_t views_bytes(const struct view_group *group);

/* All groups of a database: calls `each` until it returns false; nothing may be opened inside. */
void views_each(const struct service *service, const uint8_t database[static DATABASE_ID_BYTES],
                bool (*each)(void *arg, struct view_group *group), void *arg);
/* It is of no use any more: freed when nobody reads it. */
void views_drop(struct view_group *group);
size_t views_groups_n(const struct service *service);
size_t views_bytes_all(const struct service *service);

/* For service->catalog_follower. */
extern const struct catalog_follower views_follower;
/* The node seals (views_follower sees to it); the record `name` of the keyring has changed, or with
 * an empty name any of them. */
void views_close(struct service *service);
void views_key_changed(struct service *service, struct bytes name);

#endif
