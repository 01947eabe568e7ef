/* Which handler answers a path under /v1/: what http's table of routes says, for calls that come
 * without it. */
#include "documents_fixture.h"

#include "service/kv.h"

static bool is(struct bytes text, const char *word)
{
    return bytes_equal(text, bytes_str(word));
}

static service_handler data_handler(enum method method)
{
    if (method == METHOD_POST || method == METHOD_PUT)
        return handle_kv_put;
    return method == METHOD_PATCH    ? handle_kv_patch
           : method == METHOD_DELETE ? handle_kv_delete
                                     : handle_kv_get;
}

static service_handler meta_handler(enum method method)
{
    if (method == METHOD_POST || method == METHOD_PUT)
        return handle_kv_meta_put;
    return method == METHOD_PATCH    ? handle_kv_meta_patch
           : method == METHOD_DELETE ? handle_kv_meta_delete
           : method == METHOD_LIST   ? handle_kv_list
                                     : handle_kv_meta_get;
}

service_handler documents_kv_handler(const struct request *request)
{
    struct bytes verb = request->segments[2];

    if (is(request->segments[1], "sys"))
        return is(verb, "mounts")         ? handle_kv_mounts
               : request->segments_n == 5 ? handle_kv_ui_mounts
                                          : handle_kv_mount;
    if (is(verb, "data"))
        return data_handler(request->method);
    if (is(verb, "metadata"))
        return meta_handler(request->method);
    if (is(verb, "config"))
        return request->method == METHOD_GET ? handle_kv_config : handle_kv_config_put;
    return is(verb, "delete")     ? handle_kv_delete_versions
           : is(verb, "undelete") ? handle_kv_undelete
           : is(verb, "destroy")  ? handle_kv_destroy
                                  : handle_kv_subkeys;
}
