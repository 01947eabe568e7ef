#include "client/client.h"

#include <stdlib.h>
#include <string.h>

const char *quorumkeep_error_text(enum quorumkeep_error error)
{
    switch (error) {
    case QUORUMKEEP_OK:
        return "done";
    case QUORUMKEEP_INVALID:
        return "an argument is wrong";
    case QUORUMKEEP_NOMEM:
        return "out of memory";
    case QUORUMKEEP_UNREACHABLE:
        return "no node was reached";
    case QUORUMKEEP_UNAVAILABLE:
        return "no node could serve";
    case QUORUMKEEP_UNKNOWN_OUTCOME:
        return "whether it was done is unknown";
    case QUORUMKEEP_DENIED:
        return "not allowed";
    case QUORUMKEEP_NOT_FOUND:
        return "not found";
    case QUORUMKEEP_CONFLICT:
        return "conflict with the present revision";
    case QUORUMKEEP_EXISTS:
        return "it exists already";
    case QUORUMKEEP_TOO_BIG:
        return "over a limit";
    case QUORUMKEEP_UNTRUSTED:
        return "the node cannot be trusted";
    case QUORUMKEEP_PROTOCOL:
        return "what answers is not a node";
    case QUORUMKEEP_CUT:
        return "the reply ended early";
    case QUORUMKEEP_STOPPED:
        return "stopped by the callback";
    case QUORUMKEEP_FAILED:
        return "the node refused";
    case QUORUMKEEP_CORRUPT:
        return "a share does not fit";
    }
    return "unknown error";
}

json_t *client_reply_json(const struct client_reply *reply)
{
    return json_loadb((const char *)reply->body.data, reply->body.len,
                      JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

/* 503 for these says that nothing was written (docs/api.md, Errors). */
static bool is_passing(const char *word)
{
    static const char *const words[] = {"sealed",    "uninitialised", "no_leader",
                                        "no_quorum", "busy",          "timeout"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcmp(word, words[i]) == 0)
            return true;
    return false;
}

static enum quorumkeep_error error_of(int status, const char *word)
{
    switch (status) {
    case 400:
    case 405:
    case 406:
    case 414:
    case 415:
    case 416:
    case 431:
        return QUORUMKEEP_INVALID;
    case 401:
    case 403:
        return QUORUMKEEP_DENIED;
    case 404:
    case 410:
        return QUORUMKEEP_NOT_FOUND;
    case 409:
        return QUORUMKEEP_CONFLICT;
    case 412:
        return strcmp(word, "file_exists") == 0 ? QUORUMKEEP_EXISTS : QUORUMKEEP_FAILED;
    case 413:
        return QUORUMKEEP_TOO_BIG;
    case 503:
        return strcmp(word, "unknown_outcome") == 0 ? QUORUMKEEP_UNKNOWN_OUTCOME
               : is_passing(word)                   ? QUORUMKEEP_UNAVAILABLE
                                                    : QUORUMKEEP_FAILED;
    default:
        return QUORUMKEEP_FAILED;
    }
}

enum quorumkeep_error client_judge(struct quorumkeep *client, const struct client_reply *reply,
                                   bool *ret_again)
{
    json_t *json = client_reply_json(reply);
    const char *word = json_string_value(json_object_get(json, "error"));
    const char *reason = json_string_value(json_object_get(json, "reason"));
    enum quorumkeep_error error = error_of(reply->status, word == NULL ? "" : word);

    *ret_again = error == QUORUMKEEP_UNAVAILABLE;
    if (word == NULL)
        error =
            client_fail(client, error, "%s answered with status %d", client->node, reply->status);
    else
        error = client_fail(client, error, "%s: %s", word, reason == NULL ? "" : reason);
    json_decref(json);
    return error;
}

enum quorumkeep_error client_text(struct quorumkeep *client, struct bytes bytes,
                                  struct quorumkeep_text *ret_text)
{
    char *data = malloc(bytes.len + 1);

    if (data == NULL)
        return client_fail(client, QUORUMKEEP_NOMEM, "out of memory");
    if (bytes.len > 0)
        memcpy(data, bytes.data, bytes.len);
    data[bytes.len] = '\0';
    *ret_text = (struct quorumkeep_text){.data = data, .len = bytes.len};
    return QUORUMKEEP_OK;
}

void quorumkeep_text_free(struct quorumkeep_text *text)
{
    if (text->data != NULL)
        explicit_bzero(text->data, text->len);
    free(text->data);
    *text = (struct quorumkeep_text){NULL, 0};
}
