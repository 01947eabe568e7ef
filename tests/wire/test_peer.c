#include "wire/peer.h"

#include <criterion/criterion.h>
#include <string.h>

#include "wire/pack.h"

static const uint8_t key32[32] = {1, 2, 3};
static const uint8_t key64[64] = {4, 5, 6};
static uint8_t record[3000];

static void fill(uint8_t *out, size_t len, uint8_t from)
{
    for (size_t i = 0; i < len; i++)
        out[i] = (uint8_t)(from + i);
}

static void sample_hello(struct peer_hello *hello)
{
    fill(hello->node_id, 16, 1);
    fill(hello->boot_id, 16, 2);
    hello->boot_counter = 77;
    fill(hello->nonce, 16, 3);
    fill(hello->echo, 16, 4);
    fill(hello->deal_id, 16, 5);
    hello->epoch = 1u << 20;
    hello->gen = 9;
    hello->control = 1;
    hello->raft_id = 3;
    hello->term = 12;
    hello->index = 1ull << 40;
    hello->stored = (1ull << 40) + 3;
    hello->made = 12;
    hello->known = 1ull << 40;
    hello->at = (1ull << 40) - 1;
    hello->at_term = 11;
    hello->state = 3;
    hello->share = true;
    hello->version = 1;
    hello->aes = true;
}

static void sample_request(struct peer_join_request *join)
{
    fill(join->node_id, 16, 6);
    fill(join->noise_pk, 32, 7);
    join->name = bytes_str("n3");
    join->peer_address = bytes_str("127.0.0.1:7703");
    join->client_address = bytes_str("127.0.0.1:7603");
    join->version = 1;
    join->aes = true;
}

static void sample_accept(struct peer_join_accept *accept)
{
    accept->request = 5;
    fill(accept->cluster_id, 16, 8);
    accept->x = 3;
    accept->raft_id = 3;
    accept->psk = bytes_of(key32, 32);
    accept->members_n = 2;
    for (unsigned i = 0; i < 2; i++) {
        fill(accept->members[i].node_id, 16, (uint8_t)(20 + i));
        fill(accept->members[i].noise_pk, 32, (uint8_t)(30 + i));
        accept->members[i].raft_id = i + 1;
        accept->members[i].peer_address = bytes_str("127.0.0.1:7701");
    }
}

static void sample_members(struct peer_members *members)
{
    members->members_n = 2;
    for (unsigned i = 0; i < 2; i++) {
        fill(members->members[i].node_id, 16, (uint8_t)(40 + i));
        fill(members->members[i].noise_pk, 32, (uint8_t)(50 + i));
        members->members[i].raft_id = i + 7;
        members->members[i].peer_address = bytes_str("127.0.0.1:7702");
    }
}

/* One message of each kind, every field set. */
static void sample_rest(struct peer_message *m)
{
    if (m->kind == PEER_SEAL_ALL)
        m->as.seal_all = (struct peer_seal_all){3, true};
    else if (m->kind == PEER_SEALED)
        m->as.sealed = (struct peer_sealed){3, true};
    else if (m->kind == PEER_SUMS_WANT) {
        m->as.sums_want = (struct peer_sums_want){.request = 3, .detail = 2, .index = 900};
        fill(m->as.sums_want.database, 16, 11);
    } else if (m->kind == PEER_SUMS)
        m->as.sums = (struct peer_sums){3, 0, 1, 900, bytes_of(key32, 32)};
    else if (m->kind == PEER_ROWS_WANT) {
        m->as.rows_want = (struct peer_rows_want){.request = 4, .buckets = 0x80000001u};
        fill(m->as.rows_want.database, 16, 12);
        m->as.rows_want.from = bytes_str("name");
    } else
        m->as.rows =
            (struct peer_rows){4, 900, 70000, false, bytes_str("next"), bytes_of(key64, 64)};
}

static struct peer_message sample(enum peer_kind kind)
{
    static struct peer_message m;

