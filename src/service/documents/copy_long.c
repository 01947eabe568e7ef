/* PROBE: would the copy be written? --> of each content in turn: some chunks opened --> UPLOAD -->
 * ... --> its end --> the next --> the write. Whatever ends it early, what was uploaded is deleted.
 */
#include "service/documents/copy_long.h"

#include <stdlib.h>
#include <string.h>

#include "service/authorize.h"
#include "service/doc_name.h"
#include "service/documents/contents.h"
#include "service/documents/upload.h"
#include "service/params.h"
#include "service/submit.h"
#include "service/write_probe.h"

/* So much at a time is more than one command of an upload takes: it goes to the pool. */
#define PIECE_BYTES UPLOAD_COMMAND_BYTES

#define SOURCE_BYTES (4 + ATTACHMENT_ID_BYTES + ATTACHMENT_KEY_BYTES + 8)

struct copy_long {
    struct service *service;
    struct exchange *exchange;
    uint8_t database[DATABASE_ID_BYTES];
    uint8_t key_id[KEY_ID_BYTES]; /* of what is read */
    struct buf id;
    struct document document;
    struct doc_problem problem;
    struct write_how how;
    struct write_probe probe;
    struct buf sources; /* secret: number of the wish u32 ‖ id ‖ key ‖ length u64 of each */
    struct upload **uploads;  /* of those begun */
    size_t at, n;             /* of the sources */
    struct contents contents; /* of the one at hand */
    bool reading, ended;      /* there is one; all of it has been read */
    struct buf piece;         /* secret */
};

struct copy_long *copy_long_new(struct service *service, struct exchange *exchange,
                                const uint8_t database[static DATABASE_ID_BYTES])
{
    struct copy_long *copy = calloc(1, sizeof(*copy));

    if (copy == NULL)
        return NULL;
    copy->service = service;
    copy->exchange = exchange;
    memcpy(copy->database, database, DATABASE_ID_BYTES);
    copy->id = BUF_INIT(HTTP_URI_BYTES_MAX);
    copy->sources = BUF_SECRET_INIT((size_t)ATTACHMENTS_MAX * SOURCE_BYTES);
    copy->piece = BUF_SECRET_INIT(2 * PIECE_BYTES);
    copy->document = (struct document){.id = BUF_INIT(0)};
    copy->how.status_ok = 201;
    return copy;
}

static void content_close(struct copy_long *copy)
{
    if (copy->reading)
        contents_fini(&copy->contents);
    copy->reading = false;
}

void copy_long_free(struct copy_long *copy)
{
    if (copy == NULL)
        return;
    content_close(copy);
    for (size_t i = 0; copy->uploads != NULL && i < copy->n; i++)
        upload_free(copy->uploads[i]);
    free(copy->uploads);
    buf_fini(&copy->id);
    buf_fini(&copy->sources);
    buf_fini(&copy->piece);
    free(copy);
}

static void on_end(void *arg)
{
    copy_long_free(arg);
}

static void copy_fail(struct copy_long *copy, enum qk_err err)
{
    struct exchange *exchange = copy->exchange;

    document_fini(&copy->document);
    if (err == QK_ERR_DENIED)
        exchange_reply_error(exchange, 403, "forbidden",
                             "You have no grant to decrypt this document.");
    else if (err == QK_ERR_INVALID)
        exchange_reply_problem_or(exchange, &copy->problem, err);
    else if (err == QK_ERR_NOT_FOUND) /* what is copied was written meanwhile */
        exchange_reply_error(exchange, 409, "conflict", "Document update conflict.");
    else
        upload_reply_err(copy->service, exchange, buf_bytes(&copy->id), err);
    copy_long_free(copy);
}

/* --- what is long --- */

/* What comes must be what was there: its length and digest are announced. */
enum qk_err copy_long_add(struct copy_long *copy, const struct attachment *attachment, unsigned at,
                          struct attachment_wish *ret_wish)
{
    *ret_wish = (struct attachment_wish){.source = ATTACHMENT_FOLLOWS,
                                         .name = BUF_INIT(attachment->name.len),
                                         .content_type = BUF_INIT(attachment->content_type.len),
                                         .has_length = true,
                                         .has_digest = true,
                                         .length = attachment->length,
                                         .data = BUF_SECRET_INIT(ATTACHMENT_KEY_BYTES)};
    buf_put_bytes(&ret_wish->name, attachment->name);
    buf_put_bytes(&ret_wish->content_type, attachment->content_type);
    memcpy(ret_wish->md5, attachment->md5, ATTACHMENT_MD5_BYTES);
    buf_put_u32(&copy->sources, at);
    buf_put(&copy->sources, attachment->id, ATTACHMENT_ID_BYTES);
    buf_put(&copy->sources, attachment->key, ATTACHMENT_KEY_BYTES);
    buf_put_u64(&copy->sources, attachment->length);
    copy->n++;
    return buf_error(&copy->sources);
}

