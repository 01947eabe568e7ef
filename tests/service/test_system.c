#include "service/system.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "wire/pack.h"

#define RECORDS_N 8

static struct system_member sample_member(void)
{
    struct system_member member = {.name = "n2",
                                   .x = 2,
                                   .raft_id = 7,
                                   .noise_pk = {1, 2, 3},
                                   .peer_address = "127.0.0.1:7702",
                                   .client_address = "127.0.0.1:7602",
                                   .state = MEMBER_JOINING,
                                   .joined_s = 1700000000,
                                   .replaces = {4, 5}};

    return member;
}

/* Encodes one sample of each record. */
static void encode(unsigned which, struct buf *out)
{
    struct system_member member = sample_member();
    struct system_cluster cluster = {.name = "home",
                                     .created_s = 5,
                                     .operator_pk = {9},
                                     .threshold = 2,
                                     .release_limit = 7,
                                     .origin = {4}};
    struct system_control control = {.hold = true,
                                     .hold_number = 9,
                                     .hold_since_s = 5,
                                     .suspended_n = 2,
                                     .suspended = {{1}, {2}}};
    struct system_next next = {3, 4};
    struct system_token token = {.expiry_s = 77, .used = true, .sealed_psk = bytes_str("sealed")};
    struct system_deal_info info = {
        .attempt = 3, .new_mk = true, .parts_n = 2, .created_s = 8, .stale_n = 1};
    struct system_removal removal = {.reencrypt = true, .n = 2, .list = {{.name = "n3"}}};
    struct system_wanted wanted = {9, 2, true};

    if (which == 0)
        system_member_encode(&member, out);
    else if (which == 1)
        system_cluster_encode(&cluster, out);
    else if (which == 2)
        system_next_encode(&next, out);
    else if (which == 3)
        system_token_encode(&token, out);
    else if (which == 4)
        system_deal_info_encode(&info, out);
    else if (which == 5)
        system_control_encode(&control, out);
    else if (which == 6)
        system_removal_encode(&removal, out);
    else
        system_wanted_encode(&wanted, out);
    cr_assert_eq(buf_error(out), QK_OK);
}

static enum qk_err decode(unsigned which, struct bytes in, struct buf *again)
{
    struct system_member member;
    struct system_cluster cluster;
    struct system_next next;
    struct system_token token;
    struct system_deal_info info;
    struct system_control control;
    struct system_removal removal;
    struct system_wanted wanted;
    enum qk_err err = QK_ERR_INVALID;

    if (which == 0 && (err = system_member_decode(in, &member)) == QK_OK)
        system_member_encode(&member, again);
    else if (which == 1 && (err = system_cluster_decode(in, &cluster)) == QK_OK)
        system_cluster_encode(&cluster, again);
    else if (which == 2 && (err = system_next_decode(in, &next)) == QK_OK)
        system_next_encode(&next, again);
    else if (which == 3 && (err = system_token_decode(in, &token)) == QK_OK)
        system_token_encode(&token, again);
    else if (which == 4 && (err = system_deal_info_decode(in, &info)) == QK_OK)
        system_deal_info_encode(&info, again);
    else if (which == 5 && (err = system_control_decode(in, &control)) == QK_OK)
        system_control_encode(&control, again);
    else if (which == 6 && (err = system_removal_decode(in, &removal)) == QK_OK)
        system_removal_encode(&removal, again);
    else if (which == 7 && (err = system_wanted_decode(in, &wanted)) == QK_OK)
        system_wanted_encode(&wanted, again);
    return err;
}

Test(system, every_record_survives_a_round_trip)
{
    for (unsigned which = 0; which < RECORDS_N; which++) {
        struct buf first = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
        struct buf second = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);

        encode(which, &first);
        cr_assert_eq(decode(which, buf_bytes(&first), &second), QK_OK, "record %u", which);
        cr_assert(bytes_equal(buf_bytes(&first), buf_bytes(&second)), "record %u", which);
        buf_fini(&first);
        buf_fini(&second);
    }
}

