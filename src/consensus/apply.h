/* The payload of a command entry: a framed list of the commands that were coalesced into it. */
#ifndef CONSENSUS_APPLY_H
#define CONSENSUS_APPLY_H

#include "base/bytes.h"
#include "base/limits.h"

#define APPLY_COMMANDS_MAX 4096
#define APPLY_FRAME_BYTES 4 /* before each command */
#define APPLY_HEAD_BYTES 5  /* version u8, count u32 */
/* Commands are put together up to this; a larger one travels alone. */
#define APPLY_COALESCE_BYTES (256 * KIB)
#define ENTRY_BYTES_MAX (COMMAND_BYTES_MAX + 64 * KIB)

/* Opens a payload in `out`, which must be empty. */
void apply_frame_start(struct buf *out);
/* Adds a command; the count in the head is kept right. */
void apply_frame_add(struct buf *out, struct bytes command);

struct apply_cursor {
    struct reader reader;
    uint32_t left;
};

/* Checks the whole payload: QK_ERR_INVALID if it is not exactly its commands. */
MUST_USE enum qk_err apply_cursor_open(struct bytes payload, struct apply_cursor *ret_cursor);
/* False at the end. `ret_last` tells whether this was the last one. */
bool apply_cursor_next(struct apply_cursor *cursor, struct bytes *ret_command, bool *ret_last);

#endif
