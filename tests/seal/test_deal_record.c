#include <criterion/criterion.h>

#include <string.h>

#include "seal/deal_record.h"

#define NODES 5

static struct secret *mk;

static void set_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(DEAL_MK_BYTES, &mk), QK_OK);
}

static void tear_down(void)
{
    secret_free(mk);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(deal_record, .init = set_up, .fini = tear_down);

/* The members of a deal with what each one's node.sec holds, and the record. */
struct deal {
    struct deal_party parties[NODES];
    struct secret *d[NODES], *p[NODES];
    struct deal_input input;
    struct buf bytes;
    struct deal_record *record;
};

static void deal_init(struct deal *deal, size_t n, size_t t)
{
    memset(deal, 0, sizeof *deal);
    for (size_t i = 0; i < n; i++) {
        struct deal_member *member = &deal->parties[i].member;

        cr_assert_eq(secret_new_random(KEY_BYTES, &deal->d[i]), QK_OK);
        cr_assert_eq(secret_new_random(KEY_BYTES, &deal->p[i]), QK_OK);
        memset(member->node, (int)i + 1, sizeof member->node);
        memset(member->noise_pk, (int)i + 101, sizeof member->noise_pk);
        member->x = (uint32_t)(2 * i + 1);
        member->gen = 7 + i;
        deal->parties[i].d = deal->d[i];
        deal->parties[i].p = deal->p[i];
    }
    memset(deal->input.cluster, 0xc1, sizeof deal->input.cluster);
    memset(deal->input.deal, 0xd1, sizeof deal->input.deal);
    memset(deal->input.prev_deal, 0xd0, sizeof deal->input.prev_deal);
    deal->input.epoch = 3;
    deal->input.mk_version = 2;
    deal->input.t = t;
    deal->input.dealer_x = 3;
    deal->input.parties = deal->parties;
    deal->input.parties_n = n;
    deal->input.mk = mk;
    deal->bytes = BUF_INIT(DEAL_RECORD_BYTES_MAX);
}

static void deal_build(struct deal *deal)
{
    cr_assert_eq(deal_record_build(&deal->input, random_system(), &deal->bytes, NULL), QK_OK);
    cr_assert_eq(deal_record_parse(buf_bytes(&deal->bytes), &deal->record), QK_OK);
}

static void deal_fini(struct deal *deal)
{
    for (size_t i = 0; i < NODES; i++) {
        secret_free(deal->d[i]);
        secret_free(deal->p[i]);
    }
    buf_fini(&deal->bytes);
    deal_record_free(deal->record);
}

/* Member i's share, as i gets it with j's release. */
static enum qk_err own_share(const struct deal *deal, size_t i, size_t j, struct secret **ret_share)
{
    struct secret *release;
    enum qk_err err;

    cr_assert_eq(deal_release(deal->record, deal->p[j], i, j, &release), QK_OK);
    err = deal_open_slot(deal->record, deal->d[i], release, i, j, ret_share);
    secret_free(release);
    return err;
}

/* What members i and j do when they meet, both ways. */
static enum qk_err meet(const struct deal *deal, size_t i, size_t j, struct secret **ret_mk,
                        struct share_bad *ret_bad)
{
    struct secret *shares[2] = {NULL, NULL};
    uint32_t x[2] = {deal->record->members[i].x, deal->record->members[j].x};
    enum qk_err err = own_share(deal, i, j, &shares[0]);

    if (err == QK_OK)
        err = own_share(deal, j, i, &shares[1]);
    if (err == QK_OK)
        err = deal_open(deal->record, (const struct secret *const *)shares, x, 2, ret_mk, ret_bad);
    secret_free(shares[0]);
    secret_free(shares[1]);
    return err;
}

Test(deal_record, any_two_members_that_meet_rebuild_the_master_key)
{
    for (size_t n = 2; n <= NODES; n++) {
        struct deal deal;

        deal_init(&deal, n, 2);
        deal_build(&deal);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < n; j++) {
                struct secret *back;
                struct share_bad bad;

                if (i == j)
                    continue;
                cr_assert_eq(meet(&deal, i, j, &back, &bad), QK_OK);
                cr_assert(secret_equal(back, mk));
                secret_free(back);
            }
        deal_fini(&deal);
    }
}