Test(system, a_member_keeps_its_fields)
{
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_member member = sample_member(), read;

    system_member_encode(&member, &out);
    cr_assert_eq(system_member_decode(buf_bytes(&out), &read), QK_OK);
    cr_assert_str_eq(read.name, "n2");
    cr_assert_str_eq(read.peer_address, "127.0.0.1:7702");
    cr_assert_eq(read.raft_id, 7);
    cr_assert_eq(read.state, MEMBER_JOINING);
    buf_fini(&out);
}

Test(system, truncated_at_every_byte_is_refused)
{
    for (unsigned which = 0; which < RECORDS_N; which++) {
        struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
        struct buf again = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);

        encode(which, &out);
        for (size_t len = 0; len < out.len; len++) {
            uint8_t *copy = malloc(len + (len == 0));

            memcpy(copy, out.data, len);
            cr_assert_eq(decode(which, bytes_of(copy, len), &again), QK_ERR_CORRUPT,
                         "record %u at %zu", which, len);
            free(copy);
        }
        buf_fini(&out);
        buf_fini(&again);
    }
}

Test(system, flipped_bytes_never_read_as_the_same_record)
{
    for (unsigned which = 0; which < RECORDS_N; which++) {
        struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);

        encode(which, &out);
        for (size_t i = 0; i < out.len; i++) {
            struct buf original = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
            struct buf again = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);

            encode(which, &original);
            out.data[i] ^= 0xff;
            if (decode(which, buf_bytes(&out), &again) == QK_OK)
                cr_assert(!bytes_equal(buf_bytes(&again), buf_bytes(&original)), "record %u at %zu",
                          which, i);
            out.data[i] ^= 0xff;
            buf_fini(&original);
            buf_fini(&again);
        }
        buf_fini(&out);
    }
}

Test(system, fields_of_a_newer_version_are_passed_over)
{
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_next next;

    pack_array(&out, 5);
    pack_u64(&out, 1);
    pack_u64(&out, 3);
    pack_u64(&out, 4);
    pack_text(&out, "new");
    pack_map(&out, 1);
    pack_text(&out, "a");
    pack_nil(&out);
    cr_assert_eq(system_next_decode(buf_bytes(&out), &next), QK_OK);
    cr_assert_eq(next.x, 3);
    cr_assert_eq(next.raft_id, 4);
    buf_fini(&out);
}

Test(system, a_deal_s_info_of_the_first_version_has_nobody_stale)
{
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_deal_info info;

    pack_array(&out, 4);
    pack_u64(&out, 1);
    pack_u64(&out, 5);
    pack_bool(&out, true);
    pack_array(&out, 0);
    cr_assert_eq(system_deal_info_decode(buf_bytes(&out), &info), QK_OK);
    cr_assert_eq(info.attempt, 5);
    cr_assert(info.new_mk);
    cr_assert_eq(info.stale_n, 0);
    cr_assert_eq(info.created_s, 0);
    buf_fini(&out);
}

Test(system, a_record_of_the_cluster_from_before_its_newer_fields_is_read)
{
    static const uint8_t id[CLUSTER_ID_BYTES] = {4}, pk[32] = {9};
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_cluster cluster;

    pack_array(&out, 7);
    pack_u64(&out, 1);
    pack_bin(&out, bytes_of(id, sizeof(id)));
    pack_text(&out, "home");
    pack_u64(&out, 5);
    pack_bin(&out, bytes_of(pk, sizeof(pk)));
    pack_u64(&out, 0);
    pack_u64(&out, 3);
    cr_assert_eq(system_cluster_decode(buf_bytes(&out), &cluster), QK_OK);
    cr_assert_eq(cluster.unseal_quorum, 0); /* a majority */
    cr_assert_eq(cluster.threshold, 3);
    cr_assert_eq(cluster.release_limit, 0);
    buf_fini(&out);
}

