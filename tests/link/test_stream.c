/* Two ends of a connection without sockets: every byte between them is in the test's hands. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "link/stream.h"
#include "secret/crypto.h"
#include "secret/secret.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len); /* tests/fuzz/fuzz_link.c */

struct end {
    struct handshake_self self;
    struct link_stream stream;
    struct buf out; /* what it wants to send */
    bool up;
    unsigned messages, pongs;
    enum qk_err err, answer;
    struct secret *token_psk;
    struct buf last;
};

static struct end ends[2];
static struct secret *psk;
static const uint8_t token_id[HANDSHAKE_TOKEN_ID_BYTES] = "a token's id 16";

static void end_init(struct end *end, uint8_t number)
{
    struct secret *identity;

    *end = (struct end){.out = {.max = 64 * MIB}, .last = {.max = 64 * MIB}};
    cr_assert_eq(x25519_keypair(&identity, end->self.pk), QK_OK);
    end->self.identity = identity;
    end->self.psk = psk;
    memset(end->self.node_id, number, NODE_ID_BYTES);
    memset(end->self.boot_id, 100 + number, BOOT_ID_BYTES);
}

static void ends_open(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    cr_assert_eq(secret_new_random(32, &psk), QK_OK);
    end_init(&ends[0], 1);
    end_init(&ends[1], 2);
}

static void streams_begin(enum frame_kind kind)
{
    ends[1].token_psk = psk;
    cr_assert_eq(link_stream_dial(&ends[0].stream, &ends[0].self, kind, ends[1].self.pk,
                                  kind == FRAME_JOIN ? token_id : NULL),
                 QK_OK);
    link_stream_accept(&ends[1].stream, &ends[1].self);
}

static void streams_end(void)
{
    for (unsigned i = 0; i < 2; i++) {
        link_stream_fini(&ends[i].stream);
        buf_reset(&ends[i].out);
        buf_reset(&ends[i].last);
        ends[i].up = false;
        ends[i].messages = ends[i].pongs = 0;
        ends[i].err = QK_OK;
    }
}

static void ends_close(void)
{
    for (unsigned i = 0; i < 2; i++) {
        struct secret *identity;

        memcpy(&identity, &ends[i].self.identity, sizeof identity);
        secret_free(identity);
        buf_fini(&ends[i].out);
        buf_fini(&ends[i].last);
    }
    secret_free(psk);
    cr_expect_eq(secret_stats().secrets_n, 0, "a secret was not freed");
    secret_arena_fini();
}

TestSuite(stream, .init = ends_open, .fini = ends_close, .timeout = 120);

static void end_event(struct end *end, enum link_stream_event event)
{
    end->up |= event == STREAM_UP;
    end->pongs += event == STREAM_PONG;
    if (event == STREAM_TOKEN) {
        cr_assert_eq(memcmp(end->stream.handshake.token_id, token_id, sizeof token_id), 0);
        cr_assert_eq(link_stream_answer(&end->stream, end->answer, end->token_psk), QK_OK);
    }
    if (event == STREAM_MESSAGE) {
        end->messages++;
        buf_reset(&end->last);
        buf_put_bytes(&end->last, end->stream.message);
    }
}

static void end_collect(struct end *end)
{
    cr_assert_eq(link_stream_output(&end->stream, 1, end->out.len + 64 * KIB, &end->out), QK_OK);
}

/* Gives `end` the bytes until it is hungry or fails; the rest stays in `in`. */
static void end_feed(struct end *end, struct buf *in)
{
    enum link_stream_event event = STREAM_QUIET;
    size_t used;

    while (end->err == QK_OK && event != STREAM_HUNGRY) {
        end->err = link_stream_feed(&end->stream, 1, buf_bytes(in), &used, &event);
        if (end->err != QK_OK)
            break;
        buf_consume(in, used);
        end_event(end, event);
    }
}

