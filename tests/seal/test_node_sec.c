#include <criterion/criterion.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seal/deal_record.h"
#include "seal/node_sec.h"
#include "seal/node_sec_half.h"

static char dir[64], path[80];
static struct secret *identity, *psk;
static const uint8_t cluster[16] = "cluster id here", node_id[16] = "node id is here";

static void set_up(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_AUTO, 256 * KIB), QK_OK);
    cr_assert_eq(secret_new_random(32, &identity), QK_OK);
    cr_assert_eq(secret_new_random(32, &psk), QK_OK);
    (void)snprintf(dir, sizeof dir, "/tmp/qk-node-sec-XXXXXX");
    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/node.sec", dir);
}

static void tear_down(void)
{
    secret_free(identity);
    secret_free(psk);
    (void)unlink(path);
    (void)rmdir(dir);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}

TestSuite(node_sec, .init = set_up, .fini = tear_down);

static struct node_sec *create(void)
{
    struct node_sec *node;

    cr_assert_eq(node_sec_create(path, cluster, node_id, 11, 5, identity, psk, &node), QK_OK);
    return node;
}

static void read_raw(uint8_t *ret_raw)
{
    int fd = open(path, O_RDONLY);

    cr_assert_eq(read(fd, ret_raw, NODE_SEC_FILE_BYTES), (ssize_t)NODE_SEC_FILE_BYTES);
    (void)close(fd);
}

static void write_raw(const uint8_t *raw, size_t len)
{
    int fd = open(path, O_WRONLY | O_TRUNC);

    cr_assert_eq(write(fd, raw, len), (ssize_t)len);
    (void)close(fd);
}

/* Loads and frees; gives the sequence number. */
static enum qk_err load(uint64_t *ret_sequence, struct node_sec_fault *ret_fault)
{
    struct node_sec *node;
    enum qk_err err = node_sec_load(path, &node, ret_fault);

    if (err != QK_OK)
        return err;
    *ret_sequence = node->sequence;
    node_sec_free(node);
    return QK_OK;
}

Test(node_sec, comes_back_as_it_was_saved)
{
    struct node_sec *node = create(), *back;
    struct node_sec_fault fault;
    struct stat stat_;
    uint64_t gen;

    for (uint64_t i = 1; i <= NODE_SEC_GENERATIONS_MAX; i++) {
        cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
        cr_assert_eq(gen, i);
    }
    cr_assert_eq(node_sec_add_generation(node, &gen), QK_ERR_FULL);
    cr_assert_eq(node_sec_count_boot(node), QK_OK);
    cr_assert_eq(node_sec_load(path, &back, &fault), QK_OK);
    cr_assert_eq(memcmp(back->cluster_id, cluster, 16), 0);
    cr_assert_eq(memcmp(back->node_id, node_id, 16), 0);
    cr_assert(back->raft_id == 11 && back->x == 5 && back->boot_counter == 1);
    cr_assert_not(back->founded);
    cr_assert_eq(back->gens_n, NODE_SEC_GENERATIONS_MAX);
    cr_assert_eq(back->gen_last, NODE_SEC_GENERATIONS_MAX);
    cr_assert_eq(back->sequence, NODE_SEC_GENERATIONS_MAX + 2);
    cr_assert(secret_equal(back->identity, identity) && secret_equal(back->cluster_psk, psk));
    cr_assert_eq(memcmp(back->noise_pk, node->noise_pk, 32), 0);
    for (size_t i = 0; i < NODE_SEC_GENERATIONS_MAX; i++) {
        cr_assert(secret_equal(back->gens[i].d, node->gens[i].d));
        cr_assert(secret_equal(back->gens[i].p, node->gens[i].p));
        cr_assert(!secret_equal(back->gens[i].d, back->gens[i].p));
    }
    cr_assert_eq(stat(path, &stat_), 0);
    cr_assert_eq(stat_.st_mode & 07777, 0600);
    cr_assert_eq(stat_.st_size, 8192);
    node_sec_free(node);
    node_sec_free(back);
    cr_assert_eq(node_sec_create(path, cluster, node_id, 1, 1, identity, psk, &node),
                 QK_ERR_EXISTS);
}

