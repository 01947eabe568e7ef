/* The cases of CouchDB's couch_key_tree tests in the terms of leaves and paths, and what they leave
 * out: any order of arrival gives the same tree. A revision is written as its generation and its
 * chain, newest first: "3 1aa 1a 1". */
#include "doc/tree.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAIN_MAX 16

struct chain {
    struct doc_leaf leaf;
    uint8_t path[CHAIN_MAX * REVISION_HASH_BYTES];
};

static void hash_of(const char *name, uint8_t *ret_hash)
{
    memset(ret_hash, 0, REVISION_HASH_BYTES);
    memcpy(ret_hash, name, strlen(name));
}

static void chain_parse(const char *text, struct chain *ret_chain)
{
    char copy[256], *rest = copy, *word;
    size_t n = 0;

    memset(ret_chain, 0, sizeof(*ret_chain));
    snprintf(copy, sizeof(copy), "%s", text);
    word = strsep(&rest, " ");
    if (word[0] == 'd') {
        ret_chain->leaf.deleted = true;
        word++;
    }
    ret_chain->leaf.revision.generation = (uint32_t)strtoul(word, NULL, 10);
    hash_of(strsep(&rest, " "), ret_chain->leaf.revision.hash);
    while (rest != NULL)
        hash_of(strsep(&rest, " "), ret_chain->path + n++ * REVISION_HASH_BYTES);
    ret_chain->leaf.path = bytes_of(ret_chain->path, n * REVISION_HASH_BYTES);
}

/* A record that owns its paths: what a merge gave, as it would be read from the store again. */
struct grown {
    struct doc_record record;
    struct chain chains[64];
    struct doc_leaf leaves[64];
};

static int order(const void *a, const void *b)
{
    return doc_record_leaf_compare(b, a);
}

static void grown_take(struct grown *grown, const struct doc_record *record)
{
    struct chain copies[64];
    unsigned i;

    for (i = 0; i < record->leaves_n; i++) {
        copies[i].leaf = record->leaves[i];
        memcpy(copies[i].path, record->leaves[i].path.data, record->leaves[i].path.len);
    }
    memcpy(grown->chains, copies, sizeof(copies));
    for (i = 0; i < record->leaves_n; i++) {
        grown->leaves[i] = grown->chains[i].leaf;
        grown->leaves[i].path = bytes_of(grown->chains[i].path, grown->leaves[i].path.len);
    }
    grown->record = (struct doc_record){grown->leaves, record->leaves_n};
    qsort(grown->leaves, record->leaves_n, sizeof(grown->leaves[0]), order);
}

enum outcome { KNOWN, CHANGED, ADDED };

static enum outcome merge_to(struct grown *grown, const char *text, unsigned limit)
{
    struct doc_tree tree;
    struct chain chain;
    enum outcome outcome;

    chain_parse(text, &chain);
    cr_assert_eq(doc_tree_merge(&grown->record, &chain.leaf, limit, &tree), QK_OK);
    outcome = tree.added != NULL ? ADDED : tree.changed ? CHANGED : KNOWN;
    cr_assert(tree.added == NULL || tree.changed);
    grown_take(grown, &tree.record);
    doc_tree_fini(&tree);
    return outcome;
}

static enum outcome merge(struct grown *grown, const char *text)
{
    return merge_to(grown, text, 100);
}

/* "3 1aa 1a 1|2 1b 1", the winner first. */
static void expect_tree(const struct grown *grown, const char *expected)
{
    char text[1024] = "";
    size_t at = 0, hash;
    unsigned i;

    for (i = 0; i < grown->record.leaves_n; i++) {
        const struct doc_leaf *leaf = &grown->record.leaves[i];

        at += (size_t)snprintf(text + at, sizeof(text) - at, "%s%s%u %s", i == 0 ? "" : "|",
                               leaf->deleted ? "d" : "", leaf->revision.generation,
                               (const char *)leaf->revision.hash);
        for (hash = 0; hash < leaf->path.len; hash += REVISION_HASH_BYTES)
            at += (size_t)snprintf(text + at, sizeof(text) - at, " %s",
                                   (const char *)leaf->path.data + hash);
    }
    cr_assert_str_eq(text, expected);
}

static struct grown grown;

Test(tree, revision_into_nothing_is_the_first_leaf)
{
    cr_assert_eq(merge(&grown, "1 1"), ADDED);
    expect_tree(&grown, "1 1");
}

