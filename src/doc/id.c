#include "doc/id.h"

#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"

#define DESIGN_PREFIX "_design/"

enum qk_err doc_id_check(struct bytes id, struct doc_problem *ret_problem)
{
    assert(ret_problem != NULL);

    if (id.len == 0)
        return doc_problem_set(ret_problem, 400, "illegal_docid", "Document id must not be empty");
    if (id.len > DOC_ID_BYTES_MAX)
        return doc_problem_set(ret_problem, 400, "illegal_docid",
                               "Document id is too long: at most %d bytes", DOC_ID_BYTES_MAX);
    if (!utf8_is_valid(id))
        return doc_problem_set(ret_problem, 400, "illegal_docid", "Document id must be UTF-8");
    if (bytes_equal(id, bytes_str("_local")) || bytes_equal(id, bytes_str("_local/")))
        return doc_problem_set(ret_problem, 400, "bad_request", "Invalid _local document id.");
    if (bytes_equal(id, bytes_str(DESIGN_PREFIX)))
        return doc_problem_set(ret_problem, 400, "illegal_docid", "Illegal document id `_design/`");
    if (id.data[0] == '_' && !bytes_starts_with(id, bytes_str(DESIGN_PREFIX)))
        return doc_problem_set(ret_problem, 400, "illegal_docid",
                               "Only reserved document ids may start with underscore.");
    return QK_OK;
}

static bool is_name_byte(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9') ||
           (byte != '\0' && strchr("_$()+/-", byte) != NULL);
}

enum qk_err database_name_check(struct bytes name, struct doc_problem *ret_problem)
{
    struct bytes shown = bytes_slice(name, 0, DATABASE_NAME_BYTES_MAX);
    bool good = name.len > 0 && name.data[0] >= 'a' && name.data[0] <= 'z';
    size_t i;

    assert(ret_problem != NULL);

    for (i = 0; good && i < name.len; i++)
        good = is_name_byte(name.data[i]);
    if (!good)
        return doc_problem_set(ret_problem, 400, "illegal_database_name",
                               "Name: '%.*s'. Only lowercase characters (a-z), digits (0-9), and "
                               "any of the characters "
                               "_, $, (, ), +, -, and / are allowed. Must begin with a letter.",
                               utf8_is_valid(shown) ? (int)shown.len : 0, (const char *)shown.data);
    if (bytes_equal(name, bytes_str("v1")))
        return doc_problem_set(ret_problem, 400, "illegal_database_name",
                               "Name: 'v1'. The paths under /v1/ are those of Vault's interface.");
    if (name.len > DATABASE_NAME_BYTES_MAX)
        return doc_problem_set(ret_problem, 400, "database_name_too_long",
                               "Database name is too long: at most %d bytes",
                               DATABASE_NAME_BYTES_MAX);
    return QK_OK;
}

void doc_id_generate(const uint8_t random[static 16],
                     char ret_text[static DOC_ID_GENERATED_BYTES + 1])
{
    hex_encode(random, 16, ret_text);
}
