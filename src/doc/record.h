/* The revision record: the clear part of a stored document, in front of its envelopes.
 *
 *     value  = keys ‖ format u8 = 1 ‖ mac[16] ‖ header_len u32 ‖ header ‖ envelope of leaf 0 ‖ ...
 *     keys   = the list of base/key_uses.h, the winner's key first
 *     header = leaves_n u16 ‖ leaf ...
 *     leaf   = flags u8 ‖ generation u32 ‖ hash[16] ‖ key u8, its place in keys ‖ sealed_at u64 ‖
 *              body_bytes u32 ‖ envelope_bytes u32 ‖ path_n u16 ‖ path_n x hash[16] ‖
 *              atts_n u16 ‖ atts_n x id[16]
 *
 * The leaves are those of the revision tree, the winner first; a path names a leaf's ancestors from
 * its parent on, so the leaves together are the tree, cut at the database's revision limit. Normal
 * edits keep one leaf; replication (new_edits=false) may bring more. The mac is keyed by the
 * integrity key and binds cluster, database, document id, record version, keys and header, so that
 * lists and feeds need open no envelope; an envelope's AAD binds its revision and `sealed_at`, the
 * record version that it was sealed for.
 *
 * The ids of a leaf's attachments stand in the clear, so that the chunks that no leaf names any
 * more are deleted by the very write that drops them, without any key (doc/attachment.h). */
#ifndef DOC_RECORD_H
#define DOC_RECORD_H

#include "base/bytes.h"
#include "base/limits.h"
#include "doc/attachment.h"
#include "doc/revision.h"
#include "secret/secret.h"

#define DOC_RECORD_FORMAT 1
#define DOC_RECORD_MAC_BYTES 16
#define DOC_RECORD_LEAVES_MAX 1000
#define DOC_RECORD_PATH_MAX 1000 /* CouchDB's default _revs_limit */
#define DOC_KEY_ID_BYTES 16

#define DOC_RECORD_LEAF_DELETED 0x01

struct doc_leaf {
    struct revision revision;
    bool deleted;
    uint8_t key_id[DOC_KEY_ID_BYTES];
    uint32_t key_version;
    uint64_t sealed_at;       /* record version in the envelope's AAD */
    uint32_t body_bytes;      /* of the plaintext */
    struct bytes path;        /* path_n hashes, borrowed */
    struct bytes attachments; /* ids of its attachments, borrowed */
    struct bytes envelope;    /* borrowed */
};

/* Where a record stands; all of it is bound by the mac. */
struct doc_place {
    const uint8_t *cluster;  /* CLUSTER_ID_BYTES */
    const uint8_t *database; /* DATABASE_ID_BYTES */
    struct bytes document_id;
    uint64_t record_version;
};

struct doc_record {
    struct doc_leaf *leaves; /* owned; leaves[0] wins */
    unsigned leaves_n;
};

#define DOC_RECORD_EMPTY ((struct doc_record){NULL, 0})

/* Parses and authenticates; the leaves borrow from `value`. The caller ends with doc_record_fini.
 * QK_ERR_CORRUPT for anything that is not a record made for this place, QK_ERR_NOMEM and the errors
 * of mac_compute. */
MUST_USE enum qk_err doc_record_decode(const struct secret *integrity_key,
                                       const struct doc_place *place, struct bytes value,
                                       struct doc_record *ret_record);
/* The same, of the winner alone and without memory: `ret_leaf` borrows from `value`. */
MUST_USE enum qk_err doc_record_decode_winner(const struct secret *integrity_key,
                                              const struct doc_place *place, struct bytes value,
                                              struct doc_leaf *ret_leaf, unsigned *ret_leaves_n);
/* Appends the value for `record` at `place`; the leaves are put in order, winner first. A leaf
 * whose `sealed_at` is the place's record version is told in the list as sealed by this write.
 * QK_ERR_TOO_BIG: more than KEY_USES_MAX different keys. */
MUST_USE enum qk_err doc_record_encode(const struct secret *integrity_key,
                                       const struct doc_place *place, struct doc_record *record,
                                       struct buf *out);
void doc_record_fini(struct doc_record *record);

/* The leaf of that revision, NULL if there is none. */
struct doc_leaf *doc_record_find(const struct doc_record *record, const struct revision *revision);
/* Live before deleted, then revision_compare: CouchDB's winner. >0 if `a` comes first. */
int doc_record_leaf_compare(const struct doc_leaf *a, const struct doc_leaf *b);
/* Appends to `out` the path of a child of `parent`: the parent's hash, then its path, cut to
 * `limit` hashes. */
void doc_record_child_path(const struct doc_leaf *parent, unsigned limit, struct buf *out);

#endif
