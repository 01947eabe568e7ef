/* Who may: the one place that asks access_check, with the facts of the catalog as it is now.
 *
 * Two rules make a right that was taken away gone everywhere at once:
 *  - a read asks after its read point, and in the same turn of the loop in which it opens what it
 *    shows: read_database does for the database, then authorize_key for each key;
 *  - a write asks when it is evaluated, and names what it was decided by as conditions
 *    (authorize_conditions; the database's record is one of every write), so that of a write and a
 *    revocation the one that is first in the log wins.
 *
 * Each returns QK_OK, QK_ERR_UNAUTHENTICATED (nobody is logged in, or the login ended), or
 * QK_ERR_DENIED; QK_ERR_SEALED while the catalog is closed, QK_ERR_BUSY while it is read anew. */
#ifndef SERVICE_AUTHORIZE_H
#define SERVICE_AUTHORIZE_H

#include "service/catalog.h"
#include "service/exchange.h"

/* Before every handler, on the node that runs it. The rights of databases and keys are left to the
 * handler, since they are facts of the read point or of the evaluation: until it has asked
 * (authorize_exchange), the exchange refuses to answer with success. */
MUST_USE enum qk_err authorize_route(struct service *service, struct exchange *exchange,
                                     enum access_right right);
/* As authorize_database and authorize_key, of the exchange's principal; QK_OK lets the exchange
 * answer. */
MUST_USE enum qk_err authorize_exchange(struct service *service, struct exchange *exchange,
                                        const struct catalog_database *database,
                                        enum access_right right);
MUST_USE enum qk_err authorize_exchange_key(struct service *service, struct exchange *exchange,
                                            const uint8_t key_id[static KEY_ID_BYTES],
                                            enum access_right right);
/* ACCESS_DB_*. `database` NULL: there is none of that name; who is no administrator gets
 * QK_ERR_DENIED for it too, so that nobody learns which names exist. */
MUST_USE enum qk_err authorize_database(const struct service *service, const struct principal *who,
                                        const struct catalog_database *database,
                                        enum access_right right);
/* ACCESS_KEY_ENCRYPT, _DECRYPT, _MANAGE. The first two are uses of the key, and lines of the audit
 * log: QK_ERR_UNRECORDED if that cannot be written. */
MUST_USE enum qk_err authorize_key(const struct service *service, const struct principal *who,
                                   const uint8_t key_id[static KEY_ID_BYTES],
                                   enum access_right right);
/* The same where the key is not used: whether it may be shown. No line. */
MUST_USE enum qk_err authorize_key_unused(const struct service *service,
                                          const struct principal *who,
                                          const uint8_t key_id[static KEY_ID_BYTES],
                                          enum access_right right);
/* ACCESS_USER, ACCESS_CLUSTER, ACCESS_KEY_CREATE: what is about no database and no key. */
MUST_USE enum qk_err authorize_user(const struct service *service, const struct principal *who,
                                    enum access_right right);

/* Adds to the batch begun the conditions that `who` is still the same user with the same rights,
 * and, unless `key_id` is NULL, that the grants on that key have not changed. For what was decided
 * by authorize_* in this very turn: the login must hold. */
void authorize_conditions(const struct service *service, const struct principal *who,
                          const uint8_t *key_id, struct wire_command *command);

#endif