bool copy_long_is_needed(const struct copy_long *copy)
{
    return copy->n > 0;
}

static unsigned source_wish(const struct copy_long *copy)
{
    return get_u32(copy->sources.data + copy->at * SOURCE_BYTES);
}

/* --- one content --- */

static enum qk_err content_begin(struct copy_long *copy)
{
    const uint8_t *id = copy->sources.data + copy->at * SOURCE_BYTES + 4;
    const uint8_t *key = id + ATTACHMENT_ID_BYTES;
    struct attachment one = {.id = id, .key = key, .length = get_u64(key + ATTACHMENT_KEY_BYTES)};
    struct record_key name;
    uint64_t length;
    enum qk_err err;
    const struct catalog_database *database =
        catalog_database_of(copy->service->catalog, copy->database);

    if (database == NULL)
        return QK_ERR_CLOSED;
    contents_init(&copy->contents, copy->service, copy->database);
    copy->reading = true;
    copy->ended = false;
    contents_put(&copy->contents, &one, 0, one.length, false);
    err = contents_seal(&copy->contents, &length);
    if (err == QK_OK)
        err = doc_name_of_id(copy->service, copy->database, database->ids_hidden,
                             buf_bytes(&copy->id), &name);
    return err == QK_OK ? upload_new(copy->service, &name, &copy->uploads[copy->at]) : err;
}

static enum qk_err content_read(struct copy_long *copy)
{
    enum qk_err err = QK_OK;

    buf_reset(&copy->piece);
    while (err == QK_OK && !copy->ended && copy->piece.len < PIECE_BYTES)
        err = contents_step(&copy->contents, &copy->piece, &copy->ended);
    return err;
}

static void copy_go_on(struct copy_long *copy);

static void on_whole(void *arg, enum qk_err err)
{
    struct copy_long *copy = arg;

    if (err == QK_OK)
        err = upload_wish(copy->uploads[copy->at],
                          &copy->document.attachments.items[source_wish(copy)], &copy->problem);
    content_close(copy);
    copy->at++;
    if (err == QK_OK)
        copy_go_on(copy);
    else
        copy_fail(copy, err);
}

static void on_put(void *arg, enum qk_err err)
{
    struct copy_long *copy = arg;

    if (err != QK_OK)
        copy_fail(copy, err);
    else if (copy->ended)
        upload_end(copy->uploads[copy->at], on_whole, copy);
    else
        copy_go_on(copy);
}

/* Each time anew: may they still read it? */
static enum qk_err copy_may(const struct copy_long *copy)
{
    if (copy->exchange->closed)
        return QK_ERR_CLOSED;
    if (!service_is_open(copy->service))
        return QK_ERR_SEALED;
    return authorize_key(copy->service, &copy->exchange->request.who, copy->key_id,
                         ACCESS_KEY_DECRYPT);
}

static void copy_go_on(struct copy_long *copy)
{
    enum qk_err err = copy_may(copy);

    if (err == QK_OK && copy->at == copy->n) {
        copy->how.ended = on_end;
        copy->how.ended_arg = copy;
        write_one(copy->service, copy->exchange, buf_bytes(&copy->id), &copy->document, &copy->how);
        return;
    }
    if (err == QK_OK && !copy->reading)
        err = content_begin(copy);
    if (err == QK_OK)
        err = content_read(copy);
    if (err == QK_OK)
        upload_put(copy->uploads[copy->at], buf_bytes(&copy->piece), on_put, copy);
    else
        copy_fail(copy, err);
}

/* --- PROBE --- */

static void copy_refused(void *arg)
{
    struct copy_long *copy = arg;

    document_fini(&copy->document);
    copy_long_free(copy);
}

static void on_probed(void *arg)
{
    struct copy_long *copy = arg;

    if (write_probe_is_yes(&copy->probe))
        copy_go_on(copy);
    else
        write_probe_refuse(&copy->probe, copy_refused, copy);
}

void copy_long_start(struct copy_long *copy, struct bytes id, struct document *document,
                     const uint8_t key_id[static KEY_ID_BYTES])
{
    copy->document = *document;
    memcpy(copy->key_id, key_id, KEY_ID_BYTES);
    buf_put_bytes(&copy->id, id);
    copy->uploads = calloc(copy->n, sizeof(*copy->uploads));
    if (copy->uploads == NULL || buf_error(&copy->id) != QK_OK)
        copy_fail(copy, QK_ERR_NOMEM);
    else
        write_probe_start(&copy->probe, copy->service, copy->exchange, buf_bytes(&copy->id),
                          &copy->document, &copy->how, on_probed, copy);
}
