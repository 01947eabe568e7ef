#include "service/cluster/members_file.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void sample(struct member_facts *facts)
{
    memset(facts, 0, sizeof *facts);
    memset(facts->cluster_id, 0x33, sizeof facts->cluster_id);
    facts->n = 3;
    for (unsigned i = 0; i < facts->n; i++) {
        struct member_fact *fact = &facts->list[i];

        memset(fact->node_id, (int)i + 1, sizeof fact->node_id);
        fact->info.x = i + 1;
        fact->info.raft_id = i + 1;
        fact->info.state = MEMBER_ACTIVE;
        memset(fact->info.noise_pk, 0x40 + (int)i, sizeof fact->info.noise_pk);
        (void)snprintf(fact->info.name, sizeof fact->info.name, "n%u", i + 1);
        (void)snprintf(fact->info.peer_address, sizeof fact->info.peer_address, "127.0.0.1:770%u",
                       i + 1);
    }
}

static void assert_same(const struct member_facts *a, const struct member_facts *b)
{
    cr_assert_eq(a->n, b->n);
    cr_assert_arr_eq(a->cluster_id, b->cluster_id, CLUSTER_ID_BYTES);
    for (unsigned i = 0; i < a->n; i++) {
        cr_assert_arr_eq(a->list[i].node_id, b->list[i].node_id, NODE_ID_BYTES);
        cr_assert_arr_eq(a->list[i].info.noise_pk, b->list[i].info.noise_pk, 32);
        cr_assert_eq(a->list[i].info.raft_id, b->list[i].info.raft_id);
        cr_assert_str_eq(a->list[i].info.name, b->list[i].info.name);
        cr_assert_str_eq(a->list[i].info.peer_address, b->list[i].info.peer_address);
    }
}

Test(members_file, is_read_back_and_cut_or_changed_it_is_corrupt)
{
    static struct member_facts in, out;
    struct buf buf = BUF_INIT(MEMBERS_FILE_BYTES_MAX);

    sample(&in);
    members_file_encode(&in, &buf);
    cr_assert_eq(buf_error(&buf), QK_OK);
    cr_assert_eq(members_file_decode(buf_bytes(&buf), &out), QK_OK);
    assert_same(&in, &out);
    for (size_t len = 0; len < buf.len; len++) {
        uint8_t *copy = malloc(len + 1);

        memcpy(copy, buf.data, len);
        cr_assert_eq(members_file_decode(bytes_of(copy, len), &out), QK_ERR_CORRUPT);
        free(copy);
    }
    for (size_t at = 0; at < buf.len; at++) {
        buf.data[at] ^= 1;
        cr_assert_eq(members_file_decode(buf_bytes(&buf), &out), QK_ERR_CORRUPT);
        buf.data[at] ^= 1;
    }
    buf_put_u8(&buf, 0);
    cr_assert_eq(members_file_decode(buf_bytes(&buf), &out), QK_ERR_CORRUPT);
    buf_fini(&buf);
}

Test(members_file, as_many_members_as_a_cluster_may_have_fit)
{
    static struct member_facts in, out;
    struct buf buf = BUF_INIT(MEMBERS_FILE_BYTES_MAX);

    sample(&in);
    in.n = NODES_MAX;
    for (unsigned i = 0; i < in.n; i++) {
        in.list[i].info = in.list[0].info;
        in.list[i].node_id[0] = (uint8_t)i;
        memset(in.list[i].info.name, 'n', NODE_NAME_BYTES_MAX);
        memset(in.list[i].info.peer_address, 'p', ADDRESS_BYTES_MAX);
        memset(in.list[i].info.client_address, 'c', ADDRESS_BYTES_MAX);
    }
    members_file_encode(&in, &buf);
    cr_assert_eq(buf_error(&buf), QK_OK);
    cr_assert_eq(members_file_decode(buf_bytes(&buf), &out), QK_OK);
    assert_same(&in, &out);
    buf_fini(&buf);
}

Test(members_file, a_save_replaces_the_file_and_an_equal_one_leaves_it_alone)
{
    static struct member_facts in, out;
    char dir[] = "/tmp/qk-members-XXXXXX", path[64];
    struct stat first, second;

    cr_assert_not_null(mkdtemp(dir));
    (void)snprintf(path, sizeof path, "%s/members", dir);
    sample(&in);
    cr_assert_eq(members_file_load(dir, &out), QK_ERR_NOT_FOUND);
    cr_assert_eq(members_file_save(dir, &in), QK_OK);
    cr_assert_eq(stat(path, &first), 0);
    cr_assert_eq(first.st_mode & 0777, 0600);
    cr_assert_eq(members_file_save(dir, &in), QK_OK);
    cr_assert_eq(stat(path, &second), 0);
    cr_assert_eq(first.st_ino, second.st_ino);
    in.n = 2;
    cr_assert_eq(members_file_save(dir, &in), QK_OK);
    cr_assert_eq(members_file_load(dir, &out), QK_OK);
    assert_same(&in, &out);
    cr_assert_eq(truncate(path, 20), 0);
    cr_assert_eq(members_file_load(dir, &out), QK_ERR_CORRUPT);
    cr_assert_eq(members_file_save(dir, &in), QK_OK);
    cr_assert_eq(members_file_load(dir, &out), QK_OK);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rmdir(dir), 0);
}
