#include "doc/attachment_wish.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"

/* --- names and types --- */

enum qk_err attachment_name_check(struct bytes name, struct doc_problem *ret_problem)
{
    if (!utf8_is_valid(name))
        return doc_problem_set(ret_problem, 400, "bad_request",
                               "Attachment name is not UTF-8 encoded");
    if (name.len == 0 || name.len > ATTACHMENT_NAME_BYTES_MAX)
        return doc_problem_set(ret_problem, 400, "bad_request",
                               "Attachment name must have 1 to %d bytes",
                               ATTACHMENT_NAME_BYTES_MAX);
    if (name.data[0] == '_')
        return doc_problem_set(ret_problem, 400, "bad_request",
                               "Attachment name '%.*s' starts with prohibited character '_'",
                               (int)name.len, (const char *)name.data);
    if (memchr(name.data, '\0', name.len) != NULL)
        return doc_problem_set(ret_problem, 400, "bad_request",
                               "Attachment name contains a zero byte");
    return QK_OK;
}

enum qk_err attachment_type_check(struct bytes type, struct doc_problem *ret_problem)
{
    bool good = type.len > 0 && type.len <= ATTACHMENT_TYPE_BYTES_MAX;

    for (size_t i = 0; good && i < type.len; i++)
        good = type.data[i] >= ' ' && type.data[i] < 0x7f;
    return good ? QK_OK
                : doc_problem_set(ret_problem, 400, "bad_request",
                                  "Attachment content_type must be 1 to %d printable ASCII bytes",
                                  ATTACHMENT_TYPE_BYTES_MAX);
}

/* --- one --- */

static void wish_init(struct attachment_wish *wish)
{
    *wish = (struct attachment_wish){.name = BUF_INIT(ATTACHMENT_NAME_BYTES_MAX),
                                     .content_type = BUF_INIT(ATTACHMENT_TYPE_BYTES_MAX),
                                     .data = BUF_SECRET_INIT(HTTP_BODY_BYTES_MAX)};
}

static void wish_fini(struct attachment_wish *wish)
{
    buf_fini(&wish->name);
    buf_fini(&wish->content_type);
    buf_fini(&wish->data);
}

static enum qk_err wish_invalid(const struct attachment_wish *wish, const char *what,
                                struct doc_problem *problem)
{
    return doc_problem_set(problem, 400, "bad_request", "Invalid attachment %s for %.*s", what,
                           (int)wish->name.len, (const char *)wish->name.data);
}

static enum qk_err wish_set_content(struct attachment_wish *wish, struct bytes content)
{
    wish->content = content;
    wish->has_content = true;
    return attachment_md5(content, wish->md5);
}

/* Base64 as clients write it, in lines too. */
static enum qk_err decode_data(struct bytes text, struct buf *out)
{
    struct buf joined = BUF_SECRET_INIT(HTTP_BODY_BYTES_MAX);
    enum qk_err err;

    if (text.len == 0 || base64_decode(text, out) == QK_OK)
        return buf_error(out);
    buf_reset(out);
    for (size_t i = 0; i < text.len; i++)
        if (strchr(" \t\r\n", text.data[i]) == NULL || text.data[i] == '\0')
            buf_put_u8(&joined, text.data[i]);
    err = buf_error(&joined);
    if (err == QK_OK)
        err = joined.len == text.len ? QK_ERR_INVALID : base64_decode(buf_bytes(&joined), out);
    buf_fini(&joined);
    return err;
}

static enum qk_err take_data(struct attachment_wish *wish, const json_t *value,
                             struct doc_problem *problem)
{
    const json_t *data = json_object_get(value, "data");
    enum qk_err err =
        json_is_string(data) ? decode_data(json_bytes(data), &wish->data) : QK_ERR_INVALID;

    if (err == QK_ERR_INVALID)
        return wish_invalid(wish, "data", problem);
    return err == QK_OK ? wish_set_content(wish, buf_bytes(&wish->data)) : err;
}

