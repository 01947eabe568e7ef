#include "consensus/messages.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define MESSAGE_VERSION 1
/* What libraft's own codec would have recognised; the core looks at two of them only. */
#define VOTE_VERSION 2
#define VOTE_RESULT_VERSION 2
#define APPEND_RESULT_VERSION 2
#define ENTRY_HEAD_BYTES 13 /* term u64, type u8, length u32 */

static void encode_head(enum message_kind kind, struct buf *out)
{
    buf_put_u8(out, MESSAGE_VERSION);
    buf_put_u8(out, (uint8_t)kind);
}

void message_encode_append(const struct raft_append_entries *append, const struct entry_log *log,
                           size_t n, struct buf *out)
{
    assert(n <= MESSAGE_ENTRIES_MAX);

    encode_head(MESSAGE_APPEND, out);
    buf_put_u64(out, append->term);
    buf_put_u64(out, append->prev_log_index);
    buf_put_u64(out, append->prev_log_term);
    buf_put_u64(out, append->leader_commit);
    buf_put_u32(out, (uint32_t)n);
    for (size_t i = 0; i < n; i++) {
        const struct log_entry *entry = entry_log_get(log, append->prev_log_index + 1 + i);
        assert(entry != NULL);
        buf_put_u64(out, entry->term);
        buf_put_u8(out, entry->type);
        buf_put_blob(out, bytes_of(entry->data, entry->len));
    }
}

void message_encode_append_result(const struct raft_append_entries_result *result, struct buf *out)
{
    encode_head(MESSAGE_APPEND_RESULT, out);
    buf_put_u64(out, result->term);
    buf_put_u64(out, result->rejected);
    buf_put_u64(out, result->last_log_index);
}

void message_encode_vote(const struct raft_request_vote *vote, struct buf *out)
{
    encode_head(MESSAGE_VOTE, out);
    buf_put_u64(out, vote->term);
    buf_put_u64(out, vote->candidate_id);
    buf_put_u64(out, vote->last_log_index);
    buf_put_u64(out, vote->last_log_term);
    buf_put_u8(out, (uint8_t)((vote->disrupt_leader ? 1 : 0) | (vote->pre_vote ? 2 : 0)));
}

void message_encode_vote_result(const struct raft_request_vote_result *result, struct buf *out)
{
    encode_head(MESSAGE_VOTE_RESULT, out);
    buf_put_u64(out, result->term);
    buf_put_u8(out, (uint8_t)((result->vote_granted ? 1 : 0) | (result->pre_vote ? 2 : 0)));
}

void message_encode_timeout_now(const struct raft_timeout_now *timeout_now, struct buf *out)
{
    encode_head(MESSAGE_TIMEOUT_NOW, out);
    buf_put_u64(out, timeout_now->term);
    buf_put_u64(out, timeout_now->last_log_index);
    buf_put_u64(out, timeout_now->last_log_term);
}

void message_encode_install(uint64_t term, const struct snapshot *snapshot, struct buf *out)
{
    encode_head(MESSAGE_INSTALL, out);
    buf_put_u64(out, term);
    snapshot_encode(snapshot, out);
}

void message_encode_read(enum message_kind kind, uint64_t number, uint64_t value, struct buf *out)
{
    assert(kind >= MESSAGE_READ_PROBE && kind <= MESSAGE_READ_ANSWER);

    encode_head(kind, out);
    buf_put_u64(out, number);
    buf_put_u64(out, value);
}

size_t message_batch_n(const struct entry_log *log, uint64_t first, size_t n)
{
    size_t bytes = 0;
    size_t i;

    for (i = 0; i < n && i < MESSAGE_ENTRIES_MAX; i++) {
        const struct log_entry *entry = entry_log_get(log, first + i);
        assert(entry != NULL);
        bytes += ENTRY_HEAD_BYTES + entry->len;
        if (i > 0 && bytes > MESSAGE_BATCH_BYTES)
            break;
    }
    return i;
}

/* Only what the core may see: a known type, and a payload that it can decode. */
static bool entry_is_sound(const struct raft_entry *entry)
{
    struct bytes payload = {entry->buf.base, entry->buf.len};
    struct members members;

    if (entry->term == 0)
        return false;
    switch (entry->type) {
    case RAFT_COMMAND:
    case RAFT_BARRIER:
        return payload.len > 0;
    case RAFT_CHANGE:
        return members_decode_entry(payload, &members) == QK_OK;
    }
    return false;
}

