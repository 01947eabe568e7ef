/* Over 500 lines: the packing of each kind stands beside its unpacking. */
#include "wire/peer.h"

#include <assert.h>
#include <string.h>

#include "wire/pack.h"

/* Fields of each kind, without version and kind: the array's length is two more. */
static const uint8_t fields_n[] = {
    [PEER_HELLO] = 19,      [PEER_WANT] = 6,        [PEER_RELEASE] = 5,
    [PEER_SHARE] = 4,       [PEER_DENY] = 3,        [PEER_RECORD_WANT] = 1,
    [PEER_RECORD] = 1,      [PEER_COLLECT] = 1,     [PEER_PART] = 4,
    [PEER_CHECK] = 2,       [PEER_ACK] = 3,         [PEER_JOIN_REQUEST] = 7,
    [PEER_JOIN_ACCEPT] = 6, [PEER_JOIN_REFUSE] = 3, [PEER_JOIN_FORWARD] = 9,
    [PEER_MEMBERS] = 2,     [PEER_SEAL_ALL] = 2,    [PEER_SEALED] = 2,
    [PEER_SUMS_WANT] = 4,   [PEER_SUMS] = 5,        [PEER_ROWS_WANT] = 4,
    [PEER_ROWS] = 6,
};
#define JOIN_AES 0x10000u /* beside the version */
#define KINDS_N (sizeof(fields_n) / sizeof(fields_n[0]))

/* --- packing --------------------------------------------------------------------------------- */

static void put_fixed(struct buf *out, const uint8_t *data, size_t len)
{
    pack_bin(out, bytes_of(data, len));
}

static void put_hello(struct buf *out, const struct peer_hello *hello)
{
    put_fixed(out, hello->node_id, NODE_ID_BYTES);
    put_fixed(out, hello->boot_id, BOOT_ID_BYTES);
    pack_u64(out, hello->boot_counter);
    put_fixed(out, hello->nonce, PEER_NONCE_BYTES);
    put_fixed(out, hello->echo, PEER_NONCE_BYTES);
    put_fixed(out, hello->deal_id, DEAL_ID_BYTES);
    pack_u64(out, hello->epoch);
    pack_u64(out, hello->gen);
    pack_u64(out, hello->control);
    pack_u64(out, hello->raft_id);
    pack_u64(out, hello->term);
    pack_u64(out, hello->index);
    pack_u64(out, (uint64_t)hello->state | (hello->share ? 0x100u : 0) |
                      (hello->by_record ? 0x200u : 0) | (hello->ask ? 0x400u : 0) |
                      (hello->aes ? 0x800u : 0));
    pack_u64(out, hello->version);
    pack_u64(out, hello->stored);
    pack_u64(out, hello->made);
    pack_u64(out, hello->known);
    pack_u64(out, hello->at);
    pack_u64(out, hello->at_term);
}

static void put_want(struct buf *out, const struct peer_want *want)
{
    put_fixed(out, want->deal_id, DEAL_ID_BYTES);
    pack_u64(out, want->epoch);
    pack_u64(out, want->x);
    pack_u64(out, want->gen);
    put_fixed(out, want->echo, PEER_NONCE_BYTES);
    pack_u64(out, want->what);
}

static void put_release(struct buf *out, const struct peer_release *release)
{
    put_fixed(out, release->deal_id, DEAL_ID_BYTES);
    pack_u64(out, release->x);
    pack_u64(out, release->gen);
    put_fixed(out, release->echo, PEER_NONCE_BYTES);
    pack_bin(out, release->key);
}

static void put_share(struct buf *out, const struct peer_share *share)
{
    put_fixed(out, share->deal_id, DEAL_ID_BYTES);
    pack_u64(out, share->x);
    put_fixed(out, share->echo, PEER_NONCE_BYTES);
    pack_bin(out, share->share);
}

static void put_join_request(struct buf *out, const struct peer_join_request *join)
{
    put_fixed(out, join->node_id, NODE_ID_BYTES);
    put_fixed(out, join->noise_pk, sizeof(join->noise_pk));
    pack_str(out, join->name);
    pack_str(out, join->peer_address);
    pack_str(out, join->client_address);
    pack_u64(out, join->version | (join->aes ? JOIN_AES : 0));
    put_fixed(out, join->gives_up, NODE_ID_BYTES);
}

