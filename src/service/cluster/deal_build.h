/* What deal_build.c and deal_fresh.c share: one deal under construction. */
#ifndef SERVICE_CLUSTER_DEAL_BUILD_H
#define SERVICE_CLUSTER_DEAL_BUILD_H

#include "service/cluster/hub.h"

struct build {
    struct cluster *cluster;
    uint64_t attempt;
    bool fresh; /* with a new MK */
    struct deal_party parties[NODES_MAX];
    size_t parties_n;
    size_t present_n;
    struct secret *owned[2 * NODES_MAX]; /* D and P that came from the keyring */
    size_t owned_n;
    struct system_deal_info info;
    struct deal_keyslot keyslots[DEAL_KEYSLOTS_MAX];
    struct buf blobs[DEAL_KEYSLOTS_MAX]; /* of those that were wrapped anew */
    size_t keyslots_n;
    uint32_t mk_version;
    struct secret *mk;       /* the new one; NULL: it stays */
    struct keyring *keyring; /* of the new one, empty: to seal D and P */
};

/* The new MK, and a keyring that seals under it. */
MUST_USE enum qk_err deal_fresh_begin(struct build *build);
/* The conditions that it needs besides those of every deal; before anything is put. */
void deal_fresh_cond(const struct build *build, struct wire_command *command);
/* Every record of the keyring and that of the recovery shares, wrapped anew. */
MUST_USE enum qk_err deal_fresh_put(struct build *build, struct wire_command *command);
/* The keyslots that are not the cluster's. */
MUST_USE enum qk_err deal_carry_keyslots(struct build *build);

#endif
