/* Deals and node.sec when the locked arena is full. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../secret/exhaust.h"
#include "seal/deal_record.h"
#include "seal/node_sec.h"

#define MEMBERS 3

static struct secret *mk, *d[MEMBERS], *p[MEMBERS];
static struct deal_party parties[MEMBERS];
static struct deal_input input;
static struct deal_record *record;
static char folder[] = "/tmp/qk-exhaust-XXXXXX";
static char path[64];

static void set_up(void)
{
    exhaust_arena_up();
    cr_assert_eq(secret_new_random(DEAL_MK_BYTES, &mk), QK_OK);
    memset(&input, 0, sizeof input);
    for (size_t i = 0; i < MEMBERS; i++) {
        cr_assert_eq(secret_new_random(KEY_BYTES, &d[i]), QK_OK);
        cr_assert_eq(secret_new_random(KEY_BYTES, &p[i]), QK_OK);
        parties[i] = (struct deal_party){.d = d[i], .p = p[i]};
        parties[i].member.x = (uint32_t)i + 1;
        parties[i].member.gen = 1;
        memset(parties[i].member.node, (int)i + 1, NODE_ID_BYTES);
        memset(parties[i].member.noise_pk, (int)i + 1, X25519_BYTES);
    }
    memset(input.deal, 1, sizeof input.deal);
    input.epoch = 1;
    input.mk_version = 1;
    input.t = 2;
    input.dealer_x = 1;
    input.parties = parties;
    input.parties_n = MEMBERS;
    input.mk = mk;
    cr_assert_not_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/node.sec", folder);
}

static void tear_down(void)
{
    deal_record_free(record);
    secret_free(mk);
    for (size_t i = 0; i < MEMBERS; i++) {
        secret_free(d[i]);
        secret_free(p[i]);
    }
    (void)unlink(path);
    (void)rmdir(folder);
    exhaust_arena_down();
}

TestSuite(little_room, .init = set_up, .fini = tear_down);

static enum qk_err build(void)
{
    struct buf out = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    struct secret *own = NULL;
    enum qk_err err = deal_record_build(&input, random_system(), &out, &own);

    if (err == QK_OK && record == NULL)
        err = deal_record_parse(buf_bytes(&out), &record);
    secret_free(own);
    buf_fini(&out);
    return err;
}

static enum qk_err open_all(void)
{
    struct secret *release[2] = {NULL}, *shares[2] = {NULL}, *again = NULL;
    const uint32_t x[2] = {1, 2};
    struct share_bad bad = {0};
    enum qk_err err = deal_release(record, p[1], 0, 1, &release[0]);

    if (err == QK_OK)
        err = deal_release(record, p[0], 1, 0, &release[1]);
    if (err == QK_OK)
        err = deal_open_slot(record, d[0], release[0], 0, 1, &shares[0]);
    if (err == QK_OK)
        err = deal_open_slot(record, d[1], release[1], 1, 0, &shares[1]);
    if (err == QK_OK)
        err = deal_verify_share(record, 0, shares[0]);
    if (err == QK_OK)
        err = deal_open(record, (const struct secret *const *)shares, x, 2, &again, &bad);
    if (err == QK_OK)
        cr_assert(secret_equal(again, mk));
    for (size_t i = 0; i < 2; i++) {
        secret_free(release[i]);
        secret_free(shares[i]);
    }
    secret_free(again);
    return err;
}

static enum qk_err live(void)
{
    uint8_t id[16] = {1};
    struct node_sec *node = NULL;
    struct node_sec_fault fault;
    uint64_t gen;
    enum qk_err err = node_sec_create(path, id, id, 1, 1, mk, mk, &node);

    for (unsigned i = 0; i < 3 && err == QK_OK; i++)
        err = node_sec_add_generation(node, &gen);
    if (err == QK_OK)
        err = node_sec_erase_older(node, gen);
    if (err == QK_OK)
        err = node_sec_erase_generation(node, gen);
    node_sec_free(node);
    node = NULL;
    if (err == QK_OK)
        err = node_sec_load(path, &node, &fault);
    if (err == QK_OK) {
        cr_assert_eq(node->gens_n, 0);
        cr_assert_eq(node->gen_last, 3);
        cr_assert(secret_equal(node->identity, mk));
    }
    node_sec_free(node);
    (void)unlink(path);
    return err;
}

Test(little_room, a_deal_is_built_whole_or_not_at_all)
{
    cr_assert_gt(exhaust_with_little_room(build), 4);
}

Test(little_room, a_deal_opens_or_leaves_nothing)
{
    cr_assert_eq(build(), QK_OK);
    cr_assert_gt(exhaust_with_little_room(open_all), 4);
}

Test(little_room, node_sec_is_written_and_read_or_the_error_is_said)
{
    cr_assert_gt(exhaust_with_little_room(live), 4);
}

/* A deal that nobody could open is refused before anything is written. */
Test(little_room, what_cannot_be_dealt_is_refused)
{
    struct buf out = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    struct buf tight = BUF_INIT(64);
    struct deal_keyslot slots[DEAL_KEYSLOTS_MAX] = {{0}};

    input.t = 1;
    cr_assert_eq(deal_record_build(&input, random_system(), &out, NULL), QK_ERR_INVALID);
    input.t = MEMBERS + 1;
    cr_assert_eq(deal_record_build(&input, random_system(), &out, NULL), QK_ERR_INVALID);
    input.t = 2;
    input.parties_n = 1;
    cr_assert_eq(deal_record_build(&input, random_system(), &out, NULL), QK_ERR_INVALID);
    input.parties_n = MEMBERS;
    parties[1].member.x = parties[0].member.x;
    cr_assert_eq(deal_record_build(&input, random_system(), &out, NULL), QK_ERR_INVALID);
    parties[1].member.x = 0;
    cr_assert_eq(deal_record_build(&input, random_system(), &out, NULL), QK_ERR_INVALID);
    parties[1].member.x = 2;
    input.dealer_x = 9;
    cr_assert_eq(deal_record_build(&input, random_system(), &out, NULL), QK_ERR_INVALID);
    input.dealer_x = 1;
    input.fresh_mk = true;
    parties[0].absent = parties[1].absent = parties[2].absent = true;
    cr_assert_eq(deal_record_build(&input, random_system(), &out, NULL), QK_ERR_INVALID);
    parties[0].absent = parties[1].absent = parties[2].absent = false;
    input.keyslots = slots;
    input.keyslots_n = DEAL_KEYSLOTS_MAX;
    cr_assert_eq(deal_record_build(&input, random_system(), &out, NULL), QK_ERR_INVALID);
    input.keyslots_n = 0;
    cr_assert_eq(out.len, 0);
    cr_assert_eq(deal_record_build(&input, random_system(), &tight, NULL), QK_ERR_TOO_BIG);
    buf_fini(&tight);
    buf_fini(&out);
}