static void put_members(struct buf *out, const struct peer_join_member *members, unsigned n)
{
    pack_array(out, n);
    for (unsigned i = 0; i < n; i++) {
        const struct peer_join_member *member = &members[i];

        pack_array(out, 4);
        put_fixed(out, member->node_id, NODE_ID_BYTES);
        put_fixed(out, member->noise_pk, sizeof(member->noise_pk));
        pack_u64(out, member->raft_id);
        pack_str(out, member->peer_address);
    }
}

static void put_join_accept(struct buf *out, const struct peer_join_accept *accept)
{
    pack_u64(out, accept->request);
    put_fixed(out, accept->cluster_id, CLUSTER_ID_BYTES);
    pack_u64(out, accept->x);
    pack_u64(out, accept->raft_id);
    pack_bin(out, accept->psk);
    put_members(out, accept->members, accept->members_n);
}

static void put_sums(struct buf *out, const struct peer_message *message)
{
    const struct peer_sums_want *want = &message->as.sums_want;
    const struct peer_sums *sums = &message->as.sums;

    if (message->kind == PEER_SUMS_WANT) {
        pack_u64(out, want->request);
        pack_u64(out, want->detail);
        pack_u64(out, want->index);
        put_fixed(out, want->database, DATABASE_ID_BYTES);
        return;
    }
    pack_u64(out, sums->request);
    pack_u64(out, sums->detail);
    pack_u64(out, sums->standing);
    pack_u64(out, sums->index);
    pack_bin(out, sums->sums);
}

static void put_rows(struct buf *out, const struct peer_message *message)
{
    const struct peer_rows_want *want = &message->as.rows_want;
    const struct peer_rows *rows = &message->as.rows;

    if (message->kind == PEER_ROWS_WANT) {
        pack_u64(out, want->request);
        put_fixed(out, want->database, DATABASE_ID_BYTES);
        pack_u64(out, want->buckets);
        pack_bin(out, want->from);
        return;
    }
    pack_u64(out, rows->request);
    pack_u64(out, rows->index);
    pack_u64(out, rows->stamp);
    pack_bool(out, rows->end);
    pack_bin(out, rows->next);
    pack_bin(out, rows->rows);
}

static void put_rest(struct buf *out, const struct peer_message *message)
{
    switch (message->kind) {
    case PEER_DENY:
        put_fixed(out, message->as.deny.deal_id, DEAL_ID_BYTES);
        pack_u64(out, message->as.deny.rule);
        pack_u64(out, message->as.deny.retry_ms);
        break;
    case PEER_RECORD_WANT:
        pack_u64(out, message->as.record_want.epoch);
        break;
    case PEER_RECORD:
        pack_bin(out, message->as.record.record);
        break;
    case PEER_COLLECT:
        pack_u64(out, message->as.collect.attempt);
        break;
    case PEER_PART:
        pack_u64(out, message->as.part.attempt);
        pack_u64(out, message->as.part.gen);
        pack_bin(out, message->as.part.d);
        pack_bin(out, message->as.part.p);
        break;
    case PEER_CHECK:
        put_fixed(out, message->as.check.deal_id, DEAL_ID_BYTES);
        pack_u64(out, message->as.check.epoch);
        break;
    case PEER_ACK:
        put_fixed(out, message->as.ack.deal_id, DEAL_ID_BYTES);
        pack_u64(out, message->as.ack.epoch);
        pack_u64(out, message->as.ack.oldest);
        break;
    case PEER_JOIN_REFUSE:
        pack_u64(out, message->as.join_refuse.request);
        pack_u64(out, message->as.join_refuse.err);
        pack_str(out, message->as.join_refuse.reason);
        break;
    case PEER_JOIN_FORWARD:
        pack_u64(out, message->as.join_forward.request);
        put_fixed(out, message->as.join_forward.token_id, 16);
        put_join_request(out, &message->as.join_forward.join);
        break;
    case PEER_MEMBERS:
        pack_u64(out, message->as.members.ask);
        put_members(out, message->as.members.members, message->as.members.members_n);
        break;
    case PEER_SEAL_ALL:
        pack_u64(out, message->as.seal_all.request);
        pack_bool(out, message->as.seal_all.hold);
        break;
    case PEER_SEALED:
        pack_u64(out, message->as.sealed.request);
        pack_bool(out, message->as.sealed.sealed);
        break;
    case PEER_SUMS_WANT:
    case PEER_SUMS:
        put_sums(out, message);
        break;
    case PEER_ROWS_WANT:
    case PEER_ROWS:
        put_rows(out, message);
        break;
    case PEER_HELLO:
    case PEER_WANT:
    case PEER_RELEASE:
    case PEER_SHARE:
    case PEER_JOIN_REQUEST:
    case PEER_JOIN_ACCEPT:
        break;
    }
}

