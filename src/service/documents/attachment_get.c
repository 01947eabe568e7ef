/* GET and HEAD of one attachment: as a whole, or the ranges of it that were asked for. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "keys/keyring.h"
#include "service/documents/attachment.h"
#include "service/authorize.h"
#include "service/documents/contents_document.h"
#include "service/documents/contents_reply.h"
#include "service/doc_name.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/documents/range.h"
#include "service/read.h"

struct attachment_get {
    struct service *service;
    struct exchange *exchange;
    const struct catalog_database *database;
    struct buf id, name;
    struct stored stored;
    struct buf plain; /* secret */
    const struct doc_leaf *leaf;
    struct attachment found; /* borrowed from `plain` */
};

/* --- finding it ------------------------------------------------------------------------------- */

/* As for the document: of every leaf, since which of them wins is told, too. */
static enum qk_err get_authorize(struct attachment_get *get)
{
    const struct doc_record *record = &get->stored.record;
    enum qk_err err = QK_OK;

    for (unsigned i = 0; err == QK_OK && i < record->leaves_n; i++)
        err = authorize_key(get->service, &get->exchange->request.who, record->leaves[i].key_id,
                            ACCESS_KEY_DECRYPT);
    return err;
}

/* QK_ERR_NOT_FOUND: as the problem says. */
static enum qk_err get_leaf(struct attachment_get *get, struct doc_problem *problem)
{
    const struct doc_record *record = &get->stored.record;
    struct revision revision;
    struct bytes text;
    enum qk_err err = QK_OK;

    get->leaf = record->leaves_n == 0 ? NULL : &record->leaves[0];
    if (request_param(&get->exchange->request, "rev", &text)) {
        err = revision_parse(text, &revision);
        if (err == QK_ERR_INVALID)
            return doc_problem_set(problem, 400, "bad_request", "Invalid rev format");
        get->leaf = err == QK_OK ? doc_record_find(record, &revision) : NULL;
    } else if (get->leaf != NULL && get->leaf->deleted) {
        return doc_problem_set(problem, 404, "not_found", "deleted");
    }
    return get->leaf != NULL ? QK_OK : doc_problem_set(problem, 404, "not_found", "missing");
}

static enum qk_err get_open(struct attachment_get *get, struct bytes name,
                            struct doc_problem *problem)
{
    struct document_parts parts;
    struct attachments list;
    enum qk_err err =
        stored_open(get->service, get->database->id, name, get->leaf, &get->plain, &parts);

    if (err == QK_OK)
        err = attachments_open(parts.attachments, &list);
    if (err == QK_OK && !attachments_find(list, buf_bytes(&get->name), &get->found))
        return doc_problem_set(problem, 404, "not_found", "Document is missing attachment");
    return err;
}

static enum qk_err get_find(struct attachment_get *get, struct doc_problem *problem)
{
    struct record_key key;
    struct bytes name;
    enum qk_err err = attachment_path(&get->exchange->request, &get->id, &get->name, problem);

    if (err == QK_OK)
        err = doc_name_of_id(get->service, get->database->id, get->database->ids_hidden,
                             buf_bytes(&get->id), &key);
    if (err != QK_OK)
        return err;
    name = record_key_name(record_key_bytes(&key));
    err = stored_get(get->service, get->database->id, name, &get->stored);
    if (err == QK_OK)
        err = get_authorize(get);
    if (err == QK_ERR_DENIED)
        return doc_problem_set(problem, 403, "forbidden",
                               "You have no grant to decrypt this document.");
    if (err == QK_OK)
        err = get_leaf(get, problem);
    return err == QK_OK ? get_open(get, name, problem) : err;
}

/* --- the reply -------------------------------------------------------------------------------- */

static void say_facts(struct attachment_get *get, const char *digest)
{
    struct bytes key = keyring_name(get->service->keyring, get->leaf->key_id);

    exchange_field(get->exchange, "ETag", "\"%s\"", digest);
    exchange_field(get->exchange, "Accept-Ranges", "bytes");
    /* What somebody put here must not run as a page of this server's. */
    exchange_field(get->exchange, "Content-Security-Policy", "sandbox");
    exchange_field(get->exchange, "X-Quorumkeep-Key", "%.*s/%u", (int)key.len,
                   (const char *)key.data, get->leaf->key_version);
}

