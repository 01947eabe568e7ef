/* The answer of the worker that runs maps in JavaScript, which may be anything once a hostile map
 * has broken out of its engine: rows are of maps that exist, whole, and within their bounds. */
#include <string.h>

#include "fuzz.h"
#include "service/script.h"

static const char *const design_text =
    "{\"views\":{\"a\":{\"map\":\"function (doc) {}\"},"
    "\"b\":{\"map\":\"function (doc) {}\",\"reduce\":\"_sum\"}}}";

static const char *const seeds[] = {
    "[[[0,\"k\",1],[1,[1,2],{\"v\":null}],[1,null,null]],[]]",
    "[[],[[0,\"TypeError: x\"],[1,\"y\"]]]",
    "[[[2,1,1],[-1,1,1],[1.5,1,1],[9223372036854775807,1,1],[0,1]],0]",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_str(out, seeds[number]);
    return true;
}

static struct view_design *design_of(void)
{
    static struct view_design *design;
    struct doc_problem problem;
    json_t *json;

    if (design == NULL) {
        fuzz_must(json_parse(bytes_str(design_text), JSON_DEPTH_MAX, &problem, &json));
        fuzz_must(view_design_parse(json, &problem, &design));
        json_decref(json);
    }
    return design;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const struct view_design *design = design_of();
    struct view_rows rows = VIEW_ROWS_INIT;
    size_t sum = 0;
    unsigned errors;

    if (script_rows(design, bytes_of(data, len), &rows, &errors) == QK_OK) {
        for (size_t i = 0; i < rows.n; i++) {
            fuzz_require(rows.rows[i].view < design->views_n);
            sum += rows.rows[i].sort_len + rows.rows[i].key_len + rows.rows[i].value_len;
        }
        fuzz_require(sum == rows.data.len);
        fuzz_touch(buf_bytes(&rows.data));
    }
    view_rows_fini(&rows);
    return 0;
}
