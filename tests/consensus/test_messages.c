#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/messages.h"

static void make_snapshot(struct snapshot *snapshot)
{
    memset(snapshot, 0, sizeof(*snapshot));
    snapshot->index = 77;
    snapshot->term = 3;
    snapshot->members_index = 9;
    cr_assert_eq(members_add(&snapshot->members, 1, bytes_str("one"), true), QK_OK);
    cr_assert_eq(members_add(&snapshot->members, 2, bytes_str("two"), false), QK_OK);
}

static void fill_log(struct entry_log *log)
{
    struct buf payload = BUF_INIT(4096);
    struct snapshot snapshot;

    make_snapshot(&snapshot);
    members_encode_entry(&snapshot.members, &payload);
    entry_log_init(log, 1);
    cr_assert_eq(entry_log_append(log, 1, RAFT_CHANGE, buf_bytes(&payload)), QK_OK);
    cr_assert_eq(entry_log_append(log, 1, RAFT_COMMAND, bytes_str("hello")), QK_OK);
    cr_assert_eq(entry_log_append(log, 2, RAFT_BARRIER, bytes_str("12345678")), QK_OK);
    buf_fini(&payload);
}

static void encode(enum message_kind kind, struct buf *out)
{
    struct raft_append_entries append = {.term = 3, .leader_commit = 2};
    struct raft_append_entries_result result = {.term = 3, .rejected = 4, .last_log_index = 2};
    struct raft_request_vote vote = {
        .term = 4, .candidate_id = 7, .last_log_index = 8, .last_log_term = 3, .pre_vote = true};
    struct raft_request_vote_result vote_result = {.term = 4, .vote_granted = true};
    struct raft_timeout_now timeout_now = {.term = 4, .last_log_index = 3, .last_log_term = 2};
    struct snapshot snapshot;
    struct entry_log log;

    switch (kind) {
    case MESSAGE_APPEND:
        fill_log(&log);
        message_encode_append(&append, &log, 3, out);
        entry_log_fini(&log);
        break;
    case MESSAGE_APPEND_RESULT:
        message_encode_append_result(&result, out);
        break;
    case MESSAGE_VOTE:
        message_encode_vote(&vote, out);
        break;
    case MESSAGE_VOTE_RESULT:
        message_encode_vote_result(&vote_result, out);
        break;
    case MESSAGE_INSTALL:
        make_snapshot(&snapshot);
        message_encode_install(5, &snapshot, out);
        break;
    case MESSAGE_TIMEOUT_NOW:
        message_encode_timeout_now(&timeout_now, out);
        break;
    case MESSAGE_READ_PROBE:
    case MESSAGE_READ_ACK:
    case MESSAGE_READ_ASK:
    case MESSAGE_READ_ANSWER:
    case MESSAGE_FRAGMENT:
        message_encode_read(kind == MESSAGE_FRAGMENT ? MESSAGE_READ_ASK : kind, 5, 6, out);
        break;
    }
    cr_assert_eq(buf_error(out), QK_OK);
}

Test(messages, every_kind_comes_back_as_it_went)
{
    for (int kind = MESSAGE_APPEND; kind <= MESSAGE_READ_ANSWER; kind++) {
        struct buf out = BUF_INIT(65536);
        struct message m;
        encode((enum message_kind)kind, &out);
        cr_assert_eq(message_decode(buf_bytes(&out), &m), QK_OK, "kind %d", kind);
        cr_assert_eq(m.kind, kind);
        if (kind == MESSAGE_APPEND) {
            cr_assert_eq(m.append.n_entries, 3);
            cr_assert_eq(m.append.entries[1].buf.len, 5);
            cr_assert_eq(m.append.entries[2].term, 2);
        }
        if (kind == MESSAGE_INSTALL) {
            cr_assert_eq(m.snapshot.index, 77);
            cr_assert_eq(m.snapshot.members.n, 2);
        }
        message_fini(&m);
        buf_fini(&out);
    }
}

/* A copy of exactly the length, so that a sanitizer sees any read past it. */
static enum qk_err decode_copy(const uint8_t *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    uint8_t *exact = realloc(copy, len == 0 ? 1 : len);
    struct message m;
    enum qk_err err;

    cr_assert_not_null(exact);
    memcpy(exact, data, len);
    err = message_decode(bytes_of(exact, len), &m);
    if (err == QK_OK)
        message_fini(&m);
    free(exact);
    return err;
}

Test(messages, truncated_at_every_byte_is_invalid)
{
    for (int kind = MESSAGE_APPEND; kind <= MESSAGE_READ_ANSWER; kind++) {
        struct buf out = BUF_INIT(65536);
        encode((enum message_kind)kind, &out);
        for (size_t len = 0; len < out.len; len++)
            cr_assert_eq(decode_copy(out.data, len), QK_ERR_INVALID, "kind %d at %zu", kind, len);
        buf_put_u8(&out, 0);
        cr_assert_eq(decode_copy(out.data, out.len), QK_ERR_INVALID, "kind %d, one more", kind);
        buf_fini(&out);
    }
}

Test(messages, each_byte_flipped_decodes_or_is_invalid_without_harm)
{
    for (int kind = MESSAGE_APPEND; kind <= MESSAGE_READ_ANSWER; kind++) {
        struct buf out = BUF_INIT(65536);
        encode((enum message_kind)kind, &out);
        for (size_t i = 0; i < out.len; i++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                enum qk_err err;
                out.data[i] ^= (uint8_t)(1u << bit);
                err = decode_copy(out.data, out.len);
                cr_assert(err == QK_OK || err == QK_ERR_INVALID);
                out.data[i] ^= (uint8_t)(1u << bit);
            }
        }
        buf_fini(&out);
    }
}

