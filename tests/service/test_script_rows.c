/* What is taken of the answer of a worker that runs maps. */
#include <criterion/criterion.h>

#include "doc/json.h"
#include "service/script.h"

static struct view_design *design_new(void)
{
    static const char text[] = "{\"views\":{\"a\":{\"map\":\"function (doc) {}\"}}}";
    struct view_design *design = NULL;
    struct doc_problem problem;
    json_t *json = NULL;

    cr_assert_eq(json_parse(bytes_str(text), JSON_DEPTH_MAX, &problem, &json), QK_OK);
    cr_assert_eq(view_design_parse(json, &problem, &design), QK_OK);
    json_decref(json);
    return design;
}

static size_t rows_of(const char *answer)
{
    struct view_design *design = design_new();
    struct view_rows rows = VIEW_ROWS_INIT;
    unsigned errors;
    size_t n;

    cr_assert_eq(script_rows(design, bytes_str(answer), &rows, &errors), QK_OK, "%s", answer);
    n = rows.n;
    view_rows_fini(&rows);
    view_design_free(design);
    return n;
}

Test(script_rows, a_row_of_a_map_that_is_none_is_left_out)
{
    static const char *const places[] = {"1", "-1", "0.5", "1e300", "9223372036854775807", "\"0\""};
    char answer[64];

    cr_assert_eq(rows_of("[[[0,\"k\",1]],[]]"), 1);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        (void)snprintf(answer, sizeof(answer), "[[[%s,\"k\",1]],[]]", places[i]);
        cr_assert_eq(rows_of(answer), 0, "%s", answer);
    }
}