/* Until neither has anything to say. */
static void talk(void)
{
    bool busy = true;

    while (busy) {
        busy = false;
        for (unsigned i = 0; i < 2; i++) {
            if (ends[i].err != QK_OK)
                continue;
            end_collect(&ends[i]);
            busy |= ends[i].out.len > 0;
            if (ends[1 - i].err == QK_OK)
                end_feed(&ends[1 - i], &ends[i].out);
            buf_reset(&ends[i].out);
        }
    }
}

static void put_message(struct end *end, enum link_channel channel, const char *text)
{
    const struct bytes part = bytes_str(text);

    cr_assert_eq(outbox_put(&end->stream.outbox, channel, &part, 1), QK_OK);
}

Test(stream, members_and_joins_come_up_and_talk)
{
    static const enum frame_kind kinds[] = {FRAME_MEMBER, FRAME_JOIN};

    for (unsigned i = 0; i < 2; i++) {
        streams_begin(kinds[i]);
        put_message(&ends[0], LINK_JOIN, "from the first");
        talk();
        cr_assert(ends[0].up && ends[1].up);
        cr_assert(bytes_equal(buf_bytes(&ends[1].last), bytes_str("from the first")));
        put_message(&ends[1], LINK_SEAL, "from the second");
        talk();
        cr_assert(bytes_equal(buf_bytes(&ends[0].last), bytes_str("from the second")));
        cr_assert_eq(memcmp(handshake_remote_pk(&ends[1].stream.handshake), ends[0].self.pk, 32),
                     0);
        streams_end();
    }
}

Test(stream, boot_and_node_ids_are_exchanged)
{
    streams_begin(FRAME_MEMBER);
    talk();
    cr_assert_eq(memcmp(ends[1].stream.handshake.remote_node_id, ends[0].self.node_id, 16), 0);
    cr_assert_eq(memcmp(ends[1].stream.handshake.remote_boot_id, ends[0].self.boot_id, 16), 0);
    cr_assert_eq(memcmp(ends[0].stream.handshake.remote_boot_id, ends[1].self.boot_id, 16), 0);
    streams_end();
}

Test(stream, a_responder_is_not_up_before_a_first_record_of_the_initiator)
{
    struct buf first = BUF_INIT(KIB);

    streams_begin(FRAME_MEMBER);
    end_collect(&ends[0]);
    buf_put_bytes(&first, buf_bytes(&ends[0].out));
    end_feed(&ends[1], &ends[0].out);
    cr_assert(!ends[1].up, "a replayed first message would do");
    cr_assert_eq(ends[1].err, QK_OK);
    put_message(&ends[1], LINK_SEAL, "secret");
    end_collect(&ends[1]);
    cr_assert_lt(ends[1].out.len, 200, "messages wait for the proof of life");
    buf_fini(&first);
    streams_end();
}

Test(stream, pings_are_answered)
{
    streams_begin(FRAME_MEMBER);
    talk();
    link_stream_ping(&ends[0].stream, 0x1234567890abcdef);
    ends[0].pongs = 0;
    talk();
    cr_assert_eq(ends[0].pongs, 1);
    cr_assert_eq(ends[0].stream.pong_nonce, 0x1234567890abcdef);
    streams_end();
}

Test(stream, refusals_reach_the_joiner_with_their_reason)
{
    static const enum qk_err refusals[][2] = {
        {QK_ERR_NOT_FOUND, QK_ERR_NOT_FOUND},   {QK_ERR_EXPIRED, QK_ERR_EXPIRED},
        {QK_ERR_EXISTS, QK_ERR_EXISTS},         {QK_ERR_DENIED, QK_ERR_DENIED},
        {QK_ERR_SEALED, QK_ERR_SEALED},         {QK_ERR_BUSY, QK_ERR_BUSY},
        {QK_ERR_NOT_LEADER, QK_ERR_NOT_LEADER}, {QK_ERR_IO, QK_ERR_DENIED},
    };

    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        ends[1].answer = refusals[i][0];
        streams_begin(FRAME_JOIN);
        talk();
        cr_assert_eq(ends[0].err, refusals[i][1]);
        cr_assert(!ends[0].up && !ends[1].up);
        streams_end();
    }
}

