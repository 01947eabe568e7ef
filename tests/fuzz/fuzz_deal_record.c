/* Deal records: what parses keeps its bytes, and each slot either opens with the right keys, and is
 * then a share that fits, or does not open. */
#include <string.h>

#include "fuzz.h"
#include "seal/deal_record.h"

#define PARTIES_MAX 5

/* The same "random" bytes in every run. */
static void fixed_fill(void *arg, uint8_t *ret_out, size_t len)
{
    uint8_t *next = arg;

    for (size_t i = 0; i < len; i++)
        ret_out[i] = (uint8_t)(++*next * 167u);
}

static struct deal_party party_of(size_t i)
{
    struct deal_party party;

    memset(&party, 0, sizeof party);
    party.member.node[0] = (uint8_t)(i + 1);
    party.member.x = (uint32_t)(i * 3 + 1);
    party.member.gen = i + 1;
    party.member.noise_pk[0] = (uint8_t)(i + 1);
    party.d = fuzz_key((uint8_t)(10 + i));
    party.p = fuzz_key((uint8_t)(20 + i));
    return party;
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct deal_party parties[PARTIES_MAX];
    struct deal_input input = {.epoch = 1, .mk_version = 1, .t = 2, .dealer_x = 1};
    uint8_t next = 0;

    if (number + 2 > PARTIES_MAX)
        return false;
    for (size_t i = 0; i < PARTIES_MAX; i++)
        parties[i] = party_of(i);
    memset(input.cluster, 1, sizeof input.cluster);
    memset(input.deal, 2, sizeof input.deal);
    input.t = number == 3 ? 3 : 2;
    input.parties = parties;
    input.parties_n = number + 2;
    input.mk = fuzz_key(1);
    fuzz_must(deal_record_build(&input, (struct random_source){fixed_fill, &next}, out, NULL));
    return true;
}

static void open_slot(const struct deal_record *record, size_t i, size_t j)
{
    struct secret *release = NULL, *share = NULL;

    if (deal_release(record, fuzz_key((uint8_t)(20 + j)), i, j, &release) == QK_OK &&
        deal_open_slot(record, fuzz_key((uint8_t)(10 + i)), release, i, j, &share) == QK_OK)
        fuzz_must(deal_verify_share(record, i, share));
    secret_free(release);
    secret_free(share);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = bytes_of(data, len);
    struct deal_record *record;
    size_t found;

    if (deal_record_parse(in, &record) != QK_OK)
        return 0;
    fuzz_require(bytes_equal(deal_record_bytes(record), in));
    for (size_t i = 0; i < record->n; i++) {
        fuzz_must(deal_record_find(record, record->members[i].node, &found));
        fuzz_require(found == i);
        fuzz_must(deal_record_find_x(record, record->members[i].x, &found));
        fuzz_require(found == i);
        fuzz_any(deal_record_find_noise(record, record->members[i].noise_pk, &found));
        fuzz_require(!deal_record_has_slot(record, i, i));
    }
    for (size_t k = 0; k < record->keyslots_n; k++)
        fuzz_touch(record->keyslots[k].blob);
    if (deal_record_has_slot(record, 0, 1))
        open_slot(record, 0, 1);
    fuzz_any(deal_check_mac(record, fuzz_key(3)));
    deal_record_free(record);
    return 0;
}
