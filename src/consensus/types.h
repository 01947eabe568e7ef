/* What the pure parts and the uv driver share; no libuv here. */
#ifndef CONSENSUS_TYPES_H
#define CONSENSUS_TYPES_H

#include "base/bytes.h"
#include "base/limits.h"

#define CONSENSUS_ADDRESS_BYTES_MAX 64 /* text of a member, in practice the node id in hex */
#define CONSENSUS_MEMBERS_MAX NODES_MAX

enum consensus_role { CONSENSUS_FOLLOWER, CONSENSUS_CANDIDATE, CONSENSUS_LEADER };

struct consensus_member {
    uint64_t id;
    bool voter; /* false: a standby, which receives the log but has no vote */
    char address[CONSENSUS_ADDRESS_BYTES_MAX + 1];
};

#endif
