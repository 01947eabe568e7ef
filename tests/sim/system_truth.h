/* What is known to be true of the cluster, whatever a node believes. */
#ifndef SIM_SYSTEM_TRUTH_H
#define SIM_SYSTEM_TRUTH_H

#include "system.h"

#include "seal/deal_record.h"

#define TRUTH_DEALS_MAX 256
#define TRUTH_REMOVED_MAX 64
#define TRUTH_MK_MAX 256

struct truth_deal {
    uint8_t id[DEAL_ID_BYTES];
    uint64_t epoch;
    uint32_t mk_version;
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
    bool has_cluster;
    struct {
        bool known;
        uint8_t key[KEY_BYTES];
    } mks[TRUTH_MK_MAX]; /* by version */
    uint32_t mk_version; /* of the newest deal */
    /* members that leave, by the record, and those whose removal is done */
    uint8_t leaving[NODES_MAX][NODE_ID_BYTES], removed[TRUTH_REMOVED_MAX][NODE_ID_BYTES];
    unsigned leaving_n, removed_n;
    uint64_t removal_index;
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    /* system_documents.c: versions that no removed member has known, and what is under others */
    uint64_t documents_index, reencrypt_version, old_sealed;
    uint32_t fresh_version, fresh_catalog, active;
};

/* system_removal.c */
void removal_check_deal(struct machine *m, const struct deal_record *record,
                        const struct truth_deal *deal);

#endif
