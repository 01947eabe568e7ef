#include "keys/multiset.h"

#include <assert.h>
#include <sodium.h>

#define LABEL "qk.row.v1"
#define PERSONAL "qk.multiset.v1"
#define NUMBERS_BYTES 25

_Static_assert(MULTISET_LANES * 8 == MULTISET_BYTES && MULTISET_BYTES == HASH_BYTES, "one element");

void multiset_digest(struct bytes key, const struct multiset_row *row,
                     uint8_t ret_digest[static HASH_BYTES])
{
    uint8_t key_len[2], numbers[NUMBERS_BYTES];
    struct bytes parts[] = {bytes_str(LABEL), bytes_of(key_len, sizeof key_len), key,
                            bytes_of(numbers, sizeof numbers), row->value};

    assert(key.len <= UINT16_MAX);
    put_u16(key_len, (uint16_t)key.len);
    put_u64(numbers, row->version);
    put_u64(numbers + 8, row->seq);
    put_u64(numbers + 16, row->stamp);
    numbers[24] = row->flags;
    hash_compute(parts, sizeof parts / sizeof parts[0], ret_digest);
}

enum qk_err multiset_elements(const struct secret *key, const uint8_t *digests, size_t n,
                              uint8_t *ret_elements)
{
    return mac_hashes(key, PERSONAL, digests, n, ret_elements);
}

void multiset_encode(const struct multiset *set, uint8_t ret_out[static MULTISET_BYTES])
{
    for (size_t i = 0; i < MULTISET_LANES; i++)
        put_u64(ret_out + 8 * i, set->lanes[i]);
}

void multiset_decode(const uint8_t in[static MULTISET_BYTES], struct multiset *ret_set)
{
    for (size_t i = 0; i < MULTISET_LANES; i++)
        ret_set->lanes[i] = get_u64(in + 8 * i);
}

void multiset_add(struct multiset *set, const struct multiset *other)
{
    for (size_t i = 0; i < MULTISET_LANES; i++)
        set->lanes[i] += other->lanes[i];
}

void multiset_take(struct multiset *set, const struct multiset *other)
{
    for (size_t i = 0; i < MULTISET_LANES; i++)
        set->lanes[i] -= other->lanes[i];
}

void multiset_add_element(struct multiset *set, const uint8_t element[static HASH_BYTES])
{
    struct multiset one;

    multiset_decode(element, &one);
    multiset_add(set, &one);
}

void multiset_take_element(struct multiset *set, const uint8_t element[static HASH_BYTES])
{
    struct multiset one;

    multiset_decode(element, &one);
    multiset_take(set, &one);
}

bool multiset_equal(const struct multiset *a, const struct multiset *b)
{
    return sodium_memcmp(a->lanes, b->lanes, sizeof a->lanes) == 0;
}