    memset(&m, 0, sizeof(m));
    m.kind = kind;
    switch (kind) {
    case PEER_HELLO:
        sample_hello(&m.as.hello);
        break;
    case PEER_WANT:
        m.as.want = (struct peer_want){.epoch = 2, .x = 70000, .gen = 4, .what = 3};
        fill(m.as.want.echo, 16, 9);
        break;
    case PEER_RELEASE:
        m.as.release = (struct peer_release){.x = 2, .gen = 300, .key = bytes_of(key32, 32)};
        break;
    case PEER_SHARE:
        m.as.share = (struct peer_share){.x = 2, .share = bytes_of(key64, 64)};
        break;
    case PEER_DENY:
        m.as.deny = (struct peer_deny){.rule = 4, .retry_ms = 2000};
        break;
    case PEER_RECORD_WANT:
        m.as.record_want.epoch = 7;
        break;
    case PEER_RECORD:
        m.as.record.record = bytes_of(record, sizeof(record));
        break;
    case PEER_COLLECT:
        m.as.collect.attempt = 5;
        break;
    case PEER_PART:
        m.as.part = (struct peer_part){5, 6, bytes_of(key32, 32), bytes_of(key32, 32)};
        break;
    case PEER_CHECK:
        m.as.check.epoch = 3;
        break;
    case PEER_ACK:
        m.as.ack.epoch = 3;
        m.as.ack.oldest = 2;
        break;
    case PEER_JOIN_REQUEST:
        sample_request(&m.as.join_request);
        break;
    case PEER_JOIN_ACCEPT:
        sample_accept(&m.as.join_accept);
        break;
    case PEER_JOIN_REFUSE:
        m.as.join_refuse = (struct peer_join_refuse){1, QK_ERR_EXISTS, bytes_str("used")};
        break;
    case PEER_JOIN_FORWARD:
        m.as.join_forward.request = 1;
        sample_request(&m.as.join_forward.join);
        break;
    case PEER_MEMBERS:
        m.as.members.ask = true;
        sample_members(&m.as.members);
        break;
    case PEER_SEAL_ALL:
    case PEER_SEALED:
    case PEER_SUMS_WANT:
    case PEER_SUMS:
    case PEER_ROWS_WANT:
    case PEER_ROWS:
        sample_rest(&m);
        break;
    }
    return m;
}

static void encode(enum peer_kind kind, struct buf *out)
{
    struct peer_message message = sample(kind);

    cr_assert_eq(peer_encode(&message, out), QK_OK);
}

Test(peer, every_kind_survives_a_round_trip)
{
    for (enum peer_kind kind = PEER_HELLO; kind <= PEER_LAST; kind++) {
        struct buf first = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
        struct buf second = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
        struct peer_message message;

        encode(kind, &first);
        cr_assert_eq(peer_decode(buf_bytes(&first), &message), QK_OK, "kind %d", (int)kind);
        cr_assert_eq(message.kind, kind);
        cr_assert_eq(peer_encode(&message, &second), QK_OK);
        cr_assert(bytes_equal(buf_bytes(&first), buf_bytes(&second)), "kind %d", (int)kind);
        buf_fini(&first);
        buf_fini(&second);
    }
}

Test(peer, hello_keeps_its_fields)
{
    struct buf out = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
    struct peer_message message, expected = sample(PEER_HELLO);

    encode(PEER_HELLO, &out);
    cr_assert_eq(peer_decode(buf_bytes(&out), &message), QK_OK);
    cr_assert_eq(message.as.hello.index, expected.as.hello.index);
    cr_assert_eq(message.as.hello.stored, expected.as.hello.stored);
    cr_assert_eq(message.as.hello.made, expected.as.hello.made);
    cr_assert_eq(message.as.hello.known, expected.as.hello.known);
    cr_assert_eq(message.as.hello.at, expected.as.hello.at);
    cr_assert_eq(message.as.hello.at_term, expected.as.hello.at_term);
    cr_assert_eq(message.as.hello.state, 3);
    cr_assert(message.as.hello.share);
    cr_assert_arr_eq(message.as.hello.echo, expected.as.hello.echo, 16);
    buf_fini(&out);
}

