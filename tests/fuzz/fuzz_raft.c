/* Messages between members about the log (consensus/messages), snapshot tokens, fragments. By the
 * first byte: 0 a message, 1 a token, 2 a row of fragments (length u16 each). What decodes is
 * written again as the same bytes. */
#include "consensus/messages.h"
#include "fuzz.h"

static struct snapshot seed_snapshot(void)
{
    struct snapshot snapshot = {.index = 9, .term = 2, .members_index = 3};

    fuzz_must(members_add(&snapshot.members, 1, bytes_str("aa"), true));
    fuzz_must(members_add(&snapshot.members, 2, bytes_str("bb"), false));
    return snapshot;
}

/* By hand, as message_encode_append lays it out: the log that it reads from is not needed here. */
static void seed_append(struct buf *out)
{
    struct snapshot snapshot = seed_snapshot();
    struct buf change = BUF_INIT(4 * KIB);

    members_encode_entry(&snapshot.members, &change);
    buf_put_u8(out, 1);
    buf_put_u8(out, MESSAGE_APPEND);
    buf_put_u64(out, 5);
    buf_put_u64(out, 7);
    buf_put_u64(out, 4);
    buf_put_u64(out, 6);
    buf_put_u32(out, 3);
    for (unsigned i = 0; i < 3; i++) {
        buf_put_u64(out, 5);
        buf_put_u8(out, (uint8_t)(i + 1)); /* command, barrier, change */
        buf_put_blob(out, i == 2 ? buf_bytes(&change) : bytes_str("payload"));
    }
    buf_fini(&change);
}

static void seed_message(unsigned number, struct buf *out)
{
    const struct raft_append_entries_result result = {.term = 5, .last_log_index = 9};
    const struct raft_request_vote vote = {.term = 5, .candidate_id = 2, .pre_vote = true};
    const struct raft_request_vote_result vote_result = {.term = 5, .vote_granted = true};
    const struct raft_timeout_now timeout_now = {.term = 5, .last_log_index = 3};
    struct snapshot snapshot = seed_snapshot();

    switch (number) {
    case 0:
        seed_append(out);
        break;
    case 1:
        message_encode_append_result(&result, out);
        break;
    case 2:
        message_encode_vote(&vote, out);
        break;
    case 3:
        message_encode_vote_result(&vote_result, out);
        break;
    case 4:
        message_encode_timeout_now(&timeout_now, out);
        break;
    case 5:
        message_encode_install(3, &snapshot, out);
        break;
    default:
        message_encode_read(MESSAGE_READ_PROBE, 4, 5, out);
        break;
    }
}

static void seed_fragments(struct buf *out)
{
    const struct bytes whole = bytes_str("a message in three parts");

    for (size_t at = 0; at < whole.len; at += 10) {
        struct buf part = BUF_INIT(64);

        fragment_encode(1, whole, at, 10, &part);
        buf_put_u16(out, (uint16_t)part.len);
        buf_put_bytes(out, buf_bytes(&part));
        buf_fini(&part);
    }
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct snapshot snapshot = seed_snapshot();

    if (number >= 9)
        return false;
    buf_put_u8(out, number < 7 ? 0 : (uint8_t)(number - 6));
    if (number < 7)
        seed_message(number, out);
    else if (number == 7)
        snapshot_encode(&snapshot, out);
    else
        seed_fragments(out);
    return true;
}

static void touch_entries(const struct raft_append_entries *append)
{
    for (unsigned i = 0; i < append->n_entries; i++)
        fuzz_touch(bytes_of(append->entries[i].buf.base, append->entries[i].buf.len));
}

/* False for the one kind whose encoder needs a log. */
static bool write_again(const struct message *message, struct buf *out)
{
    switch (message->kind) {
    case MESSAGE_APPEND_RESULT:
        message_encode_append_result(&message->append_result, out);
        return true;
    case MESSAGE_VOTE:
        message_encode_vote(&message->vote, out);
        return true;
    case MESSAGE_VOTE_RESULT:
        message_encode_vote_result(&message->vote_result, out);
        return true;
    case MESSAGE_TIMEOUT_NOW:
        message_encode_timeout_now(&message->timeout_now, out);
        return true;
    case MESSAGE_INSTALL:
        message_encode_install(message->term, &message->snapshot, out);
        return true;
    case MESSAGE_READ_PROBE:
    case MESSAGE_READ_ACK:
    case MESSAGE_READ_ASK:
    case MESSAGE_READ_ANSWER:
        message_encode_read(message->kind, message->number, message->index, out);
        return true;
    case MESSAGE_APPEND:
        touch_entries(&message->append);
        return false;
    case MESSAGE_FRAGMENT:
        break;
    }
    fuzz_require(false);
    return false;
}

static void fuzz_message(struct bytes in)
{
    static struct message message;
    struct buf again = BUF_INIT(64 * KIB);

    if (message_decode(in, &message) != QK_OK)
        return;
    if (write_again(&message, &again))
        fuzz_require(bytes_equal(in, buf_bytes(&again)));
    message_fini(&message);
    buf_fini(&again);
}

static void fuzz_token(struct bytes in)
{
    static struct snapshot snapshot;
    struct raft_snapshot_metadata metadata;
    struct buf again = BUF_INIT(SNAPSHOT_TOKEN_BYTES_MAX);

    if (snapshot_decode(in, &snapshot) != QK_OK)
        return;
    snapshot_encode(&snapshot, &again);
    fuzz_require(bytes_equal(in, buf_bytes(&again)));
    fuzz_must(snapshot_to_raft(&snapshot, &metadata));
    raft_configuration_close(&metadata.configuration);
    buf_fini(&again);
}

static void fuzz_fragments(struct bytes in)
{
    struct fragments fragments;
    struct reader reader = reader_of(in);
    struct bytes whole;

    fragments_init(&fragments);
    for (;;) {
        struct bytes part = reader_bytes(&reader, reader_u16(&reader));

        if (reader_error(&reader) != QK_OK)
            break;
        if (message_is_fragment(part) && fragments_add(&fragments, part, &whole))
            fuzz_touch(whole);
    }
    fragments_fini(&fragments);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);

    if (len == 0)
        return 0;
    if (data[0] % 3 == 0)
        fuzz_message(in);
    else if (data[0] % 3 == 1)
        fuzz_token(in);
    else
        fuzz_fragments(in);
    return 0;
}
