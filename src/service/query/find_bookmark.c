/* A bookmark is the id of the last document of a page, and with an index the key of its row:
 * URL-safe base64 of ["id"] or [key,"id"]. It tells nothing that the page did not, and whoever
 * makes one up begins where they like, with their own rights. */
#include <assert.h>
#include <string.h>

#include "base/encode.h"
#include "service/query/find_private.h"

static void swap_bytes(struct buf *text, const char *from, const char *to)
{
    size_t i;

    for (i = 0; i < text->len; i++) {
        if (text->data[i] == (uint8_t)from[0])
            text->data[i] = (uint8_t)to[0];
        else if (text->data[i] == (uint8_t)from[1])
            text->data[i] = (uint8_t)to[1];
    }
}

static enum qk_err invalid(const struct find *find, struct doc_problem *problem)
{
    return find_problem(problem, "invalid_bookmark",
                        "Invalid bookmark value: ", json_object_get(find->wish.body, "bookmark"),
                        "");
}

static enum qk_err take(struct find *find, const json_t *list)
{
    size_t n = json_array_size(list);
    const json_t *id = json_array_get(list, n - 1);
    enum qk_err err = QK_OK;

    if (!json_is_array(list) || n < 1 || n > 2 || !json_is_string(id))
        return QK_ERR_INVALID;
    buf_put_bytes(&find->begin_id, json_bytes(id));
    if (n == 2)
        err = json_write(json_array_get(list, 0), &find->begin_key);
    find->has_begin = true;
    return err == QK_OK ? buf_error(&find->begin_id) : err;
}

enum qk_err find_bookmark_parse(struct find *find, struct doc_problem *ret_problem)
{
    struct buf text = BUF_SECRET_INIT(2 * FIND_KEY_BYTES_MAX);
    struct buf json_text = BUF_SECRET_INIT(2 * FIND_KEY_BYTES_MAX);
    struct doc_problem ignored = {0};
    json_t *json = NULL;
    enum qk_err err;

    if (find->wish.bookmark.len == 0)
        return QK_OK;
    buf_put_bytes(&text, find->wish.bookmark);
    err = buf_error(&text);
    swap_bytes(&text, "-_", "+/");
    if (err == QK_OK)
        err = base64_decode(buf_bytes(&text), &json_text);
    if (err == QK_OK)
        err = json_parse(buf_bytes(&json_text), JSON_DEPTH_MAX + 1, &ignored, &json);
    if (err == QK_OK)
        err = take(find, json);
    json_decref(json);
    buf_fini(&text);
    buf_fini(&json_text);
    return err == QK_OK || err == QK_ERR_NOMEM ? err : invalid(find, ret_problem);
}

enum qk_err find_bookmark_check(const struct find *find, struct doc_problem *ret_problem)
{
    bool of_index = find->begin_key.len > 0;

    if (!find->has_begin || of_index == (find->plan.index != NULL))
        return QK_OK;
    return invalid(find, ret_problem);
}

enum qk_err find_bookmark_put(const struct find *find, struct buf *out)
{
    struct buf json_text = BUF_SECRET_INIT(2 * FIND_KEY_BYTES_MAX);
    struct buf text = BUF_SECRET_INIT(4 * FIND_KEY_BYTES_MAX);
    enum qk_err err;

    if (!find->has_last) { /* nothing came: as it began */
        if (find->wish.bookmark.len == 0)
            buf_put_str(out, "\"nil\"");
        else
            json_write_string(find->wish.bookmark, out);
        return buf_error(out);
    }
    buf_put_u8(&json_text, '[');
    if (find->last_key.len > 0) {
        buf_put_bytes(&json_text, buf_bytes(&find->last_key));
        buf_put_u8(&json_text, ',');
    }
    json_write_string(buf_bytes(&find->last_id), &json_text);
    buf_put_u8(&json_text, ']');
    base64_encode(buf_bytes(&json_text), &text);
    swap_bytes(&text, "+/", "-_");
    buf_put_u8(out, '"');
    buf_put_bytes(out, buf_bytes(&text));
    buf_put_u8(out, '"');
    err = buf_error(&json_text);
    if (err == QK_OK)
        err = buf_error(&text);
    buf_fini(&json_text);
    buf_fini(&text);
    return err;
}
