/* Outbox, inbox and the token buckets: pure. */
#include <criterion/criterion.h>

#include <string.h>

#include "link/bucket.h"
#include "link/inbox.h"
#include "link/outbox.h"

static enum qk_err put(struct outbox *outbox, enum link_channel channel, size_t len)
{
    static uint8_t data[LINK_MESSAGE_BYTES_MAX + 1];
    const struct bytes part = bytes_of(data, len);

    return outbox_put(outbox, channel, &part, 1);
}

static enum link_channel take(struct outbox *outbox, size_t len_max)
{
    struct outbox_piece piece = outbox_next(outbox, len_max);

    outbox_taken(outbox, &piece);
    return piece.channel;
}

Test(outbox, bulk_gets_one_turn_in_eight_and_is_never_starved)
{
    struct outbox outbox = {.bytes = 0};
    unsigned bulk = 0;

    cr_assert_eq(put(&outbox, LINK_SNAPSHOT, 1000), QK_OK);
    for (unsigned i = 0; i < 200; i++)
        cr_assert_eq(put(&outbox, LINK_RAFT, 10), QK_OK);
    for (unsigned i = 0; i < 80; i++)
        bulk += take(&outbox, 10) == LINK_SNAPSHOT;
    cr_assert_eq(bulk, 10);
    outbox_fini(&outbox);
    cr_assert(outbox_is_empty(&outbox));
}

Test(outbox, urgent_channels_take_turns)
{
    struct outbox outbox = {.bytes = 0};
    unsigned counts[LINK_CHANNEL_MAX + 1] = {0};

    for (unsigned i = 0; i < 30; i++) {
        cr_assert_eq(put(&outbox, LINK_RAFT, 10), QK_OK);
        cr_assert_eq(put(&outbox, LINK_SEAL, 10), QK_OK);
        cr_assert_eq(put(&outbox, LINK_FORWARD, 10), QK_OK);
    }
    for (unsigned i = 0; i < 30; i++)
        counts[take(&outbox, 100)]++;
    cr_assert(counts[LINK_RAFT] == 10 && counts[LINK_SEAL] == 10 && counts[LINK_FORWARD] == 10);
    outbox_fini(&outbox);
}

Test(outbox, limits_hold_and_what_is_taken_makes_room)
{
    struct outbox outbox = {.bytes = 0};
    unsigned n = 0;

    cr_assert_eq(put(&outbox, LINK_RAFT, LINK_MESSAGE_BYTES_MAX + 1), QK_ERR_TOO_BIG);
    cr_assert_eq(put(&outbox, LINK_SNAPSHOT, LINK_MESSAGE_BYTES_MAX),
                 QK_OK); /* alone, any length */
    cr_assert_eq(put(&outbox, LINK_SNAPSHOT, 1), QK_ERR_BUSY);
    while (put(&outbox, LINK_RAFT, MIB) == QK_OK)
        n++;
    cr_assert_eq(n, 47); /* 64 MiB less the 16, less the messages' own cost */
    cr_assert_leq(outbox.bytes, LINK_QUEUE_BYTES_MAX);
    cr_assert_eq(put(&outbox, LINK_RAFT, MIB), QK_ERR_BUSY);
    cr_assert_eq(take(&outbox, SIZE_MAX), LINK_RAFT);
    cr_assert_eq(put(&outbox, LINK_RAFT, MIB), QK_OK);
    while (!outbox_is_empty(&outbox))
        (void)take(&outbox, SIZE_MAX);
    cr_assert_eq(outbox.bytes, 0);
    cr_assert_eq(outbox.bulk_bytes, 0);
    outbox_fini(&outbox);
}

Test(outbox, a_flood_of_empty_messages_is_bounded)
{
    struct outbox outbox = {.bytes = 0};
    unsigned n = 0;

    while (put(&outbox, LINK_RAFT, 0) == QK_OK)
        n++;
    cr_assert_leq(n, 4 * MIB);
    outbox_fini(&outbox);
}

Test(inbox, pieces_of_several_channels_interleave)
{
    struct inbox inbox;
    struct bytes message;
    bool whole;

    inbox_init(&inbox);
    cr_assert_eq(inbox_first(&inbox, 2, 4, bytes_str("ab"), &whole, &message), QK_OK);
    cr_assert(!whole);
    cr_assert_eq(inbox_first(&inbox, 1, 3, bytes_str("xyz"), &whole, &message), QK_OK);
    cr_assert(whole && bytes_equal(message, bytes_str("xyz")));
    inbox_done(&inbox, 1);
    cr_assert_eq(inbox_more(&inbox, 2, bytes_str("cd"), &whole, &message), QK_OK);
    cr_assert(whole && bytes_equal(message, bytes_str("abcd")));
    inbox_done(&inbox, 2);
    cr_assert_eq(inbox_more(&inbox, 2, bytes_str("e"), &whole, &message), QK_ERR_CORRUPT);
    inbox_fini(&inbox);
}

Test(inbox, more_than_the_total_is_corrupt)
{
    struct inbox inbox;
    struct bytes message;
    bool whole;

    inbox_init(&inbox);
    cr_assert_eq(inbox_first(&inbox, 1, 3, bytes_str("ab"), &whole, &message), QK_OK);
    cr_assert_eq(inbox_more(&inbox, 1, BYTES_NONE, &whole, &message), QK_ERR_CORRUPT);
    cr_assert_eq(inbox_more(&inbox, 1, bytes_str("cd"), &whole, &message), QK_ERR_CORRUPT);
    cr_assert_eq(
        inbox_first(&inbox, 1, LINK_MESSAGE_BYTES_MAX + 1, bytes_str("ab"), &whole, &message),
        QK_ERR_CORRUPT);
    inbox_fini(&inbox);
}

Test(bucket, burst_then_rate_then_full_again)
{
    static const uint8_t address[BUCKET_ADDRESS_BYTES] = {1};
    struct bucket_table table;
    unsigned n = 0;

    bucket_init(&table, 8, 4);
    while (bucket_take(&table, address, 1000))
        n++;
    cr_assert_eq(n, 8);
    cr_assert(!bucket_take(&table, address, 1249));
    cr_assert(bucket_take(&table, address, 1250)); /* a quarter of a second later, one more */
    cr_assert(!bucket_take(&table, address, 1250));
    cr_assert(!bucket_take(&table, address, 5), "a clock that steps back gives nothing");
    for (n = 0; bucket_take(&table, address, UINT64_MAX); n++)
        cr_assert_lt(n, 8);
    cr_assert_eq(n, 8);
}

Test(bucket, a_full_table_forgets_the_longest_silent)
{
    struct bucket_table table;
    uint8_t address[BUCKET_ADDRESS_BYTES] = {0};

    bucket_init(&table, 1, 1);
    for (unsigned i = 0; i < BUCKET_ADDRESSES_MAX + 100; i++) {
        address[0] = (uint8_t)i;
        address[1] = (uint8_t)(i >> 8);
        cr_assert(bucket_take(&table, address, i));
        cr_assert(!bucket_take(&table, address, i));
    }
    cr_assert_eq(table.used_n, BUCKET_ADDRESSES_MAX);
}
