#include "service/query/view_load.h"

#include "service/authorize.h"
#include "service/doc_name.h"
#include "service/read.h"

static enum qk_err none(struct doc_problem *problem, const char *reason)
{
    return doc_problem_set(problem, 404, "not_found", "%s", reason);
}

/* As of any document: with conflicts all of its leaves count. */
static enum qk_err may_read(struct service *service, struct exchange *exchange,
                            const struct doc_record *record, struct doc_problem *problem)
{
    enum qk_err err = QK_OK;
    unsigned i;

    for (i = 0; err == QK_OK && i < record->leaves_n; i++)
        err = authorize_key(service, &exchange->request.who, record->leaves[i].key_id,
                            ACCESS_KEY_DECRYPT);
    if (err == QK_ERR_DENIED)
        return doc_problem_set(problem, 403, "forbidden",
                               "You have no grant to decrypt this document.");
    return err;
}

static enum qk_err parse_leaf(struct service *service, const struct catalog_database *database,
                              struct bytes name, const struct doc_leaf *leaf,
                              struct doc_problem *problem, struct view_design **ret_design)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX + 64 * MIB);
    json_t *json = NULL;
    struct document_parts parts;
    enum qk_err err = stored_open(service, database->id, name, leaf, &plain, &parts);

    if (err == QK_OK)
        err = json_parse(parts.body, JSON_DEPTH_MAX, problem, &json);
    if (err == QK_OK)
        err = view_design_parse(json, problem, ret_design);
    json_decref(json);
    buf_fini(&plain);
    return err;
}

enum qk_err view_load(struct service *service, struct exchange *exchange,
                      const struct catalog_database *database, struct bytes name,
                      struct doc_problem *ret_problem, struct view_design **ret_design)
{
    struct buf id = BUF_INIT(DOC_ID_BYTES_MAX);
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct record_key key;
    enum qk_err err;

    buf_put_str(&id, "_design/");
    buf_put_bytes(&id, name);
    err = buf_error(&id);
    if (err == QK_OK)
        err = doc_name_of_id(service, database->id, database->ids_hidden, buf_bytes(&id), &key);
    buf_fini(&id);
    if (err == QK_ERR_TOO_BIG)
        return none(ret_problem, "missing");
    if (err == QK_OK)
        err = stored_get(service, database->id, record_key_name(record_key_bytes(&key)), &stored);
    if (err == QK_OK)
        err = may_read(service, exchange, &stored.record, ret_problem);
    if (err == QK_OK && stored.record.leaves_n == 0)
        err = none(ret_problem, "missing");
    if (err == QK_OK && stored.record.leaves[0].deleted)
        err = none(ret_problem, "deleted");
    if (err == QK_OK)
        err = parse_leaf(service, database, record_key_name(record_key_bytes(&key)),
                         &stored.record.leaves[0], ret_problem, ret_design);
    stored_fini(&stored);
    return err;
}

enum qk_err view_load_runnable(struct service *service, struct exchange *exchange,
                               const struct catalog_database *database, struct bytes name,
                               struct doc_problem *ret_problem, struct view_design **ret_design)
{
    struct view_design *design;
    enum qk_err err = view_load(service, exchange, database, name, ret_problem, &design);

    if (err != QK_OK)
        return err;
    if (design->language == VIEW_JAVASCRIPT && service->script_door.connect == NULL) {
        view_design_free(design);
        return doc_problem_set(ret_problem, 501, "not_implemented",
                               "this node runs no JavaScript: views of language query alone");
    }
    *ret_design = design;
    return QK_OK;
}
