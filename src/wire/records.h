/* Keys of records: 16-byte database id ‖ name. User databases have random ids whose first byte is
 * never zero; the system spaces' ids are fifteen zero bytes and a number. */
#ifndef WIRE_RECORDS_H
#define WIRE_RECORDS_H

#include "base/bytes.h"
#include "base/limits.h"

#define RECORD_NAME_BYTES_MAX (RECORD_KEY_BYTES_MAX - DATABASE_ID_BYTES)
#define CATALOG_NAME_BYTES 32
#define TOKEN_ID_BYTES 16
#define KEY_ID_BYTES 16
#define ATTACHMENT_ID_BYTES 16

enum record_space {
    RECORD_SYS = 1,     /* clear: deal, members, tokens */
    RECORD_CATALOG = 2, /* keyed-hash names, sealed bodies: databases, users */
    RECORD_KEYRING = 3  /* wrapped keys */
};

/* Names in RECORD_SYS. */
#define RECORD_CLUSTER "cluster"       /* map: name, created, operator_pk, settings */
#define RECORD_DEAL "deal"             /* the deal record's bytes */
#define RECORD_DEAL_BEGIN "deal_begin" /* the newest attempt */
#define RECORD_DEAL_FINAL "deal_final" /* the deal id that is final */
#define RECORD_RECOVERY "recovery"     /* keyslot/recovery.h: the live set of shares */
#define RECORD_NEXT "next"             /* the next x and raft id: never used twice */
#define RECORD_CONTROL "control"       /* hold and suspensions; its version counts their changes */

/* Names in RECORD_KEYRING. */
#define RECORD_KEY_INDEX "sys/index"
#define RECORD_KEY_AUDIT "sys/audit"
#define RECORD_KEY_INTEGRITY "sys/integrity"
#define RECORD_KEY_REVISION "sys/revision"

/* A key in caller's memory. */
struct record_key {
    uint16_t len;
    uint8_t data[RECORD_KEY_BYTES_MAX];
};

struct bytes record_key_bytes(const struct record_key *key);

/* The id of a system space as a database id. */
void record_space_id(enum record_space space, uint8_t ret_id[static DATABASE_ID_BYTES]);
/* True, and which, if `key` lies in a system space. */
bool record_key_space(struct bytes key, enum record_space *ret_space);
/* What follows the database id; empty if the key is shorter. */
struct bytes record_key_name(struct bytes key);

/* Each makes one key; `name` at most RECORD_NAME_BYTES_MAX (asserted: callers check ids first). */
struct record_key record_document(const uint8_t database[static DATABASE_ID_BYTES],
                                  struct bytes name);
/* The chunks of one attachment (doc/attachment_chunk.h), and one of them: behind all documents. */
struct record_key record_attachment(const uint8_t database[static DATABASE_ID_BYTES],
                                    const uint8_t id[static ATTACHMENT_ID_BYTES]);
struct record_key record_attachment_chunk(const uint8_t database[static DATABASE_ID_BYTES],
                                          const uint8_t id[static ATTACHMENT_ID_BYTES],
                                          uint32_t chunk);
/* True, and whose, if `key` is that of a chunk. */
bool record_key_chunk(struct bytes key, uint8_t ret_id[static ATTACHMENT_ID_BYTES],
                      uint32_t *ret_chunk);
/* What stands for a content that no document names (service/upload_record.h): behind all documents,
 * too; and the prefix of all of a database's. */
struct record_key record_unnamed(const uint8_t database[static DATABASE_ID_BYTES],
                                 const uint8_t id[static ATTACHMENT_ID_BYTES]);
struct record_key record_unnamed_prefix(const uint8_t database[static DATABASE_ID_BYTES]);
/* True, and whose, if `key` is one of these. */
bool record_key_unnamed(struct bytes key, uint8_t ret_id[static ATTACHMENT_ID_BYTES]);
struct record_key record_system(enum record_space space, const char *name);
struct record_key record_member(const uint8_t node[static NODE_ID_BYTES]);
struct record_key record_token(const uint8_t token[static TOKEN_ID_BYTES]);
struct record_key record_catalog(const uint8_t name[static CATALOG_NAME_BYTES]);
struct record_key record_data_key(const uint8_t key_id[static KEY_ID_BYTES]);
struct record_key record_data_key_version(const uint8_t key_id[static KEY_ID_BYTES],
                                          uint32_t version);
/* A member's sealed D and P of one generation. */
struct record_key record_deal_part(const uint8_t node[static NODE_ID_BYTES], uint64_t generation);

/* The prefixes under which members, tokens, data keys and deal parts lie: for scans and watches. */
struct record_key record_members_prefix(void);
struct record_key record_tokens_prefix(void);
struct record_key record_data_keys_prefix(void);
struct record_key record_deal_parts_prefix(const uint8_t node[static NODE_ID_BYTES]);
/* The inverse of record_member: QK_ERR_INVALID if `key` is no member's. */
MUST_USE enum qk_err record_member_id(struct bytes key, uint8_t ret_node[static NODE_ID_BYTES]);

#endif
