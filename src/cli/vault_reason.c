#include "cli/vault_reason.h"

#include <stdio.h>
#include <string.h>

/* A 404 that tells of the version that was asked for. */
static bool tell_gone(const json_t *reply, char *reason)
{
    const json_t *data = json_object_get(reply, "data");
    const json_t *metadata = json_object_get(data, "metadata");
    const json_t *version = metadata == NULL ? data : metadata;
    const char *deletion = json_string_value(json_object_get(version, "deletion_time"));

    if (!json_is_object(version))
        return false;
    if (json_is_true(json_object_get(version, "destroyed")))
        (void)snprintf(reason, VAULT_REASON_BYTES, "version %" JSON_INTEGER_FORMAT " is destroyed",
                       json_integer_value(json_object_get(version, "version")));
    else
        (void)snprintf(reason, VAULT_REASON_BYTES,
                       "version %" JSON_INTEGER_FORMAT
                       " is deleted since %s; 'secret undelete' brings it back",
                       json_integer_value(json_object_get(version, "version")),
                       deletion == NULL ? "?" : deletion);
    return true;
}

enum cli_exit vault_reason(const json_t *reply, int status, enum cli_exit code,
                           char ret_reason[static VAULT_REASON_BYTES])
{
    const json_t *errors = json_object_get(reply, "errors");
    const char *word = json_string_value(json_array_get(errors, 0));

    if (word != NULL)
        (void)snprintf(ret_reason, VAULT_REASON_BYTES, "%s", word);
    else if (json_is_array(errors) && status == 404)
        (void)snprintf(ret_reason, VAULT_REASON_BYTES,
                       "there is no such secret, version or folder");
    else if (status == 404)
        (void)tell_gone(reply, ret_reason);
    return word != NULL && status == 400 &&
                   strstr(word, "did not match the current version") != NULL
               ? CLI_CONFLICT
               : code;
}
