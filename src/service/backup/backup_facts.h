/* What decides which MK opens the records, as applied here. */
#ifndef SERVICE_BACKUP_BACKUP_FACTS_H
#define SERVICE_BACKUP_BACKUP_FACTS_H

#include "base/err.h"
#include "service/service.h"

struct backup_facts {
    uint64_t deal_version, recovery_version;
    uint32_t mk_version;
};

/* QK_ERR_SEALED; QK_ERR_BUSY: the records are of another MK than the one at hand (`ret_facts` is
 * written, too); QK_ERR_CORRUPT. */
MUST_USE enum qk_err backup_facts_read(const struct service *service,
                                       struct backup_facts *ret_facts);
bool backup_facts_equal(const struct backup_facts *a, const struct backup_facts *b);

#endif