Test(peer, truncated_at_every_byte_is_refused)
{
    for (enum peer_kind kind = PEER_HELLO; kind <= PEER_LAST; kind++) {
        struct buf out = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
        struct peer_message message;

        encode(kind, &out);
        for (size_t len = 0; len < out.len; len++) {
            /* An exact copy, so that a sanitizer sees a read past its end. */
            uint8_t *copy = malloc(len + (len == 0));

            memcpy(copy, out.data, len);
            cr_assert_neq(peer_decode(bytes_of(copy, len), &message), QK_OK, "kind %d at %zu",
                          (int)kind, len);
            free(copy);
        }
        buf_fini(&out);
    }
}

/* A flipped byte is refused or changes a value: what is accepted encodes to something else. */
Test(peer, flipped_bytes_never_read_as_the_same_message)
{
    for (enum peer_kind kind = PEER_HELLO; kind <= PEER_LAST; kind++) {
        struct buf out = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
        struct buf again = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
        struct peer_message message;

        encode(kind, &out);
        for (size_t i = 0; i < out.len; i++) {
            out.data[i] ^= 0xff;
            if (peer_decode(buf_bytes(&out), &message) == QK_OK) {
                struct buf original = BUF_INIT(PEER_MESSAGE_BYTES_MAX);

                buf_reset(&again);
                cr_assert_eq(peer_encode(&message, &again), QK_OK);
                encode(kind, &original);
                cr_assert(!bytes_equal(buf_bytes(&again), buf_bytes(&original)), "kind %d at %zu",
                          (int)kind, i);
                buf_fini(&original);
            }
            out.data[i] ^= 0xff;
        }
        buf_fini(&out);
        buf_fini(&again);
    }
}

Test(peer, keys_of_another_length_are_refused)
{
    struct buf out = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
    struct peer_message message = sample(PEER_SHARE);

    message.as.share.share.len = 63;
    cr_assert_eq(peer_encode(&message, &out), QK_OK);
    cr_assert_eq(peer_decode(buf_bytes(&out), &message), QK_ERR_INVALID);
    buf_fini(&out);
}

Test(peer, another_version_or_an_unknown_kind_is_unsupported)
{
    struct buf out = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
    struct peer_message message;

    pack_array(&out, 3);
    pack_u64(&out, PEER_VERSION + 1);
    pack_u64(&out, PEER_COLLECT);
    pack_u64(&out, 1);
    cr_assert_eq(peer_decode(buf_bytes(&out), &message), QK_ERR_UNSUPPORTED);
    buf_reset(&out);
    pack_array(&out, 3);
    pack_u64(&out, PEER_VERSION);
    pack_u64(&out, PEER_LAST + 1);
    pack_u64(&out, 1);
    cr_assert_eq(peer_decode(buf_bytes(&out), &message), QK_ERR_UNSUPPORTED);
    buf_fini(&out);
}

Test(peer, what_follows_the_message_is_refused)
{
    struct buf out = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
    struct peer_message message;

    encode(PEER_COLLECT, &out);
    buf_put_u8(&out, 0);
    cr_assert_eq(peer_decode(buf_bytes(&out), &message), QK_ERR_INVALID);
    buf_fini(&out);
}

Test(peer, more_members_than_a_cluster_has_are_refused)
{
    struct buf out = BUF_INIT(PEER_MESSAGE_BYTES_MAX);
    struct peer_message message;

    pack_array(&out, 8);
    pack_u64(&out, PEER_VERSION);
    pack_u64(&out, PEER_JOIN_ACCEPT);
    pack_u64(&out, 0);
    pack_bin(&out, bytes_of(key32, 16));
    pack_u64(&out, 1);
    pack_u64(&out, 1);
    pack_bin(&out, bytes_of(key32, 32));
    pack_array(&out, NODES_MAX + 1);
    cr_assert_eq(peer_decode(buf_bytes(&out), &message), QK_ERR_INVALID);
    buf_fini(&out);
}