Test(node_sec, a_founder_that_is_a_cluster_stays_one)
{
    struct node_sec *node = create(), *back;
    uint64_t gen;

    cr_assert_eq(node_sec_set_founded(node), QK_OK);
    cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
    node_sec_free(node);
    cr_assert_eq(node_sec_load(path, &back, NULL), QK_OK);
    cr_assert(back->founded);
    node_sec_free(back);
}

static bool file_has(const struct secret *secret)
{
    const uint8_t *key = secret_borrow(secret);
    uint8_t raw[NODE_SEC_FILE_BYTES];
    bool found = false;

    read_raw(raw);
    for (size_t at = 0; at + 16 <= sizeof raw; at++) /* half of it would show as well */
        found = found || memcmp(raw + at, key, 16) == 0;
    secret_return(secret);
    return found;
}

Test(node_sec, an_erased_generation_is_in_neither_half)
{
    struct node_sec *node = create();
    struct secret *old[3];
    uint64_t gen;

    for (size_t i = 0; i < 3; i++) {
        cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
        cr_assert_eq(secret_new_clone(node->gens[i].p, &old[i]), QK_OK);
        cr_assert(file_has(old[i]));
    }
    cr_assert_eq(node_sec_erase_older(node, 2), QK_OK);
    cr_assert(!file_has(old[0]) && file_has(old[1]) && file_has(old[2]));
    cr_assert_null(node_sec_find(node, 1));
    cr_assert_not_null(node_sec_find(node, 2));
    cr_assert_eq(node_sec_erase_generation(node, 3), QK_OK);
    cr_assert_eq(node_sec_erase_generation(node, 3), QK_ERR_NOT_FOUND);
    cr_assert(!file_has(old[2]) && file_has(old[1]));
    cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
    cr_assert_eq(gen, 4, "the number of an erased generation is never used again");
    for (size_t i = 0; i < 3; i++)
        secret_free(old[i]);
    node_sec_free(node);
}

Test(node_sec, every_altered_byte_is_an_error_that_names_the_half)
{
    struct node_sec *node = create();
    struct node_sec_fault fault;
    uint8_t raw[NODE_SEC_FILE_BYTES];
    uint64_t sequence;

    node_sec_free(node);
    read_raw(raw);
    for (size_t at = 0; at < sizeof raw; at += at % 512 < 16 ? 1 : 7) {
        raw[at] ^= 0x10;
        write_raw(raw, sizeof raw);
        cr_assert_eq(load(&sequence, &fault), QK_ERR_CORRUPT, "byte %zu", at);
        cr_assert_eq(fault.half, at < 4096 ? 'A' : 'B');
        cr_assert_eq(fault.what[strlen(fault.what) - 1], (char)('0' + at % 4096 / 512));
        raw[at] ^= 0x10;
    }
    write_raw(raw, sizeof raw);
    cr_assert_eq(load(&sequence, &fault), QK_OK);
}

/* Two saves, then every mixture of their sectors that a power cut can leave. */
Test(node_sec, a_write_torn_by_a_power_cut_is_recovered)
{
    struct node_sec *node = create();
    static uint8_t before[NODE_SEC_FILE_BYTES], after[NODE_SEC_FILE_BYTES],
        raw[NODE_SEC_FILE_BYTES];
    struct node_sec_fault fault;
    uint64_t sequence, gen;

    read_raw(before);
    cr_assert_eq(node_sec_add_generation(node, &gen), QK_OK);
    read_raw(after);
    node_sec_free(node);
    for (size_t half = 0; half < 2; half++)
        for (unsigned mask = 0; mask < 256; mask++) {
            memcpy(raw, half == 0 ? before : after, 4096);
            memcpy(raw + 4096, before + 4096, 4096);
            for (size_t i = 0; i < 8; i++)
                if (mask >> i & 1)
                    memcpy(raw + half * 4096 + i * 512, after + half * 4096 + i * 512, 512);
            write_raw(raw, sizeof raw);
            cr_assert_eq(load(&sequence, &fault), QK_OK, "half %zu mask %x: %c %s", half, mask,
                         fault.half, fault.what);
            cr_assert_eq(sequence, half == 1 || mask == 255 ? 2 : 1);
            read_raw(raw); /* repaired: both halves are of one save */
            cr_assert_eq(memcmp(raw, sequence == 2 ? after : before, sizeof raw), 0);
        }
}

