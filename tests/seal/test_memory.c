/* After dealing, saving, loading and opening: MK, S, shares, D and P are in the arena and nowhere
 * else in the process; once freed they are nowhere. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../secret/memory_search.h"
#include "keys/keyring.h"
#include "seal/deal_record.h"
#include "seal/node_sec.h"

#define NEEDLES_MAX 16

static uint8_t needles[NEEDLES_MAX][16]; /* inverted */
static size_t needles_n;

static void watch(const struct secret *secret)
{
    const uint8_t *at = secret_borrow(secret);

    for (size_t from = 0; from + 16 <= secret_len(secret); from += 16) {
        if (needles_n == NEEDLES_MAX)
            break;
        for (size_t i = 0; i < 16; i++)
            needles[needles_n][i] = at[from + i] ^ 0xff;
        needles_n++;
    }
    secret_return(secret);
}

/* All hits lie in locked, dump-proof mappings; `found` of the needles have at least one. */
static size_t found_only_locked(void)
{
    struct memory_hit hits[MEMORY_SEARCH_HITS_MAX];
    size_t found = 0;

    for (size_t i = 0; i < needles_n; i++) {
        size_t n = memory_search(needles[i], 16, hits);

        found += n > 0;
        for (size_t k = 0; k < n && k < MEMORY_SEARCH_HITS_MAX; k++)
            cr_assert(hits[k].locked && hits[k].no_dump, "needle %zu in ordinary memory", i);
    }
    return found;
}

static struct node_sec *saved_node(const char *dir, uint8_t i, const struct secret *psk)
{
    uint8_t cluster[16] = {1}, id[16] = {(uint8_t)(i + 1)};
    struct secret *own;
    struct node_sec *node;
    char path[96];
    uint64_t gen;

    (void)snprintf(path, sizeof path, "%s/node.sec", dir);
    cr_assert_eq(secret_new_random(32, &own), QK_OK);
    cr_assert_eq(node_sec_create(path, cluster, id, i + 1U, i + 1U, own, psk, &node), QK_OK);
    cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
    node_sec_free(node);
    cr_assert_eq(node_sec_load(path, &node, NULL), QK_OK);
    cr_assert_eq(unlink(path), 0);
    secret_free(own);
    return node;
}

static void deal_and_open(struct node_sec **nodes, const struct secret *mk)
{
    struct deal_party parties[2];
    struct deal_input input = {.t = 2, .dealer_x = 1, .parties = parties, .parties_n = 2, .mk = mk};
    struct buf bytes = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    struct secret *release, *shares[2], *s, *back;
    struct deal_record *record;
    struct share_bad bad;
    uint32_t x[2] = {1, 2};

    memset(parties, 0, sizeof parties);
    for (size_t i = 0; i < 2; i++) {
        parties[i].d = nodes[i]->gens[0].d;
        parties[i].p = nodes[i]->gens[0].p;
        parties[i].member.x = nodes[i]->x;
        parties[i].member.gen = 1;
        memcpy(parties[i].member.node, nodes[i]->node_id, 16);
        memcpy(parties[i].member.noise_pk, nodes[i]->noise_pk, 32);
    }
    cr_assert_eq(deal_record_build(&input, random_system(), &bytes, NULL), QK_OK);
    cr_assert_eq(deal_record_parse(buf_bytes(&bytes), &record), QK_OK);
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(deal_release(record, parties[1 - i].p, i, 1 - i, &release), QK_OK);
        cr_assert_eq(deal_open_slot(record, parties[i].d, release, i, 1 - i, &shares[i]), QK_OK);
        secret_free(release);
    }
    cr_assert_eq(deal_combine(record, (const struct secret *const *)shares, x, 2, &s, &bad), QK_OK);
    cr_assert_eq(deal_check_mac(record, s), QK_OK);
    cr_assert_eq(deal_open_mk(record, s, &back), QK_OK);
    watch(s);
    watch(shares[0]);
    cr_assert_eq(found_only_locked(), needles_n);
    secret_free(s);
    secret_free(back);
    secret_free(shares[0]);
    secret_free(shares[1]);
    deal_record_free(record);
    buf_fini(&bytes);
}

Test(seal_memory, keys_of_a_deal_are_only_in_the_arena_and_nowhere_when_freed)
{
    struct keyring_records records;
    struct keyring *keyring;
    struct node_sec *nodes[2];
    struct secret *mk, *psk;
    uint8_t cluster[16] = {1};
    uint32_t version;
    char dir[] = "/tmp/qk-seal-memory-XXXXXX";

    if (!MEMORY_SEARCH_POSSIBLE)
        cr_skip_test("not under AddressSanitizer");
    cr_assert_eq(secret_arena_init(SECRET_ARENA_MLOCK, 256 * KIB), QK_OK);
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(secret_new_random(32, &mk), QK_OK);
    cr_assert_eq(secret_new_random(32, &psk), QK_OK);
    for (uint8_t i = 0; i < 2; i++)
        nodes[i] = saved_node(dir, i, psk);
    cr_assert_eq(keyring_create(cluster, mk, 1, 1000, &records, &keyring), QK_OK);
    watch(mk);
    watch(psk);
    watch(nodes[0]->gens[0].d);
    watch(nodes[0]->gens[0].p);
    watch(keyring_catalog_key(keyring, &version));
    deal_and_open(nodes, mk);
    cr_assert_eq(found_only_locked(), 10, "MK, psk, D, P and a system key are still there");
    keyring_records_fini(&records);
    keyring_close(keyring);
    node_sec_free(nodes[0]);
    node_sec_free(nodes[1]);
    secret_free(mk);
    secret_free(psk);
    cr_assert_eq(found_only_locked(), 0);
    secret_arena_fini();
    (void)rmdir(dir);
}