Test(tree, known_revision_changes_nothing)
{
    merge(&grown, "1 1");
    cr_assert_eq(merge(&grown, "1 1"), KNOWN);
    merge(&grown, "1 2");
    cr_assert_eq(merge(&grown, "1 1"), KNOWN);
    expect_tree(&grown, "1 2|1 1");
}

Test(tree, unrelated_revision_is_a_conflict)
{
    merge(&grown, "1 1");
    merge(&grown, "1 2");
    cr_assert_eq(merge(&grown, "1 3"), ADDED);
    expect_tree(&grown, "1 3|1 2|1 1");
}

Test(tree, path_that_is_known_changes_nothing)
{
    merge(&grown, "3 1aa 1a 1");
    cr_assert_eq(merge(&grown, "3 1aa 1a 1"), KNOWN);
    cr_assert_eq(merge(&grown, "2 1a 1"), KNOWN);
    cr_assert_eq(merge(&grown, "1 1"), KNOWN);
    expect_tree(&grown, "3 1aa 1a 1");
}

Test(tree, child_ends_its_parent_and_leaves_the_sibling)
{
    merge(&grown, "2 1a 1");
    merge(&grown, "2 1b 1");
    cr_assert_eq(merge(&grown, "3 1aa 1a 1"), ADDED);
    expect_tree(&grown, "3 1aa 1a 1|2 1b 1");
}

Test(tree, stems_of_what_is_known_change_nothing)
{
    merge(&grown, "2 1a 1");
    merge(&grown, "3 1bb 1b 1");
    cr_assert_eq(merge(&grown, "2 1a"), KNOWN);
    cr_assert_eq(merge(&grown, "3 1bb"), KNOWN);
    cr_assert_eq(merge(&grown, "3 1bb 1b"), KNOWN);
    expect_tree(&grown, "3 1bb 1b 1|2 1a 1");
}

Test(tree, stems_meet_each_other)
{
    merge(&grown, "3 1aa 1a");
    cr_assert_eq(merge(&grown, "3 1aa"), KNOWN);
    expect_tree(&grown, "3 1aa 1a");
}

Test(tree, stem_without_a_link_is_a_conflict_until_the_link_arrives)
{
    merge(&grown, "2 1a 1");
    cr_assert_eq(merge(&grown, "3 1aa"), ADDED);
    expect_tree(&grown, "3 1aa|2 1a 1");
    cr_assert_eq(merge(&grown, "3 1aa 1a 1"), CHANGED);
    expect_tree(&grown, "3 1aa 1a 1");
}

Test(tree, branch_that_does_not_match_is_left_alone)
{
    /* COUCHDB-902 */
    merge(&grown, "2 foo2 foo");
    merge(&grown, "2 foo3 foo");
    cr_assert_eq(merge(&grown, "3 foo4 foo3 foo"), ADDED);
    expect_tree(&grown, "3 foo4 foo3 foo|2 foo2 foo");
}

Test(tree, short_path_takes_what_others_know_of_its_past)
{
    merge(&grown, "4 d c b a");
    cr_assert_eq(merge(&grown, "4 e c"), ADDED);
    expect_tree(&grown, "4 e c b a|4 d c b a");
    cr_assert_eq(merge(&grown, "5 f e"), ADDED);
    expect_tree(&grown, "5 f e c b a|4 d c b a");
}

Test(tree, long_path_tells_the_others_of_their_past)
{
    merge(&grown, "4 d c");
    cr_assert_eq(merge(&grown, "4 e c b a"), ADDED);
    expect_tree(&grown, "4 e c b a|4 d c b a");
}

Test(tree, descendant_of_two_stems_ends_both)
{
    merge(&grown, "2 b");
    merge(&grown, "4 d");
    cr_assert_eq(merge(&grown, "6 f e d c b a"), ADDED);
    expect_tree(&grown, "6 f e d c b a");
}

Test(tree, live_wins_over_deleted_then_generation_then_hash)
{
    merge(&grown, "d9 z");
    merge(&grown, "2 a");
    merge(&grown, "2 b");
    merge(&grown, "1 c");
    expect_tree(&grown, "2 b|2 a|1 c|d9 z");
    merge(&grown, "d3 bd b");
    expect_tree(&grown, "2 a|1 c|d9 z|d3 bd b");
}

