#include <assert.h>
#include <string.h>

#include "doc/id.h"
#include "keys/keyring.h"
#include "service/bodies.h"
#include "service/authorize.h"
#include "service/doc_name.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/put.h"
#include "service/read.h"

struct get_wish {
    struct document_options options;
    bool has_revision, revision_is_foreign;
    struct revision revision;
};

static enum qk_err get_revision(const struct request *request, struct get_wish *wish,
                                struct doc_problem *problem)
{
    struct bytes text;
    enum qk_err err;

    if (!request_param(request, "rev", &text))
        return QK_OK;
    err = revision_parse(text, &wish->revision);
    if (err == QK_ERR_INVALID)
        return doc_problem_set(problem, 400, "bad_request", "Invalid rev format");
    wish->has_revision = true;
    wish->revision_is_foreign = err == QK_ERR_NOT_FOUND;
    return QK_OK;
}

static enum qk_err get_wishes(const struct request *request, struct get_wish *ret_wish,
                              struct doc_problem *problem)
{
    struct bytes ignored;
    enum qk_err err;

    memset(ret_wish, 0, sizeof(*ret_wish));
    if (request_param(request, "open_revs", &ignored))
        return doc_problem_set(problem, 501, "not_implemented",
                               "this version of Quorumkeep has no open_revs");
    err = get_revision(request, ret_wish, problem);
    if (err == QK_OK)
        err = param_bool(request, "revs", &ret_wish->options.revs, problem);
    if (err == QK_OK)
        err = param_bool(request, "revs_info", &ret_wish->options.revs_info, problem);
    if (err == QK_OK)
        err = param_bool(request, "conflicts", &ret_wish->options.conflicts, problem);
    if (err == QK_OK)
        err =
            param_bool(request, "deleted_conflicts", &ret_wish->options.deleted_conflicts, problem);
    return err;
}

/* The leaf asked for; NULL with CouchDB's reason when there is none. */
static const struct doc_leaf *get_leaf(const struct doc_record *record, const struct get_wish *wish,
                                       const char **ret_reason)
{
    *ret_reason = "missing";
    if (record->leaves_n == 0 || wish->revision_is_foreign)
        return NULL;
    if (wish->has_revision)
        return doc_record_find(record, &wish->revision);
    if (!record->leaves[0].deleted)
        return &record->leaves[0];
    *ret_reason = "deleted";
    return NULL;
}

static void get_say_key(struct service *service, struct exchange *exchange,
                        const struct doc_leaf *leaf)
{
    struct bytes name = keyring_name(service->keyring, leaf->key_id);

    exchange_field(exchange, "X-Quorumkeep-Key", "%.*s/%u", (int)name.len, (const char *)name.data,
                   leaf->key_version);
    if (envelope_is_clear(leaf->envelope))
        exchange_field(exchange, BODIES_CLEAR_FIELD, "true");
}

static void get_reply(struct service *service, struct exchange *exchange,
                      const struct record_key *key, struct bytes id, const struct doc_leaf *leaf,
                      const struct document_options *options)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct buf text = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX + 128 * KIB);
    struct document_parts parts;
    enum qk_err err;

    err = stored_open(service, key->data, record_key_name(record_key_bytes(key)), leaf, &plain,
                      &parts);
    if (err == QK_OK) {
        document_write(id, leaf, &parts, options, &text);
        buf_put_u8(&text, '\n');
        err = buf_error(&text);
    }
    buf_fini(&plain);
    if (err == QK_OK)
        exchange_reply_bytes(exchange, 200, "application/json", buf_bytes(&text));
    else
        exchange_reply_err(exchange, err);
    buf_fini(&text);
}

/* Of every leaf: the options tell of all. A document that the reader may not decrypt exists for
 * them (403), and nothing else of it is told, not even whether it is deleted. */
static enum qk_err get_authorize(struct service *service, struct exchange *exchange,
                                 const struct doc_record *record)
{
    enum qk_err err = QK_OK;
    unsigned i;

    for (i = 0; err == QK_OK && i < record->leaves_n; i++)
        err = authorize_key(service, &exchange->request.who, record->leaves[i].key_id,
                            ACCESS_KEY_DECRYPT);
    return err;
}

static void get_refuse(struct exchange *exchange, enum qk_err err)
{
    if (err == QK_ERR_DENIED)
        exchange_reply_error(exchange, 403, "forbidden",
                             "You have no grant to decrypt this document.");
    else
        exchange_reply_err(exchange, err);
}

/* 304 if the client has this revision already: the body is not even opened. */
static bool get_is_known(struct exchange *exchange, const char *revision)
{
    struct bytes known = exchange->request.if_none_match;

    return known.len > 0 &&
           (bytes_equal(known, bytes_str(revision)) || bytes_equal(known, bytes_str("*")));
}

static void get_leaf_reply(struct service *service, struct exchange *exchange,
                           const struct record_key *key, struct bytes id,
                           const struct stored *stored, struct get_wish *wish)
{
    char revision[REVISION_TEXT_BYTES_MAX + 1];
    const struct doc_leaf *leaf;
    const char *reason;
    enum qk_err err = get_authorize(service, exchange, &stored->record);

    if (err != QK_OK) {
        get_refuse(exchange, err);
        return;
    }
    leaf = get_leaf(&stored->record, wish, &reason);
    if (leaf == NULL) {
        exchange_reply_error(exchange, 404, "not_found", "%s", reason);
        return;
    }
    revision_format(&leaf->revision, revision);
    exchange_field(exchange, "ETag", "\"%s\"", revision);
    get_say_key(service, exchange, leaf);
    if (get_is_known(exchange, revision)) {
        exchange_reply_bytes(exchange, 304, "application/json", BYTES_NONE);
        return;
    }
    wish->options.record = &stored->record;
    get_reply(service, exchange, key, id, leaf, &wish->options);
}

static void get_ready(struct service *service, struct exchange *exchange)
{
    struct buf id = BUF_INIT(HTTP_URI_BYTES_MAX);
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct record_key key;
    struct get_wish wish;
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    enum qk_err err;

    if (database == NULL)
        return;
    request_doc_id(&exchange->request, &id);
    err = get_wishes(&exchange->request, &wish, &problem);
    if (err == QK_OK)
        err = doc_id_check(buf_bytes(&id), &problem);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        goto out;
    }
    err = doc_name_of_id(service, database->id, database->ids_hidden, buf_bytes(&id), &key);
    if (err == QK_OK)
        err = stored_get(service, database->id, record_key_name(record_key_bytes(&key)), &stored);
    if (err == QK_OK)
        get_leaf_reply(service, exchange, &key, buf_bytes(&id), &stored, &wish);
    else
        exchange_reply_err(exchange, err);
    stored_fini(&stored);

out:
    buf_fini(&id);
}

void handle_doc_get(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, get_ready);
}
