/* COPY /{db}/{docid}, Destination: ID or ID?rev=REV. The winner, or the revision that ?rev= or
 * If-Match names, becomes a revision of another document, attachments included. The copy is under
 * the data key of what it is a copy of, unless ?key_id= names another: who may read the one and
 * write the other does not thereby move it under a wider key unknowingly. */
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/id.h"
#include "keys/keyring.h"
#include "service/authorize.h"
#include "service/documents/contents.h"
#include "service/documents/copy_long.h"
#include "service/doc_name.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"

/* --- where to --- */

/* Undoes %XX. QK_ERR_INVALID: an escape that is none. */
static enum qk_err unescape(struct bytes text, struct buf *out)
{
    uint8_t byte;
    size_t i;

    for (i = 0; i < text.len; i++) {
        byte = text.data[i];
        if (byte == '%') {
            if (hex_decode(bytes_slice(text, i + 1, 2), &byte, 1) != QK_OK)
                return QK_ERR_INVALID;
            i += 2;
        }
        buf_put_u8(out, byte);
    }
    return buf_error(out);
}

static bool is_absolute(struct bytes text)
{
    return bytes_starts_with(text, bytes_str("http://")) ||
           bytes_starts_with(text, bytes_str("https://"));
}

/* `id` is of the target, and `document` gets its revision, if one is named. */
static enum qk_err copy_target(const struct request *request, struct buf *id,
                               struct document *document, struct doc_problem *problem)
{
    struct bytes text = request->destination;
    const uint8_t *query = text.len == 0 ? NULL : memchr(text.data, '?', text.len);

    if (text.len == 0)
        return doc_problem_set(problem, 400, "bad_request",
                               "Destination header is mandatory for COPY.");
    if (is_absolute(text))
        return doc_problem_set(problem, 400, "bad_request", "Destination URL must be relative.");
    if (query != NULL) {
        size_t at = (size_t)(query - text.data);
        struct bytes revision = bytes_slice(text, at + 1, text.len);
        enum qk_err err;

        text = bytes_slice(text, 0, at);
        if (!bytes_starts_with(revision, bytes_str("rev=")))
            return doc_problem_set(problem, 400, "bad_request", "Invalid rev format");
        revision = bytes_slice(revision, 4, revision.len);
        err = revision_parse(revision, &document->revision);
        if (err == QK_ERR_INVALID)
            return doc_problem_set(problem, 400, "bad_request", "Invalid rev format");
        document->has_revision = true;
        document->revision_is_foreign = err == QK_ERR_NOT_FOUND;
    }
    if (unescape(text, id) != QK_OK)
        return doc_problem_set(problem, 400, "illegal_docid", "Document id must be UTF-8");
    return doc_id_check(buf_bytes(id), problem);
}

/* --- what --- */

struct copied {
    struct copy_long *lengthy;    /* attachments; owned */
    uint8_t key_id[KEY_ID_BYTES]; /* of the revision that is copied */
};

static enum qk_err copy_content(struct service *service, const uint8_t *database,
                                const struct attachment *attachment, struct attachment_wish *wish)
{
    struct contents contents;
    uint64_t length;
    bool end = false;
    enum qk_err err;

    *wish = (struct attachment_wish){.source = ATTACHMENT_DATA,
                                     .name = BUF_INIT(attachment->name.len),
                                     .content_type = BUF_INIT(attachment->content_type.len),
                                     .data = BUF_SECRET_INIT(HTTP_BODY_BYTES_MAX),
                                     .has_content = true};
    buf_put_bytes(&wish->name, attachment->name);
    buf_put_bytes(&wish->content_type, attachment->content_type);
    memcpy(wish->md5, attachment->md5, ATTACHMENT_MD5_BYTES);
    contents_init(&contents, service, database);
    contents_put(&contents, attachment, 0, attachment->length, false);
    err = contents_seal(&contents, &length);
    while (err == QK_OK && !end)
        err = contents_step(&contents, &wish->data, &end);
    contents_fini(&contents);
    wish->content = buf_bytes(&wish->data);
    return err == QK_OK ? buf_error(&wish->data) : err;
}

static enum qk_err copy_attachments(struct service *service, const uint8_t *database,
                                    struct bytes section, struct copy_long *lengthy,
                                    struct attachment_wishes *wishes)
{
    struct attachments list;
    struct attachment one;
    enum qk_err err = attachments_open(section, &list);

    if (err != QK_OK || list.left == 0)
        return err;
    wishes->items = calloc(list.left, sizeof(*wishes->items));
    if (wishes->items == NULL)
        return QK_ERR_NOMEM;
    while (err == QK_OK && attachments_next(&list, &one)) {
        struct attachment_wish *wish = &wishes->items[wishes->n++];

        err = one.length > COPY_WHOLE_BYTES ? copy_long_add(lengthy, &one, wishes->n - 1, wish)
                                            : copy_content(service, database, &one, wish);
    }
    return err;
}