Test(tree, paths_are_cut_at_the_limit)
{
    merge_to(&grown, "5 e d c b a", 3);
    expect_tree(&grown, "5 e d c");
    cr_assert_eq(merge_to(&grown, "6 f e d c b a", 3), ADDED);
    expect_tree(&grown, "6 f e d");
    cr_assert_eq(merge_to(&grown, "6 f e d c b a", 3), KNOWN);
    cr_assert_eq(merge_to(&grown, "7 g f", 1), ADDED);
    expect_tree(&grown, "7 g");
}

Test(tree, every_order_of_arrival_gives_the_same_tree)
{
    static const char *const arrivals[] = {"1 a",        "2 b a", "3 c b a",  "3 d b a",
                                           "d4 e d b a", "2 f a", "4 g c b a"};
    enum { N = sizeof(arrivals) / sizeof(arrivals[0]) };
    unsigned seed, i;

    for (seed = 1; seed < 200; seed++) {
        unsigned places[N], random = seed;

        for (i = 0; i < N; i++)
            places[i] = i;
        for (i = N - 1; i > 0; i--) {
            unsigned swap, with;

            random = random * 1103515245u + 12345u;
            with = (random >> 16) % (i + 1);
            swap = places[i];
            places[i] = places[with];
            places[with] = swap;
        }
        memset(&grown, 0, sizeof(grown));
        for (i = 0; i < N; i++)
            merge(&grown, arrivals[places[i]]);
        expect_tree(&grown, "4 g c b a|2 f a|d4 e d b a");
    }
}

Test(tree, revisions_are_found_anywhere_in_it)
{
    struct chain chain;

    merge(&grown, "3 1aa 1a 1");
    merge(&grown, "2 1b 1");
    chain_parse("1 1", &chain);
    cr_assert(doc_tree_knows(&grown.record, &chain.leaf.revision));
    chain_parse("2 1b", &chain);
    cr_assert(doc_tree_knows(&grown.record, &chain.leaf.revision));
    chain_parse("2 1", &chain);
    cr_assert_not(doc_tree_knows(&grown.record, &chain.leaf.revision));
    chain_parse("9 1aa", &chain);
    cr_assert_not(doc_tree_knows(&grown.record, &chain.leaf.revision));
    chain_parse("3 1bb 1b 1", &chain);
    cr_assert_eq(doc_tree_parent(&grown.record, &chain.leaf)->revision.generation, 2);
    chain_parse("3 x y z", &chain);
    cr_assert_null(doc_tree_parent(&grown.record, &chain.leaf));
}

Test(tree, only_leaves_are_removed)
{
    struct chain chain;

    merge(&grown, "2 1a 1");
    merge(&grown, "2 1b 1");
    chain_parse("1 1", &chain);
    cr_assert_not(doc_tree_remove(&grown.record, &chain.leaf.revision));
    chain_parse("2 1b", &chain);
    cr_assert(doc_tree_remove(&grown.record, &chain.leaf.revision));
    cr_assert_not(doc_tree_remove(&grown.record, &chain.leaf.revision));
    expect_tree(&grown, "2 1a 1");
    chain_parse("2 1a", &chain);
    cr_assert(doc_tree_remove(&grown.record, &chain.leaf.revision));
    cr_assert_eq(grown.record.leaves_n, 0);
}

Test(tree, leaves_have_a_limit)
{
    struct doc_leaf *leaves = calloc(DOC_RECORD_LEAVES_MAX, sizeof(*leaves));
    struct doc_record record = {leaves, DOC_RECORD_LEAVES_MAX};
    struct doc_tree tree;
    struct chain chain;
    unsigned i;

    for (i = 0; i < DOC_RECORD_LEAVES_MAX; i++) {
        leaves[i].revision.generation = 1;
        put_u32(leaves[i].revision.hash, i + 1);
    }
    chain_parse("1 new", &chain);
    cr_assert_eq(doc_tree_merge(&record, &chain.leaf, 10, &tree), QK_ERR_TOO_BIG);
    chain.leaf.revision = leaves[5].revision;
    cr_assert_eq(doc_tree_merge(&record, &chain.leaf, 10, &tree), QK_OK);
    cr_assert_not(tree.changed);
    doc_tree_fini(&tree);
    free(leaves);
}
