#include <stdlib.h>
#include <string.h>

#include "client/client.h"

enum quorumkeep_error client_options(struct quorumkeep *client, const char *options,
                                     json_t **ret_options)
{
    json_error_t problem = {0};
    json_t *json = options == NULL ? json_object() : json_loads(options, 0, &problem);

    if (!json_is_object(json)) {
        json_decref(json);
        return client_fail(client, QUORUMKEEP_INVALID, "the options are no JSON object: %s",
                           problem.text);
    }
    *ret_options = json;
    return QUORUMKEEP_OK;
}

void client_options_put(struct buf *path, const json_t *options)
{
    json_t *values = json_incref((json_t *)(uintptr_t)options);
    const char *name;
    json_t *value;

    json_object_foreach(values, name, value)
    {
        char *text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY);
        json_free_t release;

        if (text != NULL || json_is_string(value))
            client_query_put(path, name, text != NULL ? text : json_string_value(value));
        else
            path->failed = QK_ERR_NOMEM;
        json_get_alloc_funcs(NULL, &release);
        release(text);
    }
    json_decref(values);
}
