/* The bytes of the log on disk. A segment is a preallocated file of zeros with a head and then
 * records in the order of writing; a record with an index at or below the last one replaces it and
 * all after it. Records carry the number of the group commit that wrote them: a later group is only
 * written when the earlier one is synced, so damage before a later group is corruption, and only
 * the last group can be torn. Pure but for zlib's crc32. */
#ifndef CONSENSUS_SEGMENT_H
#define CONSENSUS_SEGMENT_H

#include "consensus/log.h"

#define SEGMENT_HEAD_BYTES 512 /* a sector of its own */
#define RECORD_HEAD_BYTES 48
#define RECORD_ALIGN 8
#define RECORD_FLAG_LAST 1 /* the last of its group */

struct segment_head {
    uint64_t epoch; /* raised when a snapshot replaces the log */
    uint64_t sequence;
    uint64_t size;
};

struct record {
    uint64_t index;
    uint64_t term;
    uint64_t group;
    uint8_t type;
    uint8_t flags;
    struct bytes payload;
    size_t bytes; /* with head and padding */
};

void segment_head_encode(const struct segment_head *head,
                         uint8_t ret_out[static SEGMENT_HEAD_BYTES]);
MUST_USE enum qk_err segment_head_decode(struct bytes file, struct segment_head *ret_head);

size_t record_bytes(size_t payload_len);
void record_encode(const struct record *record, struct buf *out);
/* Marks the record at `record` (of RECORD_HEAD_BYTES at least) as the last of its group. */
void record_mark_last(uint8_t *record);

enum record_state {
    RECORD_SOUND,
    RECORD_NONE,    /* zeros from here to the end of the file */
    RECORD_ABSENT,  /* a sector of it, or before later data, was never written */
    RECORD_DAMAGED, /* all was written, and is wrong now */
};
/* What lies at `at` in the bytes of a segment. Unless it is sound, `ret_record` holds at most its
 * group: 0 if even the head is not. */
enum record_state record_decode(struct bytes file, size_t at, struct record *ret_record);
/* The group of the first record at or after `at` whose head is sound and whose group is above
 * `group`; 0 if there is none. */
uint64_t segment_later_group(struct bytes file, size_t at, uint64_t group);

#endif