Test(messages, too_many_entries_are_invalid)
{
    struct buf out = BUF_INIT(1 * MIB);
    uint32_t n = MESSAGE_ENTRIES_MAX + 1;

    buf_put_u8(&out, 1);
    buf_put_u8(&out, MESSAGE_APPEND);
    buf_put_u64(&out, 1);
    buf_put_u64(&out, 0);
    buf_put_u64(&out, 0);
    buf_put_u64(&out, 0);
    buf_put_u32(&out, n);
    for (uint32_t i = 0; i < n; i++) {
        buf_put_u64(&out, 1);
        buf_put_u8(&out, RAFT_COMMAND);
        buf_put_blob(&out, bytes_str("x"));
    }
    cr_assert_eq(decode_copy(out.data, out.len), QK_ERR_INVALID);
    buf_fini(&out);
}

Test(messages, batches_are_bounded_in_bytes_but_never_empty)
{
    struct entry_log log;
    uint8_t *big = calloc(1, MESSAGE_BATCH_BYTES);

    entry_log_init(&log, 1);
    cr_assert_eq(entry_log_append(&log, 1, RAFT_COMMAND, bytes_of(big, MESSAGE_BATCH_BYTES)),
                 QK_OK);
    cr_assert_eq(entry_log_append(&log, 1, RAFT_COMMAND, bytes_str("small")), QK_OK);
    cr_assert_eq(entry_log_append(&log, 1, RAFT_COMMAND, bytes_str("small")), QK_OK);
    cr_assert_eq(message_batch_n(&log, 1, 3), 1);
    cr_assert_eq(message_batch_n(&log, 2, 2), 2);
    cr_assert_eq(message_batch_n(&log, 2, 0), 0);
    entry_log_fini(&log);
    free(big);
}

Test(messages, fragments_make_the_whole_and_a_gap_drops_it)
{
    struct fragments fragments;
    uint8_t whole[1000];
    struct bytes got = BYTES_NONE;
    bool complete = false;

    for (size_t i = 0; i < sizeof(whole); i++)
        whole[i] = (uint8_t)i;
    fragments_init(&fragments);
    for (int skip = 0; skip < 2; skip++) {
        complete = false;
        for (size_t at = 0; at < sizeof(whole); at += 300) {
            struct buf part = BUF_INIT(4096);
            fragment_encode(9, bytes_of(whole, sizeof(whole)), at, 300, &part);
            cr_assert(message_is_fragment(buf_bytes(&part)));
            if (skip == 0 || at != 300)
                complete = fragments_add(&fragments, buf_bytes(&part), &got);
            buf_fini(&part);
        }
        cr_assert_eq(complete, skip == 0);
        if (skip == 0)
            cr_assert(bytes_equal(got, bytes_of(whole, sizeof(whole))));
    }
    fragments_fini(&fragments);
}

Test(members, the_entry_form_is_what_libraft_itself_writes)
{
    struct raft_configuration configuration;
    struct buf ours = BUF_INIT(4096);
    struct members decoded;
    struct raft_buffer theirs;
    struct snapshot snapshot;

    make_snapshot(&snapshot);
    members_encode_entry(&snapshot.members, &ours);
    cr_assert_eq(members_to_raft(&snapshot.members, &configuration), QK_OK);
    cr_assert_eq(raft_configuration_encode(&configuration, &theirs), 0);
    cr_assert(bytes_equal(buf_bytes(&ours), bytes_of(theirs.base, theirs.len)));
    cr_assert_eq(members_decode_entry(buf_bytes(&ours), &decoded), QK_OK);
    cr_assert_eq(decoded.n, 2);
    for (size_t len = 0; len < ours.len; len++)
        cr_assert_eq(members_decode_entry(bytes_of(ours.data, len), &decoded), QK_ERR_INVALID);
    raft_free(theirs.base);
    raft_configuration_close(&configuration);
    buf_fini(&ours);
}

Test(apply, a_payload_is_exactly_its_commands)
{
    struct buf payload = BUF_INIT(4096);
    struct apply_cursor cursor;
    struct bytes command;
    bool last = false;

    apply_frame_start(&payload);
    cr_assert_eq(apply_cursor_open(buf_bytes(&payload), &cursor), QK_ERR_INVALID, "none");
    apply_frame_add(&payload, bytes_str("one"));
    apply_frame_add(&payload, bytes_str("two"));
    cr_assert_eq(apply_cursor_open(buf_bytes(&payload), &cursor), QK_OK);
    cr_assert(apply_cursor_next(&cursor, &command, &last));
    cr_assert(bytes_equal(command, bytes_str("one")) && !last);
    cr_assert(apply_cursor_next(&cursor, &command, &last));
    cr_assert(bytes_equal(command, bytes_str("two")) && last);
    cr_assert(!apply_cursor_next(&cursor, &command, &last));
    for (size_t len = 0; len < payload.len; len++)
        cr_assert_eq(apply_cursor_open(bytes_of(payload.data, len), &cursor), QK_ERR_INVALID);
    buf_put_u8(&payload, 0);
    cr_assert_eq(apply_cursor_open(buf_bytes(&payload), &cursor), QK_ERR_INVALID);
    buf_fini(&payload);
}