enum qk_err peer_encode(const struct peer_message *message, struct buf *out)
{
    assert(message != NULL && out != NULL);
    assert(message->kind >= PEER_HELLO && message->kind < KINDS_N);

    pack_array(out, fields_n[message->kind] + 2u);
    pack_u64(out, PEER_VERSION);
    pack_u64(out, message->kind);
    if (message->kind == PEER_HELLO)
        put_hello(out, &message->as.hello);
    else if (message->kind == PEER_WANT)
        put_want(out, &message->as.want);
    else if (message->kind == PEER_RELEASE)
        put_release(out, &message->as.release);
    else if (message->kind == PEER_SHARE)
        put_share(out, &message->as.share);
    else if (message->kind == PEER_JOIN_REQUEST)
        put_join_request(out, &message->as.join_request);
    else if (message->kind == PEER_JOIN_ACCEPT)
        put_join_accept(out, &message->as.join_accept);
    else
        put_rest(out, message);
    return buf_error(out);
}

/* --- unpacking ------------------------------------------------------------------------------- */

static struct bytes get_exact(struct unpack *in, size_t len)
{
    struct bytes bytes = unpack_bin(in, len);

    if (unpack_error(in) == QK_OK && bytes.len != len)
        in->failed = QK_ERR_INVALID;
    return bytes;
}

static void get_hello(struct unpack *in, struct peer_hello *hello)
{
    uint64_t state;

    unpack_bin_copy(in, hello->node_id, NODE_ID_BYTES);
    unpack_bin_copy(in, hello->boot_id, BOOT_ID_BYTES);
    hello->boot_counter = unpack_u64(in);
    unpack_bin_copy(in, hello->nonce, PEER_NONCE_BYTES);
    unpack_bin_copy(in, hello->echo, PEER_NONCE_BYTES);
    unpack_bin_copy(in, hello->deal_id, DEAL_ID_BYTES);
    hello->epoch = unpack_u64(in);
    hello->gen = unpack_u64(in);
    hello->control = unpack_u64(in);
    hello->raft_id = unpack_u64(in);
    hello->term = unpack_u64(in);
    hello->index = unpack_u64(in);
    state = unpack_u64_max(in, 0xfff);
    hello->state = (uint8_t)(state & 0xff);
    hello->share = (state & 0x100) != 0;
    hello->by_record = (state & 0x200) != 0;
    hello->ask = (state & 0x400) != 0;
    hello->aes = (state & 0x800) != 0;
    hello->version = (uint16_t)unpack_u64_max(in, UINT16_MAX);
    hello->stored = unpack_u64(in);
    hello->made = unpack_u64(in);
    hello->known = unpack_u64(in);
    hello->at = unpack_u64(in);
    hello->at_term = unpack_u64(in);
}

static void get_want(struct unpack *in, struct peer_want *want)
{
    unpack_bin_copy(in, want->deal_id, DEAL_ID_BYTES);
    want->epoch = unpack_u64(in);
    want->x = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    want->gen = unpack_u64(in);
    unpack_bin_copy(in, want->echo, PEER_NONCE_BYTES);
    want->what = (uint8_t)unpack_u64_max(in, PEER_WANT_RELEASE | PEER_WANT_SHARE);
}

static void get_release(struct unpack *in, struct peer_release *release)
{
    unpack_bin_copy(in, release->deal_id, DEAL_ID_BYTES);
    release->x = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    release->gen = unpack_u64(in);
    unpack_bin_copy(in, release->echo, PEER_NONCE_BYTES);
    release->key = get_exact(in, PEER_KEY_BYTES);
}

