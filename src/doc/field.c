#include "doc/field.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

/* --- the text --- */

/* A dot separates unless the byte before it is a backslash, whatever is before that: CouchDB's
 * rule, which cannot tell an escaped backslash. */
static bool is_separator(struct bytes text, size_t at)
{
    return text.data[at] == '.' && (at == 0 || text.data[at - 1] != '\\');
}

static size_t count_names(struct bytes text)
{
    size_t names_n = 1;
    size_t at;

    for (at = 0; at < text.len; at++)
        if (is_separator(text, at))
            names_n++;
    return names_n;
}

/* Writes the name that begins at `*at` to `out` without its backslashes and moves behind the dot
 * that ends it. */
static size_t take_name(struct bytes text, size_t *at, uint8_t *out)
{
    size_t len = 0;

    while (*at < text.len && !is_separator(text, *at)) {
        if (text.data[*at] != '\\')
            out[len++] = text.data[*at];
        (*at)++;
    }
    (*at)++;
    return len;
}

/* One block: the names, the text as given, then the names' bytes, which are no more. */
static enum qk_err path_make(struct bytes text, struct field_path *ret_path)
{
    size_t names_n = count_names(text);
    size_t names_bytes = names_n * sizeof(struct bytes);
    uint8_t *block = malloc(names_bytes + 2 * text.len);

    if (block == NULL)
        return QK_ERR_NOMEM;
    memcpy(block + names_bytes, text.data, text.len);
    *ret_path = (struct field_path){
        .text = {block + names_bytes, text.len},
        .names = (struct bytes *)(void *)block,
        .names_n = names_n,
    };
    return QK_OK;
}

enum qk_err field_path_parse(struct bytes text, struct field_path *ret_path)
{
    struct field_path path;
    size_t i, at = 0;
    uint8_t *out;
    enum qk_err err;

    assert(ret_path != NULL);

    *ret_path = FIELD_PATH_NONE;
    if (text.len == 0)
        return QK_ERR_INVALID;
    err = path_make(text, &path);
    if (err != QK_OK)
        return err;
    out = (uint8_t *)path.names + path.names_n * sizeof(struct bytes) + text.len;
    for (i = 0; i < path.names_n; i++) {
        path.names[i] = (struct bytes){out, take_name(text, &at, out)};
        out += path.names[i].len;
        if (path.names[i].len == 0)
            err = QK_ERR_INVALID;
    }
    if (err == QK_OK)
        *ret_path = path;
    else
        field_path_fini(&path);
    return err;
}

void field_path_fini(struct field_path *path)
{
    if (path->names != NULL)
        secret_wipe(path->names, path->names_n * sizeof(struct bytes) + 2 * path->text.len);
    free(path->names);
    *path = FIELD_PATH_NONE;
}

/* --- in a value --- */

/* Decimal digits, maybe signed, as Erlang reads an integer; too large is past every array. */
static bool parse_place(struct bytes name, size_t *ret_place)
{
    size_t at = name.data[0] == '+' || name.data[0] == '-' ? 1 : 0;
    bool negative = name.data[0] == '-';
    size_t place = 0;

    if (at == name.len)
        return false;
    for (; at < name.len; at++) {
        if (name.data[at] < '0' || name.data[at] > '9')
            return false;
        if (place < SIZE_MAX / 16)
            place = place * 10 + (size_t)(name.data[at] - '0');
    }
    *ret_place = place;
    return !negative || place == 0;
}

static enum field_found step_into(const json_t *value, struct bytes name, const json_t **ret_value)
{
    const json_t *member = NULL;
    size_t place;

    if (json_is_object(value)) {
        member = json_object_getn(value, (const char *)name.data, name.len);
        *ret_value = member;
        return member == NULL ? FIELD_NOT_FOUND : FIELD_FOUND;
    }
    if (json_is_array(value) && parse_place(name, &place))
        member = json_array_get(value, place);
    *ret_value = member;
    return member == NULL ? FIELD_BAD_PATH : FIELD_FOUND;
}

enum field_found field_get(const struct field_path *path, const json_t *value,
                           const json_t **ret_value)
{
    enum field_found found = FIELD_FOUND;
    size_t i;

    assert(path->names_n > 0);
    assert(value != NULL);

    for (i = 0; i < path->names_n && found == FIELD_FOUND; i++)
        found = step_into(value, path->names[i], &value);
    if (found == FIELD_FOUND)
        *ret_value = value;
    return found;
}

static enum qk_err member_object(json_t *object, struct bytes name, json_t **ret_member)
{
    *ret_member = json_object_getn(object, (const char *)name.data, name.len);
    if (*ret_member != NULL)
        return QK_OK;
    *ret_member = json_object();
    if (json_object_setn_new(object, (const char *)name.data, name.len, *ret_member) != 0)
        return QK_ERR_NOMEM;
    return QK_OK;
}

enum qk_err field_set(const struct field_path *path, json_t *object, json_t *value)
{
    struct bytes last = path->names[path->names_n - 1];
    enum qk_err err = QK_OK;
    size_t i;

    assert(path->names_n > 0);
    assert(value != NULL);

    for (i = 0; i + 1 < path->names_n && err == QK_OK && json_is_object(object); i++)
        err = member_object(object, path->names[i], &object);
    if (err != QK_OK || !json_is_object(object))
        return err;
    return json_object_setn(object, (const char *)last.data, last.len, value) == 0 ? QK_OK
                                                                                   : QK_ERR_NOMEM;
}
