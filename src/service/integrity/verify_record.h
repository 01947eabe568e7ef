/* Is what is sealed in one record what was sealed there? */
#ifndef SERVICE_INTEGRITY_VERIFY_RECORD_H
#define SERVICE_INTEGRITY_VERIFY_RECORD_H

#include "service/integrity/verify_contents.h"
#include "service/service.h"
#include "store/store.h"

struct verify_counts {
    uint64_t all_n;       /* records */
    uint64_t opened_n;    /* envelopes */
    uint64_t destroyed_n; /* envelopes whose key version was destroyed on purpose */
    uint64_t damaged_n;   /* records, and chunks of attachments */
};

/* Opens every envelope of the record. `scratch` (may be NULL) takes those of the keyring;
 * `contents` is told what the document names, and then has to be stepped. Not OK: it is damaged, or
 * its key is unknown. */
MUST_USE enum qk_err verify_record(struct service *service, const struct store_row *row,
                                   struct keyring *scratch, struct verify_contents *contents,
                                   struct verify_counts *counts);

#endif
