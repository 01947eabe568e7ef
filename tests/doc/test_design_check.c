/* The types are those of couch_mrview:validate_ddoc_fields, the words its own. */
#include <criterion/criterion.h>

#include "doc/design_check.h"
#include "doc/json.h"

static void is(const char *text, const char *reason)
{
    struct doc_problem problem = {0};
    json_t *design = NULL;
    enum qk_err err;

    cr_assert_eq(json_parse(bytes_str(text), 8, &problem, &design), QK_OK, "%s", text);
    err = design_check(design, &problem);
    json_decref(design);
    if (reason == NULL) {
        cr_expect_eq(err, QK_OK, "%s: %s", text, problem.reason);
        return;
    }
    cr_expect_eq(err, QK_ERR_INVALID, "%s", text);
    cr_expect_eq(problem.status, 400);
    cr_expect_str_eq(problem.error, "invalid_design_doc");
    cr_expect_str_eq(problem.reason, reason, "%s: %s", text, problem.reason);
}

Test(design_check, what_couchdb_takes_is_taken)
{
    is("{}", NULL);
    is("{\"language\":\"erlang\",\"views\":{\"v\":{\"map\":\"fun\"}},\"other\":[1]}", NULL);
    is("{\"views\":{\"lib\":{\"a\":\"b\"},\"v\":{\"map\":\"f\",\"reduce\":\"_sum\"}}}", NULL);
    is("{\"views\":{\"v\":{\"map\":\"f\",\"reduce\":\"function () {}\"}}}", NULL);
    is("{\"language\":\"query\",\"views\":{\"v\":{\"map\":{\"fields\":\"a\"}}}}", NULL);
    is("{\"filters\":{\"f\":\"g\"},\"shows\":{\"s\":{}},\"rewrites\":[],\"updates\":{}}", NULL);
    is("{\"validate_doc_update\":\"f\",\"options\":{\"include_design\":true,\"x\":1}}", NULL);
}

Test(design_check, wrong_types_are_named)
{
    is("{\"views\":[]}", "`views` field must have object type");
    is("{\"views\":{\"v\":\"f\"}}", "`views.v` field must have object type");
    is("{\"views\":{\"v\":{\"map\":{}}}}", "`views.v.map` field must have string type");
    is("{\"views\":{\"v\":{\"map\":\"f\",\"reduce\":{}}}}",
       "`views.v.reduce` field must have string type");
    is("{\"views\":{\"lib\":\"f\"}}", "`views.lib` field must have object type");
    is("{\"language\":\"query\",\"views\":{\"v\":{\"map\":\"f\"}}}",
       "`views.v.map` field must have object type");
    is("{\"language\":1}", "`language` field must have string type");
    is("{\"filters\":{\"f\":1}}", "`filters.f` field must have string or object type");
    is("{\"rewrites\":1}", "`rewrites` field must have array or string type");
    is("{\"options\":[]}", "`options` field must have object type");
    is("{\"options\":{\"local_seq\":1}}", "`options.local_seq` field must have boolean type");
    is("{\"validate_doc_update\":{}}", "`validate_doc_update` field must have string type");
}

Test(design_check, a_view_needs_a_map_and_a_reduce_that_there_is)
{
    is("{\"views\":{\"v\":{}}}", "View `v` must contain map function");
    is("{\"views\":{\"v\":{\"map\":\"f\",\"reduce\":\"_bad\"}}}",
       "`_bad` is not a supported reduce function.");
}
