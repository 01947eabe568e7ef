/* Groups whose indexes lie on the disk (kinds plain and blind, index/disk.h): their files, all in
 * <data>/index. A file belongs to this node alone and is named by the database's id and a keyed
 * hash of the design document's signature, so that it tells no name and confirms no guess of one.
 *
 * What the node compacts its store for, since something old must not be found any more (a removal,
 * a round of re-encryption, a destroyed version), throws all of them away, too. */
#ifndef SERVICE_QUERY_VIEWS_FILE_H
#define SERVICE_QUERY_VIEWS_FILE_H

#include "service/query/views.h"

/* Every file, of groups in use, too: those are made anew. Needs no key. */
void views_file_wipe(struct service *service);
/* The files of databases that are no more. Needs an open catalog. */
void views_file_sweep(const struct service *service);
/* Those of one database that no group holds open: they are made again if a query needs them. */
void views_file_clean(const struct service *service,
                      const uint8_t database[static DATABASE_ID_BYTES]);

/* For views*.c alone. Opens or makes the group's file. */
MUST_USE enum qk_err views_file_open(struct view_group *group);
void views_file_close(struct view_group *group, bool keep);
/* A slice of the look through what was opened; *ret_done: the update may go on from group->seq. */
MUST_USE enum qk_err views_file_load(struct view_group *group, bool *ret_done);
/* What it holds is of no use: begins again with nothing. */
MUST_USE enum qk_err views_file_reset(struct view_group *group);
/* group->rows in the place of what the document had. */
struct view_source;
MUST_USE enum qk_err views_file_put(struct view_group *group, const struct view_source *source);
/* A record that is gone. */
MUST_USE enum qk_err views_file_remove(struct view_group *group, struct bytes name);
/* All up to `seq` is in it: kept, if that is due or `now`. */
MUST_USE enum qk_err views_file_commit(struct view_group *group, uint64_t seq, bool now);
/* After such a commit, in the midst of a build: group->settling until it has reached the disk, then
 * the group's timer fires. Else the kernel would gather so much that a write on the loop waits. */
void views_file_settle(struct view_group *group);

#endif
