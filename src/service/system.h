/* The values of the clear system records (space SYS): MessagePack arrays `[1, field...]`; fields
 * that a newer version appends are passed over. Pure. Keys: wire/records.h. */
#ifndef SERVICE_SYSTEM_H
#define SERVICE_SYSTEM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

#define SYSTEM_VALUE_BYTES_MAX (16 * KIB)
/* A SYS record beside "deal", written by the same command: how that deal came to be. */
#define SYSTEM_DEAL_INFO "deal_info"
/* SYS records that are there while a removal is not done, while a refresh or rotation is wanted,
 * and one that each command puts which adds a record of the KEYRING space: see keys_current.h. */
#define SYSTEM_REMOVAL "removal"
#define SYSTEM_WANTED "wanted"
#define SYSTEM_KEYRING "keyring"

enum member_state { MEMBER_JOINING = 1, MEMBER_ACTIVE = 2, MEMBER_LEAVING = 3 };

struct system_member {
    char name[NODE_NAME_BYTES_MAX + 1];
    uint32_t x;
    uint64_t raft_id;
    uint8_t noise_pk[32];
    char peer_address[ADDRESS_BYTES_MAX + 1];
    char client_address[ADDRESS_BYTES_MAX + 1];
    enum member_state state;
    uint64_t joined_s;               /* Unix time of the leader that admitted it */
    unsigned version;                /* of the formats that it knows (wire/version.h) */
    uint8_t replaces[NODE_ID_BYTES]; /* the member in whose place it came; zeros: none */
    bool aes;                        /* its processor has AES (key_policy.h) */
};

#define SYSTEM_REFRESH_S_DEFAULT (30u * 24 * 3600)
#define SYSTEM_REFRESH_S_MIN 3600u

struct system_cluster {
    uint8_t id[CLUSTER_ID_BYTES];
    char name[NODE_NAME_BYTES_MAX + 1];
    uint64_t created_s;
    uint8_t operator_pk[32];
    uint32_t unseal_quorum; /* live members before any release, 2 or more; 0: a majority */
    uint32_t threshold;     /* of new deals */
    uint32_t release_limit; /* releases to one member in ten minutes; 0: each node's own setting */
    /* The cluster whose id the envelopes bind, if it is another: that of the backup or disk which
     * this one was made from. All zero: its own. */
    uint8_t origin[CLUSTER_ID_BYTES];
    uint32_t refresh_s; /* a deal older than this is made anew; 0: never */
};

/* What operators have ordered of the whole cluster. Absent as long as nothing was ever ordered. */
struct system_control {
    bool hold;
    uint64_t hold_number; /* the version of this record that set the newest hold: what an unhold
                             signs */
    uint64_t hold_since_s;
    unsigned suspended_n;
    uint8_t suspended[NODES_MAX][NODE_ID_BYTES];
};

/* Never used twice in the cluster's life. */
struct system_next {
    uint32_t x;
    uint64_t raft_id;
};

struct system_token {
    uint64_t expiry_s;
    bool used;
    uint8_t used_by[32]; /* noise_pk of the joiner */
    uint8_t inviter[NODE_ID_BYTES];
    struct bytes sealed_psk;         /* into the record */
    uint8_t replaces[NODE_ID_BYTES]; /* the member that whoever uses it replaces; zeros: none */
};

struct system_deal_info {
    uint64_t attempt;
    bool new_mk;
    unsigned parts_n; /* who gave a new generation */
    uint8_t parts[NODES_MAX][NODE_ID_BYTES];
    uint64_t created_s; /* Unix time of the leader that made it */
    bool new_keys;      /* and every data key got a new version */
    unsigned stale_n;   /* who stands in it with a generation from before the newest MK */
    uint8_t stale[NODES_MAX][NODE_ID_BYTES];
};

/* One whose removal is not done. Its member record may be gone already. */
struct system_removed {
    uint8_t node_id[NODE_ID_BYTES];
    char name[NODE_NAME_BYTES_MAX + 1];
    uint64_t begun_s; /* Unix time of the leader that took the order */
};

struct system_removal {
    bool reencrypt;
    unsigned n;
    struct system_removed list[NODES_MAX];
};

/* What an operator asked for, in terms of the deal that was in force then: done as soon as a later
 * one is. 0: nothing. */
struct system_wanted {
    uint64_t refresh_epoch; /* a deal of a higher epoch */
    uint32_t rotate_mk;     /* a deal of a higher MK version */
    bool new_keys;          /* and with it a new version of each data key, re-encrypted: theft */
};

void system_member_encode(const struct system_member *member, struct buf *out);
MUST_USE enum qk_err system_member_decode(struct bytes in, struct system_member *ret_member);
void system_cluster_encode(const struct system_cluster *cluster, struct buf *out);
MUST_USE enum qk_err system_cluster_decode(struct bytes in, struct system_cluster *ret_cluster);
/* `origin`, or its own id. */
const uint8_t *system_cluster_origin(const struct system_cluster *cluster);
void system_next_encode(const struct system_next *next, struct buf *out);
MUST_USE enum qk_err system_next_decode(struct bytes in, struct system_next *ret_next);
void system_token_encode(const struct system_token *token, struct buf *out);
MUST_USE enum qk_err system_token_decode(struct bytes in, struct system_token *ret_token);
void system_deal_info_encode(const struct system_deal_info *info, struct buf *out);
MUST_USE enum qk_err system_deal_info_decode(struct bytes in, struct system_deal_info *ret_info);
void system_control_encode(const struct system_control *control, struct buf *out);
MUST_USE enum qk_err system_control_decode(struct bytes in, struct system_control *ret_control);
bool system_is_suspended(const struct system_control *control,
                         const uint8_t node_id[static NODE_ID_BYTES]);
void system_removal_encode(const struct system_removal *removal, struct buf *out);
MUST_USE enum qk_err system_removal_decode(struct bytes in, struct system_removal *ret_removal);
void system_wanted_encode(const struct system_wanted *wanted, struct buf *out);
MUST_USE enum qk_err system_wanted_decode(struct bytes in, struct system_wanted *ret_wanted);
const char *system_member_state_text(enum member_state state);

#endif
