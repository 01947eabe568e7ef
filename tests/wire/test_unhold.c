#include "wire/unhold.h"

#include <criterion/criterion.h>
#include <string.h>

Test(unhold, the_message_names_label_cluster_and_number)
{
    static const uint8_t cluster_id[CLUSTER_ID_BYTES] = {0xc1, 2};
    uint8_t message[UNHOLD_MESSAGE_BYTES], other[UNHOLD_MESSAGE_BYTES];

    unhold_message(cluster_id, 0x0102030405060708, message);
    cr_assert_eq(sizeof(message), 21 + CLUSTER_ID_BYTES + 8);
    cr_assert_eq(memcmp(message, "quorumkeep unhold v1", 21), 0);
    cr_assert_eq(message[21], 0xc1);
    cr_assert_eq(memcmp(message + 21 + CLUSTER_ID_BYTES, "\1\2\3\4\5\6\7\10", 8), 0);
    unhold_message(cluster_id, 0x0102030405060709, other);
    cr_assert_neq(memcmp(message, other, sizeof(message)), 0);
}
