/* What members say to each other about sealing, dealing and joining, as MessagePack arrays
 * `[PEER_VERSION, kind, field...]` with every field in its place and of its exact type. Decoding
 * copies nothing: `struct bytes` point into the message, which is a secret buffer of the link.
 *
 *   channel      messages
 *   LINK_SEAL    between members: all but JOIN_REQUEST
 *   LINK_RECORD  with a key not known as a member's: HELLO WANT RELEASE DENY RECORD_WANT RECORD
 *   join         on a join connection: JOIN_REQUEST, answered by JOIN_ACCEPT or JOIN_REFUSE */
#ifndef WIRE_PEER_H
#define WIRE_PEER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

#define PEER_VERSION 1
#define PEER_NONCE_BYTES 16
#define PEER_KEY_BYTES 32
#define PEER_SHARE_BYTES 64
#define PEER_REASON_BYTES_MAX 512
#define PEER_MESSAGE_BYTES_MAX (1024 * 1024)

enum peer_kind {
    PEER_HELLO = 1,
    PEER_WANT,
    PEER_RELEASE,
    PEER_SHARE,
    PEER_DENY,
    PEER_RECORD_WANT,
    PEER_RECORD,
    PEER_COLLECT,
    PEER_PART,
    PEER_CHECK,
    PEER_ACK,
    PEER_JOIN_REQUEST,
    PEER_JOIN_ACCEPT,
    PEER_JOIN_REFUSE,
    PEER_JOIN_FORWARD,
    PEER_MEMBERS,
    PEER_SEAL_ALL,
    PEER_SEALED,
    PEER_SUMS_WANT,
    PEER_SUMS,
    PEER_ROWS_WANT,
    PEER_ROWS,
    PEER_LAST = PEER_ROWS
};

/* Who speaks, where it stands, and proof that it is speaking now: `echo` is the last nonce that
 * the speaker had from the listener in this session (zeros: none yet). */
struct peer_hello {
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t boot_id[BOOT_ID_BYTES];
    uint64_t boot_counter;
    uint8_t nonce[PEER_NONCE_BYTES];
    uint8_t echo[PEER_NONCE_BYTES];
    uint8_t deal_id[DEAL_ID_BYTES]; /* zeros: no deal */
    uint64_t epoch;                 /* 0: no deal */
    uint64_t gen;                   /* the speaker's generation in that deal */
    uint64_t control;               /* count of hold and suspend changes the speaker has applied */
    uint64_t raft_id;
    uint64_t term;
    uint64_t index;   /* committed, and durable here */
    uint8_t state;    /* enum seal_state */
    bool share;       /* the speaker's own share of that deal is open */
    bool ask;         /* its nonce has not been echoed yet: answer */
    bool by_record;   /* it does not know the listener: answer on LINK_RECORD */
    uint16_t version; /* of the formats, the highest that it knows: wire/version.h */
    bool aes;         /* its processor has AES */
    uint64_t stored;  /* its log ends here on its disk, what is not committed included */
    uint64_t made;    /* generations that it has ever made */
    /* What is committed, for whoever has something else there: the speaker knows of so much, and
     * has an entry of this term at `at`, which the listener knows as committed, too, if it has said
     * how much it knows. 0: not known. */
    uint64_t known, at, at_term;
};

#define PEER_WANT_RELEASE 1u
#define PEER_WANT_SHARE 2u

struct peer_want {
    uint8_t deal_id[DEAL_ID_BYTES];
    uint64_t epoch;
    uint32_t x;                     /* the one who asks */
    uint64_t gen;                   /* its generation in that deal */
    uint8_t echo[PEER_NONCE_BYTES]; /* the listener's newest nonce */
    uint8_t what;                   /* PEER_WANT_* */
};

/* a(i<-j), so that the listener may open its own share. */
struct peer_release {
    uint8_t deal_id[DEAL_ID_BYTES];
    uint32_t x;                     /* the one who releases */
    uint64_t gen;                   /* its generation */
    uint8_t echo[PEER_NONCE_BYTES]; /* the listener's newest nonce */
    struct bytes key;               /* PEER_KEY_BYTES, secret */
};

struct peer_share {
    uint8_t deal_id[DEAL_ID_BYTES];
    uint32_t x;
    uint8_t echo[PEER_NONCE_BYTES];
    struct bytes share; /* s, r: PEER_SHARE_BYTES, secret */
};

struct peer_deny {
    uint8_t deal_id[DEAL_ID_BYTES];
    uint8_t rule; /* enum release_rule */
    uint32_t retry_ms;
};

struct peer_record_want {
    uint64_t epoch; /* newest the asker has */
};

struct peer_record {
    struct bytes record; /* a deal record */
};

/* The leader's request for a new generation, for the DEAL_BEGIN record of that version. */
struct peer_collect {
    uint64_t attempt;
};

