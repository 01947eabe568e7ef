/* Commands: what the Raft log carries. The one mechanism of replication is a conditional batch of
 * record writes. A command holds batches; each batch is applied whole if all its conditions hold
 * and not at all otherwise; the batches of one command are independent of each other and are
 * applied in order. Bodies are opaque ciphertext, so nothing here needs a key.
 *
 *     command = [version, kind, [batch...]]     batch = [[cond...], [op...]]
 *     cond    = [key, version]                  the record has that version; 0: it is absent
 *             | [tag, sealed, bytes]            after this batch at most so many bodies, of so many
 *                                               bytes in all, were ever sealed under that version
 *                                               of a data key; tag: key_id[16] version u32
 *     op      = [1, key, version, flags, value] PUT: version must be the record's plus one
 *             | [2, key]                        DELETE: the record is gone; absent is no error
 *             | [3, prefix]                     DELETE_RANGE: 16 bytes: that whole database,
 *                                               longer: at most BATCH_RECORDS_MAX records
 *
 * A PUT is a condition by itself (its version), so that a plain compare-and-set is one call.
 * The value of a PUT flagged WIRE_KEYED begins with the list of base/key_uses.h.
 * Versions are judged against the state before the batch; a batch writes each key once at most.
 *
 *     struct wire_command command;
 *
 *     wire_command_begin(&command, WIRE_WRITE);
 *     wire_command_batch(&command);
 *     wire_command_cond(&command, user_key, user_version);        // only read
 *     wire_command_put(&command, doc_key, seen + 1, WIRE_DOC, envelope);
 *     err = wire_command_end(&command, &bytes);
 *     ... consensus_submit(consensus, bytes, ...), which copies ...
 *     wire_command_fini(&command);
 */
#ifndef WIRE_COMMAND_H
#define WIRE_COMMAND_H

#include "base/bytes.h"
#include "base/limits.h"
#include "wire/pack.h"

#define WIRE_COMMAND_VERSION_MAX 127 /* one byte, as is the kind */
#define WIRE_BATCHES_MAX BATCH_RECORDS_MAX
/* Conditions and operations of one batch, and operations of one command, each: the whole keyring of
 * 10,000 data keys with five versions each is wrapped anew in one. */
#define WIRE_BATCH_ITEMS_MAX 65536

/* All kinds carry the same body; the kind says who is to be told after apply. A new one gets its
 * line in wire/version.c, and is begun only after cluster_knows (service/cluster/cluster.h) has
 * said yes.
 */
enum wire_kind {
    WIRE_WRITE = 1,
    WIRE_DEAL = 2,
    WIRE_DEAL_FINAL = 3,
    WIRE_MEMBER = 4,
    WIRE_TOKEN = 5,
    WIRE_KEYRING = 6,
    WIRE_HOLD = 7,
    WIRE_TICK = 8,
    WIRE_AUDIT = 9,
    WIRE_DEAL_BEGIN = 10
};

enum wire_op_type { WIRE_PUT = 1, WIRE_DELETE = 2, WIRE_DELETE_RANGE = 3 };

#define WIRE_DOC 0x01     /* a document: counted, and in its database's change feed */
#define WIRE_DELETED 0x02 /* with WIRE_DOC: a tombstone */
/* With WIRE_DOC: nothing but the sealing is new. The document must be there, as deleted or not as
 * it is; it keeps its sequence, so that no feed of changes shows it again. Not stored. */
#define WIRE_SAME_SEQ 0x04
/* The value begins with the list of the data keys that its bodies stand under (base/key_uses.h):
 * the store counts them. */
#define WIRE_KEYED 0x08
#define WIRE_FLAGS_ALL (WIRE_DOC | WIRE_DELETED | WIRE_SAME_SEQ | WIRE_KEYED)

#define WIRE_TAG_BYTES 20

struct wire_cond {
    bool is_limit;
    struct bytes key; /* of a limit: the tag */
    uint64_t version;
    uint64_t sealed_max, bytes_max; /* of a limit */
};

struct wire_op {
    enum wire_op_type type;
    struct bytes key;   /* of DELETE_RANGE: the prefix */
    uint64_t version;   /* of PUT: at least 1 */
    uint8_t flags;      /* of PUT */
    struct bytes value; /* of PUT */
};

