/* The design documents of a database, in memory while the node is unsealed: read at their first
 * use, and again after one of them has changed, which is heard of by watching the store. They know
 * no rights: who shows anything of one asks for its key. */
#ifndef SERVICE_DESIGNS_H
#define SERVICE_DESIGNS_H

#include <jansson.h>

#include "doc/record.h"
#include "service/catalog.h"
#include "service/service.h"

#define DESIGNS_DATABASES_MAX 64     /* in memory; the one not used for longest makes way */
#define DESIGNS_BYTES_MAX (64 * MIB) /* of a database */

struct designs;

struct design {
    uint8_t key_id[DOC_KEY_ID_BYTES]; /* of its winner */
    json_t *json;                     /* with its `_id`; NULL: it cannot be read */
};

/* As of all that is applied here. NULL: they must be waited for. Valid until control returns to the
 * loop. */
const struct designs *designs_find(struct service *service,
                                   const uint8_t database[static DATABASE_ID_BYTES]);
/* Calls `cb` once, from the loop, never inside of this call, when they are there: look again, they
 * may have changed since. QK_ERR_TOO_BIG, QK_ERR_SEALED, QK_ERR_CLOSED (the database is gone) and
 * those of the store. Not QK_OK here: it is not called. */
MUST_USE enum qk_err designs_wait(struct service *service, const struct catalog_database *database,
                                  void (*cb)(void *arg, enum qk_err err), void *arg);
size_t designs_n(const struct designs *designs);
const struct design *designs_at(const struct designs *designs, size_t at);
/* Another number each time they are read anew. */
uint64_t designs_epoch(const struct designs *designs);

/* The node seals: all is wiped, and who waits is told. */
void designs_close(struct service *service);

#endif