struct peer_part {
    uint64_t attempt;
    uint64_t gen;
    struct bytes d; /* PEER_KEY_BYTES, secret */
    struct bytes p; /* PEER_KEY_BYTES, secret */
};

struct peer_check {
    uint8_t deal_id[DEAL_ID_BYTES];
    uint64_t epoch;
};

struct peer_ack {
    uint8_t deal_id[DEAL_ID_BYTES];
    uint64_t epoch;
    uint64_t oldest; /* the oldest generation that its node.sec still holds */
};

/* What a joiner says of itself. */
struct peer_join_request {
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t noise_pk[32];
    struct bytes name;
    struct bytes peer_address;
    struct bytes client_address;
    uint16_t version;
    bool aes;                        /* its processor has AES */
    uint8_t gives_up[NODE_ID_BYTES]; /* the identity that its directory has now; zeros: none */
};

struct peer_join_member {
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t noise_pk[32];
    uint64_t raft_id;
    struct bytes peer_address;
};

struct peer_join_accept {
    uint32_t request; /* of the JOIN_FORWARD answered; 0 to a joiner */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint32_t x;
    uint64_t raft_id;
    struct bytes psk; /* PEER_KEY_BYTES, secret */
    unsigned members_n;
    struct peer_join_member members[NODES_MAX];
};

struct peer_join_refuse {
    uint32_t request;
    uint8_t err;         /* enum qk_err */
    struct bytes reason; /* for people */
};

/* A member passes a joiner's request to the leader. */
struct peer_join_forward {
    uint32_t request;
    uint8_t token_id[16];
    struct peer_join_request join;
};

/* A joiner that a key it does not know has connected to asks the members that it knows who else is
 * one (`ask`, no members); they answer with what their own log names. */
struct peer_members {
    bool ask;
    unsigned members_n;
    struct peer_join_member members[NODES_MAX];
};

/* An operator's order to seal every node, passed on by the one that got it. */
struct peer_seal_all {
    uint32_t request;
    bool hold; /* and whoever leads commits a hold */
};

struct peer_sealed {
    uint32_t request;
    bool sealed; /* every key is wiped */
};

enum peer_sums_detail { PEER_SUMS_TOTAL, PEER_SUMS_SPACES, PEER_SUMS_BUCKETS };

/* Do we hold the same records? The sums of all records as they were at `index`, or at a lower one
 * if the listener has not come so far: of all together, of each database, or of each bucket of
 * `database`. */
struct peer_sums_want {
    uint32_t request;
    uint8_t detail; /* enum peer_sums_detail */
    uint64_t index;
    uint8_t database[DATABASE_ID_BYTES];
};

struct peer_sums {
    uint32_t request;
    uint8_t detail;
    uint8_t standing; /* enum integrity_standing of the speaker */
    uint64_t index;   /* 0: it can't tell (sealed, not counted yet, too long ago) */
    struct bytes sums;
};

/* The rows of these buckets of a database, behind that name (empty: from the first); some of them
 * at a time. */
struct peer_rows_want {
    uint32_t request;
    uint8_t database[DATABASE_ID_BYTES];
    uint32_t buckets; /* bit i: the bucket i */
    struct bytes from;
};

struct peer_rows {
    uint32_t request;
    uint64_t index, stamp; /* of the file that they are from; 0: it can't tell */
    bool end;
    struct bytes next; /* the last name that was looked at */
    struct bytes rows; /* service/integrity/integrity_rows.h */
};

struct peer_message {
    enum peer_kind kind;
    union {
        struct peer_hello hello;
        struct peer_want want;
        struct peer_release release;
        struct peer_share share;
        struct peer_deny deny;
        struct peer_record_want record_want;
        struct peer_record record;
        struct peer_collect collect;
        struct peer_part part;
        struct peer_check check;
        struct peer_ack ack;
        struct peer_join_request join_request;
        struct peer_join_accept join_accept;
        struct peer_join_refuse join_refuse;
        struct peer_join_forward join_forward;
        struct peer_members members;
        struct peer_seal_all seal_all;
        struct peer_sealed sealed;
        struct peer_sums_want sums_want;
        struct peer_sums sums;
        struct peer_rows_want rows_want;
        struct peer_rows rows;
    } as;
};

/* Appends the message to `out`, which is a secret buffer when the kind carries keys. */
MUST_USE enum qk_err peer_encode(const struct peer_message *message, struct buf *out);
/* Strict: exact types and lengths, nothing left over. QK_ERR_INVALID; QK_ERR_UNSUPPORTED for
 * another version or an unknown kind. The views of `ret_message` live as long as `in`. */
MUST_USE enum qk_err peer_decode(struct bytes in, struct peer_message *ret_message);

#endif
