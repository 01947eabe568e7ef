#include "wire/records.h"

#include <criterion/criterion.h>
#include <string.h>

static const uint8_t ID[16] = {0xa1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

Test(records, a_members_key_names_its_node_and_no_other_key_does)
{
    struct record_key key = record_member(ID);
    uint8_t node[NODE_ID_BYTES];
    enum record_space space;

    cr_assert_eq(record_member_id(record_key_bytes(&key), node), QK_OK);
    cr_assert_arr_eq(node, ID, sizeof node);
    cr_assert(record_key_space(record_key_bytes(&key), &space));
    cr_assert_eq(space, RECORD_SYS);
    key.len--;
    cr_assert_eq(record_member_id(record_key_bytes(&key), node), QK_ERR_INVALID);
    key = record_token(ID);
    cr_assert_eq(record_member_id(record_key_bytes(&key), node), QK_ERR_INVALID);
}

Test(records, a_key_begins_with_its_prefix)
{
    struct record_key pairs[][2] = {
        {record_member(ID), record_members_prefix()},
        {record_token(ID), record_tokens_prefix()},
        {record_data_key(ID), record_data_keys_prefix()},
        {record_data_key_version(ID, 7), record_data_key(ID)},
        {record_deal_part(ID, 9), record_deal_parts_prefix(ID)},
    };

    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        cr_assert(bytes_starts_with(record_key_bytes(&pairs[i][0]), record_key_bytes(&pairs[i][1])),
                  "pair %zu", i);
}

Test(records, user_databases_lie_in_no_system_space)
{
    struct record_key key = record_document(ID, bytes_str("doc"));
    enum record_space space;

    cr_assert_not(record_key_space(record_key_bytes(&key), &space));
    cr_assert(bytes_equal(record_key_name(record_key_bytes(&key)), bytes_str("doc")));
    cr_assert_not(record_key_space(bytes_str("short"), &space));
    cr_assert_eq(record_key_name(bytes_str("short")).len, 0);
}

Test(records, generations_sort_by_number)
{
    struct record_key a = record_deal_part(ID, 255), b = record_deal_part(ID, 256);

    cr_assert_lt(bytes_compare(record_key_bytes(&a), record_key_bytes(&b)), 0);
}

Test(records, the_longest_document_id_fits)
{
    uint8_t name[DOC_ID_BYTES_MAX];
    struct record_key key;

    memset(name, 'x', sizeof name);
    key = record_document(ID, bytes_of(name, sizeof name));
    cr_assert_eq(key.len, RECORD_KEY_BYTES_MAX);
}

Test(records, chunks_lie_behind_all_documents_in_order)
{
    uint8_t id[ATTACHMENT_ID_BYTES], last[4] = {0xf4, 0x8f, 0xbf, 0xbf}; /* U+10FFFF */
    struct record_key document = record_document(ID, bytes_of(last, sizeof last));
    struct record_key prefix = record_attachment(ID, ID), first, second;
    uint32_t chunk;

    first = record_attachment_chunk(ID, ID, 255);
    second = record_attachment_chunk(ID, ID, 256);
    cr_assert_lt(bytes_compare(record_key_bytes(&document), record_key_bytes(&first)), 0);
    cr_assert_lt(bytes_compare(record_key_bytes(&first), record_key_bytes(&second)), 0);
    cr_assert(bytes_starts_with(record_key_bytes(&second), record_key_bytes(&prefix)));
    cr_assert(record_key_chunk(record_key_bytes(&second), id, &chunk));
    cr_assert_eq(chunk, 256);
    cr_assert_arr_eq(id, ID, sizeof id);
    cr_assert_not(record_key_chunk(record_key_bytes(&document), id, &chunk));
    cr_assert_not(record_key_chunk(record_key_bytes(&prefix), id, &chunk));
}
