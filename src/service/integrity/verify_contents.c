#include "service/integrity/verify_contents.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "doc/attachment_chunk.h"
#include "service/read.h"
#include "service/write_atts.h"
#include "store/store.h"

/* Of all leaves of a document, which together are one record. */
#define SECTIONS_BYTES_MAX (2 * (size_t)DOCUMENT_PLAIN_BYTES_MAX)

struct verify_contents {
    struct service *service;
    verify_contents_found_cb found;
    void *arg;
    uint8_t database[DATABASE_ID_BYTES];
    bool begun;
    /* Contents without a record of their own, in the order of their ids. */
    bool noting, has_last;
    uint8_t last[ATTACHMENT_ID_BYTES]; /* met so far */
    struct buf ids;
    uint8_t *named; /* a bit each */
    /* Of the document at hand. */
    struct record_key document;
    struct buf sections; /* secret: each behind its length */
    size_t section_at;   /* of the next of these */
    struct attachments left;
    struct attachment one; /* in `sections` */
    bool opening;          /* `one` is */
    uint64_t at;           /* its next chunk */
    uint64_t chunks_n;
};

const char *verify_contents_harm_text(enum verify_harm harm)
{
    static const char *const texts[] = {[VERIFY_DAMAGED] = "does not authenticate",
                                        [VERIFY_MISSING] = "missing",
                                        [VERIFY_NAMELESS] = "named by no document"};

    return texts[harm];
}

struct verify_contents *verify_contents_new(struct service *service, verify_contents_found_cb found,
                                            void *arg)
{
    struct verify_contents *check = calloc(1, sizeof(*check));

    if (check == NULL)
        return NULL;
    check->service = service;
    check->found = found;
    check->arg = arg;
    check->ids = BUF_INIT((size_t)VERIFY_IDS_MAX * ATTACHMENT_ID_BYTES);
    check->sections = BUF_SECRET_INIT(SECTIONS_BYTES_MAX);
    return check;
}

void verify_contents_free(struct verify_contents *check)
{
    if (check == NULL)
        return;
    buf_fini(&check->ids);
    buf_fini(&check->sections);
    free(check->named);
    free(check);
}

uint64_t verify_contents_chunks_n(const struct verify_contents *check)
{
    return check == NULL ? 0 : check->chunks_n;
}

bool verify_contents_is_busy(const struct verify_contents *check)
{
    return check->noting || check->opening || check->section_at < check->sections.len;
}

/* --- which contents there are --- */

void verify_contents_begin(struct verify_contents *check,
                           const uint8_t database[static DATABASE_ID_BYTES])
{
    assert(!verify_contents_is_busy(check));

    memcpy(check->database, database, DATABASE_ID_BYTES);
    buf_fini(&check->ids);
    free(check->named);
    check->named = NULL;
    check->has_last = false;
    check->begun = check->noting = true;
}

/* In the file, as the walk over the documents reads it: store_get would know what is written of a
 * content already, while its document is not yet to be met. */
static enum qk_err is_unnamed(const struct verify_contents *check, const uint8_t *id, bool *ret_is)
{
    struct record_key key = record_unnamed(check->database, id);
    struct store_cursor *cursor;
    struct store_row row;
    enum qk_err err =
        store_cursor_open_prefix(check->service->store, record_key_bytes(&key), false, &cursor);