static enum qk_err take_number(const struct attachment_wish *wish, const json_t *value,
                               const char *member, json_int_t max, bool *ret_has,
                               uint64_t *ret_number, struct doc_problem *problem)
{
    const json_t *number = json_object_get(value, member);

    if (number == NULL || json_is_null(number))
        return QK_OK;
    if (!json_is_integer(number) || json_integer_value(number) < 0 ||
        json_integer_value(number) > max)
        return wish_invalid(wish, member, problem);
    *ret_has = true;
    *ret_number = (uint64_t)json_integer_value(number);
    return QK_OK;
}

static enum qk_err take_type(struct attachment_wish *wish, const json_t *value,
                             struct doc_problem *problem)
{
    const json_t *type = json_object_get(value, "content_type");
    enum qk_err err = QK_OK;

    if (type == NULL || json_is_null(type)) {
        buf_put_str(&wish->content_type, ATTACHMENT_TYPE_DEFAULT);
    } else {
        err = attachment_type_check(json_bytes(type), problem);
        if (err == QK_OK)
            buf_put_bytes(&wish->content_type, json_bytes(type));
    }
    return err == QK_OK ? buf_error(&wish->content_type) : err;
}

/* As CouchDB sends what it keeps packed: the length is of the content, the digest of the gzip,
 * which has a checksum of its own. */
static enum qk_err take_encoding(struct attachment_wish *wish, struct bytes encoding,
                                 struct doc_problem *problem)
{
    wish->packed = bytes_equal(encoding, bytes_str("gzip"));
    wish->has_digest = wish->has_digest && !wish->packed;
    if (wish->packed || bytes_equal(encoding, bytes_str("identity")))
        return QK_OK;
    return doc_problem_set(problem, 415, "bad_content_type",
                           "attachments are taken packed by gzip or not at all; %.*s is otherwise",
                           (int)wish->name.len, (const char *)wish->name.data);
}

static enum qk_err take_facts(struct attachment_wish *wish, const json_t *value,
                              struct doc_problem *problem)
{
    const json_t *digest = json_object_get(value, "digest");
    const json_t *encoding = json_object_get(value, "encoding");
    uint64_t revpos = 0;
    enum qk_err err = take_type(wish, value, problem);

    if (err == QK_OK)
        err = take_number(wish, value, "revpos", UINT32_MAX, &wish->has_revpos, &revpos, problem);
    if (err == QK_OK)
        err = take_number(wish, value, "length", INT64_MAX, &wish->has_length, &wish->length,
                          problem);
    wish->revpos = (uint32_t)revpos;
    wish->has_digest =
        json_is_string(digest) && attachment_digest_parse(json_bytes(digest), wish->md5) == QK_OK;
    if (err == QK_OK && wish->source == ATTACHMENT_FOLLOWS && json_is_string(encoding))
        err = take_encoding(wish, json_bytes(encoding), problem);
    return err;
}

static enum qk_err wish_take(struct attachment_wish *wish, struct bytes name, const json_t *value,
                             struct doc_problem *problem)
{
    enum qk_err err = attachment_name_check(name, problem);

    if (err != QK_OK)
        return err;
    buf_put_bytes(&wish->name, name);
    if (buf_error(&wish->name) != QK_OK)
        return buf_error(&wish->name);
    if (!json_is_object(value))
        return wish_invalid(wish, "object", problem);
    wish->source = json_is_true(json_object_get(value, "stub"))      ? ATTACHMENT_STUB
                   : json_is_true(json_object_get(value, "follows")) ? ATTACHMENT_FOLLOWS
                                                                     : ATTACHMENT_DATA;
    err = take_facts(wish, value, problem);
    if (err == QK_OK && wish->source == ATTACHMENT_DATA)
        err = take_data(wish, value, problem);
    return err;
}

enum qk_err attachment_wish_content(struct attachment_wish *wish, struct bytes content,
                                    struct doc_problem *ret_problem)
{
    uint8_t announced[ATTACHMENT_MD5_BYTES];
    enum qk_err err;

    assert(wish->source == ATTACHMENT_FOLLOWS && !wish->has_content);

