#include <assert.h>
#include <string.h>

#include "doc/id.h"
#include "keys/keyring.h"
#include "service/bodies.h"
#include "service/authorize.h"
#include "service/doc_name.h"
#include "service/documents/get_contents.h"
#include "service/handlers.h"
#include "service/leaf_write.h"
#include "service/documents/local.h"
#include "service/documents/open_revs.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/visible.h"

struct get_wish {
    struct document_options options;
    struct contents_wish contents;
    bool has_revision, revision_is_foreign;
    struct revision revision;
    bool deleted;   /* a tombstone is wanted, too */
    bool local_seq; /* the document's sequence */
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
    bool latest = false;
    enum qk_err err;

    memset(ret_wish, 0, sizeof(*ret_wish));
    err = contents_wish_parse(request, &ret_wish->contents, problem);
    if (err == QK_OK)
        err = get_revision(request, ret_wish, problem);
    if (err == QK_OK)
        err = leaf_options(request, &ret_wish->options, &ret_wish->local_seq, problem);
    if (err == QK_OK)
        err = param_bool(request, "deleted", &ret_wish->deleted, problem);
    if (err == QK_OK)
        err = param_bool(request, "latest", &latest, problem);
    if (latest) /* CouchDB's: the winner, whatever revision was named */
        ret_wish->has_revision = ret_wish->revision_is_foreign = false;
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
    if (!record->leaves[0].deleted || wish->deleted)
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

static void get_reply(struct service *service, struct exchange *exchange, const struct leaf_at *at,
                      const struct doc_leaf *leaf, const struct document_options *options)
{
    struct buf text = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX + 128 * KIB);
    enum qk_err err = leaf_write(service, at, leaf, options, &text);

    buf_put_u8(&text, '\n');
    if (err == QK_OK)
        err = buf_error(&text);
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

/* What the reply tells beyond the revision may change while that stays: no ETag then, as CouchDB.
 */
static bool get_tells_more(const struct get_wish *wish, const struct doc_record *record)
{
    return wish->options.revs_info || wish->local_seq ||
           ((wish->options.conflicts || wish->options.deleted_conflicts) && record->leaves_n > 1);
}

static enum qk_err get_local_seq(struct service *service, struct exchange *exchange,
                                 const struct catalog_database *database, uint64_t seq,
                                 char ret_text[static SEQ_TEXT_BYTES_MAX + 1])
{
    struct visible visible;
    enum qk_err err = visible_init(&visible, service, exchange, database);

    if (err == QK_OK)
        err = visible_seq_format(&visible, seq, ret_text);
    visible_fini(&visible);
    return err;
}

static void get_leaf_reply(struct service *service, struct exchange *exchange,
                           const struct catalog_database *database, const struct leaf_at *at,
                           const struct stored *stored, struct get_wish *wish)
{
    char revision[REVISION_TEXT_BYTES_MAX + 1], seq[SEQ_TEXT_BYTES_MAX + 1];
    const struct doc_leaf *leaf = NULL;
    const char *reason;
    enum qk_err err = get_authorize(service, exchange, &stored->record);

    if (err == QK_OK && wish->local_seq)
        err = get_local_seq(service, exchange, database, stored->seq, seq);
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
    get_say_key(service, exchange, leaf);
    if (!get_tells_more(wish, &stored->record)) {
        exchange_field(exchange, "ETag", "\"%s\"", revision);
        if (get_is_known(exchange, revision)) {
            exchange_reply_bytes(exchange, 304, "application/json", BYTES_NONE);
            return;
        }
    }
    wish->options.record = &stored->record;
    wish->options.local_seq = wish->local_seq ? seq : NULL;
    if (leaf->attachments.len > 0 && wish->contents.contents)
        get_contents_reply(service, exchange, database, at, leaf, &wish->options, &wish->contents);
    else
        get_reply(service, exchange, at, leaf, &wish->options);
    wish->options.local_seq = NULL; /* `seq` ends here */
}

static void get_document(struct service *service, struct exchange *exchange,
                         const struct catalog_database *database, struct bytes id)
{
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct doc_problem problem = {0};
    struct get_wish wish;
    struct record_key key;
    enum qk_err err = get_wishes(&exchange->request, &wish, &problem);

    if (err == QK_OK)
        err = doc_name_of_id(service, database->id, database->ids_hidden, id, &key);
    if (err == QK_OK)
        err = stored_get(service, database->id, record_key_name(record_key_bytes(&key)), &stored);
    if (err == QK_OK) {
        struct leaf_at at = {database->id, record_key_name(record_key_bytes(&key)), id};

        get_leaf_reply(service, exchange, database, &at, &stored, &wish);
    } else {
        exchange_reply_problem_or(exchange, &problem, err);
    }
    contents_wish_fini(&wish.contents);
    stored_fini(&stored);
}

static void get_ready(struct service *service, struct exchange *exchange)
{
    struct buf id = BUF_INIT(HTTP_URI_BYTES_MAX);
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct doc_problem problem = {0};
    struct bytes open_revs;
    enum qk_err err;

    if (database == NULL)
        return;
    request_doc_id(&exchange->request, &id);
    err = local_is_id(buf_bytes(&id)) ? local_id_check(buf_bytes(&id), &problem)
                                      : doc_id_check(buf_bytes(&id), &problem);
    if (err != QK_OK)
        exchange_reply_problem_or(exchange, &problem, err);
    else if (local_is_id(buf_bytes(&id)))
        local_get(service, exchange, database, buf_bytes(&id));
    else if (request_param(&exchange->request, "open_revs", &open_revs) && open_revs.len > 0)
        open_revs_reply(service, exchange, database, buf_bytes(&id), open_revs);
    else
        get_document(service, exchange, database, buf_bytes(&id));
    buf_fini(&id);
}

void handle_doc_get(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, get_ready);
}
