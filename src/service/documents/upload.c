/* GATHER until more than a command's worth is there --> SEAL on the pool --> WRITE, one command -->
 * the rest again, or the caller is told. At the end what is left goes the same way, its last chunk
 * as the last. A chunk is sealed once: a command that is evaluated again holds the same bytes. */
#include "service/documents/upload.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/crypto.h"
#include "service/catalog.h"
#include "service/offload_uv.h"
#include "service/submit.h"
#include "service/documents/unnamed.h"
#include "service/unnamed_record.h"
#include "store/store.h"

#define PLAIN_BYTES_MAX (UPLOAD_COMMAND_BYTES + 4 * MIB)
#define SEALED_BYTES_MAX                                                                           \
    (UPLOAD_COMMAND_BYTES / ATTACHMENT_CHUNK_BYTES * ATTACHMENT_SEALED_BYTES_MAX)

struct upload {
    struct service *service;
    struct unnamed_active active; /* the id */
    struct record_key name;       /* of the document's record */
    struct buf key;               /* secret */
    struct buf plain;             /* secret: what is not sealed yet */
    struct buf sealed;            /* the chunks of one command */
    struct attachment_digest *digest;
    uint8_t md5[ATTACHMENT_MD5_BYTES];
    uint64_t length;
    uint32_t chunk;    /* the next to be written */
    size_t taken;      /* of `plain`, by the command under way */
    unsigned chunks_n; /* of it */
    bool last;         /* it holds the last chunk */
    bool begun;        /* the record is there */
    bool written;      /* the command under way is applied */
    bool running;      /* a callback is to come */
    bool ending;       /* no more bytes come */
    bool abandoned;    /* upload_free was called */
    enum qk_err err;   /* of sealing */
    upload_cb cb;
    void *arg;
};

uint64_t upload_bytes_max(const struct service *service)
{
    return service->attachment_bytes_max == 0 ? ATTACHMENT_BYTES_DEFAULT
                                              : service->attachment_bytes_max;
}

static void upload_gone(struct upload *upload)
{
    unnamed_end(upload->service->unnamed, &upload->active);
    attachment_digest_free(upload->digest);
    buf_fini(&upload->key);
    buf_fini(&upload->plain);
    buf_fini(&upload->sealed);
    free(upload);
}

/* The end of one upload_put or upload_end. */
static void upload_tell(struct upload *upload, enum qk_err err)
{
    upload_cb cb = upload->cb;

    upload->running = false;
    upload->cb = NULL;
    if (upload->abandoned)
        upload_gone(upload);
    else
        cb(upload->arg, err);
}

/* --- on the pool ----------------------------------------------------------------------------- */

static void seal(void *arg)
{
    struct upload *upload = arg;
    const struct attachment_place place = {upload->service->origin_id, upload->name.data,
                                           upload->active.id};
    struct bytes plain = bytes_slice(buf_bytes(&upload->plain), 0, upload->taken);

    upload->err = attachment_digest_add(upload->digest, plain);
    for (unsigned i = 0; i < upload->chunks_n && upload->err == QK_OK; i++) {
        struct bytes part = bytes_slice(plain, i * ATTACHMENT_CHUNK_BYTES, ATTACHMENT_CHUNK_BYTES);

        upload->err =
            attachment_part_seal(upload->key.data, &place, part, upload->chunk + i,
                                 upload->last && i + 1 == upload->chunks_n, &upload->sealed);
    }
}

/* --- a command ------------------------------------------------------------------------------- */

static enum qk_err put_record(const struct upload *upload, struct wire_command *command)
{
    struct record_key key = record_unnamed(upload->name.data, upload->active.id);
    struct buf value = BUF_INIT(UNNAMED_RECORD_BYTES_MAX);
    enum qk_err err =
        unnamed_record_encode(upload->service, upload->name.data, upload->active.id,
                              record_key_name(record_key_bytes(&upload->name)), &value);

    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(&key), 1, 0, buf_bytes(&value));
    buf_fini(&value);
    return err;
}

static void put_chunks(const struct upload *upload, struct wire_command *command)
{
    for (unsigned i = 0; i < upload->chunks_n; i++) {
        struct record_key key =
            record_attachment_chunk(upload->name.data, upload->active.id, upload->chunk + i);

        wire_command_put(command, record_key_bytes(&key), 1, 0,
                         bytes_slice(buf_bytes(&upload->sealed), i * ATTACHMENT_SEALED_BYTES_MAX,
                                     ATTACHMENT_SEALED_BYTES_MAX));
    }
}

static enum qk_err upload_evaluate(void *arg, struct wire_command *command)
{
    const struct upload *upload = arg;
    const struct catalog_database *database =
        catalog_database_of(upload->service->catalog, upload->name.data);
    struct record_key key = record_unnamed(upload->name.data, upload->active.id);
    struct record record;
    enum qk_err err = QK_OK;

    if (upload->written)
        return QK_OK;
    if (database == NULL)
        return QK_ERR_NOT_FOUND;
    if (upload->begun &&
        store_get(upload->service->store, record_key_bytes(&key), &record) != QK_OK)
        return QK_ERR_BUSY; /* taken for dead, by another leader */
    wire_command_batch(command);
    wire_command_cond(command, bytes_of(database->key, CATALOG_KEY_BYTES),
                      database->record_version);
    if (upload->begun)
        wire_command_cond(command, record_key_bytes(&key), 1);
    else
        err = put_record(upload, command);
    if (err == QK_OK)
        put_chunks(upload, command);
    return err;
}

static void upload_result(void *arg, size_t at, const struct wire_result *result)
{
    struct upload *upload = arg;

    (void)at;
    upload->written = result->ok;
}

static void upload_go_on(struct upload *upload);