    if (wish->has_length && wish->length != content.len)
        return wish_invalid(wish, "length", ret_problem);
    memcpy(announced, wish->md5, sizeof(announced));
    err = wish_set_content(wish, content);
    if (err == QK_OK && wish->has_digest && memcmp(announced, wish->md5, sizeof(announced)) != 0)
        return doc_problem_set(ret_problem, 400, "content_md5_mismatch",
                               "Possible message corruption.");
    return err;
}

enum qk_err attachment_wish_stored(struct attachment_wish *wish, const struct attachment *stored,
                                   struct doc_problem *ret_problem)
{
    assert(wish->source == ATTACHMENT_FOLLOWS && !wish->has_content);

    if (wish->has_length && wish->length != stored->length)
        return wish_invalid(wish, "length", ret_problem);
    if (wish->has_digest && memcmp(wish->md5, stored->md5, ATTACHMENT_MD5_BYTES) != 0)
        return doc_problem_set(ret_problem, 400, "content_md5_mismatch",
                               "Possible message corruption.");
    wish->source = ATTACHMENT_STORED;
    wish->has_content = true;
    wish->length = stored->length;
    memcpy(wish->md5, stored->md5, ATTACHMENT_MD5_BYTES);
    memcpy(wish->id, stored->id, ATTACHMENT_ID_BYTES);
    buf_fini(&wish->data);
    buf_put(&wish->data, stored->key, ATTACHMENT_KEY_BYTES);
    return buf_error(&wish->data);
}

/* --- all of a document --- */

enum qk_err attachment_wishes_from_json(const json_t *value, struct attachment_wishes *ret_wishes,
                                        struct doc_problem *ret_problem)
{
    enum qk_err err = QK_OK;
    const char *name;
    json_t *one;

    *ret_wishes = (struct attachment_wishes){NULL, 0};
    if (!json_is_object(value))
        return doc_problem_set(ret_problem, 400, "doc_validation",
                               "Bad special document member: _attachments");
    if (json_object_size(value) > ATTACHMENTS_MAX)
        return doc_problem_set(ret_problem, 413, "too_many_attachments",
                               "A document has at most %d attachments", ATTACHMENTS_MAX);
    ret_wishes->items = calloc(json_object_size(value) + 1, sizeof(*ret_wishes->items));
    if (ret_wishes->items == NULL)
        return QK_ERR_NOMEM;
    json_object_foreach((json_t *)(uintptr_t)value, name, one)
    {
        struct attachment_wish *wish = &ret_wishes->items[ret_wishes->n++];

        wish_init(wish);
        err = wish_take(wish, bytes_str(name), one, ret_problem);
        if (err != QK_OK)
            break;
    }
    return err;
}

enum qk_err attachment_wishes_of(struct bytes name, struct bytes content_type, struct bytes content,
                                 struct attachment_wishes *ret_wishes)
{
    enum qk_err err = attachment_wishes_of_name(name, content_type, ret_wishes);

    return err == QK_OK ? wish_set_content(&ret_wishes->items[0], content) : err;
}

enum qk_err attachment_wishes_of_name(struct bytes name, struct bytes content_type,
                                      struct attachment_wishes *ret_wishes)
{
    struct attachment_wish *wish = calloc(1, sizeof(*wish));

    *ret_wishes = (struct attachment_wishes){wish, wish == NULL ? 0 : 1};
    if (wish == NULL)
        return QK_ERR_NOMEM;
    wish_init(wish);
    wish->source = ATTACHMENT_FOLLOWS;
    buf_put_bytes(&wish->name, name);
    buf_put_bytes(&wish->content_type, content_type);
    if (buf_error(&wish->name) != QK_OK)
        return buf_error(&wish->name);
    return buf_error(&wish->content_type);
}

struct attachment_wish *attachment_wishes_awaited(const struct attachment_wishes *wishes)
{
    for (unsigned i = 0; i < wishes->n; i++) {
        if (wishes->items[i].source == ATTACHMENT_FOLLOWS && !wishes->items[i].has_content)
            return &wishes->items[i];
    }
    return NULL;
}

void attachment_wishes_fini(struct attachment_wishes *wishes)
{
    for (unsigned i = 0; i < wishes->n; i++)
        wish_fini(&wishes->items[i]);
    free(wishes->items);
    *wishes = (struct attachment_wishes){NULL, 0};
}