Test(node_sec, a_half_from_another_time_is_refused)
{
    struct node_sec *node = create();
    static uint8_t saves[4][NODE_SEC_FILE_BYTES], raw[NODE_SEC_FILE_BYTES];
    struct node_sec_fault fault;
    uint64_t sequence;

    for (size_t i = 0; i < 4; i++) {
        cr_assert_eq(node_sec_count_boot(node), QK_OK);
        read_raw(saves[i]);
    }
    node_sec_free(node);
    memcpy(raw, saves[3], sizeof raw);
    memcpy(raw, saves[2], 4096); /* A older than B cannot come from a power cut */
    write_raw(raw, sizeof raw);
    cr_assert_eq(load(&sequence, &fault), QK_ERR_CORRUPT);
    cr_assert_eq(fault.half, 'A');
    memcpy(raw, saves[3], sizeof raw);
    memcpy(raw + 4096, saves[1] + 4096, 4096);
    write_raw(raw, sizeof raw);
    cr_assert_eq(load(&sequence, &fault), QK_ERR_CORRUPT);
    cr_assert_eq(fault.half, 'B');
    memcpy(raw, saves[3], sizeof raw);
    memcpy(raw + 512, saves[1] + 512, 512); /* a single old sector */
    write_raw(raw, sizeof raw);
    cr_assert_eq(load(&sequence, &fault), QK_ERR_CORRUPT);
    cr_assert_eq(fault.half, 'A');
    memcpy(raw, saves[3], sizeof raw);
    memcpy(raw + 4096 + 512, raw + 512, 512); /* a sector of the other half */
    write_raw(raw, sizeof raw);
    cr_assert_eq(load(&sequence, &fault), QK_ERR_CORRUPT);
    cr_assert_eq(fault.half, 'B');
}

Test(node_sec, a_file_that_is_cut_open_to_others_or_missing_is_refused)
{
    struct node_sec *node = create();
    struct node_sec_fault fault;
    uint8_t raw[NODE_SEC_FILE_BYTES];
    uint64_t sequence;

    node_sec_free(node);
    read_raw(raw);
    for (size_t len = 0; len < sizeof raw; len += 511) {
        write_raw(raw, len);
        cr_assert_eq(load(&sequence, &fault), QK_ERR_CORRUPT);
        cr_assert_eq(fault.half, 0);
    }
    write_raw(raw, sizeof raw);
    cr_assert_eq(chmod(path, 0640), 0);
    cr_assert_eq(load(&sequence, &fault), QK_ERR_DENIED);
    cr_assert_eq(chmod(path, 0600), 0);
    cr_assert_eq(load(&sequence, NULL), QK_OK);
    cr_assert_eq(node_sec_destroy(path), QK_OK);
    cr_assert_eq(load(&sequence, &fault), QK_ERR_NOT_FOUND);
    cr_assert_eq(mkdir(path, 0700), 0);
    cr_assert_eq(load(&sequence, &fault), QK_ERR_DENIED);
    cr_assert_eq(rmdir(path), 0);
    cr_assert_eq(symlink("/dev/null", path), 0);
    cr_assert_eq(load(&sequence, &fault), QK_ERR_DENIED);
}

/* Whenever the process ends, the name shows a whole file or none, and what is left can be told. */
Test(node_sec, a_destroyed_file_is_zeros_under_another_name_until_it_is_forgotten)
{
    char gone[sizeof path + 8];
    uint8_t raw[NODE_SEC_FILE_BYTES + 1];
    struct node_sec *node = create();
    int fd;

    node_sec_free(node);
    snprintf(gone, sizeof gone, "%s.void", path);
    cr_assert_not(node_sec_is_destroyed(path));
    cr_assert_eq(rename(path, gone), 0); /* a process that ended right after that */
    cr_assert(node_sec_is_destroyed(path));
    cr_assert_eq(node_sec_destroy(path), QK_OK);
    fd = open(gone, O_RDONLY);
    cr_assert_eq(read(fd, raw, sizeof raw), (ssize_t)NODE_SEC_FILE_BYTES);
    close(fd);
    for (size_t i = 0; i < NODE_SEC_FILE_BYTES; i++)
        cr_assert_eq(raw[i], 0);
    cr_assert_eq(node_sec_forget(path), QK_OK);
    cr_assert_not(node_sec_is_destroyed(path));
    cr_assert_eq(node_sec_forget(path), QK_OK);
    cr_assert_eq(node_sec_destroy(path), QK_ERR_NOT_FOUND);
}