/* The leaf's body and attachments as those of `document`. */
static enum qk_err copy_leaf(struct service *service, const uint8_t *database, struct bytes name,
                             const struct doc_leaf *leaf, struct copy_long *lengthy,
                             struct document *document)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err = stored_open(service, database, name, leaf, &plain, &parts);

    if (err == QK_OK) {
        document_plain_put(parts.body, &document->plain);
        if (document->key_name.len == 0)
            buf_put_bytes(&document->key_name, keyring_name(service->keyring, leaf->key_id));
        err = buf_error(&document->plain);
    }
    if (err == QK_OK)
        err =
            copy_attachments(service, database, parts.attachments, lengthy, &document->attachments);
    buf_fini(&plain);
    return err;
}

/* Of every leaf, as a GET asks. */
static enum qk_err copy_authorize(struct service *service, struct exchange *exchange,
                                  const struct doc_record *record)
{
    enum qk_err err = QK_OK;
    unsigned i;

    for (i = 0; err == QK_OK && i < record->leaves_n; i++)
        err = authorize_key(service, &exchange->request.who, record->leaves[i].key_id,
                            ACCESS_KEY_DECRYPT);
    return err;
}

static const struct doc_leaf *source_leaf(const struct doc_record *record,
                                          const struct document *source)
{
    if (source->has_revision)
        return source->revision_is_foreign ? NULL : doc_record_find(record, &source->revision);
    return record->leaves_n > 0 && !record->leaves[0].deleted ? &record->leaves[0] : NULL;
}

static enum qk_err copy_read(struct service *service, struct exchange *exchange,
                             const struct catalog_database *database, struct document *document,
                             struct copied *ret_copied, struct doc_problem *problem)
{
    struct buf id = BUF_INIT(HTTP_URI_BYTES_MAX);
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct document source = {.has_revision = false};
    const struct doc_leaf *leaf = NULL;
    struct record_key key;
    struct bytes name;
    enum qk_err err = request_revision(&exchange->request, &source, problem);

    request_doc_id(&exchange->request, &id);
    if (err == QK_OK)
        err = doc_id_check(buf_bytes(&id), problem);
    if (err == QK_OK)
        err = doc_name_of_id(service, database->id, database->ids_hidden, buf_bytes(&id), &key);
    if (err == QK_OK) {
        name = record_key_name(record_key_bytes(&key));
        err = stored_get(service, database->id, name, &stored);
    }
    if (err == QK_OK)
        err = copy_authorize(service, exchange, &stored.record);
    if (err == QK_OK)
        leaf = source_leaf(&stored.record, &source);
    if (err == QK_OK && leaf == NULL)
        err = doc_problem_set(problem, 404, "not_found",
                              stored.record.leaves_n > 0 && !source.has_revision ? "deleted"
                                                                                 : "missing");
    if (err == QK_OK)
        err = copy_leaf(service, database->id, name, leaf, ret_copied->lengthy, document);
    if (err == QK_OK) {
        document->deleted = document->deleted || leaf->deleted;
        memcpy(ret_copied->key_id, leaf->key_id, KEY_ID_BYTES);
    }
    stored_fini(&stored);
    buf_fini(&id);
    return err;
}

static void copy_ready(struct service *service, struct exchange *exchange)
{
    static const struct write_how how = {.status_ok = 201};
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);
    struct buf id = BUF_INIT(HTTP_HEADER_BYTES_MAX);
    struct copied copied = {NULL, {0}};
    struct doc_problem problem = {0};
    struct document document;
    enum qk_err err;

    if (database == NULL)
        return;
    document_init(&document);
    copied.lengthy = copy_long_new(service, exchange, database->id);
    if (copied.lengthy == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        document_fini(&document);
        return;
    }
    err = copy_target(&exchange->request, &id, &document, &problem);
    if (err == QK_OK)
        err = request_key(&exchange->request, &document, &problem);
    if (err == QK_OK)
        err = copy_read(service, exchange, database, &document, &copied, &problem);
    if (err == QK_OK && copy_long_is_needed(copied.lengthy)) {
        copy_long_start(copied.lengthy, buf_bytes(&id), &document, copied.key_id);
        copied.lengthy = NULL;
    } else if (err == QK_OK) {
        write_one(service, exchange, buf_bytes(&id), &document, &how);
    } else {
        document_fini(&document);
        if (err == QK_ERR_DENIED)
            exchange_reply_error(exchange, 403, "forbidden",
                                 "You have no grant to decrypt this document.");
        else
            exchange_reply_problem_or(exchange, &problem, err);
    }
    copy_long_free(copied.lengthy);
    buf_fini(&id);
}

void handle_doc_copy(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, copy_ready);
}