Test(deal_record, a_threshold_of_three_needs_three)
{
    struct deal deal;
    struct secret *shares[3], *back;
    struct share_bad bad;
    uint32_t x[3] = {1, 3, 5};

    deal_init(&deal, NODES, 3);
    deal_build(&deal);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(own_share(&deal, i, (i + 1) % 3, &shares[i]), QK_OK);
    cr_assert_eq(deal_open(deal.record, (const struct secret *const *)shares, x, 2, &back, &bad),
                 QK_ERR_NO_QUORUM);
    cr_assert_eq(deal_open(deal.record, (const struct secret *const *)shares, x, 3, &back, &bad),
                 QK_OK);
    cr_assert(secret_equal(back, mk));
    secret_free(back);
    for (size_t i = 0; i < 3; i++)
        secret_free(shares[i]);
    deal_fini(&deal);
}

/* The keys of one disk in every role: own D as D, own P for any release, and each with the other.
 */
Test(deal_record, one_disk_opens_no_slot_and_two_rebuild_the_master_key)
{
    struct deal deal;
    size_t opened = 0, tried = 0;

    deal_init(&deal, 3, 2);
    deal_build(&deal);
    for (size_t disk = 0; disk < 3; disk++) {
        const struct secret *have[2] = {deal.d[disk], deal.p[disk]};

        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++)
                for (size_t key = 0; key < 4 && i != j; key++) {
                    struct secret *release, *share;

                    cr_assert_eq(deal_release(deal.record, have[key & 1], i, j, &release), QK_OK);
                    tried++;
                    opened +=
                        deal_open_slot(deal.record, have[key >> 1], release, i, j, &share) == QK_OK;
                    secret_free(release);
                    tried++; /* the key itself in the place of a release */
                    opened += deal_open_slot(deal.record, have[key >> 1], have[key & 1], i, j,
                                             &share) == QK_OK;
                }
    }
    cr_assert_eq(tried, 3 * 6 * 4 * 2);
    cr_assert_eq(opened, 0);
    {
        struct secret *back;
        struct share_bad bad;

        cr_assert_eq(meet(&deal, 0, 2, &back, &bad), QK_OK); /* so the search was real */
        cr_assert(secret_equal(back, mk));
        secret_free(back);
    }
    deal_fini(&deal);
}

Test(deal_record, has_the_documented_layout)
{
    struct deal deal;
    const uint8_t *at;

    deal_init(&deal, 3, 2);
    deal_build(&deal);
    at = deal.bytes.data;
    cr_assert_eq(memcmp(at, "QKDL\x00\x01\x01\x01", 8), 0);
    cr_assert_eq(at[8], 0xc1);
    cr_assert_eq(at[24], 0xd1);
    cr_assert_eq(at[40], 0xd0);
    cr_assert_eq(get_u64(at + 56), 3);
    cr_assert_eq(get_u32(at + 64), 2);
    cr_assert_eq(get_u16(at + 68), 2);
    cr_assert_eq(get_u16(at + 70), 3);
    cr_assert_eq(get_u32(at + 72), 3);
    at += 76 + 2 * 32;
    for (uint32_t i = 0; i < 3; i++, at += 60) {
        cr_assert_eq(at[0], i + 1);
        cr_assert_eq(get_u32(at + 16), 2 * i + 1);
        cr_assert_eq(get_u64(at + 20), 7 + i);
        cr_assert_eq(at[28], i + 101);
    }
    cr_assert_eq(at[0], 0x77); /* 011 101 110 */
    cr_assert_eq(at[1], 0x00);
    at += 2 + 6 * 80;
    cr_assert_eq(at[0], 1);
    cr_assert_eq(at[1], DEAL_KEYSLOT_CLUSTER);
    cr_assert_eq(get_u16(at + 18), 48);
    cr_assert_eq(at + 20 + 48 + 32, deal.bytes.data + deal.bytes.len);
    deal_fini(&deal);
}

Test(deal_record, cut_at_every_byte_or_extended_is_refused)
{
    struct deal deal;
    struct deal_record *record;

    deal_init(&deal, 3, 2);
    deal_build(&deal);
    for (size_t len = 0; len < deal.bytes.len; len++)
        cr_assert_eq(deal_record_parse(bytes_of(deal.bytes.data, len), &record), QK_ERR_CORRUPT);
    buf_put_u8(&deal.bytes, 0);
    cr_assert_eq(deal_record_parse(buf_bytes(&deal.bytes), &record), QK_ERR_CORRUPT);
    deal_fini(&deal);
}

