/* Cryptoperiods: a version of a data key is replaced when as many bodies, or bytes, were sealed
 * under it as the key's limits allow, or when it is old enough.
 *
 * What was sealed is counted by the store at apply (store_key_stats), so every leader agrees, and a
 * batch that seals names the limit as a condition (keys_cond): what is over it is refused by apply
 * itself, whatever the leader believed. The leader looks before it seals, and where there is no
 * room the write waits for the rotation, which this begins, and is sealed under the next version.
 * Age goes by cluster time. A rotation of this kind does not ask for re-encryption: what was sealed
 * in its period stays readable, and sealing it again would use up the next one. */
#ifndef SERVICE_PERIOD_H
#define SERVICE_PERIOD_H

#include <jansson.h>

#include "keys/keyring.h"
#include "service/service.h"
#include "wire/command.h"

/* --- sealing: inside submit_ops.evaluate ----------------------------------------------------- */

/* A new evaluation begins: nothing is taken yet (service/submit.c). */
void period_begin(struct service *service);
/* Room for one body of `bytes` under that version, besides what this evaluation has taken under any
 * key. QK_ERR_KEY_FULL: there is none; an evaluation that has added no batch returns this, and
 * waits. */
MUST_USE enum qk_err period_take(struct service *service, const uint8_t key_id[static KEY_ID_BYTES],
                                 uint32_t version, uint64_t bytes);
/* After QK_ERR_KEY_FULL: begins the rotation of that key if none is under way. `cb` fires once, not
 * inside this call, when it has ended: QK_ERR_KEY_FULL if the key can have no further version. */
MUST_USE enum qk_err period_wait(struct service *service, void (*cb)(void *arg, enum qk_err err),
                                 void *arg);
/* The limit of the key's active version as a condition of the batch begun. */
void period_cond(const struct service *service, struct wire_command *command,
                 const uint8_t key_id[static KEY_ID_BYTES]);

/* --- by itself -------------------------------------------------------------------------------- */

/* Looks at some keys, and on the leader rotates those whose period is over. To be called every
 * second or so. */
void period_tick(struct service *service);

/* --- telling -----------------------------------------------------------------------------------
 */

/* How far the active version has come. */
struct period_life {
    struct key_limits limits; /* in force */
    uint64_t sealed, bytes, age_s;
    uint64_t left_s; /* to the next rotation, as it went so far */
};

/* QK_ERR_NOT_FOUND: the key is unknown or destroyed. */
MUST_USE enum qk_err period_life(const struct service *service,
                                 const uint8_t key_id[static KEY_ID_BYTES],
                                 struct period_life *ret_life);
/* For /metrics, as the last look at all keys found: see struct period_figures in service.h. */
void period_figures(const struct service *service, struct period_figures *ret_figures);
/* What has used most of one of its limits, up to 1. */
double period_used(const struct period_life *life);
/* The same for people and programs; null for a key without an active version. */
json_t *period_json(const struct service *service, const uint8_t key_id[static KEY_ID_BYTES]);

#endif