static void reply_whole(struct attachment_get *get, const char *digest, struct contents *contents)
{
    struct contents_how how = {
        .status = 200, .content_type = get->found.content_type, .key_id = get->leaf->key_id};

    exchange_field(get->exchange, "Content-MD5", "%s", digest);
    contents_put(contents, &get->found, 0, get->found.length, false);
    contents_reply(get->service, get->exchange, get->database, &how, contents);
}

static void reply_range(struct attachment_get *get, const struct range *range,
                        struct contents *contents)
{
    struct contents_how how = {
        .status = 206, .content_type = get->found.content_type, .key_id = get->leaf->key_id};

    exchange_field(get->exchange, "Content-Range", "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                   range->from, range->to - 1, get->found.length);
    contents_put(contents, &get->found, range->from, range->to, false);
    contents_reply(get->service, get->exchange, get->database, &how, contents);
}

static void reply_ranges(struct attachment_get *get, const struct ranges *ranges,
                         struct contents *contents)
{
    char boundary[BOUNDARY_TEXT_BYTES + 1], type[BOUNDARY_TEXT_BYTES + 64];
    struct contents_how how = {.status = 206, .key_id = get->leaf->key_id};

    contents_boundary(boundary);
    (void)snprintf(type, sizeof(type), "multipart/byteranges; boundary=\"%s\"", boundary);
    how.content_type = bytes_str(type);
    for (unsigned i = 0; i < ranges->n; i++) {
        const struct range *range = &ranges->items[i];

        buf_printf(&contents->text, "%s--%s\r\nContent-Type: ", i == 0 ? "" : "\r\n", boundary);
        buf_put_bytes(&contents->text, get->found.content_type);
        buf_printf(&contents->text,
                   "\r\nContent-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64 "\r\n\r\n",
                   range->from, range->to - 1, get->found.length);
        contents_put(contents, &get->found, range->from, range->to, false);
    }
    buf_printf(&contents->text, "\r\n--%s--", boundary);
    contents_reply(get->service, get->exchange, get->database, &how, contents);
}

static bool is_known(const struct exchange *exchange, const char *digest)
{
    struct bytes known = exchange->request.if_none_match;

    return known.len > 0 &&
           (bytes_equal(known, bytes_str(digest)) || bytes_equal(known, bytes_str("*")));
}

static void get_reply(struct attachment_get *get)
{
    const char *prefix = "md5-";
    char text[ATTACHMENT_DIGEST_TEXT_BYTES + 1];
    const char *digest = text + strlen(prefix);
    struct contents contents;
    struct ranges ranges;

    attachment_digest_format(get->found.md5, text);
    say_facts(get, digest);
    if (is_known(get->exchange, digest)) {
        exchange_reply_bytes(get->exchange, 304, ATTACHMENT_TYPE_DEFAULT, BYTES_NONE);
        return;
    }
    if (ranges_parse(get->exchange->request.range, get->found.length, &ranges) != QK_OK) {
        exchange_field(get->exchange, "Content-Range", "bytes */%" PRIu64, get->found.length);
        exchange_reply_error(get->exchange, 416, "requested_range_not_satisfiable",
                             "Requested range not satisfiable");
        return;
    }
    contents_init(&contents, get->service, get->database->id);
    if (ranges.n == 0)
        reply_whole(get, digest, &contents);
    else if (ranges.n == 1)
        reply_range(get, &ranges.items[0], &contents);
    else
        reply_ranges(get, &ranges, &contents);
}

static void get_ready(struct service *service, struct exchange *exchange)
{
    struct attachment_get get = {.service = service,
                                 .exchange = exchange,
                                 .id = BUF_INIT(HTTP_URI_BYTES_MAX),
                                 .name = BUF_INIT(HTTP_URI_BYTES_MAX),
                                 .stored = {0, 0, DOC_RECORD_EMPTY},
                                 .plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX)};
    struct doc_problem problem = {0};
    enum qk_err err;

    get.database = read_database(service, exchange, ACCESS_DB_READ);
    if (get.database == NULL)
        return;
    err = get_find(&get, &problem);
    if (err == QK_OK)
        get_reply(&get);
    else
        exchange_reply_problem_or(exchange, &problem, err);
    stored_fini(&get.stored);
    buf_fini(&get.id);
    buf_fini(&get.name);
    buf_fini(&get.plain);
}

void handle_attachment_get(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, get_ready);
}