/* Whatever byte is altered: either it does not parse, or a slot does not open, or the shares do not
 * fit, or the MAC is wrong. Never another MK. */
Test(deal_record, every_altered_byte_is_noticed)
{
    struct deal deal;

    deal_init(&deal, 3, 2);
    deal_build(&deal);
    for (size_t at = 0; at < deal.bytes.len; at++) {
        struct deal_record *whole = deal.record, *altered;
        struct secret *back;
        struct share_bad bad;

        deal.bytes.data[at] ^= 0x01;
        if (deal_record_parse(buf_bytes(&deal.bytes), &altered) == QK_OK) {
            deal.record = altered;
            cr_assert_neq(meet(&deal, 0, 1, &back, &bad), QK_OK, "byte %zu", at);
            deal_record_free(altered);
            deal.record = whole;
        }
        deal.bytes.data[at] ^= 0x01;
    }
    deal_fini(&deal);
}

Test(deal_record, other_versions_and_suites_are_unsupported)
{
    struct deal deal;
    struct deal_record *record;

    deal_init(&deal, 3, 2);
    deal_build(&deal);
    for (size_t at = 5; at < 8; at++) {
        deal.bytes.data[at] = 9;
        cr_assert_eq(deal_record_parse(buf_bytes(&deal.bytes), &record), QK_ERR_UNSUPPORTED);
        deal.bytes.data[at] = 1;
    }
    deal_fini(&deal);
}

Test(deal_record, a_bad_share_is_named)
{
    struct deal deal;
    struct secret *shares[3], *s;
    struct share_bad bad;
    uint32_t x[3] = {1, 3, 5}, unknown[3] = {1, 3, 4};

    deal_init(&deal, 3, 2);
    deal_build(&deal);
    for (size_t i = 0; i < 3; i++)
        cr_assert_eq(own_share(&deal, i, (i + 1) % 3, &shares[i]), QK_OK);
    cr_assert_eq(deal_verify_share(deal.record, 1, shares[1]), QK_OK);
    cr_assert_eq(deal_verify_share(deal.record, 0, shares[1]), QK_ERR_CORRUPT);
    secret_borrow_mut(shares[1])[3] ^= 1;
    secret_return_mut(shares[1]);
    cr_assert_eq(deal_verify_share(deal.record, 1, shares[1]), QK_ERR_CORRUPT);
    cr_assert_eq(deal_combine(deal.record, (const struct secret *const *)shares, x, 2, &s, &bad),
                 QK_ERR_CORRUPT);
    cr_assert(bad.n == 1 && bad.x[0] == 3);
    cr_assert_eq(deal_combine(deal.record, (const struct secret *const *)shares, x, 3, &s, &bad),
                 QK_OK);
    cr_assert(bad.n == 1 && bad.x[0] == 3);
    secret_free(s);
    cr_assert_eq(
        deal_combine(deal.record, (const struct secret *const *)shares, unknown, 3, &s, &bad),
        QK_ERR_INVALID);
    for (size_t i = 0; i < 3; i++)
        secret_free(shares[i]);
    deal_fini(&deal);
}

/* Order rule 3: with a fresh MK, two members that are away get no slots from each other. */
Test(deal_record, slots_between_absent_members_are_left_out_with_a_fresh_master_key)
{
    struct deal deal;
    struct secret *share, *back;
    struct share_bad bad;

    deal_init(&deal, 4, 2);
    deal.parties[2].absent = deal.parties[3].absent = true;
    deal.input.fresh_mk = true;
    deal_build(&deal);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            cr_assert_eq(deal_record_has_slot(deal.record, i, j), i != j && !(i >= 2 && j >= 2));
    cr_assert_eq(own_share(&deal, 2, 3, &share), QK_ERR_NOT_FOUND);
    cr_assert_eq(meet(&deal, 2, 1, &back, &bad), QK_OK);
    secret_free(back);
    cr_assert_eq(meet(&deal, 3, 0, &back, &bad), QK_OK);
    secret_free(back);
    deal_fini(&deal);
    deal_init(&deal, 2, 2);
    deal.parties[0].absent = deal.parties[1].absent = true;
    deal.input.fresh_mk = true;
    cr_assert_eq(deal_record_build(&deal.input, random_system(), &deal.bytes, NULL),
                 QK_ERR_INVALID);
    deal_fini(&deal);
}

