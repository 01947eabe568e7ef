/* What an operator signs to lift a hold: the label, the cluster and the number of that hold, so
 * that a signature is good for no other cluster and for no later hold. */
#ifndef WIRE_UNHOLD_H
#define WIRE_UNHOLD_H

#include <stdint.h>

#include "base/limits.h"

#define UNHOLD_LABEL "quorumkeep unhold v1"
#define UNHOLD_MESSAGE_BYTES (sizeof(UNHOLD_LABEL) + CLUSTER_ID_BYTES + 8)
/* The text of an operator key: Bech32m with this prefix over the 32-byte Ed25519 seed. */
#define OPERATOR_KEY_PREFIX "qkop"
#define OPERATOR_SEED_BYTES 32

/* Label with its end, cluster id, number big-endian. */
void unhold_message(const uint8_t cluster_id[static CLUSTER_ID_BYTES], uint64_t hold_number,
                    uint8_t ret_message[static UNHOLD_MESSAGE_BYTES]);

#endif
