#include "service/documents/contents_reply.h"

#include <stdlib.h>

#include "doc/attachment.h"
#include "service/stream.h"
#include "service/submit.h"
#include "service/visible.h"

struct contents_stream {
    struct stream stream;
    struct visible visible;
    struct contents contents; /* owned */
    struct buf content_type;
};

static enum qk_err reply_step(void *arg, bool *ret_end)
{
    struct contents_stream *reply = arg;

    return contents_step(&reply->contents, &reply->stream.out, ret_end);
}

static enum qk_err reply_turn(void *arg)
{
    struct contents_stream *reply = arg;

    return visible_turn(&reply->visible);
}

static void reply_ended(void *arg)
{
    struct contents_stream *reply = arg;

    stream_fini(&reply->stream);
    visible_fini(&reply->visible);
    contents_fini(&reply->contents);
    buf_fini(&reply->content_type);
    free(reply);
}

/* Rows under this key are shown: so visible_turn ends the reply when they no longer are. */
static enum qk_err reply_note_key(struct contents_stream *reply, const uint8_t *key_id)
{
    bool shown = false;
    enum qk_err err = visible_key(&reply->visible, key_id, &shown);

    return err == QK_OK && !shown ? QK_ERR_DENIED : err;
}

static enum qk_err reply_fill(struct contents_stream *reply,
                              const struct catalog_database *database,
                              const struct contents_how *how)
{
    struct stream *stream = &reply->stream;
    uint64_t length;
    enum qk_err err;

    if (how->is_json)
        buf_put_u8(&reply->contents.text, '\n');
    err = contents_seal(&reply->contents, &length);
    buf_put_bytes(&reply->content_type, how->content_type);
    buf_put_u8(&reply->content_type, 0);
    if (err == QK_OK)
        err = buf_error(&reply->content_type);
    if (err == QK_OK)
        err = visible_init(&reply->visible, stream->service, stream->exchange, database);
    if (err == QK_OK)
        err = reply_note_key(reply, how->key_id);
    stream->turn = reply_turn;
    stream->status = how->status;
    stream->content_type = (const char *)reply->content_type.data;
    stream->length = how->is_json ? SIZE_MAX : (size_t)length;
    return err;
}

void contents_reply(struct service *service, struct exchange *exchange,
                    const struct catalog_database *database, const struct contents_how *how,
                    struct contents *contents)
{
    struct contents_stream *reply = calloc(1, sizeof(*reply));
    enum qk_err err;

    if (reply == NULL) {
        contents_fini(contents);
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    reply->contents = *contents;
    reply->content_type = BUF_INIT(ATTACHMENT_TYPE_BYTES_MAX + 64);
    stream_init(&reply->stream, service, exchange, reply_step, reply_ended, reply);
    err = reply_fill(reply, database, how);
    if (err == QK_OK) {
        stream_start(&reply->stream);
        return;
    }
    submit_reply_err(service, exchange, err);
    reply_ended(reply);
}