static enum qk_err decode_entries(struct reader *reader, struct raft_append_entries *append)
{
    uint32_t n = reader_u32(reader);

    if (reader_error(reader) != QK_OK || n > MESSAGE_ENTRIES_MAX ||
        n > (reader->in.len - reader->at) / ENTRY_HEAD_BYTES)
        return QK_ERR_INVALID;
    if (n == 0)
        return QK_OK;
    append->entries = calloc(n, sizeof(*append->entries));
    if (append->entries == NULL)
        return QK_ERR_NOMEM;
    append->n_entries = n;
    for (uint32_t i = 0; i < n; i++) {
        struct raft_entry *entry = &append->entries[i];
        struct bytes payload;
        entry->term = reader_u64(reader);
        entry->type = (enum raft_entry_type)reader_u8(reader);
        payload = reader_blob(reader, ENTRY_BYTES_MAX);
        entry->buf.base = (void *)(uintptr_t)payload.data; /* the core only reads it */
        entry->buf.len = payload.len;
        if (reader_error(reader) != QK_OK || !entry_is_sound(entry))
            return QK_ERR_INVALID;
        if (entry->term > append->term || (i > 0 && entry->term < entry[-1].term))
            return QK_ERR_INVALID;
    }
    return QK_OK;
}

static enum qk_err decode_append(struct reader *reader, struct message *message)
{
    struct raft_append_entries *append = &message->append;

    append->term = reader_u64(reader);
    append->prev_log_index = reader_u64(reader);
    append->prev_log_term = reader_u64(reader);
    append->leader_commit = reader_u64(reader);
    if (append->term == 0 || append->prev_log_term > append->term ||
        (append->prev_log_index == 0) != (append->prev_log_term == 0) ||
        append->prev_log_index > UINT64_MAX / 2 || append->leader_commit > UINT64_MAX / 2)
        return QK_ERR_INVALID;
    return decode_entries(reader, append);
}

static enum qk_err decode_append_result(struct reader *reader, struct message *message)
{
    struct raft_append_entries_result *result = &message->append_result;

    result->version = APPEND_RESULT_VERSION;
    result->term = reader_u64(reader);
    result->rejected = reader_u64(reader);
    result->last_log_index = reader_u64(reader);
    return result->term == 0 ? QK_ERR_INVALID : QK_OK;
}

static enum qk_err decode_vote(struct reader *reader, struct message *message)
{
    struct raft_request_vote *vote = &message->vote;
    uint8_t flags;

    vote->version = VOTE_VERSION;
    vote->term = reader_u64(reader);
    vote->candidate_id = reader_u64(reader);
    vote->last_log_index = reader_u64(reader);
    vote->last_log_term = reader_u64(reader);
    flags = reader_u8(reader);
    vote->disrupt_leader = (flags & 1) != 0;
    vote->pre_vote = (flags & 2) != 0;
    return vote->term == 0 || vote->candidate_id == 0 || flags > 3 ? QK_ERR_INVALID : QK_OK;
}

static enum qk_err decode_vote_result(struct reader *reader, struct message *message)
{
    struct raft_request_vote_result *result = &message->vote_result;
    uint8_t flags;

    result->version = VOTE_RESULT_VERSION;
    result->term = reader_u64(reader);
    flags = reader_u8(reader);
    result->vote_granted = (flags & 1) != 0;
    result->pre_vote = (flags & 2) != 0;
    return flags > 3 ? QK_ERR_INVALID : QK_OK;
}

static enum qk_err decode_timeout_now(struct reader *reader, struct message *message)
{
    struct raft_timeout_now *timeout_now = &message->timeout_now;

    timeout_now->term = reader_u64(reader);
    timeout_now->last_log_index = reader_u64(reader);
    timeout_now->last_log_term = reader_u64(reader);
    return timeout_now->term == 0 ? QK_ERR_INVALID : QK_OK;
}

static enum qk_err decode_install(struct reader *reader, struct message *message)
{
    enum qk_err err;

    message->term = reader_u64(reader);
    message->token = reader_rest(reader);
    err = snapshot_decode(message->token, &message->snapshot);
    if (err == QK_OK && message->snapshot.term > message->term)
        err = QK_ERR_INVALID;
    return err;
}

static enum qk_err decode_read(struct reader *reader, struct message *message)
{
    uint64_t value;

    message->number = reader_u64(reader);
    value = reader_u64(reader);
    message->term = value;
    message->index = value;
    return message->number == 0 ? QK_ERR_INVALID : QK_OK;
}

