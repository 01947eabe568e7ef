#include "service/documents/get_contents.h"

#include <stdio.h>

#include "service/documents/contents_reply.h"
#include "service/documents/range.h"

void get_contents_reply(struct service *service, struct exchange *exchange,
                        const struct catalog_database *database, const struct leaf_at *at,
                        const struct doc_leaf *leaf, const struct document_options *options,
                        const struct contents_wish *wish)
{
    bool related = accept_takes(exchange->request.accept, "multipart/related");
    struct contents_how how = {.status = 200, .key_id = leaf->key_id, .is_json = !related};
    struct contents_document document = {at, leaf, options, wish, NULL};
    char boundary[BOUNDARY_TEXT_BYTES + 1], type[BOUNDARY_TEXT_BYTES + 64] = "application/json";
    struct contents contents;
    enum qk_err err;

    contents_boundary(boundary);
    if (related) {
        document.boundary = boundary;
        (void)snprintf(type, sizeof(type), "multipart/related; boundary=\"%s\"", boundary);
    }
    how.content_type = bytes_str(type);
    contents_init(&contents, service, database->id);
    err = contents_put_document(&contents, &document);
    if (err == QK_OK) {
        contents_reply(service, exchange, database, &how, &contents);
    } else {
        contents_fini(&contents);
        exchange_reply_err(exchange, err);
    }
}
