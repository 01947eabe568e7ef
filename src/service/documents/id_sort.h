/* The first ids in order of any number of them, in bounded memory: what an ordered listing needs
 * where records lie by sealed names. Add them all; when it is full, the later half is dropped and
 * `dropped` tells that ids behind the last one kept may be missing: they take another round. */
#ifndef SERVICE_DOCUMENTS_ID_SORT_H
#define SERVICE_DOCUMENTS_ID_SORT_H

#include "base/bytes.h"

#define ID_SORT_BYTES_MAX (8 * MIB) /* of ids in one round */

struct id_sort {
    struct buf ids;   /* secret: len16 ‖ id ... */
    uint32_t *places; /* of each id kept, in `ids` */
    size_t n, cap;
    size_t ids_max, bytes_max;
    bool descending;
    bool dropped;
    uint32_t horizon; /* once dropped: the place of the last id kept */
    bool sorted;
};

/* Keeps at least the first `ids_max` that were added, unless they are more than `bytes_max`
 * together; then as many as fit in half of that. */
void id_sort_init(struct id_sort *sort, bool descending, size_t ids_max, size_t bytes_max);
/* QK_ERR_NOMEM. */
MUST_USE enum qk_err id_sort_add(struct id_sort *sort, struct bytes id);
/* Once all were added. QK_ERR_NOMEM. */
MUST_USE enum qk_err id_sort_finish(struct id_sort *sort);
/* The id at that place in order, borrowed. */
struct bytes id_sort_at(const struct id_sort *sort, size_t at);
/* Empties, for another round. */
void id_sort_reset(struct id_sort *sort);
void id_sort_fini(struct id_sort *sort); /* wipes */

#endif
