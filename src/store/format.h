/* The rows of the store's file: keys and values of its tables, each value under a CRC-32C of key
 * and value. Pure. All integers big-endian.
 *
 *     records  database id ‖ name       crc u32, version u64, seq u64, stamp u64, flags u8, value
 *     changes  database id ‖ seq u64    crc u32, stamp u64, flags u8, name
 *     stats    database id              crc u32, seq u64, doc_count u64, del_count u64, bytes u64
 *     keys     a tally's id (tallies.h) crc u32, doc_count u64, del_count u64, bodies u64, bytes
 * u64, sealed u64, sealed_bytes u64 drops    database id              crc u32, stamp u64 meta
 * "state"                  crc u32, format u32, index u64, term u64, stamp u64 local    name crc
 * u32, value
 *
 * A stamp counts the writes of the store's whole life. Dropping a database notes the stamp; rows of
 * that database with a stamp up to it are gone from that moment, and freed later in pieces. */
#ifndef STORE_FORMAT_H
#define STORE_FORMAT_H

#include "base/bytes.h"
#include "base/limits.h"
#include "store/tallies.h"

#define FORMAT_VERSION 1
#define FORMAT_RECORD_HEAD_BYTES 29
#define FORMAT_CHANGE_HEAD_BYTES 13
#define FORMAT_CHANGE_KEY_BYTES (DATABASE_ID_BYTES + 8)
#define FORMAT_STATS_BYTES 36
#define FORMAT_KEY_BYTES 52
#define FORMAT_DROP_BYTES 12
#define FORMAT_STATE_BYTES 32
#define FORMAT_LOCAL_HEAD_BYTES 4
#define FORMAT_STATE_KEY "state"

enum format_table {
    FORMAT_RECORDS,
    FORMAT_CHANGES,
    FORMAT_STATS,
    FORMAT_KEYS,
    FORMAT_DROPS,
    FORMAT_META,
    FORMAT_LOCAL,
    FORMAT_TABLES_N
};

/* The name of a table in the file. Static storage. */
const char *format_table_name(enum format_table table);

struct format_record {
    uint64_t version, seq, stamp;
    uint8_t flags;
    struct bytes value;
};

struct format_state {
    uint64_t index, term, stamp;
};

/* As the store's users see it. */
struct record format_record_public(const struct format_record *record);

/* Writes FORMAT_RECORD_HEAD_BYTES + value.len bytes. */
void format_record_write(struct bytes key, const struct format_record *record, uint8_t *ret_out);
void format_change_write(struct bytes key, uint64_t stamp, uint8_t flags, struct bytes name,
                         uint8_t *ret_out);
void format_stats_write(struct bytes key, const struct store_stats *stats,
                        uint8_t ret_out[static FORMAT_STATS_BYTES]);
void format_key_write(struct bytes key, const struct store_key_stats *stats,
                      uint8_t ret_out[static FORMAT_KEY_BYTES]);
void format_drop_write(struct bytes key, uint64_t stamp, uint8_t ret_out[static FORMAT_DROP_BYTES]);
void format_state_write(const struct format_state *state,
                        uint8_t ret_out[static FORMAT_STATE_BYTES]);
void format_local_write(struct bytes key, struct bytes value, uint8_t *ret_out);

/* Each: QK_ERR_CORRUPT when the length or the checksum is wrong; views point into `row`. */
MUST_USE enum qk_err format_record_read(struct bytes key, struct bytes row,
                                        struct format_record *ret_record);
MUST_USE enum qk_err format_change_read(struct bytes key, struct bytes row, uint64_t *ret_stamp,
                                        struct bytes *ret_name);
MUST_USE enum qk_err format_stats_read(struct bytes key, struct bytes row,
                                       struct store_stats *ret_stats);
MUST_USE enum qk_err format_key_read(struct bytes key, struct bytes row,
                                     struct store_key_stats *ret_stats);
MUST_USE enum qk_err format_drop_read(struct bytes key, struct bytes row, uint64_t *ret_stamp);
/* QK_ERR_UNSUPPORTED: a newer format. */
MUST_USE enum qk_err format_state_read(struct bytes row, struct format_state *ret_state);
MUST_USE enum qk_err format_local_read(struct bytes key, struct bytes row, struct bytes *ret_value);
/* The checksum and shape of any row. */
MUST_USE enum qk_err format_row_check(enum format_table table, struct bytes key, struct bytes row);

/* The stamp of a row that was checked; UINT64_MAX for statistics, which are never dropped. */
uint64_t format_row_stamp(enum format_table table, struct bytes row);

void format_change_key(const uint8_t database[static DATABASE_ID_BYTES], uint64_t seq,
                       uint8_t ret_key[static FORMAT_CHANGE_KEY_BYTES]);

/* A key for people: the database id in hex, "/", the name with unprintable bytes as \xNN. */
void format_key_text(struct bytes key, char *ret_text, size_t size);

#endif
