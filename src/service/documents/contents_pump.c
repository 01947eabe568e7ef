#include "service/documents/contents_pump.h"

#include <assert.h>

static enum qk_err pump_begin(struct contents_pump *pump, struct service *service,
                              const struct contents_document *document, const char *tail)
{
    uint64_t length;
    enum qk_err err;

    contents_init(&pump->contents, service, document->at->database);
    err = contents_put_document(&pump->contents, document);
    buf_put_str(&pump->contents.text, tail);
    if (err == QK_OK)
        err = contents_seal(&pump->contents, &length);
    pump->active = err == QK_OK;
    if (err != QK_OK)
        contents_fini(&pump->contents);
    return err;
}

enum qk_err pump_document(struct contents_pump *pump, struct service *service,
                          const struct contents_document *document, const char *tail,
                          struct buf *out)
{
    enum qk_err err;

    assert(!pump->active);

    if (document->wish->contents && document->leaf->attachments.len > 0)
        return pump_begin(pump, service, document, tail);
    err = leaf_write(service, document->at, document->leaf, document->options, out);
    buf_put_str(out, tail);
    return err;
}

enum qk_err pump_step(struct contents_pump *pump, struct buf *out)
{
    bool end = false;
    enum qk_err err = contents_step(&pump->contents, out, &end);

    if (end)
        pump_fini(pump);
    return err;
}

void pump_fini(struct contents_pump *pump)
{
    if (pump->active)
        contents_fini(&pump->contents);
    pump->active = false;
}
