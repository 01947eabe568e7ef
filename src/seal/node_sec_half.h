/* Private to node.sec: the format of a half, and which half to use.
 *
 * A half is eight sectors of 512 bytes:
 *     sequence u64 half u8 ('A', 'B') index u8 zero u16 payload[468] checksum[32]
 * the checksum BLAKE2b-256 of the 480 bytes before it. The payloads in a row are
 *     "QKNS" version u16 zero u16 cluster[16] node[16] raft_id u64 x u32 boot_counter u64 gen_last
 * u64 identity[32] cluster_psk[32] n u8 {gen u64 D[32] P[32]}[n] zeros */
#ifndef SEAL_NODE_SEC_HALF_H
#define SEAL_NODE_SEC_HALF_H

#include "seal/node_sec.h"

#define NODE_SEC_MAGIC "QKNS"
#define NODE_SEC_VERSION 1
#define HALF_SECTOR_BYTES 512
#define HALF_SECTORS_N (NODE_SEC_HALF_BYTES / HALF_SECTOR_BYTES)
#define HALF_SECTOR_HEADER_BYTES 12
#define HALF_SECTOR_PAYLOAD_BYTES (HALF_SECTOR_BYTES - HALF_SECTOR_HEADER_BYTES - HASH_BYTES)
#define HALF_PAYLOAD_BYTES ((size_t)HALF_SECTORS_N * HALF_SECTOR_PAYLOAD_BYTES)

_Static_assert(HALF_SECTOR_PAYLOAD_BYTES == 468, "sector layout");

struct half_choice {
    char use;          /* 'A' or 'B' */
    char repair;       /* the half to rewrite from the other, or 0 */
    uint64_t sequence; /* of the half to use */
};

void half_encode(char half, uint64_t sequence, const uint8_t *payload, uint8_t *ret_image);
void half_payload(const uint8_t *image, uint8_t *ret_payload);
/* Looks at both halves of a file. QK_ERR_CORRUPT, with the half named in `fault`. */
MUST_USE enum qk_err half_choose(const uint8_t *file, struct half_choice *ret_choice,
                                 struct node_sec_fault *fault);

/* The payload of `node`, HALF_PAYLOAD_BYTES, and back. After an error node_sec_free cleans up. */
void node_sec_encode(const struct node_sec *node, uint8_t *ret_payload);
MUST_USE enum qk_err node_sec_decode(struct bytes payload, struct node_sec *node);

#endif
