#include "service/documents/contents_document.h"

#include <inttypes.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"
#include "doc/tree.h"
#include "secret/crypto.h"
#include "service/params.h"

/* --- the wish --------------------------------------------------------------------------------- */

static enum qk_err since_invalid(struct doc_problem *problem)
{
    return doc_problem_set(problem, 400, "bad_request",
                           "atts_since must be a JSON array of revisions");
}

/* A revision that was never made here is no ancestor of anything. */
static enum qk_err since_add(struct buf *since, const json_t *text, struct doc_problem *problem)
{
    struct revision revision = REVISION_NONE;
    uint8_t bytes[REVISION_BYTES];
    enum qk_err err = revision_parse(json_bytes(text), &revision);

    if (!json_is_string(text) || err == QK_ERR_INVALID)
        return since_invalid(problem);
    if (err != QK_OK)
        return QK_OK;
    revision_encode(&revision, bytes);
    buf_put(since, bytes, sizeof(bytes));
    return buf_error(since);
}

static enum qk_err since_parse(struct bytes text, struct buf *since, struct doc_problem *problem)
{
    json_t *list = NULL;
    size_t i;
    enum qk_err err = json_parse(text, 2, problem, &list);

    if (err == QK_OK && !json_is_array(list))
        err = since_invalid(problem);
    for (i = 0; err == QK_OK && i < json_array_size(list); i++)
        err = since_add(since, json_array_get(list, i), problem);
    json_decref(list);
    return err;
}

enum qk_err contents_wish_parse(const struct request *request, struct contents_wish *ret_wish,
                                struct doc_problem *ret_problem)
{
    struct bytes since;
    enum qk_err err;

    *ret_wish = (struct contents_wish){.since = BUF_INIT(HTTP_URI_BYTES_MAX)};
    err = param_bool(request, "attachments", &ret_wish->contents, ret_problem);
    if (err == QK_OK && request_param(request, "atts_since", &since)) {
        ret_wish->contents = true;
        err = since_parse(since, &ret_wish->since, ret_problem);
    }
    return err;
}

void contents_wish_fini(struct contents_wish *wish)
{
    buf_fini(&wish->since);
}

/* The generation of the newest of the revisions that `leaf` is or descends from. */
static uint32_t wish_after(const struct contents_wish *wish, const struct doc_leaf *leaf)
{
    uint32_t after = 0;

    for (size_t at = 0; at + REVISION_BYTES <= wish->since.len; at += REVISION_BYTES) {
        struct revision revision = {get_u32(wish->since.data + at), {0}};

        memcpy(revision.hash, wish->since.data + at + 4, REVISION_HASH_BYTES);
        if (revision.generation > after && doc_leaf_descends(leaf, &revision))
            after = revision.generation;
    }
    return after;
}

/* --- as JSON ---------------------------------------------------------------------------------- */

static void put_attachment(struct contents *contents, const struct attachment *one, bool content,
                           bool follows)
{
    struct buf *text = &contents->text;

    document_write_attachment(one, text);
    if (content && !follows) {
        buf_put_str(text, ",\"data\":\"");
        contents_put(contents, one, 0, one->length, true);
        buf_put_str(text, "\"}");
    } else {
        buf_printf(text, ",\"length\":%" PRIu64 ",\"%s\":true}", one->length,
                   content ? "follows" : "stub");
    }
}

static void put_json(struct contents *contents, const struct contents_document *document,
                     const struct document_parts *parts)
{
    uint32_t after = wish_after(document->wish, document->leaf);
    bool follows = document->boundary != NULL;
    struct buf *text = &contents->text;
    const char *before = ",\"_attachments\":{";
    struct attachments list;
    struct attachment one;

    document_write_head(document->at->id, document->leaf, document->options, text);
    if (attachments_open(parts->attachments, &list) == QK_OK) {
        for (; attachments_next(&list, &one); before = ",") {
            buf_put_str(text, before);
            put_attachment(contents, &one, document->wish->contents && one.revpos > after, follows);
        }
    }
    if (parts->attachments.len > 0)
        buf_put_u8(text, '}');
    document_write_body(parts, text);
}

/* --- as parts --------------------------------------------------------------------------------- */

/* A name in quotes; a control character would be a line of its own. */
static void put_quoted(struct bytes name, struct buf *out)
{
    buf_put_u8(out, '"');
    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = name.data[i];

        if (byte == '"' || byte == '\\')
            buf_put_u8(out, '\\');
        buf_put_u8(out, byte < ' ' || byte == 0x7f ? '_' : byte);
    }
    buf_put_u8(out, '"');
}

static void put_part(struct contents *contents, const struct attachment *one, const char *boundary)
{
    struct buf *text = &contents->text;

    buf_printf(text, "\r\n--%s\r\nContent-Disposition: attachment; filename=", boundary);
    put_quoted(one->name, text);
    buf_put_str(text, "\r\nContent-Type: ");
    buf_put_bytes(text, one->content_type);
    buf_printf(text, "\r\nContent-Length: %" PRIu64 "\r\n\r\n", one->length);
    contents_put(contents, one, 0, one->length, false);
}

static void put_related(struct contents *contents, const struct contents_document *document,
                        const struct document_parts *parts)
{
    uint32_t after = wish_after(document->wish, document->leaf);
    struct attachments list;
    struct attachment one;

    buf_printf(&contents->text, "--%s\r\nContent-Type: application/json\r\n\r\n",
               document->boundary);
    put_json(contents, document, parts);
    if (document->wish->contents && attachments_open(parts->attachments, &list) == QK_OK) {
        while (attachments_next(&list, &one))
            if (one.revpos > after)
                put_part(contents, &one, document->boundary);
    }
    buf_printf(&contents->text, "\r\n--%s--", document->boundary);
}

enum qk_err contents_put_document(struct contents *contents,
                                  const struct contents_document *document)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err = stored_open(contents->service, document->at->database, document->at->name,
                                  document->leaf, &plain, &parts);

    if (err == QK_OK && document->boundary != NULL)
        put_related(contents, document, &parts);
    else if (err == QK_OK)
        put_json(contents, document, &parts);
    buf_fini(&plain);
    return err == QK_OK ? buf_error(&contents->text) : err;
}

void contents_boundary(char ret_text[static BOUNDARY_TEXT_BYTES + 1])
{
    uint8_t random[BOUNDARY_TEXT_BYTES / 2];

    random_fill(random, sizeof(random));
    hex_encode(random, sizeof(random), ret_text);
}