Test(system, control_out_of_its_limits_is_refused)
{
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_control control = {.hold = true}, read;

    system_control_encode(&control, &out); /* a hold without a number: no unhold could name it */
    cr_assert_eq(system_control_decode(buf_bytes(&out), &read), QK_ERR_CORRUPT);
    buf_reset(&out);
    control = (struct system_control){.suspended_n = NODES_MAX};
    system_control_encode(&control, &out);
    cr_assert_eq(system_control_decode(buf_bytes(&out), &read), QK_OK);
    cr_assert_eq(read.suspended_n, NODES_MAX);
    buf_reset(&out);
    pack_array(&out, 5);
    pack_u64(&out, 1);
    pack_bool(&out, false);
    pack_u64(&out, 0);
    pack_u64(&out, 0);
    pack_array(&out, NODES_MAX + 1);
    for (unsigned i = 0; i <= NODES_MAX; i++)
        pack_bin(&out, bytes_of(control.suspended[0], NODE_ID_BYTES));
    cr_assert_eq(system_control_decode(buf_bytes(&out), &read), QK_ERR_CORRUPT);
    buf_fini(&out);
}

Test(system, ids_of_zero_are_refused)
{
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_member member = sample_member(), read;
    struct system_next next = {0, 1};

    member.x = 0;
    system_member_encode(&member, &out);
    cr_assert_eq(system_member_decode(buf_bytes(&out), &read), QK_ERR_CORRUPT);
    buf_reset(&out);
    system_next_encode(&next, &out);
    cr_assert_eq(system_next_decode(buf_bytes(&out), &next), QK_ERR_CORRUPT);
    buf_fini(&out);
}

Test(system, a_member_of_the_first_release_names_no_version)
{
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_member member = sample_member(), read;

    member.version = 2;
    system_member_encode(&member, &out);
    cr_assert_eq(system_member_decode(buf_bytes(&out), &read), QK_OK);
    cr_assert_eq(read.version, 2);
    cr_assert_eq(out.data[0], 0x9c); /* twelve items, the last three of one byte, 18 and one */
    out.data[0] = 0x99;
    cr_assert_eq(system_member_decode(bytes_of(out.data, out.len - 20), &read), QK_OK);
    cr_assert_eq(read.version, 1);
    buf_fini(&out);
}

Test(system, a_member_that_does_not_say_so_has_no_aes)
{
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_member member = sample_member(), read;

    member.aes = true;
    system_member_encode(&member, &out);
    cr_assert_eq(system_member_decode(buf_bytes(&out), &read), QK_OK);
    cr_assert(read.aes);
    out.data[out.len - 1] = 2;
    cr_assert_eq(system_member_decode(buf_bytes(&out), &read), QK_ERR_CORRUPT);
    out.data[0]--;
    cr_assert_eq(system_member_decode(bytes_of(out.data, out.len - 1), &read), QK_OK);
    cr_assert_not(read.aes);
    buf_fini(&out);
}

Test(system, a_record_that_names_nobody_to_replace_replaces_nobody)
{
    static const uint8_t none[NODE_ID_BYTES];
    struct buf out = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    struct system_member member = sample_member(), read;
    struct system_token token = {.expiry_s = 77, .replaces = {9}, .sealed_psk = bytes_str("s")};
    struct system_token token_read;

    system_member_encode(&member, &out);
    cr_assert_eq(system_member_decode(buf_bytes(&out), &read), QK_OK);
    cr_assert_eq(memcmp(read.replaces, member.replaces, NODE_ID_BYTES), 0);
    out.data[0] = 0x9a;
    cr_assert_eq(system_member_decode(bytes_of(out.data, out.len - 19), &read), QK_OK);
    cr_assert_eq(memcmp(read.replaces, none, NODE_ID_BYTES), 0);
    buf_reset(&out);
    system_token_encode(&token, &out);
    cr_assert_eq(system_token_decode(buf_bytes(&out), &token_read), QK_OK);
    cr_assert_eq(memcmp(token_read.replaces, token.replaces, NODE_ID_BYTES), 0);
    out.data[0]--;
    cr_assert_eq(system_token_decode(bytes_of(out.data, out.len - 18), &token_read), QK_OK);
    cr_assert_eq(memcmp(token_read.replaces, none, NODE_ID_BYTES), 0);
    buf_fini(&out);
}
