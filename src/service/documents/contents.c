#include "service/documents/contents.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "doc/document.h"
#include "store/store.h"
#include "wire/records.h"

#define FACTS_BYTES (ATTACHMENT_ID_BYTES + ATTACHMENT_KEY_BYTES)
#define TEXT_STEP_BYTES (128 * KIB)
/* The texts of one document and of the heads of its attachments. */
#define TEXT_BYTES_MAX (DOCUMENT_PLAIN_BYTES_MAX + 8 * MIB)

void contents_init(struct contents *contents, struct service *service,
                   const uint8_t database[static DATABASE_ID_BYTES])
{
    *contents =
        (struct contents){.service = service,
                          .text = BUF_SECRET_INIT(TEXT_BYTES_MAX),
                          .facts = BUF_SECRET_INIT((size_t)ATTACHMENTS_MAX * 16 * FACTS_BYTES)};
    memcpy(contents->database, database, DATABASE_ID_BYTES);
}

void contents_fini(struct contents *contents)
{
    buf_fini(&contents->text);
    buf_fini(&contents->facts);
    free(contents->pieces);
    contents->pieces = NULL;
    contents->pieces_n = contents->pieces_cap = 0;
}

/* --- what is to be sent ----------------------------------------------------------------------- */

static struct contents_piece *piece_new(struct contents *contents)
{
    struct contents_piece *pieces;
    size_t cap = contents->pieces_cap == 0 ? 4 : 2 * contents->pieces_cap;

    if (contents->pieces_n == contents->pieces_cap) {
        pieces = reallocarray(contents->pieces, cap, sizeof(*pieces));
        if (pieces == NULL) {
            contents->failed = QK_ERR_NOMEM;
            return NULL;
        }
        contents->pieces = pieces;
        contents->pieces_cap = cap;
    }
    contents->pieces[contents->pieces_n] = (struct contents_piece){.text_to = contents->text.len};
    return &contents->pieces[contents->pieces_n++];
}

void contents_put(struct contents *contents, const struct attachment *attachment, uint64_t from,
                  uint64_t to, bool base64)
{
    struct contents_piece *piece = piece_new(contents);

    assert(from <= to && to <= attachment->length);

    if (piece == NULL)
        return;
    piece->has_content = true;
    piece->base64 = base64;
    piece->length = attachment->length;
    piece->from = from;
    piece->to = to;
    piece->facts_at = contents->facts.len;
    buf_put(&contents->facts, attachment->id, ATTACHMENT_ID_BYTES);
    buf_put(&contents->facts, attachment->key, ATTACHMENT_KEY_BYTES);
}

enum qk_err contents_seal(struct contents *contents, uint64_t *ret_length)
{
    uint64_t length = contents->text.len;

    (void)piece_new(contents);
    for (size_t i = 0; i < contents->pieces_n; i++) {
        const struct contents_piece *piece = &contents->pieces[i];
        uint64_t bytes = piece->to - piece->from;

        length += piece->base64 ? (bytes + 2) / 3 * 4 : bytes;
    }
    if (contents->failed == QK_OK)
        contents->failed = buf_error(&contents->text);
    if (contents->failed == QK_OK)
        contents->failed = buf_error(&contents->facts);
    *ret_length = length;
    return contents->failed;
}

/* --- handing it on ---------------------------------------------------------------------------- */

static void say_damaged(const struct contents *contents, const uint8_t *id, uint32_t chunk)
{
    char database[2 * DATABASE_ID_BYTES + 1], attachment[2 * ATTACHMENT_ID_BYTES + 1];

    hex_encode(contents->database, DATABASE_ID_BYTES, database);
    hex_encode(id, ATTACHMENT_ID_BYTES, attachment);
    log_error("attachment",
              "store.mdb: chunk %u of attachment %s in database %s does not authenticate", chunk,
              attachment, database);
}

static enum qk_err chunk_open(const struct contents *contents, const struct contents_piece *piece,
                              uint32_t at, struct buf *plain)
{
    const uint8_t *id = contents->facts.data + piece->facts_at;
    const struct attachment_place place = {contents->service->origin_id, contents->database, id};
    struct record_key key = record_attachment_chunk(contents->database, id, at);
    struct record record;
    enum qk_err err = store_get(contents->service->store, record_key_bytes(&key), &record);

    if (err == QK_OK)
        err = attachment_chunk_open(id + ATTACHMENT_ID_BYTES, &place, piece->length, at,
                                    record.value, plain);
    if (err == QK_ERR_CORRUPT)
        say_damaged(contents, id, at);
    return err;
}

/* Whole groups of three, and what is left at the end of the content. */
static void put_base64(struct contents *contents, struct bytes plain, bool last, struct buf *out)
{
    while (contents->carry_n > 0 && contents->carry_n < 3 && plain.len > 0) {
        contents->carry[contents->carry_n++] = plain.data[0];
        plain = bytes_slice(plain, 1, plain.len);
    }
    if (contents->carry_n == 3 || last) {
        base64_encode(bytes_of(contents->carry, contents->carry_n), out);
        contents->carry_n = 0;
    }
    if (contents->carry_n > 0)
        return;
    contents->carry_n = last ? 0 : plain.len % 3;
    base64_encode(bytes_slice(plain, 0, plain.len - contents->carry_n), out);
    if (contents->carry_n > 0)
        memcpy(contents->carry, plain.data + plain.len - contents->carry_n, contents->carry_n);
}

static enum qk_err step_content(struct contents *contents, const struct contents_piece *piece,
                                struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(ATTACHMENT_CHUNK_BYTES);
    uint64_t from = piece->from + contents->done;
    uint64_t chunk = from / ATTACHMENT_CHUNK_BYTES;
    size_t skip = (size_t)(from % ATTACHMENT_CHUNK_BYTES);
    uint64_t left = piece->to - from;
    struct bytes part;
    enum qk_err err = chunk_open(contents, piece, (uint32_t)chunk, &plain);

    if (err == QK_OK) {
        part = bytes_slice(buf_bytes(&plain), skip, plain.len);
        if (part.len > left)
            part.len = (size_t)left;
        contents->done += part.len;
        if (piece->base64)
            put_base64(contents, part, part.len == left, out);
        else
            buf_put_bytes(out, part);
        err = part.len == 0 && left > 0 ? QK_ERR_CORRUPT : buf_error(out);
    }
    buf_fini(&plain);
    return err;
}

static void step_text(struct contents *contents, const struct contents_piece *piece,
                      struct buf *out)
{
    size_t left = piece->text_to - contents->text_at;
    size_t len = left < TEXT_STEP_BYTES ? left : TEXT_STEP_BYTES;

    buf_put(out, contents->text.data + contents->text_at, len);
    contents->text_at += len;
}

static void next_piece(struct contents *contents)
{
    contents->piece++;
    contents->done = 0;
    contents->carry_n = 0;
}

enum qk_err contents_step(struct contents *contents, struct buf *out, bool *ret_end)
{
    const struct contents_piece *piece = &contents->pieces[contents->piece];
    enum qk_err err = contents->failed;

    assert(out->secret);

    if (err != QK_OK)
        return err;
    assert(contents->piece < contents->pieces_n);
    if (contents->text_at < piece->text_to)
        step_text(contents, piece, out);
    else if (piece->has_content && contents->done < piece->to - piece->from)
        err = step_content(contents, piece, out);
    if (contents->text_at == piece->text_to && contents->done == piece->to - piece->from)
        next_piece(contents);
    *ret_end = contents->piece == contents->pieces_n;
    return err == QK_OK ? buf_error(out) : err;
}
