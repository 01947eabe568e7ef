/* A document from its text. Its body is walked over and written on as it goes; only what CouchDB's
 * own members say becomes a tree, a small one. Where the walk is not sure, the whole text becomes
 * one, as it always did. */
#include <assert.h>
#include <string.h>

#include "doc/document_private.h"
#include "doc/json_walk.h"

#define PLAIN_HEAD_BYTES 16 /* a little more than document_plain_put needs beside the body */

/* The value of a special member: written to the end of the plaintext, read from there, taken away.
 */
static bool take_value(struct json_walk *walk, struct bytes name, struct buf *plain, size_t end,
                       json_t *object)
{
    struct doc_problem ignored;
    size_t at = plain->len;
    json_t *value;

    if (!json_walk_value(walk, JSON_DEPTH_MAX - 1, plain) ||
        json_parse(bytes_slice(buf_bytes(plain), at, SIZE_MAX), JSON_DEPTH_MAX - 1, &ignored,
                   &value) != QK_OK)
        return false;
    if (json_object_getn(object, (const char *)name.data, name.len) != NULL) { /* twice */
        json_decref(value);
        return false;
    }
    if (json_object_setn_new_nocheck(object, (const char *)name.data, name.len, value) != 0)
        return false;
    plain->len = end;
    return true;
}

/* A name that begins with '_' stands at `at`, with its quotes. Attachments may be the most of a
 * text, and need a tree in any case. */
static bool walk_special(struct json_walk *walk, struct buf *plain, size_t end, size_t at,
                         json_t **object)
{
    uint8_t copy[DOCUMENT_SPECIAL_BYTES_MAX];
    struct bytes name = bytes_slice(buf_bytes(plain), at + 1, plain->len - at - 2);

    if (name.len > sizeof(copy) || !document_special_is_known(name) ||
        bytes_equal(name, bytes_str("_attachments")))
        return false;
    memcpy(copy, name.data, name.len);
    if (*object == NULL)
        *object = json_object();
    return *object != NULL && json_walk_byte(walk, ':') &&
           take_value(walk, bytes_of(copy, name.len), plain, end, *object);
}

static bool walk_member(struct json_walk *walk, struct buf *plain, struct json_names *names,
                        json_t **object)
{
    size_t end = plain->len, at;

    if (names->n > 0)
        buf_put_u8(plain, ',');
    at = plain->len;
    if (!json_walk_string(walk, plain))
        return false;
    if (plain->data[at + 1] == '_')
        return walk_special(walk, plain, end, at, object);
    if (!json_names_add(names, 0, plain, at) || !json_walk_byte(walk, ':'))
        return false;
    buf_put_u8(plain, ':');
    return json_walk_value(walk, JSON_DEPTH_MAX - 1, plain);
}

/* Appends the object that comes next without its special members, which it gathers in an own one.
 */
static bool walk_object(struct json_walk *walk, struct buf *plain, json_t **object)
{
    struct json_names names;

    names.n = 0;
    if (!json_walk_byte(walk, '{'))
        return false;
    buf_put_u8(plain, '{');
    if (!json_walk_byte(walk, '}')) {
        do {
            if (!walk_member(walk, plain, &names, object))
                return false;
        } while (json_walk_byte(walk, ','));
        if (!json_walk_byte(walk, '}'))
            return false;
    }
    buf_put_u8(plain, '}');
    return buf_error(plain) == QK_OK;
}

bool document_reserve(struct document *document, size_t text_bytes)
{
    return buf_reserve(&document->plain, text_bytes + PLAIN_HEAD_BYTES) == QK_OK;
}

bool document_walk(struct json_walk *walk, struct document *document, enum qk_err *ret_err,
                   struct doc_problem *ret_problem)
{
    struct buf *plain = &document->plain;
    json_t *object = NULL;
    size_t head;
    bool taken;

    assert(walk != NULL && document != NULL && ret_err != NULL && ret_problem != NULL);

    document_plain_put(BYTES_NONE, plain);
    head = plain->len;
    taken = walk_object(walk, plain, &object) && plain->len - head <= DOC_BYTES_MAX;
    if (taken)
        *ret_err = object == NULL ? QK_OK : document_take_specials(document, object, ret_problem);
    json_decref(object);
    return taken;
}

enum qk_err document_from_text(struct bytes text, struct document *ret_document,
                               struct doc_problem *ret_problem)
{
    struct json_walk walk = JSON_WALK(text);
    json_t *json = NULL;
    enum qk_err err;

    document_init(ret_document);
    if (document_reserve(ret_document, text.len) &&
        document_walk(&walk, ret_document, &err, ret_problem) && json_walk_end(&walk))
        return err;
    document_fini(ret_document);
    document_init(ret_document);
    err = json_parse(text, JSON_DEPTH_MAX, ret_problem, &json);
    if (err == QK_OK)
        err = document_from_json(json, ret_document, ret_problem);
    json_decref(json);
    return err;
}
