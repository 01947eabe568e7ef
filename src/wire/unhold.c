#include "wire/unhold.h"

#include <string.h>

#include "base/bytes.h"

void unhold_message(const uint8_t cluster_id[static CLUSTER_ID_BYTES], uint64_t hold_number,
                    uint8_t ret_message[static UNHOLD_MESSAGE_BYTES])
{
    memcpy(ret_message, UNHOLD_LABEL, sizeof(UNHOLD_LABEL));
    memcpy(ret_message + sizeof(UNHOLD_LABEL), cluster_id, CLUSTER_ID_BYTES);
    put_u64(ret_message + sizeof(UNHOLD_LABEL) + CLUSTER_ID_BYTES, hold_number);
}
