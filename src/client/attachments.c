/* Contents of attachments, of any length, by callbacks. */
#include <string.h>

#include "client/client.h"

#define PATH_BYTES_MAX (2 * HTTP_URI_BYTES_MAX)
#define TYPE_DEFAULT "application/octet-stream"

static void put_path(struct buf *path, const char *db, const char *id, const char *name)
{
    client_path_put(path, db);
    client_path_put_id(path, id);
    client_path_put(path, name);
}

static enum quorumkeep_error take_rev(struct quorumkeep *client, const struct client_reply *reply,
                                      char *ret_rev)
{
    json_t *json = client_reply_json(reply);
    const char *rev = json_string_value(json_object_get(json, "rev"));
    enum quorumkeep_error error = QUORUMKEEP_OK;

    if (rev == NULL || strlen(rev) >= QUORUMKEEP_REV_BYTES)
        error = client_fail(client, QUORUMKEEP_PROTOCOL, "the reply tells no revision");
    else if (ret_rev != NULL)
        memcpy(ret_rev, rev, strlen(rev) + 1);
    json_decref(json);
    return error;
}

enum quorumkeep_error quorumkeep_attachment_put(struct quorumkeep *client, const char *db,
                                                const char *id, const char *name, const char *rev,
                                                const struct quorumkeep_content *content,
                                                char ret_rev[QUORUMKEEP_REV_BYTES])
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct client_source source = {.content_type =
                                       content->type == NULL ? TYPE_DEFAULT : content->type,
                                   .length = content->length,
                                   .give = content->give,
                                   .arg = content->arg};
    struct client_order order = {.method = "PUT", .path = &path, .source = &source};
    struct client_reply reply;
    enum quorumkeep_error error;

    client_begin(client);
    if (strpbrk(source.content_type, "\r\n") != NULL || strlen(source.content_type) > 255)
        return client_fail(client, QUORUMKEEP_INVALID, "the content type is not one");
    put_path(&path, db, id, name);
    if (rev != NULL)
        client_query_put(&path, "rev", rev);
    error = client_ask(client, &order, &reply);
    if (error == QUORUMKEEP_OK)
        error = take_rev(client, &reply, ret_rev);
    client_reply_fini(&reply);
    buf_fini(&path);
    return error;
}

struct taking {
    quorumkeep_bytes_cb take;
    void *arg;
    bool stopped;
};

static bool on_piece(void *arg, struct bytes piece)
{
    struct taking *taking = arg;

    taking->stopped = taking->take(taking->arg, piece.data, piece.len) != 0;
    return !taking->stopped;
}

enum quorumkeep_error quorumkeep_attachment_get(struct quorumkeep *client, const char *db,
                                                const char *id, const char *name,
                                                const char *options, quorumkeep_bytes_cb take,
                                                void *arg)
{
    struct buf path = BUF_INIT(PATH_BYTES_MAX);
    struct taking taking = {.take = take, .arg = arg};
    struct client_order order = {
        .method = "GET", .path = &path, .safe = true, .on_body = on_piece, .arg = &taking};
    struct client_reply reply;
    json_t *json = NULL;
    enum quorumkeep_error error;

    client_begin(client);
    error = client_options(client, options, &json);
    put_path(&path, db, id, name);
    client_options_put(&path, json);
    if (error == QUORUMKEEP_OK) {
        error = client_ask(client, &order, &reply);
        client_reply_fini(&reply);
    }
    if (error == QUORUMKEEP_OK && taking.stopped)
        error = client_fail(client, QUORUMKEEP_STOPPED, "stopped by the callback");
    json_decref(json);
    buf_fini(&path);
    return error;
}