    if (err != QK_OK)
        return err;
    err = store_cursor_next(cursor, &row);
    store_cursor_close(cursor);
    *ret_is = err == QK_OK;
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

/* The first chunk behind those of the last content that was met. */
static enum qk_err next_content(const struct verify_contents *check,
                                uint8_t ret_id[static ATTACHMENT_ID_BYTES])
{
    static const uint8_t zeros[ATTACHMENT_ID_BYTES];
    struct record_key from = record_attachment(check->database, zeros);
    struct store_cursor *cursor;
    struct store_row row;
    uint32_t chunk;
    enum qk_err err;

    if (check->has_last)
        from = record_attachment_chunk(check->database, check->last, UINT32_MAX);
    err = store_cursor_open(check->service->store, record_key_bytes(&from), BYTES_NONE, false,
                            &cursor);
    if (err != QK_OK)
        return err;
    err = store_cursor_next(cursor, &row);
    if (err == QK_OK && (memcmp(row.key.data, check->database, DATABASE_ID_BYTES) != 0 ||
                         !record_key_chunk(row.key, ret_id, &chunk)))
        err = QK_ERR_NOT_FOUND;
    store_cursor_close(cursor);
    return err;
}

static enum qk_err noted(struct verify_contents *check)
{
    size_t n = check->ids.len / ATTACHMENT_ID_BYTES;

    check->noting = false;
    check->named = n == 0 ? NULL : calloc((n + 7) / 8, 1);
    return n > 0 && check->named == NULL ? QK_ERR_NOMEM : QK_OK;
}

static enum qk_err too_many(struct verify_contents *check)
{
    log_info("integrity",
             "a database has more than %d attachments: whether each is named by a document is not "
             "looked for",
             VERIFY_IDS_MAX);
    buf_fini(&check->ids);
    return noted(check);
}

static enum qk_err note(struct verify_contents *check)
{
    bool unnamed = false;
    enum qk_err err = next_content(check, check->last);

