#include "service/leaf_write.h"

#include <assert.h>
#include <string.h>

#include "service/params.h"

enum qk_err leaf_write(struct service *service, const struct leaf_at *at,
                       const struct doc_leaf *leaf, const struct document_options *options,
                       struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX);
    struct document_parts parts;
    enum qk_err err;

    assert(out->secret);

    err = stored_open(service, at->database, at->name, leaf, &plain, &parts);
    if (err == QK_OK) {
        document_write(at->id, leaf, &parts, options, out);
        err = buf_error(out);
    }
    buf_fini(&plain);
    return err;
}

enum qk_err leaf_options(const struct request *request, struct document_options *ret_options,
                         bool *ret_local_seq, struct doc_problem *ret_problem)
{
    struct document_options options = {0};
    bool meta = false;
    const struct {
        const char *name;
        bool *value;
    } flags[] = {
        {"revs", &options.revs},
        {"revs_info", &options.revs_info},
        {"conflicts", &options.conflicts},
        {"deleted_conflicts", &options.deleted_conflicts},
        {"meta", &meta},
        {"local_seq", ret_local_seq},
    };
    enum qk_err err = QK_OK;

    *ret_local_seq = false;
    for (size_t i = 0; err == QK_OK && i < sizeof(flags) / sizeof(flags[0]); i++)
        err = param_bool(request, flags[i].name, flags[i].value, ret_problem);
    if (meta)
        options.revs_info = options.conflicts = options.deleted_conflicts = true;
    *ret_options = options;
    return err;
}
