#include "keys/multiset.h"

#include <criterion/criterion.h>
#include <string.h>

static struct secret *key_of(uint8_t byte)
{
    uint8_t raw[KEY_BYTES];
    struct secret *key;

    memset(raw, byte, sizeof raw);
    cr_assert_eq(secret_new_copy(raw, sizeof raw, &key), QK_OK);
    return key;
}

static void start(void)
{
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, 64 * KIB), QK_OK);
}

static void digest_of(const char *name, uint64_t version, const char *value, uint8_t *ret_digest)
{
    struct multiset_row row = {version, 7, 100 + version, 1, bytes_str(value)};

    multiset_digest(bytes_str(name), &row, ret_digest);
}

static void sum_of(const struct secret *key, const char *const *names, const unsigned *order,
                   size_t n, struct multiset *ret_sum)
{
    *ret_sum = (struct multiset){{0}};
    for (size_t i = 0; i < n; i++) {
        uint8_t digest[HASH_BYTES], element[HASH_BYTES];

        digest_of(names[order[i]], 1, "x", digest);
        cr_assert_eq(multiset_elements(key, digest, 1, element), QK_OK);
        multiset_add_element(ret_sum, element);
    }
}

Test(multiset, the_order_does_not_matter_and_taking_away_undoes)
{
    static const char *const names[] = {"0123456789abcdefa", "0123456789abcdefb",
                                        "0123456789abcdefc"};
    static const unsigned forth[] = {0, 1, 2}, back[] = {2, 0, 1};
    struct multiset a, b, two;
    struct secret *key;

    start();
    key = key_of(1);
    sum_of(key, names, forth, 3, &a);
    sum_of(key, names, back, 3, &b);
    cr_assert(multiset_equal(&a, &b));
    sum_of(key, names, forth, 2, &two);
    cr_assert_not(multiset_equal(&a, &two));
    multiset_take(&b, &two);
    sum_of(key, names, &forth[2], 1, &a);
    cr_assert(multiset_equal(&a, &b));
    secret_free(key);
    secret_arena_fini();
}

Test(multiset, another_key_gives_another_sum)
{
    static const char *const names[] = {"0123456789abcdefa"};
    static const unsigned first[] = {0};
    struct secret *one, *two;
    struct multiset a, b;

    start();
    one = key_of(1);
    two = key_of(2);
    sum_of(one, names, first, 1, &a);
    sum_of(two, names, first, 1, &b);
    cr_assert_not(multiset_equal(&a, &b));
    secret_free(one);
    secret_free(two);
    secret_arena_fini();
}

/* Each number, the key and the value count, and none can be moved into its neighbour. */
Test(multiset, every_part_of_a_row_counts)
{
    struct multiset_row row = {1, 2, 3, 4, bytes_str("v")}, other;
    uint8_t a[HASH_BYTES], b[HASH_BYTES];

    start();
    multiset_digest(bytes_str("key"), &row, a);
    for (int i = 0; i < 5; i++) {
        other = row;
        other.version += i == 0;
        other.seq += i == 1;
        other.stamp += i == 2;
        other.flags = (uint8_t)(other.flags + (i == 3));
        other.value = i == 4 ? bytes_str("w") : row.value;
        multiset_digest(bytes_str("key"), &other, b);
        cr_assert_neq(memcmp(a, b, sizeof a), 0, "part %d", i);
    }
    multiset_digest(bytes_str("kez"), &row, b);
    cr_assert_neq(memcmp(a, b, sizeof a), 0);
    multiset_digest(bytes_str("ke"), &row, b);
    cr_assert_neq(memcmp(a, b, sizeof a), 0);
    secret_arena_fini();
}

Test(multiset, elements_of_many_are_those_of_each)
{
    uint8_t digests[5][HASH_BYTES], all[5][HASH_BYTES], one[HASH_BYTES];
    struct secret *key;

    start();
    key = key_of(3);
    for (unsigned i = 0; i < 5; i++)
        digest_of("0123456789abcdef", i + 1, "y", digests[i]);
    cr_assert_eq(multiset_elements(key, digests[0], 5, all[0]), QK_OK);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert_eq(multiset_elements(key, digests[i], 1, one), QK_OK);
        cr_assert_eq(memcmp(one, all[i], sizeof one), 0);
    }
    secret_free(key);
    secret_arena_fini();
}

Test(multiset, a_sum_is_written_and_read)
{
    struct multiset sum = {{1, UINT64_MAX, 3, 4}}, again;
    uint8_t raw[MULTISET_BYTES];

    start();
    multiset_encode(&sum, raw);
    multiset_decode(raw, &again);
    cr_assert(multiset_equal(&sum, &again));
    secret_arena_fini();
}
