#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

#define PATH_BYTES_MAX (2 * HTTP_URI_BYTES_MAX)

/* One request whose reply is small: parsed, if it is wanted. */
static enum quorumkeep_error ask_json(struct quorumkeep *client, const struct client_order *order,
                                      json_t **ret_json)
{
    struct client_reply reply;
    enum quorumkeep_error error = client_ask(client, order, &reply);

    if (error == QUORUMKEEP_OK && ret_json != NULL) {
        *ret_json = client_reply_json(&reply);
        if (*ret_json == NULL)
            error = client_fail(client, QUORUMKEEP_PROTOCOL, "the reply is not JSON");
    }
    client_reply_fini(&reply);
    return error;
}

static enum quorumkeep_error ask_text(struct quorumkeep *client, const struct client_order *order,
                                      struct quorumkeep_text *ret_text)
{
    struct client_reply reply;
    enum quorumkeep_error error = client_ask(client, order, &reply);

    if (error == QUORUMKEEP_OK && ret_text != NULL)
        error = client_text(client, buf_bytes(&reply.body), ret_text);
    client_reply_fini(&reply);
    return error;
}

enum quorumkeep_error quorumkeep_db_create(struct quorumkeep *client, const char *db,
                                           const char *options)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_order order = {.method = "PUT", .path = &path};
    json_t *json = NULL;
    enum quorumkeep_error error;

    client_begin(client);
    error = client_options(client, options, &json);
    client_path_put(&path, db);
    client_options_put(&path, json);
    if (error == QUORUMKEEP_OK)
        error = ask_json(client, &order, NULL);
    json_decref(json);
    buf_fini(&path);
    return error;
}

enum quorumkeep_error quorumkeep_db_drop(struct quorumkeep *client, const char *db)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_order order = {.method = "DELETE", .path = &path};
    enum quorumkeep_error error;

    client_begin(client);
    client_path_put(&path, db);
    error = ask_json(client, &order, NULL);
    buf_fini(&path);
    return error;
}

enum quorumkeep_error quorumkeep_db_info(struct quorumkeep *client, const char *db,
                                         struct quorumkeep_text *ret_info)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_order order = {.method = "GET", .path = &path, .safe = true};
    enum quorumkeep_error error;

    client_begin(client);
    client_path_put(&path, db);
    error = ask_text(client, &order, ret_info);
    buf_fini(&path);
    return error;
}

static bool copy_member(const json_t *reply, const char *name, char *ret_text, size_t bytes)
{
    const char *text = json_string_value(json_object_get(reply, name));

    if (ret_text == NULL)
        return true;
    if (text == NULL || strlen(text) >= bytes)
        return false;
    memcpy(ret_text, text, strlen(text) + 1);
    return true;
}

/* A request that changes one document. */
static enum quorumkeep_error change(struct quorumkeep *client, const struct client_order *order,
                                    char *ret_id, char *ret_rev)
{
    json_t *reply = NULL;
    enum quorumkeep_error error = ask_json(client, order, &reply);

    if (error == QUORUMKEEP_OK && (!copy_member(reply, "id", ret_id, QUORUMKEEP_ID_BYTES) ||
                                   !copy_member(reply, "rev", ret_rev, QUORUMKEEP_REV_BYTES)))
        error = client_fail(client, QUORUMKEEP_PROTOCOL, "the reply tells no id or revision");
    json_decref(reply);
    return error;
}

enum quorumkeep_error quorumkeep_put(struct quorumkeep *client, const char *db, const char *id,
                                     const char *rev, const char *document,
                                     char ret_id[QUORUMKEEP_ID_BYTES],
                                     char ret_rev[QUORUMKEEP_REV_BYTES])
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_order order = {
        .method = id == NULL ? "POST" : "PUT", .path = &path, .body = document};
    enum quorumkeep_error error;

    client_begin(client);
    client_path_put(&path, db);
    if (id != NULL)
        client_path_put_id(&path, id);
    if (rev != NULL)
        client_query_put(&path, "rev", rev);
    error = change(client, &order, ret_id, ret_rev);
    buf_fini(&path);
    return error;
}

enum quorumkeep_error quorumkeep_delete(struct quorumkeep *client, const char *db, const char *id,
                                        const char *rev, char ret_rev[QUORUMKEEP_REV_BYTES])
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_order order = {.method = "DELETE", .path = &path};
    enum quorumkeep_error error;

    client_begin(client);
    client_path_put(&path, db);
    client_path_put_id(&path, id);
    client_query_put(&path, "rev", rev);
    error = change(client, &order, NULL, ret_rev);
    buf_fini(&path);
    return error;
}

enum quorumkeep_error quorumkeep_get(struct quorumkeep *client, const char *db, const char *id,
                                     const char *options, struct quorumkeep_text *ret_document)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_order order = {.method = "GET", .path = &path, .safe = true};
    json_t *json = NULL;
    enum quorumkeep_error error;

    client_begin(client);
    error = client_options(client, options, &json);
    client_path_put(&path, db);
    client_path_put_id(&path, id);
    client_options_put(&path, json);
    if (error == QUORUMKEEP_OK)
        error = ask_text(client, &order, ret_document);
    json_decref(json);
    buf_fini(&path);
    return error;
}

enum quorumkeep_error quorumkeep_request(struct quorumkeep *client, const char *method,
                                         const char *path, const char *body,
                                         struct quorumkeep_text *ret_reply)
{
    struct buf target = BUF_INIT(PATH_BYTES_MAX);
    bool safe = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    struct client_order order = {.method = method, .path = &target, .body = body, .safe = safe};
    enum quorumkeep_error error;

    client_begin(client);
    if (path[0] != '/' || strpbrk(path, " \r\n\t") != NULL || strpbrk(method, " \r\n\t") != NULL)
        return client_fail(client, QUORUMKEEP_INVALID, "the path is not one");
    buf_put_str(&target, path);
    error = ask_text(client, &order, ret_reply);
    buf_fini(&target);
    return error;
}
