/* What the worker is told of the maps of a design document, and the rows in its answers. */
#include "service/script.h"

enum qk_err script_put_maps(const struct view_design *design, struct buf *out)
{
    const json_t *lib = json_object_get(json_object_get(design->json, "views"), "lib");
    enum qk_err err = QK_OK;
    size_t i;

    buf_put_str(out, "{\"maps\":[");
    for (i = 0; i < design->views_n; i++) {
        if (i > 0)
            buf_put_u8(out, ',');
        json_write_string(design->views[i].map_text, out);
    }
    buf_put_str(out, "],\"lib\":");
    if (lib != NULL)
        err = json_write(lib, out);
    else
        buf_put_str(out, "null");
    buf_put_u8(out, '}');
    return err == QK_OK ? buf_error(out) : err;
}

/* The map that a member of an answer is of, or design->views_n. */
static size_t map_of(const struct view_design *design, const json_t *item)
{
    const json_t *at = json_array_get(item, 0);
    json_int_t place = json_is_integer(at) ? json_integer_value(at) : -1;

    return place < 0 || (size_t)place >= design->views_n ? design->views_n : (size_t)place;
}

enum qk_err script_rows(const struct view_design *design, struct bytes answer,
                        struct view_rows *rows, unsigned *ret_errors)
{
    struct doc_problem problem;
    json_t *json = NULL, *item;
    enum qk_err err;
    size_t i, map;

    *ret_errors = 0;
    err = json_parse(answer, JSON_WRITE_DEPTH_MAX, &problem, &json);
    if (err == QK_OK && !json_is_array(json_array_get(json, 0)))
        err = QK_ERR_INVALID;
    if (err == QK_OK)
        *ret_errors = (unsigned)json_array_size(json_array_get(json, 1));
    json_array_foreach(json_array_get(json, 0), i, item)
    {
        map = map_of(design, item);
        if (err != QK_OK || map == design->views_n || json_array_size(item) != 3)
            continue;
        err = view_rows_add(rows, map, json_array_get(item, 1), json_array_get(item, 2));
        if (err == QK_ERR_TOO_BIG) {
            *ret_errors += 1;
            err = QK_OK;
        }
    }
    json_decref(json);
    return err;
}