Test(stream, a_joiner_with_another_psk_is_refused)
{
    struct secret *other;

    cr_assert_eq(secret_new_random(32, &other), QK_OK);
    streams_begin(FRAME_JOIN);
    ends[1].token_psk = other;
    talk();
    cr_assert_eq(ends[1].err, QK_ERR_CORRUPT);
    cr_assert(!ends[0].up && !ends[1].up);
    streams_end();
    secret_free(other);
}

/* Alters byte `at` of all that flows from `liar` to the other; false once there is no such byte. */
static bool lie_once(enum frame_kind kind, unsigned liar, size_t at)
{
    size_t passed = 0;
    bool lied = false;

    streams_begin(kind);
    put_message(&ends[0], LINK_JOIN, "first");
    put_message(&ends[1], LINK_JOIN, "second");
    for (unsigned round = 0; round < 12; round++) {
        unsigned i = round % 2;

        if (ends[i].err != QK_OK)
            break;
        end_collect(&ends[i]);
        if (i == liar && !lied && at < passed + ends[i].out.len) {
            ends[i].out.data[at - passed] ^= 0x40;
            lied = true;
        }
        passed += i == liar ? ends[i].out.len : 0;
        if (ends[1 - i].err == QK_OK)
            end_feed(&ends[1 - i], &ends[i].out);
        /* A length that grew leaves the end waiting: the clock ends that, not the parser. */
        buf_reset(&ends[i].out);
    }
    if (lied) {
        struct end *victim = &ends[1 - liar];

        cr_assert(victim->err == QK_ERR_CORRUPT || victim->err == QK_ERR_UNSUPPORTED ||
                      victim->messages == 0,
                  "byte %zu altered and nobody noticed", at);
    }
    streams_end();
    return lied;
}

Test(stream, every_byte_altered_on_the_wire_is_noticed)
{
    for (unsigned kind = FRAME_MEMBER; kind <= FRAME_JOIN; kind++)
        for (unsigned liar = 0; liar < 2; liar++) {
            size_t at = 0;

            while (lie_once((enum frame_kind)kind, liar, at))
                at++;
            cr_assert_gt(at, 100);
        }
}

/* A first frame cut anywhere leaves a responder hungry, never up. */
Test(stream, every_cut_leaves_the_responder_waiting)
{
    struct buf first = BUF_INIT(KIB);

    streams_begin(FRAME_MEMBER);
    end_collect(&ends[0]);
    buf_put_bytes(&first, buf_bytes(&ends[0].out));
    streams_end();
    for (size_t i = 0; i < first.len; i++) {
        enum link_stream_event event;
        size_t used;

        streams_begin(FRAME_MEMBER);
        cr_assert_eq(link_stream_feed(&ends[1].stream, 1, bytes_slice(buf_bytes(&first), 0, i),
                                      &used, &event),
                     QK_OK);
        cr_assert(event == STREAM_HUNGRY && used == 0);
        streams_end();
    }
    buf_fini(&first);
}

Test(stream, what_is_not_our_protocol_is_refused_at_its_first_wrong_byte)
{
    static const struct {
        const char *text;
        size_t len;
        enum qk_err err;
    } cases[] = {
        {"G", 1, QK_ERR_CORRUPT},
        {"QKL", 3, QK_OK},
        {"QKLX", 4, QK_ERR_CORRUPT},
        {"QKLK\x02", 5, QK_ERR_UNSUPPORTED},
        {"QKLK\x01\x09", 6, QK_ERR_UNSUPPORTED},
        {"QKLK\x01\x01\xff\xff", 8, QK_ERR_CORRUPT},
        {"QKLK\x01\x01\x00\x00................", 24, QK_ERR_CORRUPT},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        enum link_stream_event event;
        size_t used;

        streams_begin(FRAME_MEMBER);
        cr_assert_eq(link_stream_feed(&ends[1].stream, 1, bytes_of(cases[i].text, cases[i].len),
                                      &used, &event),
                     cases[i].err, "case %zu", i);
        streams_end();
    }
}

