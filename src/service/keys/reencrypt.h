/* The re-encryption of what stands under old key versions: on the leader, in the background.
 *
 * Every record whose body is sealed under a version that is not its key's active one is opened and
 * sealed again, with its revision and its sequence. One walk over all records in small commands,
 * then a count from the first record to the last: when it finds none under an old version, it is
 * done, else the walk begins anew. Foreground writes go first: a race with one is lost and seen
 * again, and while there are any the job rests as long as it works. It goes on from its record
 * (service/reencrypt_record.h) under another leader and after a restart. */
#ifndef SERVICE_KEYS_REENCRYPT_H
#define SERVICE_KEYS_REENCRYPT_H

#include <jansson.h>

#include "service/exchange.h"
#include "service/service.h"

struct reencrypt;

/* One a process, beside the hub. Frees itself in the loop after reencrypt_free. */
MUST_USE enum qk_err reencrypt_new(struct service *service, struct reencrypt **ret_reencrypt);
/* Begins nothing new. Takes NULL. */
void reencrypt_stop(struct reencrypt *reencrypt);
/* When consensus is closed; takes NULL. */
void reencrypt_free(struct reencrypt *reencrypt);

/* {"state", "paused", "old", "done", "damaged", ...}; NULL when there never was anything to do.
 * From the record alone, so on any node and sealed too. */
json_t *reencrypt_json(const struct service *service);
struct reencrypt_figures {
    uint64_t old_n, done_n; /* of the present round, or the last */
    bool running;
};
void reencrypt_figures(const struct service *service, struct reencrypt_figures *ret_figures);

/* GET /_quorumkeep/keys and /_quorumkeep/keys/{name}; POST /_quorumkeep/keys/reencrypt {"pause"}:
 * on the leader, which counts. */
void handle_keys(struct service *service, struct exchange *exchange);
void handle_key(struct service *service, struct exchange *exchange);
void handle_keys_reencrypt(struct service *service, struct exchange *exchange);

#endif