static void upload_done(void *arg, enum qk_err err)
{
    struct upload *upload = arg;

    if (upload->written) { /* sealed or deposed right after: it is written all the same */
        upload->begun = true;
        unnamed_written(upload->service->unnamed, upload->taken);
        upload->chunk += upload->chunks_n;
        buf_consume(&upload->plain, upload->taken);
        buf_reset(&upload->sealed);
    } else if (err == QK_OK) {
        err = QK_ERR_BUSY;
    }
    if (upload->written && upload->last) {
        buf_fini(&upload->plain);
        buf_fini(&upload->sealed);
    }
    if (upload->written && !upload->abandoned && !upload->last)
        upload_go_on(upload);
    else
        upload_tell(upload, upload->written ? QK_OK : err);
}

static const struct submit_ops upload_ops = {upload_evaluate, upload_result, upload_done};

static void sealed(void *arg, enum qk_err err)
{
    struct upload *upload = arg;
    struct record_key key = record_unnamed(upload->name.data, upload->active.id);
    struct bytes view = record_key_bytes(&key);

    if (err == QK_OK)
        err = upload->err;
    if (err == QK_OK && (upload->abandoned || !service_is_open(upload->service)))
        err = QK_ERR_SEALED;
    if (err == QK_OK && upload->last)
        err = attachment_digest_end(upload->digest, upload->md5);
    upload->written = false;
    if (err == QK_OK)
        err = submit_start(upload->service, &view, 1, &upload_ops, upload);
    if (err != QK_OK)
        upload_tell(upload, err);
}

/* --- its course ------------------------------------------------------------------------------ */

/* One byte more than a command holds must be there before the end: what comes last is the last. */
static void upload_go_on(struct upload *upload)
{
    size_t len = upload->plain.len;

    if (len <= UPLOAD_COMMAND_BYTES && !upload->ending) {
        upload_tell(upload, QK_OK);
        return;
    }
    upload->last = upload->ending && len <= UPLOAD_COMMAND_BYTES;
    upload->taken = upload->last ? len : UPLOAD_COMMAND_BYTES;
    upload->chunks_n = (unsigned)attachment_chunks_n(upload->taken);
    offload_run(upload->service, upload->taken, seal, sealed, upload);
}

static void upload_begin(struct upload *upload, upload_cb cb, void *arg)
{
    assert(!upload->running && !upload->ending && cb != NULL);

    upload->running = true;
    upload->cb = cb;
    upload->arg = arg;
}

void upload_put(struct upload *upload, struct bytes bytes, upload_cb cb, void *arg)
{
    upload_begin(upload, cb, arg);
    upload->length += bytes.len;
    if (upload->length > upload_bytes_max(upload->service)) {
        upload_tell(upload, QK_ERR_TOO_BIG);
        return;
    }
    buf_put_bytes(&upload->plain, bytes);
    if (buf_error(&upload->plain) != QK_OK)
        upload_tell(upload, buf_error(&upload->plain));
    else
        upload_go_on(upload);
}

void upload_end(struct upload *upload, upload_cb cb, void *arg)
{
    upload_begin(upload, cb, arg);
    upload->ending = true;
    upload_go_on(upload);
}

enum qk_err upload_wish(const struct upload *upload, struct attachment_wish *wish,
                        struct doc_problem *ret_problem)
{
    const struct attachment stored = {.length = upload->length,
                                      .md5 = upload->md5,
                                      .id = upload->active.id,
                                      .key = upload->key.data};

    assert(upload->last && upload->written && !upload->running);

    return attachment_wish_stored(wish, &stored, ret_problem);
}

enum qk_err upload_new(struct service *service, const struct record_key *name,
                       struct upload **ret_upload)
{
    struct unnamed_figures figures;
    struct upload *upload;
    uint8_t *key;

    if (service->unnamed == NULL)
        return QK_ERR_CLOSED;
    unnamed_figures(service->unnamed, &figures);
    if (figures.active_n >= UPLOADS_MAX)
        return QK_ERR_BUSY;
    upload = calloc(1, sizeof(*upload));
    if (upload == NULL)
        return QK_ERR_NOMEM;
    upload->service = service;
    upload->name = *name;
    upload->key = BUF_SECRET_INIT(ATTACHMENT_KEY_BYTES);
    upload->plain = BUF_SECRET_INIT(PLAIN_BYTES_MAX);
    upload->sealed = BUF_INIT(SEALED_BYTES_MAX);
    random_fill(upload->active.id, ATTACHMENT_ID_BYTES);
    unnamed_begin(service->unnamed, &upload->active);
    upload->digest = attachment_digest_begin();
    key = buf_extend(&upload->key, ATTACHMENT_KEY_BYTES);
    if (upload->digest == NULL || key == NULL) {
        upload_gone(upload);
        return QK_ERR_NOMEM;
    }
    random_system().fill(NULL, key, ATTACHMENT_KEY_BYTES);
    *ret_upload = upload;
    return QK_OK;
}

void upload_free(struct upload *upload)
{
    if (upload == NULL)
        return;
    upload->abandoned = true;
    if (!upload->running)
        upload_gone(upload);
}

void upload_reply_err(struct service *service, struct exchange *exchange, struct bytes name,
                      enum qk_err err)
{
    if (err == QK_ERR_TOO_BIG)
        exchange_reply_error(exchange, 413, "attachment_too_large", "%.*s", (int)name.len,
                             (const char *)name.data);
    else if (err == QK_ERR_NOT_FOUND)
        exchange_reply_error(exchange, 404, "not_found", "Database does not exist.");
    else /* of an unknown outcome nothing is in the document in any case */
        submit_reply_err(service, exchange,
                         err == QK_ERR_UNKNOWN_OUTCOME ? QK_ERR_NOT_LEADER : err);
}