/* A join or refresh after a rotation: the D and P of both are known to whoever kept the old MK. */
Test(deal_record, slots_between_stale_members_are_left_out_with_the_same_master_key_too)
{
    struct deal deal;

    deal_init(&deal, 4, 2);
    deal.parties[1].absent = deal.parties[2].absent = deal.parties[3].absent = true;
    deal.parties[2].stale = deal.parties[3].stale = true;
    deal_build(&deal);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            cr_assert_eq(deal_record_has_slot(deal.record, i, j), i != j && !(i >= 2 && j >= 2));
    deal_fini(&deal);
}

static void swap_parties(struct deal *deal)
{
    struct deal_party first = deal->parties[0];

    deal->parties[0] = deal->parties[2];
    deal->parties[2] = first;
}

Test(deal_record, members_may_come_in_any_order_and_the_dealer_keeps_its_share)
{
    struct deal deal;
    struct secret *dealt, *opened;
    size_t i;

    deal_init(&deal, 3, 2);
    swap_parties(&deal);
    cr_assert_eq(deal_record_build(&deal.input, random_system(), &deal.bytes, &dealt), QK_OK);
    cr_assert_eq(deal_record_parse(buf_bytes(&deal.bytes), &deal.record), QK_OK);
    cr_assert_eq(own_share(&deal, 1, 0, &opened), QK_OK);
    cr_assert(secret_equal(dealt, opened));
    cr_assert_eq(deal_record_find(deal.record, deal.parties[0].member.node, &i), QK_OK);
    cr_assert_eq(i, 2);
    cr_assert_eq(deal_record_find_noise(deal.record, deal.parties[0].member.noise_pk, &i), QK_OK);
    cr_assert_eq(i, 2);
    cr_assert_eq(deal_record_find_x(deal.record, 2, &i), QK_ERR_NOT_FOUND);
    secret_free(dealt);
    secret_free(opened);
    deal_fini(&deal);
}

Test(deal_record, impossible_input_is_refused)
{
    struct deal deal;

    for (size_t fault = 0; fault < 7; fault++) {
        deal_init(&deal, 3, 2);
        switch (fault) {
        case 0:
            deal.input.t = 4;
            break;
        case 1:
            deal.input.t = 1;
            break;
        case 2:
            deal.parties[1].member.x = deal.parties[0].member.x;
            break;
        case 3:
            deal.parties[1].member.x = 0;
            break;
        case 4:
            memcpy(deal.parties[1].member.node, deal.parties[0].member.node, NODE_ID_BYTES);
            break;
        case 5:
            deal.input.dealer_x = 99;
            break;
        default:
            deal.input.parties_n = 1;
            break;
        }
        cr_assert_eq(deal_record_build(&deal.input, random_system(), &deal.bytes, NULL),
                     QK_ERR_INVALID, "fault %zu", fault);
        cr_assert_eq(deal.bytes.len, 0);
        deal_fini(&deal);
    }
}

/* A release is for one slot of one deal between two generations. */
Test(deal_record, releases_bind_deal_and_direction)
{
    struct deal deal, next;
    struct secret *release, *share;

    deal_init(&deal, 3, 2);
    deal_build(&deal);
    cr_assert_eq(deal_release(deal.record, deal.p[1], 0, 1, &release), QK_OK);
    cr_assert_eq(deal_open_slot(deal.record, deal.d[0], release, 0, 2, &share), QK_ERR_CORRUPT);
    cr_assert_eq(deal_open_slot(deal.record, deal.d[0], release, 0, 1, &share), QK_OK);
    secret_free(share);
    deal_init(&next, 3, 2);
    for (size_t i = 0; i < 3; i++) { /* the same keys in the next deal */
        next.parties[i].d = deal.d[i];
        next.parties[i].p = deal.p[i];
    }
    next.input.deal[0] ^= 1;
    deal_build(&next);
    cr_assert_eq(deal_open_slot(next.record, deal.d[0], release, 0, 1, &share), QK_ERR_CORRUPT);
    secret_free(release);
    deal_fini(&next);
    deal_fini(&deal);
}
