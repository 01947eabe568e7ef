#include "service/script_context.h"

#include "doc/json.h"
#include "service/authorize.h"
#include "service/login.h"
#include "service/rights_json.h"
#include "service/tokens.h"

json_t *script_user_context(const struct service *service, const struct principal *who,
                            const struct catalog_database *database)
{
    const struct user *user = login_user(service, who);
    json_t *roles = user != NULL                     ? token_roles_json(user)
                    : who->kind == PRINCIPAL_CONTROL ? json_pack("[s]", "_admin")
                                                     : json_array();

    return json_pack("{s:s, s:s?, s:o}", "db", database->name, "name",
                     user == NULL ? NULL : user->name, "roles", roles);
}

json_t *script_security(const struct service *service, const struct catalog_database *database)
{
    return security_json(service->catalog, &database->rights);
}

static json_t *text_json(struct bytes text)
{
    json_t *json = json_stringn((const char *)text.data, text.len);

    return json != NULL ? json : json_string(""); /* no UTF-8 */
}

static void header(json_t *headers, const char *name, struct bytes value)
{
    if (value.len > 0)
        (void)json_object_set_new(headers, name, text_json(value));
}

static json_t *headers_json(const struct request *request)
{
    json_t *headers = json_object();

    header(headers, "Host", request->host);
    header(headers, "Accept", request->accept);
    header(headers, "Content-Type", request->content_type);
    return headers;
}

static json_t *query_json(const struct request *request)
{
    json_t *query = json_object();
    unsigned i;

    for (i = 0; i < request->params_n; i++) /* the first of a name counts, as everywhere */
        if (json_object_getn(query, (const char *)request->params[i].name.data,
                             request->params[i].name.len) == NULL)
            (void)json_object_setn_new(query, (const char *)request->params[i].name.data,
                                       request->params[i].name.len,
                                       text_json(request->params[i].value));
    return query;
}

static json_t *path_json(const struct request *request)
{
    json_t *path = json_array();
    unsigned i;

    for (i = 0; i < request->segments_n; i++)
        (void)json_array_append_new(path, text_json(request->segments[i]));
    return path;
}

/* A POST's, or what a GET has in CouchDB. */
static json_t *body_json(const struct request *request)
{
    return request->method == METHOD_POST ? text_json(request->body) : json_string("undefined");
}

json_t *script_request(const struct service *service, const struct exchange *exchange,
                       const struct catalog_database *database)
{
    const struct request *request = &exchange->request;
    json_t *path = path_json(request);

    return json_pack("{s:{s:s}, s:n, s:s, s:O?, s:o?, s:o, s:o, s:o, s:s, s:o, s:{}, s:{}, s:o, "
                     "s:o}",
                     "info", "db_name", database->name, "id", "method",
                     request->method == METHOD_POST ? "POST" : "GET", "requested_path", path,
                     "path", path, "raw_path", text_json(request->target), "query",
                     query_json(request), "headers", headers_json(request), "peer", exchange->from,
                     "body", body_json(request), "form", "cookie", "userCtx",
                     script_user_context(service, &request->who, database), "secObj",
                     script_security(service, database));
}
