/* One record of a store or a log, told to people: its head always, its body with the keys. */
#ifndef SERVICE_KEYS_DEBUG_RECORD_H
#define SERVICE_KEYS_DEBUG_RECORD_H

#include "service/service.h"
#include "store/store.h"

/* What opens bodies: service->keyring and service->origin_id; nothing else of it is used. */
struct debug_record {
    struct bytes key;
    uint64_t version, seq, stamp; /* 0: not known, or none */
    uint8_t flags;
    struct bytes value;
};

/* Appends `"space":…,"name":…,…`: members of a JSON object, without its braces. `keys` NULL: heads
 * only. `out` must be secret if there are keys. A body that does not open is "damaged":…. */
MUST_USE enum qk_err debug_record_put(const struct service *keys, const struct debug_record *record,
                                      struct buf *out);
/* The members that `keys` add to the head alone, each after a comma; nothing for a record without a
 * body. */
MUST_USE enum qk_err debug_record_put_body(const struct service *keys,
                                           const struct debug_record *record, struct buf *out);

#endif