    if (err == QK_ERR_NOT_FOUND)
        return noted(check);
    check->has_last = true;
    if (err == QK_OK)
        err = is_unnamed(check, check->last, &unnamed);
    if (err != QK_OK || unnamed)
        return err;
    if (check->ids.len == check->ids.max)
        return too_many(check);
    buf_put(&check->ids, check->last, ATTACHMENT_ID_BYTES);
    return buf_error(&check->ids);
}

static void name(struct verify_contents *check, const uint8_t *id)
{
    size_t from = 0, to = check->ids.len / ATTACHMENT_ID_BYTES;

    while (from < to) {
        size_t middle = from + (to - from) / 2;
        int order = memcmp(check->ids.data + middle * ATTACHMENT_ID_BYTES, id, ATTACHMENT_ID_BYTES);

        if (order == 0) {
            check->named[middle / 8] = (uint8_t)(check->named[middle / 8] | 1u << middle % 8);
            return;
        }
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
}

/* --- those of a document --- */

void verify_contents_document(struct verify_contents *check, struct bytes key,
                              const struct doc_record *record)
{
    assert(check->begun && !verify_contents_is_busy(check));

    check->document.len = (uint16_t)key.len;
    memcpy(check->document.data, key.data, key.len);
    for (unsigned i = 0; i < record->leaves_n; i++) {
        struct bytes ids = record->leaves[i].attachments;

        for (size_t at = 0; at + ATTACHMENT_ID_BYTES <= ids.len; at += ATTACHMENT_ID_BYTES)
            name(check, ids.data + at);
    }
}

enum qk_err verify_contents_leaf(struct verify_contents *check, struct bytes section)
{
    struct attachments list;
    enum qk_err err = attachments_open(section, &list);

    assert(!check->opening);

    if (err != QK_OK || list.left == 0)
        return err;
    buf_put_blob(&check->sections, section);
    return buf_error(&check->sections);
}

/* It was found well-formed before. */
static void section_next(struct verify_contents *check)
{
    struct reader reader = reader_of(buf_bytes(&check->sections));
    struct bytes section;

    (void)reader_bytes(&reader, check->section_at);
    section = reader_blob(&reader, check->sections.len);
    check->section_at = reader.at;
    check->opening = attachments_open(section, &check->left) == QK_OK &&
                     attachments_next(&check->left, &check->one);
    check->at = 0;
}

/* The sections go with the last of them. */
static void attachment_next(struct verify_contents *check)
{
    check->at = 0;
    check->opening = attachments_next(&check->left, &check->one);
    if (check->opening || check->section_at < check->sections.len)
        return;
    buf_fini(&check->sections);
    check->section_at = 0;
}

/* The document may have been written since, without that content. */
static bool is_named_still(struct verify_contents *check, const uint8_t *id)
{
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct buf ids = BUF_INIT(WRITE_ATTS_IDS_BYTES_MAX);
    bool found = false;

    if (stored_get(check->service, check->database,
                   record_key_name(record_key_bytes(&check->document)), &stored) == QK_OK)
        attachment_ids_put(&stored.record, &ids);
    for (size_t at = 0; at + ATTACHMENT_ID_BYTES <= ids.len; at += ATTACHMENT_ID_BYTES)
        found = found || memcmp(ids.data + at, id, ATTACHMENT_ID_BYTES) == 0;
    stored_fini(&stored);
    buf_fini(&ids);
    return found;
}

static void chunk_harmed(struct verify_contents *check, enum verify_harm harm,
                         const struct record_key *key)
{
    if (is_named_still(check, check->one.id))
        check->found(check->arg, harm, record_key_bytes(key), record_key_bytes(&check->document));
}

static void chunk_open(struct verify_contents *check, const struct record_key *key,
                       struct bytes sealed)
{
    const struct attachment_place place = {check->service->origin_id, check->database,
                                           check->one.id};
    struct buf plain = BUF_SECRET_INIT(ATTACHMENT_CHUNK_BYTES);
    enum qk_err err = attachment_chunk_open(check->one.key, &place, check->one.length,
                                            (uint32_t)check->at, sealed, &plain);

    buf_fini(&plain);
    check->chunks_n++;
    if (err == QK_ERR_CORRUPT)
        chunk_harmed(check, VERIFY_DAMAGED, key);
}

/* Behind the last one of a content there must be none. */
static enum qk_err open_next(struct verify_contents *check)
{
    bool behind = check->at == attachment_chunks_n(check->one.length);
    struct record_key key =
        record_attachment_chunk(check->database, check->one.id, (uint32_t)check->at);
    struct record record;
    enum qk_err err = store_get(check->service->store, record_key_bytes(&key), &record);

    if (err != QK_OK && err != QK_ERR_NOT_FOUND)
        return err;
    if (behind && err == QK_OK)
        chunk_harmed(check, VERIFY_NAMELESS, &key);
    else if (!behind && err == QK_OK)
        chunk_open(check, &key, record.value);
    else if (!behind)
        chunk_harmed(check, VERIFY_MISSING, &key);
    check->at++;
    if (behind)
        attachment_next(check);
    return QK_OK;
}

enum qk_err verify_contents_step(struct verify_contents *check)
{
    assert(verify_contents_is_busy(check));

    if (check->noting)
        return note(check);
    if (check->opening)
        return open_next(check);
    section_next(check);
    return QK_OK;
}

/* --- those that nobody names --- */

static bool is_there(const struct verify_contents *check, const struct record_key *key)
{
    struct record record;

    return store_get(check->service->store, record_key_bytes(key), &record) == QK_OK;
}

static void check_named(struct verify_contents *check, const uint8_t *id)
{
    struct record_key chunk = record_attachment_chunk(check->database, id, 0);
    struct record_key unnamed = record_unnamed(check->database, id);

    if (is_there(check, &chunk) && !is_there(check, &unnamed))
        check->found(check->arg, VERIFY_NAMELESS, record_key_bytes(&chunk), BYTES_NONE);
}

void verify_contents_end(struct verify_contents *check)
{
    assert(!verify_contents_is_busy(check));

    for (size_t i = 0; check->begun && i < check->ids.len / ATTACHMENT_ID_BYTES; i++)
        if ((check->named[i / 8] >> i % 8 & 1) == 0)
            check_named(check, check->ids.data + i * ATTACHMENT_ID_BYTES);
    check->begun = false;
    buf_fini(&check->ids);
}