/* mac1 is checked before any key is touched: a bad one leaves the handshake unbegun. */
Test(stream, a_bad_mac1_costs_no_diffie_hellman)
{
    streams_begin(FRAME_MEMBER);
    end_collect(&ends[0]);
    ends[0].out.data[ends[0].out.len - 1] ^= 1;
    end_feed(&ends[1], &ends[0].out);
    cr_assert_eq(ends[1].err, QK_ERR_CORRUPT);
    cr_assert(!ends[1].stream.handshake.begun);
    streams_end();
}

/* --- records that a peer may forge under the right key --- */

static const struct {
    const char *name;
    uint8_t body[16];
    uint8_t len, kind;
} forged[] = {
    {"unknown kind", {0}, 0, 9},
    {"short ping", {0}, 7, 1},
    {"long pong", {0}, 9, 2},
    {"no channel", {0}, 0, 3},
    {"channel 0", {0, 0, 0, 0, 0}, 5, 3},
    {"channel 7", {7, 0, 0, 0, 0}, 5, 3},
    {"total over the limit", {1, 1, 0, 0, 1, 'x'}, 6, 3},
    {"more data than total", {1, 0, 0, 0, 1, 'x', 'y'}, 7, 3},
    {"a first piece without data of a message with some", {1, 0, 0, 0, 9}, 5, 3},
    {"more without first", {1, 'x'}, 2, 4},
    {"more on channel 7", {7, 'x'}, 2, 4},
};

Test(stream, forged_records_are_corrupt)
{
    for (size_t i = 0; i < sizeof forged / sizeof forged[0]; i++) {
        streams_begin(FRAME_MEMBER);
        talk();
        cr_assert(ends[1].up);
        cr_assert_eq(session_seal(&ends[0].stream.session, 1, forged[i].kind, BYTES_NONE,
                                  bytes_of(forged[i].body, forged[i].len), &ends[0].out),
                     QK_OK);
        end_feed(&ends[1], &ends[0].out);
        cr_assert_eq(ends[1].err, QK_ERR_CORRUPT, "%s", forged[i].name);
        streams_end();
    }
}

Test(stream, a_first_piece_inside_an_open_message_is_corrupt)
{
    static const uint8_t first[] = {1, 0, 0, 0, 9, 'x'};

    streams_begin(FRAME_MEMBER);
    talk();
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(session_seal(&ends[0].stream.session, 1, 3, BYTES_NONE,
                                  bytes_of(first, sizeof first), &ends[0].out),
                     QK_OK);
    end_feed(&ends[1], &ends[0].out);
    cr_assert_eq(ends[1].err, QK_ERR_CORRUPT);
    streams_end();
}

/* --- the fuzz target with its seeds, mutated a little --- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

Test(fuzz_link, seeds_and_mutations_neither_crash_nor_leak, .timeout = 60)
{
    static const char seed[] = "QKLK\x01\x01\x00\x80 some text that is no handshake at all, and "
                               "then some\x00\x05\x03\x01\x00\x00\x00\x01x\x00\x09\x01";
    uint64_t state = 88172645463325252u;
    uint8_t input[600];

    for (unsigned i = 0; i < 4000; i++) {
        size_t len = next_random(&state) % sizeof input;

        for (size_t at = 0; at < len; at++)
            input[at] = next_random(&state) % 4 == 0 ? (uint8_t)next_random(&state)
                                                     : (uint8_t)seed[at % sizeof seed];
        if (len > 0)
            input[0] = (uint8_t)i;
        if (len > 6 && i % 5 == 4) { /* a plausible first record */
            static const uint8_t head[] = {0, 8, 3, 1, 0, 0, 0, 9};

            memcpy(input + 1, head, len - 1 < sizeof head ? len - 1 : sizeof head);
        }
        (void)LLVMFuzzerTestOneInput(input, len);
    }
}