static void get_share(struct unpack *in, struct peer_share *share)
{
    unpack_bin_copy(in, share->deal_id, DEAL_ID_BYTES);
    share->x = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    unpack_bin_copy(in, share->echo, PEER_NONCE_BYTES);
    share->share = get_exact(in, PEER_SHARE_BYTES);
}

static void get_join_request(struct unpack *in, struct peer_join_request *join)
{
    uint64_t version;

    unpack_bin_copy(in, join->node_id, NODE_ID_BYTES);
    unpack_bin_copy(in, join->noise_pk, sizeof(join->noise_pk));
    join->name = unpack_str(in, NODE_NAME_BYTES_MAX);
    join->peer_address = unpack_str(in, ADDRESS_BYTES_MAX);
    join->client_address = unpack_str(in, ADDRESS_BYTES_MAX);
    version = unpack_u64_max(in, UINT16_MAX | JOIN_AES);
    join->version = (uint16_t)version;
    join->aes = (version & JOIN_AES) != 0;
    unpack_bin_copy(in, join->gives_up, NODE_ID_BYTES);
}

static unsigned get_members(struct unpack *in, struct peer_join_member members[static NODES_MAX])
{
    unsigned n = unpack_array(in, NODES_MAX);

    for (unsigned i = 0; i < n; i++) {
        struct peer_join_member *member = &members[i];

        unpack_array_of(in, 4);
        unpack_bin_copy(in, member->node_id, NODE_ID_BYTES);
        unpack_bin_copy(in, member->noise_pk, sizeof(member->noise_pk));
        member->raft_id = unpack_u64(in);
        member->peer_address = unpack_str(in, ADDRESS_BYTES_MAX);
    }
    return n;
}

static void get_join_accept(struct unpack *in, struct peer_join_accept *accept)
{
    accept->request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    unpack_bin_copy(in, accept->cluster_id, CLUSTER_ID_BYTES);
    accept->x = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    accept->raft_id = unpack_u64(in);
    accept->psk = get_exact(in, PEER_KEY_BYTES);
    accept->members_n = get_members(in, accept->members);
}

static void get_sums(struct unpack *in, struct peer_message *message)
{
    struct peer_sums_want *want = &message->as.sums_want;
    struct peer_sums *sums = &message->as.sums;

    if (message->kind == PEER_SUMS_WANT) {
        want->request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        want->detail = (uint8_t)unpack_u64_max(in, PEER_SUMS_BUCKETS);
        want->index = unpack_u64(in);
        unpack_bin_copy(in, want->database, DATABASE_ID_BYTES);
        return;
    }
    sums->request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    sums->detail = (uint8_t)unpack_u64_max(in, PEER_SUMS_BUCKETS);
    sums->standing = (uint8_t)unpack_u64_max(in, UINT8_MAX);
    sums->index = unpack_u64(in);
    sums->sums = unpack_bin(in, PEER_MESSAGE_BYTES_MAX);
}

static void get_rows(struct unpack *in, struct peer_message *message)
{
    struct peer_rows_want *want = &message->as.rows_want;
    struct peer_rows *rows = &message->as.rows;

    if (message->kind == PEER_ROWS_WANT) {
        want->request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        unpack_bin_copy(in, want->database, DATABASE_ID_BYTES);
        want->buckets = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        want->from = unpack_bin(in, RECORD_KEY_BYTES_MAX - DATABASE_ID_BYTES);
        return;
    }
    rows->request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
    rows->index = unpack_u64(in);
    rows->stamp = unpack_u64(in);
    rows->end = unpack_bool(in);
    rows->next = unpack_bin(in, RECORD_KEY_BYTES_MAX - DATABASE_ID_BYTES);
    rows->rows = unpack_bin(in, PEER_MESSAGE_BYTES_MAX);
}