/* --- building ---------------------------------------------------------------------------- */

/* Caller's memory; errors stick and come out of wire_command_end. */
struct wire_command {
    struct buf buf;
    enum qk_err failed;
    uint32_t batches_n, conds_n, ops_n, ops_total;
    size_t conds_at, ops_at; /* where the open batch's array heads stand */
};

void wire_command_begin(struct wire_command *command, enum wire_kind kind);
/* Opens the next batch; at least one. */
void wire_command_batch(struct wire_command *command);
/* Conditions come before the operations of their batch. */
void wire_command_cond(struct wire_command *command, struct bytes key, uint64_t version);
void wire_command_limit(struct wire_command *command, const uint8_t tag[static WIRE_TAG_BYTES],
                        uint64_t sealed_max, uint64_t bytes_max);
void wire_command_put(struct wire_command *command, struct bytes key, uint64_t version,
                      uint8_t flags, struct bytes value);
void wire_command_delete(struct wire_command *command, struct bytes key);
void wire_command_delete_range(struct wire_command *command, struct bytes prefix);
/* `ret_bytes` is the whole command, owned by `command` until wire_command_fini. QK_ERR_TOO_BIG past
 * a limit (COMMAND_BYTES_MAX, RECORD_*_MAX, BATCH_RECORDS_MAX), QK_ERR_INVALID for a malformed key,
 * QK_ERR_NOMEM. */
MUST_USE enum qk_err wire_command_end(struct wire_command *command, struct bytes *ret_bytes);
/* Frees; also after a failure, and twice is harmless. */
void wire_command_fini(struct wire_command *command);
/* Bytes so far: for callers that fill a command up to a size. */
size_t wire_command_size(const struct wire_command *command);

/* --- reading ----------------------------------------------------------------------------- */

/* A cursor without allocation; it is a plain value, so a copy is a bookmark. */
struct wire_reader {
    struct unpack in;
    enum wire_kind kind;
    uint32_t batches_left, conds_left, ops_left;
    bool batch_open, in_ops;
    uint32_t ops_total;
};

/* QK_ERR_UNSUPPORTED: another version, or a kind that this program does not know.
 * QK_ERR_INVALID, QK_ERR_TOO_BIG: malformed. */
MUST_USE enum qk_err wire_reader_open(struct bytes command, struct wire_reader *ret_reader);
/* Each: true and the next one, false at the end or after an error (wire_reader_end tells). What is
 * left of the batch before, or of its conditions, is passed over and checked. */
bool wire_reader_batch(struct wire_reader *reader);
bool wire_reader_cond(struct wire_reader *reader, struct wire_cond *ret_cond);
bool wire_reader_op(struct wire_reader *reader, struct wire_op *ret_op);
/* QK_OK only if wire_reader_batch has come to the end, all was well-formed and nothing is left
 * over. */
MUST_USE enum qk_err wire_reader_end(const struct wire_reader *reader);

/* The version of the formats (wire/version.h) that a command needs; 0: it has no such head. */
unsigned wire_command_version(struct bytes command);

/* Reads the whole command once. A command that fails here must never be proposed. */
MUST_USE enum qk_err wire_command_check(struct bytes command, enum wire_kind *ret_kind);

/* --- results ----------------------------------------------------------------------------- */

/* What apply did with one batch, the same on every node. */
struct wire_result {
    bool ok;
    uint32_t failed; /* when not ok: the first of the conditions, counted on through the
                      * operations (conds_n + i), that did not hold */
    uint64_t seq;    /* when ok: the sequence of its last document operation, 0 if none */
};

#define WIRE_RESULT_BYTES 13

void wire_result_put(struct buf *out, const struct wire_result *result);
/* How many batches `results` tells of: 0 when the command was empty or malformed. */
size_t wire_results_count(struct bytes results);
/* The `at`th, QK_ERR_INVALID when there is none. */
MUST_USE enum qk_err wire_result_get(struct bytes results, size_t at,
                                     struct wire_result *ret_result);
/* For a command of one batch: QK_OK applied (its seq in `ret_seq`, which may be NULL),
 * QK_ERR_CONFLICT a condition failed, QK_ERR_INVALID otherwise. */
MUST_USE enum qk_err wire_result_single(struct bytes results, uint64_t *ret_seq);

#endif