Test(node_sec, after_a_failed_save_nothing_changed_and_a_load_is_needed)
{
    struct node_sec *node = create(), *back;
    char aside[96];
    uint64_t gen;

    (void)snprintf(aside, sizeof aside, "%s.aside", path);
    cr_assert_eq(rename(path, aside), 0);
    cr_assert_eq(node_sec_add_generation(node, &gen), QK_ERR_IO);
    cr_assert(node->gens_n == 0 && node->gen_last == 0 && node->sequence == 1);
    cr_assert_eq(rename(aside, path), 0);
    node_sec_free(node);
    cr_assert_eq(node_sec_load(path, &back, NULL), QK_OK);
    cr_assert_eq(node_sec_add_generation(back, &gen), QK_OK);
    cr_assert_eq(gen, 1);
    node_sec_free(back);
}

/* Two whole data directories: node.sec of both and the replicated record. One opens nothing. */
Test(node_sec, two_disks_rebuild_the_master_key_and_one_opens_no_slot)
{
    struct node_sec *nodes[3];
    struct deal_party parties[3];
    struct deal_input input = {.t = 2, .dealer_x = 1, .parties = parties, .parties_n = 3};
    struct buf bytes = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    struct deal_record *record;
    struct secret *mk, *back, *release, *shares[2];
    struct share_bad bad;
    uint32_t x[2] = {1, 2};

    cr_assert_eq(secret_new_random(32, &mk), QK_OK);
    input.mk = mk;
    for (uint8_t i = 0; i < 3; i++) {
        uint8_t id[16] = {(uint8_t)(i + 1)};
        struct secret *own;
        uint64_t gen;

        cr_assert_eq(secret_new_random(32, &own), QK_OK);
        cr_assert_eq(node_sec_create(path, cluster, id, i + 1U, i + 1U, own, psk, &nodes[i]),
                     QK_OK);
        cr_assert_eq(node_sec_add_generation(nodes[i], &gen), QK_OK);
        node_sec_free(nodes[i]); /* from here on only what stands on the disk */
        cr_assert_eq(node_sec_load(path, &nodes[i], NULL), QK_OK);
        cr_assert_eq(unlink(path), 0);
        parties[i] = (struct deal_party){.d = nodes[i]->gens[0].d, .p = nodes[i]->gens[0].p};
        parties[i].member.x = nodes[i]->x;
        parties[i].member.gen = nodes[i]->gens[0].gen;
        memcpy(parties[i].member.node, nodes[i]->node_id, 16);
        memcpy(parties[i].member.noise_pk, nodes[i]->noise_pk, 32);
        secret_free(own);
    }
    cr_assert_eq(deal_record_build(&input, random_system(), &bytes, NULL), QK_OK);
    cr_assert_eq(deal_record_parse(buf_bytes(&bytes), &record), QK_OK);
    for (size_t disk = 0; disk < 3; disk++) {
        const struct secret *keys[4] = {nodes[disk]->gens[0].d, nodes[disk]->gens[0].p,
                                        nodes[disk]->identity, nodes[disk]->cluster_psk};

        for (size_t i = 0; i < 3; i++)
            for (size_t j = 0; j < 3; j++)
                for (size_t k = 0; k < 16 && i != j; k++) {
                    cr_assert_eq(deal_release(record, keys[k % 4], i, j, &release), QK_OK);
                    cr_assert_eq(deal_open_slot(record, keys[k / 4], release, i, j, &shares[0]),
                                 QK_ERR_CORRUPT);
                    secret_free(release);
                }
    }
    for (size_t i = 0; i < 2; i++) {
        cr_assert_eq(deal_release(record, nodes[1 - i]->gens[0].p, i, 1 - i, &release), QK_OK);
        cr_assert_eq(deal_open_slot(record, nodes[i]->gens[0].d, release, i, 1 - i, &shares[i]),
                     QK_OK);
        secret_free(release);
    }
    cr_assert_eq(deal_open(record, (const struct secret *const *)shares, x, 2, &back, &bad), QK_OK);
    cr_assert(secret_equal(back, mk));
    for (size_t i = 0; i < 2; i++)
        secret_free(shares[i]);
    for (size_t i = 0; i < 3; i++)
        node_sec_free(nodes[i]);
    secret_free(back);
    secret_free(mk);
    deal_record_free(record);
    buf_fini(&bytes);
}
