/* Is the keyring in memory the one that the store's records are wrapped for?
 *
 * A deal with a new MK rewraps every record of the KEYRING space, and a removal adds a version to
 * every key. Between the moment at which that command is applied here and the one at which this
 * node has opened the new deal, a write would be sealed under versions that are past, and a
 * document sealed by another node might not open. Both wait, for a bounded time: an error or a
 * report of damage would be wrong. What was evaluated before and is applied after fails on a
 * condition (keys_cond) and is evaluated again. */
#ifndef SERVICE_KEYS_CURRENT_H
#define SERVICE_KEYS_CURRENT_H

#include "service/service.h"
#include "wire/command.h"
#include "wire/records.h"

#define KEYS_WAIT_MS 10000u

bool keys_are_current(const struct service *service);
/* `cb` fires once, from the loop: QK_OK when they are, QK_ERR_NO_QUORUM after KEYS_WAIT_MS,
 * QK_ERR_SEALED or QK_ERR_CLOSED when the node sealed or stops. QK_ERR_NOMEM: it does not fire. */
MUST_USE enum qk_err keys_wait(struct service *service, void (*cb)(void *arg, enum qk_err err),
                               void *arg);

/* The hub's side: all who wait get `err` now; those whose time is over; and, once the keys are
 * current, all go on in the loop's next turn, not inside of what made them so. */
void keys_wake(struct service *service, enum qk_err err);
void keys_tick(void *arg);
void keys_opened(struct service *service);

/* Adds to the batch begun the conditions that the info of this key (the catalog key too) is still
 * what was looked at, and that no more is sealed under its active version than its limits allow. */
void keys_cond(struct service *service, struct wire_command *command,
               const uint8_t key_id[static KEY_ID_BYTES]);
/* To be put by every batch that adds a record to the KEYRING space, the deal with a new MK
 * included: of two such commands, evaluated at once, the second is refused, so that no record is
 * left behind under a WK that is gone. */
void keys_put_changed(struct service *service, struct wire_command *command);

#endif