static void get_small(struct unpack *in, struct peer_message *message)
{
    switch (message->kind) {
    case PEER_DENY:
        unpack_bin_copy(in, message->as.deny.deal_id, DEAL_ID_BYTES);
        message->as.deny.rule = (uint8_t)unpack_u64_max(in, UINT8_MAX);
        message->as.deny.retry_ms = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        break;
    case PEER_RECORD_WANT:
        message->as.record_want.epoch = unpack_u64(in);
        break;
    case PEER_RECORD:
        message->as.record.record = unpack_bin(in, PEER_MESSAGE_BYTES_MAX);
        break;
    case PEER_COLLECT:
        message->as.collect.attempt = unpack_u64(in);
        break;
    case PEER_PART:
        message->as.part.attempt = unpack_u64(in);
        message->as.part.gen = unpack_u64(in);
        message->as.part.d = get_exact(in, PEER_KEY_BYTES);
        message->as.part.p = get_exact(in, PEER_KEY_BYTES);
        break;
    case PEER_CHECK:
        unpack_bin_copy(in, message->as.check.deal_id, DEAL_ID_BYTES);
        message->as.check.epoch = unpack_u64(in);
        break;
    case PEER_ACK:
        unpack_bin_copy(in, message->as.ack.deal_id, DEAL_ID_BYTES);
        message->as.ack.epoch = unpack_u64(in);
        message->as.ack.oldest = unpack_u64(in);
        break;
    case PEER_JOIN_REFUSE:
        message->as.join_refuse.request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        message->as.join_refuse.err = (uint8_t)unpack_u64_max(in, UINT8_MAX);
        message->as.join_refuse.reason = unpack_str(in, PEER_REASON_BYTES_MAX);
        break;
    case PEER_JOIN_FORWARD:
        message->as.join_forward.request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        unpack_bin_copy(in, message->as.join_forward.token_id, 16);
        get_join_request(in, &message->as.join_forward.join);
        break;
    case PEER_MEMBERS:
        message->as.members.ask = unpack_u64_max(in, 1) == 1;
        message->as.members.members_n = get_members(in, message->as.members.members);
        break;
    case PEER_SEAL_ALL:
        message->as.seal_all.request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        message->as.seal_all.hold = unpack_bool(in);
        break;
    case PEER_SEALED:
        message->as.sealed.request = (uint32_t)unpack_u64_max(in, UINT32_MAX);
        message->as.sealed.sealed = unpack_bool(in);
        break;
    case PEER_SUMS_WANT:
    case PEER_SUMS:
        get_sums(in, message);
        break;
    case PEER_ROWS_WANT:
    case PEER_ROWS:
        get_rows(in, message);
        break;
    case PEER_HELLO:
    case PEER_WANT:
    case PEER_RELEASE:
    case PEER_SHARE:
    case PEER_JOIN_REQUEST:
    case PEER_JOIN_ACCEPT:
        break;
    }
}

static void get_body(struct unpack *in, struct peer_message *message)
{
    if (message->kind == PEER_HELLO)
        get_hello(in, &message->as.hello);
    else if (message->kind == PEER_WANT)
        get_want(in, &message->as.want);
    else if (message->kind == PEER_RELEASE)
        get_release(in, &message->as.release);
    else if (message->kind == PEER_SHARE)
        get_share(in, &message->as.share);
    else if (message->kind == PEER_JOIN_REQUEST)
        get_join_request(in, &message->as.join_request);
    else if (message->kind == PEER_JOIN_ACCEPT)
        get_join_accept(in, &message->as.join_accept);
    else
        get_small(in, message);
}

enum qk_err peer_decode(struct bytes in, struct peer_message *ret_message)
{
    struct unpack unpack = unpack_of(in);
    struct peer_message message;
    uint32_t items_n;
    uint64_t version, kind;
    enum qk_err err;

    assert(ret_message != NULL);

    if (in.len > PEER_MESSAGE_BYTES_MAX)
        return QK_ERR_INVALID;
    items_n = unpack_array(&unpack, 32);
    version = unpack_u64(&unpack);
    kind = unpack_u64(&unpack);
    if (unpack_error(&unpack) != QK_OK)
        return QK_ERR_INVALID;
    if (version != PEER_VERSION || kind < PEER_HELLO || kind >= KINDS_N)
        return QK_ERR_UNSUPPORTED;
    if (items_n != fields_n[kind] + 2u)
        return QK_ERR_INVALID;
    memset(&message, 0, sizeof(message));
    message.kind = (enum peer_kind)kind;
    get_body(&unpack, &message);
    err = unpack_end(&unpack);
    if (err != QK_OK)
        return QK_ERR_INVALID;
    *ret_message = message;
    return QK_OK;
}
