#include "service/documents/put_parts.h"

#include <string.h>

#include "doc/multipart_stream.h"
#include "service/request.h"

enum qk_err put_parts_malformed(struct doc_problem *problem)
{
    return doc_problem_set(problem, 400, "bad_request", "the multipart body is malformed");
}

enum qk_err put_parts_boundary(struct bytes content_type, struct bytes *ret_boundary,
                               struct doc_problem *problem)
{
    if (multipart_boundary(content_type, ret_boundary) == QK_OK)
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request",
                           "multipart/related needs a boundary of 1 to %d printable bytes",
                           MULTIPART_BOUNDARY_BYTES_MAX);
}

static enum qk_err parts_open(struct bytes content_type, struct bytes body,
                              struct multipart *ret_multipart, struct doc_problem *problem)
{
    struct bytes boundary;
    enum qk_err err = put_parts_boundary(content_type, &boundary, problem);

    if (err != QK_OK)
        return err;
    return multipart_open(body, boundary, ret_multipart) == QK_OK ? QK_OK
                                                                  : put_parts_malformed(problem);
}

/* The attachment that the part names, if it does, else the first that waits. */
static struct attachment_wish *part_wish(struct bytes head, const struct attachment_wishes *wishes)
{
    struct buf name = BUF_INIT(ATTACHMENT_NAME_BYTES_MAX);
    struct attachment_wish *found = NULL;
    struct bytes value;

    if (multipart_field(head, "content-disposition", &value) &&
        multipart_param(value, "filename", &name)) {
        for (unsigned i = 0; i < wishes->n && found == NULL; i++) {
            struct attachment_wish *wish = &wishes->items[i];

            if (wish->source == ATTACHMENT_FOLLOWS && !wish->has_content &&
                bytes_equal(buf_bytes(&wish->name), buf_bytes(&name)))
                found = wish;
        }
    }
    buf_fini(&name);
    return found != NULL ? found : attachment_wishes_awaited(wishes);
}

enum qk_err put_part_find(struct bytes head, const struct attachment_wishes *wishes,
                          struct attachment_wish **ret_wish, struct doc_problem *problem)
{
    struct bytes coding;

    *ret_wish = part_wish(head, wishes);
    if (*ret_wish == NULL)
        return doc_problem_set(problem, 400, "bad_request",
                               "the multipart body has more parts than attachments that follow");
    /* Which one it has says the document. */
    if (multipart_field(head, "content-encoding", &coding) && !(*ret_wish)->packed &&
        !bytes_equal(coding, bytes_str("identity")))
        return doc_problem_set(problem, 415, "bad_content_type",
                               "an attachment has an encoding of which the document says nothing");
    return QK_OK;
}

/* A body that is longer was packed itself. */
bool put_parts_may_be_packed(struct bytes body)
{
    static const char member[] = "\"encoding\"";

    return body.len > 0 && body.len <= MULTIPART_FEED_BYTES_MAX &&
           memmem(body.data, body.len, member, sizeof(member) - 1) != NULL;
}

static enum qk_err part_take(const struct multipart_part *part, struct attachment_wishes *wishes,
                             struct doc_problem *problem)
{
    struct attachment_wish *wish;
    enum qk_err err = put_part_find(part->head, wishes, &wish, problem);

    /* parts_upload does, in pieces: it may unpack to a thousand times of what came. */
    if (err == QK_OK && wish->packed)
        return doc_problem_set(problem, 415, "bad_content_type",
                               "packed attachments are taken in a PUT that is not packed itself");
    return err == QK_OK ? attachment_wish_content(wish, part->content, problem) : err;
}

enum qk_err put_parts_check(const struct attachment_wishes *wishes, struct doc_problem *problem)
{
    const struct attachment_wish *awaited = attachment_wishes_awaited(wishes);

    if (awaited == NULL)
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request",
                           "attachment %.*s is said to follow, and no part does",
                           (int)awaited->name.len, (const char *)awaited->name.data);
}

static enum qk_err take_rest(struct multipart *multipart, struct attachment_wishes *wishes,
                             struct doc_problem *problem)
{
    struct multipart_part part;
    enum qk_err err;

    for (err = multipart_next(multipart, &part); err == QK_OK;
         err = multipart_next(multipart, &part)) {
        err = part_take(&part, wishes, problem);
        if (err != QK_OK)
            return err;
    }
    return err == QK_ERR_NOT_FOUND ? put_parts_check(wishes, problem)
                                   : put_parts_malformed(problem);
}

/* The JSON of the request, and for multipart/related where its parts go on. */
static enum qk_err document_text(const struct request *request, struct multipart *ret_multipart,
                                 struct bytes *ret_text, struct doc_problem *problem)
{
    struct multipart_part part;
    enum qk_err err;

    if (!request_has_type(request, "multipart/related")) {
        *ret_text = request->body;
        return QK_OK;
    }
    err = parts_open(request->content_type, request->body, ret_multipart, problem);
    if (err != QK_OK)
        return err;
    if (multipart_next(ret_multipart, &part) != QK_OK)
        return put_parts_malformed(problem);
    *ret_text = part.content;
    return QK_OK;
}

enum qk_err put_document_parse(const struct request *request, struct document *ret_document,
                               struct doc_problem *ret_problem)
{
    struct multipart multipart = {.ended = true};
    struct bytes text;
    enum qk_err err;

    *ret_document = (struct document){.id = BUF_INIT(0)};
    err = document_text(request, &multipart, &text, ret_problem);
    if (err == QK_OK)
        err = document_from_text(text, ret_document, ret_problem);
    return err == QK_OK ? take_rest(&multipart, &ret_document->attachments, ret_problem) : err;
}

enum qk_err put_document_from_json(json_t *object, struct document *ret_document,
                                   struct doc_problem *ret_problem)
{
    enum qk_err err = document_from_json(object, ret_document, ret_problem);

    return err == QK_OK ? put_parts_check(&ret_document->attachments, ret_problem) : err;
}
