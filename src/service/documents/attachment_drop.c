/* What a write, or a purge, no longer names. */
#include <stdlib.h>
#include <string.h>

#include "service/documents/unnamed.h"
#include "service/unnamed_record.h"
#include "service/write_atts.h"
#include "store/store.h"

/* What one batch deletes at most of contents that it drops: 64 MiB, which apply reads. */
#define DROP_CHUNKS_MAX 16
#define DROP_CONTENTS_MAX 16

void attachment_ids_put(const struct doc_record *record, struct buf *out)
{
    for (unsigned i = 0; i < record->leaves_n; i++)
        buf_put_bytes(out, record->leaves[i].attachments);
}

static int id_order(const void *a, const void *b)
{
    return memcmp(a, b, ATTACHMENT_ID_BYTES);
}

static bool is_long(struct service *service, const uint8_t *database, const uint8_t *id)
{
    struct record_key key = record_attachment_chunk(database, id, DROP_CHUNKS_MAX);
    struct record record;

    return store_get(service->store, record_key_bytes(&key), &record) != QK_ERR_NOT_FOUND;
}

/* What stands there already is not genuine, or of a content that came back: it is replaced. */
static enum qk_err become_unnamed(struct service *service, const struct record_key *key,
                                  const uint8_t *id, struct wire_command *command)
{
    struct record_key unnamed = record_unnamed(key->data, id);
    struct buf value = BUF_INIT(UNNAMED_RECORD_BYTES_MAX);
    struct record record = {.version = 0};
    enum qk_err err = store_get(service->store, record_key_bytes(&unnamed), &record);

    if (err == QK_ERR_NOT_FOUND)
        err = QK_OK;
    if (err == QK_OK)
        err = unnamed_record_encode(service, key->data, id, record_key_name(record_key_bytes(key)),
                                    &value);
    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(&unnamed), record.version + 1, 0,
                         buf_bytes(&value));
    buf_fini(&value);
    unnamed_soon(service->unnamed);
    return err;
}

void attachment_ids_drop(struct service *service, const struct record_key *key, struct bytes before,
                         struct bytes after, struct wire_command *command)
{
    struct buf old = BUF_INIT(WRITE_ATTS_IDS_BYTES_MAX), kept = BUF_INIT(WRITE_ATTS_IDS_BYTES_MAX);
    const size_t step = ATTACHMENT_ID_BYTES;
    enum qk_err err;
    unsigned n = 0;

    buf_put_bytes(&old, before);
    buf_put_bytes(&kept, after);
    err = buf_error(&old) != QK_OK ? buf_error(&old) : buf_error(&kept);
    if (err == QK_OK && old.len > 0)
        qsort(old.data, old.len / step, step, id_order);
    if (err == QK_OK && kept.len > 0)
        qsort(kept.data, kept.len / step, step, id_order);
    for (size_t at = 0; err == QK_OK && at < old.len; at += step) {
        struct record_key prefix = record_attachment(key->data, old.data + at);

        if (at > 0 && id_order(old.data + at, old.data + at - step) == 0)
            continue; /* several leaves name it */
        if (kept.len > 0 &&
            bsearch(old.data + at, kept.data, kept.len / step, step, id_order) != NULL)
            continue;
        if (++n > DROP_CONTENTS_MAX || is_long(service, key->data, old.data + at))
            err = become_unnamed(service, key, old.data + at, command);
        else
            wire_command_delete_range(command, record_key_bytes(&prefix));
    }
    if (err != QK_OK && command->failed == QK_OK)
        command->failed = err;
    buf_fini(&old);
    buf_fini(&kept);
}
