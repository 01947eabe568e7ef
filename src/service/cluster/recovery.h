/* The hub's part of recovery shares: the live set as the records tell it, and what init, dealing
 * and opening need of it. hub.h's readers alone. */
#ifndef SERVICE_CLUSTER_RECOVERY_H
#define SERVICE_CLUSTER_RECOVERY_H

#include "keyslot/recovery.h"
#include "service/exchange.h"
#include "wire/command.h"

struct cluster;

/* --- recovery.c: the record ----------------------------------------------------------------- */

/* Takes the record as applied here. */
void hub_recovery_read(struct cluster *cluster);
/* A restart loses nothing: a deal is final, or recovery shares open the cluster. */
bool hub_is_durable(const struct cluster *cluster);
/* NULL: there is no set. Public, and authentic as far as this node's disk is. */
const struct recovery_set *hub_recovery_set(const struct cluster *cluster);
/* For a command that brings another MK: puts the record with MK wrapped anew, under the condition
 * that it is still this one. Does nothing where there is no set. `old_mk` is MK up to now;
 * QK_ERR_CORRUPT: the record is not what a holder of it wrote, and nothing is to be sealed to it.
 */
MUST_USE enum qk_err hub_recovery_rewrap(const struct cluster *cluster, const struct secret *old_mk,
                                         uint32_t mk_version, const struct secret *mk,
                                         struct wire_command *command);
/* Puts the record of a new set at that version. */
MUST_USE enum qk_err hub_recovery_put(const struct recovery_set *set, uint64_t version,
                                      struct wire_command *command);
/* A JSON array of the texts that recovery_set_make wrote. */
void hub_recovery_list(struct bytes texts, struct buf *out);
/* {"recovery_shares", "recovery_threshold"} of a request; absent: the defaults, 0 shares: none.
 * False: the refusal has been sent. */
bool hub_recovery_counts(struct exchange *exchange, const json_t *json, unsigned *ret_n,
                         unsigned *ret_t);

/* --- recovery_attempt.c: people and their shares --------------------------------------------- */

/* What hub_open began for shares has ended; the seal machine has been told. */
void hub_recovery_opened(struct cluster *cluster, enum qk_err err);
/* Ends every attempt and wipes what was entered. */
void hub_recovery_wipe(struct cluster *cluster, const char *why);
void hub_recovery_tick(void *arg);
void hub_recovery_free(struct cluster *cluster);
/* The newest attempt to unseal: 0 shares and an empty id where there is none. `ret_id` is not the
 * nonce: it gives no right to anything. */
#define RECOVERY_ATTEMPT_ID_CHARS 16
unsigned hub_recovery_progress(const struct cluster *cluster,
                               char ret_id[static RECOVERY_ATTEMPT_ID_CHARS + 1]);

#endif
