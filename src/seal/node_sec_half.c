#include "seal/node_sec_half.h"

#include <string.h>

#include <sodium.h>

#define CHECKED_BYTES (HALF_SECTOR_BYTES - HASH_BYTES)

void half_encode(char half, uint64_t sequence, const uint8_t *payload, uint8_t *ret_image)
{
    for (size_t i = 0; i < HALF_SECTORS_N; i++) {
        uint8_t *sector = ret_image + i * HALF_SECTOR_BYTES;
        struct bytes checked = bytes_of(sector, CHECKED_BYTES);

        put_u64(sector, sequence);
        sector[8] = (uint8_t)half;
        sector[9] = (uint8_t)i;
        put_u16(sector + 10, 0);
        memcpy(sector + HALF_SECTOR_HEADER_BYTES, payload + i * HALF_SECTOR_PAYLOAD_BYTES,
               HALF_SECTOR_PAYLOAD_BYTES);
        hash_compute(&checked, 1, sector + CHECKED_BYTES);
    }
}

void half_payload(const uint8_t *image, uint8_t *ret_payload)
{
    for (size_t i = 0; i < HALF_SECTORS_N; i++)
        memcpy(ret_payload + i * HALF_SECTOR_PAYLOAD_BYTES,
               image + i * HALF_SECTOR_BYTES + HALF_SECTOR_HEADER_BYTES, HALF_SECTOR_PAYLOAD_BYTES);
}

/* What a half turned out to be: the lowest and the highest sequence number of its sectors. */
struct half_state {
    uint64_t low, high;
};

static bool sector_is_whole(const uint8_t *sector, char half, size_t index)
{
    struct bytes checked = bytes_of(sector, CHECKED_BYTES);
    uint8_t hash[HASH_BYTES];

    hash_compute(&checked, 1, hash);
    return sodium_memcmp(hash, sector + CHECKED_BYTES, sizeof hash) == 0 &&
           sector[8] == (uint8_t)half && sector[9] == index;
}

static enum qk_err half_examine(const uint8_t *image, char half, struct half_state *ret_state,
                                struct node_sec_fault *fault)
{
    static const char *const damaged[HALF_SECTORS_N] = {
        "is damaged in sector 0", "is damaged in sector 1", "is damaged in sector 2",
        "is damaged in sector 3", "is damaged in sector 4", "is damaged in sector 5",
        "is damaged in sector 6", "is damaged in sector 7"};
    struct half_state state = {UINT64_MAX, 0};

    fault->half = half;
    for (size_t i = 0; i < HALF_SECTORS_N; i++) {
        const uint8_t *sector = image + i * HALF_SECTOR_BYTES;
        uint64_t sequence = get_u64(sector);

        if (!sector_is_whole(sector, half, i)) {
            fault->what = damaged[i];
            return QK_ERR_CORRUPT;
        }
        state.low = sequence < state.low ? sequence : state.low;
        state.high = sequence > state.high ? sequence : state.high;
    }
    if (state.high - state.low > 1) {
        fault->what = "mixes sectors of saves far apart";
        return QK_ERR_CORRUPT;
    }
    *ret_state = state;
    return QK_OK;
}

static enum qk_err refuse(struct node_sec_fault *fault, char half, const char *what)
{
    fault->half = half;
    fault->what = what;
    return QK_ERR_CORRUPT;
}

static bool payloads_differ(const uint8_t *file)
{
    int differ = 0;

    for (size_t i = 0; i < HALF_SECTORS_N; i++) {
        const uint8_t *at = file + i * HALF_SECTOR_BYTES + HALF_SECTOR_HEADER_BYTES;

        differ |= sodium_memcmp(at, at + NODE_SEC_HALF_BYTES, HALF_SECTOR_PAYLOAD_BYTES);
    }
    return differ != 0;
}

/* The rule at the head of node_sec.h: A is written before B, one save at a time. */
enum qk_err half_choose(const uint8_t *file, struct half_choice *ret_choice,
                        struct node_sec_fault *fault)
{
    struct half_state a, b;
    enum qk_err err = half_examine(file, 'A', &a, fault);

    if (err == QK_OK)
        err = half_examine(file + NODE_SEC_HALF_BYTES, 'B', &b, fault);
    if (err != QK_OK)
        return err;
    if (a.low != a.high) { /* cut while A was written: B still holds the save before */
        if (b.low != b.high || b.low != a.low)
            return refuse(fault, 'A', "mixes two saves, and the other half is not of the first");
        *ret_choice = (struct half_choice){'B', 'A', b.low};
        return QK_OK;
    }
    if (b.low != b.high) { /* cut while B was written: A is complete */
        if (a.low != b.high)
            return refuse(fault, 'B', "mixes two saves, and the other half is not of the second");
        *ret_choice = (struct half_choice){'A', 'B', a.low};
        return QK_OK;
    }
    if (a.low < b.low)
        return refuse(fault, 'A', "is older than the other half");
    if (a.low - b.low > 1)
        return refuse(fault, 'B', "is older than the other half by more than one save");
    if (a.low == b.low && payloads_differ(file))
        return refuse(fault, 'B', "differs from the other half of the same save");
    *ret_choice = (struct half_choice){'A', a.low == b.low ? 0 : 'B', a.low};
    return QK_OK;
}
