/* The file of a backup: a clear head, the stream of a store (ciphertext and wrapped keys, see
 * store/snapshot.c and store/delta.c) in chunks, and an end with a MAC. All integers big-endian:
 *
 *     head   "QKBACKUP" version u16 cluster[16] origin[16] id[16] base[16] base_stamp u64
 *            index u64 term u64 stamp u64 mk_version u32 created_s u64  checksum[32]
 *     chunk  len u32 (1 to 262,144)  data  checksum[32]
 *     end    0 u32  chunks u64  bytes u64  last checksum[32]  mac[32]
 *
 * A checksum is BLAKE2b-256 of the one before it (none before the head's) and of what stands before
 * it in its part, so that a changed, moved, doubled or foreign chunk is found at its place. The
 * MAC, over head and end, is keyed from MK (BACKUP_MAC_KEY), so only who holds MK can tell or make
 * a genuine one. `base` is the id of the backup that an increment goes on from, zero in a full one.
 * Pure. */
#ifndef WIRE_BACKUP_H
#define WIRE_BACKUP_H

#include "base/bytes.h"
#include "base/limits.h"

#define BACKUP_VERSION 1
#define BACKUP_ID_BYTES 16
#define BACKUP_SUM_BYTES 32
#define BACKUP_CHUNK_BYTES_MAX (256 * KIB)
#define BACKUP_HEAD_BYTES (8 + 2 + 4 * 16 + 4 * 8 + 4 + 8 + BACKUP_SUM_BYTES)
#define BACKUP_END_BYTES (4 + 8 + 8 + 2 * BACKUP_SUM_BYTES)
/* KDF(MK, this, cluster ‖ id) is the key of the MAC; its label is BACKUP_MAC. */
#define BACKUP_MAC_KEY "backup"
#define BACKUP_MAC "backup end"

struct backup_head {
    uint8_t cluster[CLUSTER_ID_BYTES];
    uint8_t origin[CLUSTER_ID_BYTES]; /* the cluster whose id its envelopes bind */
    uint8_t id[BACKUP_ID_BYTES];      /* random */
    uint8_t base[BACKUP_ID_BYTES];    /* all zero: full */
    uint64_t base_stamp;              /* 0 if full */
    uint64_t index, term, stamp;      /* the store's, at the moment of the backup */
    uint32_t mk_version;              /* whose MK makes the MAC */
    uint64_t created_s;               /* Unix time of the node */
};

bool backup_is_full(const struct backup_head *head);

/* --- writing --------------------------------------------------------------------------------- */

struct backup_writer {
    uint8_t sum[BACKUP_SUM_BYTES];
    uint64_t chunks_n, bytes_n;
};

/* Each appends its part to `out`. */
void backup_write_head(struct backup_writer *writer, const struct backup_head *head,
                       struct buf *out);
/* `data` is 1 to BACKUP_CHUNK_BYTES_MAX bytes. */
void backup_write_chunk(struct backup_writer *writer, struct bytes data, struct buf *out);
/* The end without its MAC, which covers `head`'s bytes and these; the caller appends it. */
void backup_write_end(const struct backup_writer *writer, struct buf *out);

/* --- reading --------------------------------------------------------------------------------- */

enum backup_part { BACKUP_AT_HEAD, BACKUP_AT_LEN, BACKUP_AT_CHUNK, BACKUP_AT_END, BACKUP_DONE };

/* Fed with the file's bytes in pieces of any size; keeps one chunk. */
struct backup_reader {
    enum backup_part part;
    struct buf have; /* what of the part is here */
    size_t need;     /* bytes that complete it */
    uint64_t offset; /* in the file, of the part's first byte */
    struct backup_writer seen;
    struct backup_head head; /* from BACKUP_AT_LEN on */
    uint8_t head_bytes[BACKUP_HEAD_BYTES];
    uint8_t end_bytes[BACKUP_END_BYTES]; /* once BACKUP_DONE */
    const char *fault;                   /* what is wrong, static text; NULL before an error */
};

void backup_reader_init(struct backup_reader *reader);
void backup_reader_fini(struct backup_reader *reader);
/* Takes bytes off the front of `in` until a chunk is complete or `in` is empty; `ret_chunk` is that
 * chunk, borrowed until the next call, or empty. QK_ERR_UNSUPPORTED: another version;
 * QK_ERR_CORRUPT: anything else that is wrong (backup_reader_text says what and where). An error
 * sticks. */
MUST_USE enum qk_err backup_reader_next(struct backup_reader *reader, struct bytes *in,
                                        struct bytes *ret_chunk);
/* The file has ended: QK_OK if the backup has, too. */
MUST_USE enum qk_err backup_reader_end(struct backup_reader *reader);
/* "chunk 3 at offset 786432: its checksum does not match" */
void backup_reader_text(const struct backup_reader *reader, char *ret_text, size_t size);
/* The parts that the MAC covers, and the MAC; once BACKUP_DONE. */
void backup_reader_mac(const struct backup_reader *reader, struct bytes ret_parts[static 2],
                       const uint8_t **ret_mac);

#endif