static enum qk_err decode_body(struct reader *reader, struct message *message)
{
    switch (message->kind) {
    case MESSAGE_APPEND:
        return decode_append(reader, message);
    case MESSAGE_APPEND_RESULT:
        return decode_append_result(reader, message);
    case MESSAGE_VOTE:
        return decode_vote(reader, message);
    case MESSAGE_VOTE_RESULT:
        return decode_vote_result(reader, message);
    case MESSAGE_INSTALL:
        return decode_install(reader, message);
    case MESSAGE_TIMEOUT_NOW:
        return decode_timeout_now(reader, message);
    case MESSAGE_READ_PROBE:
    case MESSAGE_READ_ACK:
    case MESSAGE_READ_ASK:
    case MESSAGE_READ_ANSWER:
        return decode_read(reader, message);
    case MESSAGE_FRAGMENT:
        break; /* put together before, never inside */
    }
    return QK_ERR_INVALID;
}

enum qk_err message_decode(struct bytes in, struct message *ret_message)
{
    struct reader reader = reader_of(in);
    uint8_t version = reader_u8(&reader);
    enum qk_err err;

    memset(ret_message, 0, offsetof(struct message, snapshot));
    ret_message->kind = (enum message_kind)reader_u8(&reader);
    if (reader_error(&reader) != QK_OK || version != MESSAGE_VERSION || in.len > MESSAGE_BYTES_MAX)
        return QK_ERR_INVALID;
    err = decode_body(&reader, ret_message);
    if (err == QK_OK)
        err = reader_end(&reader);
    if (err != QK_OK)
        message_fini(ret_message);
    return err;
}

void message_fini(struct message *message)
{
    free(message->append.entries);
    message->append.entries = NULL;
    message->append.n_entries = 0;
}

void fragments_init(struct fragments *fragments)
{
    const struct buf empty = BUF_INIT(MESSAGE_BYTES_MAX);

    memset(fragments, 0, sizeof(*fragments));
    fragments->whole = empty;
}

void fragments_fini(struct fragments *fragments)
{
    buf_fini(&fragments->whole);
    fragments->number = 0;
}

void fragment_encode(uint64_t number, struct bytes whole, size_t offset, size_t part_max,
                     struct buf *out)
{
    assert(number != 0);
    assert(offset < whole.len);
    assert(whole.len <= MESSAGE_BYTES_MAX);

    encode_head(MESSAGE_FRAGMENT, out);
    buf_put_u64(out, number);
    buf_put_u32(out, (uint32_t)whole.len);
    buf_put_u32(out, (uint32_t)offset);
    buf_put_bytes(out, bytes_slice(whole, offset, part_max));
}

bool message_is_fragment(struct bytes in)
{
    return in.len >= 2 && in.data[0] == MESSAGE_VERSION && in.data[1] == MESSAGE_FRAGMENT;
}

static bool has_kind(struct bytes in, enum message_kind kind)
{
    return in.len >= 2 && in.data[0] == MESSAGE_VERSION && in.data[1] == kind;
}

bool message_is_vote_result(struct bytes in)
{
    return has_kind(in, MESSAGE_VOTE_RESULT);
}

bool message_is_answer(struct bytes in)
{
    return has_kind(in, MESSAGE_APPEND_RESULT) || has_kind(in, MESSAGE_READ_ACK) ||
           has_kind(in, MESSAGE_READ_ANSWER);
}

bool fragments_add(struct fragments *fragments, struct bytes in, struct bytes *ret_whole)
{
    struct reader reader = reader_of(bytes_slice(in, 2, in.len));
    uint64_t number = reader_u64(&reader);
    size_t total = reader_u32(&reader);
    size_t offset = reader_u32(&reader);
    struct bytes part = reader_rest(&reader);

    if (reader_error(&reader) != QK_OK || number == 0 || total > MESSAGE_BYTES_MAX ||
        offset > total || part.len == 0 || part.len > total - offset)
        return false;
    if (offset == 0) {
        buf_fini(&fragments->whole);
        fragments->number = number;
        fragments->total = total;
    }
    if (number != fragments->number || total != fragments->total ||
        offset != fragments->whole.len) {
        fragments->number = 0;
        return false;
    }
    buf_put_bytes(&fragments->whole, part);
    if (buf_error(&fragments->whole) != QK_OK) {
        fragments_fini(fragments);
        return false;
    }
    if (fragments->whole.len < total)
        return false;
    fragments->number = 0;
    *ret_whole = buf_bytes(&fragments->whole);
    return true;
}
