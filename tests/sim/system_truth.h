/* What is known to be true of the cluster, whatever a node believes. */
#ifndef SIM_SYSTEM_TRUTH_H
#define SIM_SYSTEM_TRUTH_H

#include "system.h"

#define TRUTH_DEALS_MAX 128

struct truth_deal {
    uint8_t id[DEAL_ID_BYTES];
    uint64_t epoch;
    unsigned threshold, n;
    bool final;
    struct truth_member {
        uint8_t node_id[NODE_ID_BYTES];
        uint64_t gen;
        uint32_t x;
        bool opened; /* it has opened its own share of this deal at some time */
    } members[MACHINES_MAX + 6];
};

struct truth {
    uint64_t tables[SIM_INDEX_MAX];  /* hash of the records after an entry */
    uint64_t results[SIM_INDEX_MAX]; /* of its first command */
    struct truth_deal deals[TRUTH_DEALS_MAX];
    unsigned deals_n;
    uint64_t epoch;
    bool has_mk;
    uint8_t mk[KEY_BYTES];
    uint8_t cluster_id[CLUSTER_ID_BYTES];
};

#endif
