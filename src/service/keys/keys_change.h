/* A change of a data key (keys/change.h) as part of a command, and the policy that it obeys. */
#ifndef SERVICE_KEYS_KEYS_CHANGE_H
#define SERVICE_KEYS_KEYS_CHANGE_H

#include "keys/change.h"
#include "service/service.h"
#include "wire/command.h"

/* The SYS record whose version rises with each order to let no trace of something deleted stand in
 * the free pages of store.mdb: each node copies its file once for each version (reencrypt.c). */
#define SYSTEM_ERASE "erase"

/* Adds to the batch begun, behind its conditions, all that makes `change` true, under the condition
 * that the key is still as the keyring has it. */
void keys_change_put(struct service *service, const struct key_change *change,
                     struct wire_command *command);
/* Its deletions are to leave no trace. */
void keys_erase_put(struct service *service, struct wire_command *command);
/* The version of that record; 0: there is none. */
uint64_t keys_erase_version(struct service *service);

/* What stands under that version now, or, version 0, under any of the key: bodies of documents,
 * tombstones and older revisions included; of the catalog key its records. QK_ERR_BUSY: of the
 * catalog it is not known before re-encryption has counted. */
MUST_USE enum qk_err keys_in_use(struct service *service, const uint8_t key_id[static KEY_ID_BYTES],
                                 uint32_t version, uint64_t *ret_n);

#endif
