/* _bulk_docs: every document is a batch of its own, so one that conflicts does not hinder the
 * others; all go in one command, or in several of SUBMIT_COMMAND_BYTES when they are large. What is
 * wrong with the request as such (no JSON, an illegal id) refuses it whole, as CouchDB does. Old
 * clients write their _local checkpoints this way, too: those are batches like the others. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/id.h"
#include "secret/crypto.h"
#include "service/authorize.h"
#include "service/handlers.h"
#include "service/offload_uv.h"
#include "service/params.h"
#include "service/request.h"
#include "service/documents/bulk_text.h"
#include "service/documents/local.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/write.h"

#define BULK_REPLY_BYTES_MAX (64 * MIB)
#define RESULT_BYTES_USUAL 128 /* of a document's line in the reply, with an id of 32 */

struct bulk_item {
    struct document document; /* owned */
    struct write write;
    const struct bulk_item *earlier; /* new_edits=false: writes the same document, goes first */
};

struct bulk {
    struct service *service;
    struct exchange *exchange;
    struct bulk_item *items;
    size_t items_n;
    bool replicated;  /* new_edits=false */
    size_t *proposed; /* batch -> item, of the command under way */
    size_t proposed_n;
    struct validation validation;
    bool waits;         /* some of the documents: for their validation */
    bool applied;       /* at least one document was written */
    bool no_database;   /* as of the last evaluation */
    enum qk_err denied; /* the same: no right to write here */
    struct doc_problem problem;
    enum qk_err err; /* of the parsing */
};

static void bulk_free(struct bulk *bulk)
{
    size_t i;

    for (i = 0; i < bulk->items_n; i++)
        document_fini(&bulk->items[i].document);
    if (bulk->items != NULL)
        secret_wipe(bulk->items, bulk->items_n * sizeof(*bulk->items)); /* names of data keys */
    validation_fini(&bulk->validation);
    free(bulk->items);
    free(bulk->proposed);
    free(bulk);
}

/* --- parsing --- */

/* On the pool, if the body is large: nothing but the body and what `bulk` owns. */
static void bulk_parse(void *arg)
{
    struct bulk *bulk = arg;
    struct bulk_text text;

    bulk->err = bulk_text_parse(bulk->exchange->request.body, &text, &bulk->problem);
    if (bulk->err == QK_OK) {
        bulk->items = calloc(text.n + 1, sizeof(*bulk->items));
        bulk->proposed = calloc(text.n + 1, sizeof(*bulk->proposed));
        if (bulk->items == NULL || bulk->proposed == NULL)
            bulk->err = QK_ERR_NOMEM;
    }
    bulk->replicated = text.replicated;
    for (; bulk->err == QK_OK && bulk->items_n < text.n; bulk->items_n++) {
        struct bulk_item *item = &bulk->items[bulk->items_n];

        item->document = text.documents[bulk->items_n];
        item->write.replicated = text.replicated;
        document_init(&text.documents[bulk->items_n]); /* it is the item's now */
    }
    bulk_text_fini(&text);
}

/* Ids are made on the loop, whose random pool it is. */
static enum qk_err item_name(struct bulk *bulk, struct bulk_item *item)
{
    char text[DOC_ID_GENERATED_BYTES + 1];
    uint8_t random[16];

    if (item->document.id.len == 0) {
        random_fill(random, sizeof(random));
        doc_id_generate(random, text);
        buf_put_str(&item->document.id, text);
    }
    item->write.exchange = bulk->exchange;
    item->write.database_name = bulk->exchange->request.segments[0];
    item->write.id = buf_bytes(&item->document.id);
    item->write.document = &item->document;
    item->write.validation = &bulk->validation;
    return local_is_id(item->write.id)
               ? local_document_check(item->write.id, &item->document, &bulk->problem)
               : doc_id_check(item->write.id, &bulk->problem);
}

/* --- two of one id --- */

static int item_order(const void *a, const void *b)
{
    const struct bulk_item *x = *(const struct bulk_item *const *)a;
    const struct bulk_item *y = *(const struct bulk_item *const *)b;
    int order = bytes_compare(x->write.id, y->write.id);

    return order != 0 ? order : x < y ? -1 : 1;
}

/* The first of several with one id is written, the others conflict with it; several revisions that
 * replication brings are written one after the other. */
static enum qk_err bulk_mark_doubles(struct bulk *bulk)
{
    struct bulk_item **order = calloc(bulk->items_n + 1, sizeof(struct bulk_item *));
    size_t i;

    if (order == NULL)
        return QK_ERR_NOMEM;
    for (i = 0; i < bulk->items_n; i++)
        order[i] = &bulk->items[i];
    qsort(order, bulk->items_n, sizeof(struct bulk_item *), item_order);
    for (i = 1; i < bulk->items_n; i++) {
        if (!bytes_equal(order[i - 1]->write.id, order[i]->write.id))
            continue;
        order[i]->write.same_id_earlier = !bulk->replicated;
        order[i]->earlier = bulk->replicated ? order[i - 1] : NULL;
    }
    free(order);
    return QK_OK;
}

/* --- writing --- */

/* A batch is judged by what was there before its command, so it waits for the one before. */
static bool item_is_due(const struct bulk_item *item)
{
    return item->write.state == WRITE_OPEN &&
           (item->earlier == NULL || item->earlier->write.state != WRITE_OPEN);
}

/* Evaluated on every round, so that a request without documents gets its 404 or 403 too. */
static void bulk_look(struct bulk *bulk)
{
    const struct catalog_database *database =
        catalog_database_find(bulk->service->catalog, bulk->exchange->request.segments[0]);

    bulk->no_database = database == NULL;
    bulk->denied = authorize_exchange(bulk->service, bulk->exchange, database, ACCESS_DB_WRITE);
}

static enum qk_err item_evaluate(struct bulk *bulk, struct write *write,
                                 struct wire_command *command)
{
    return local_is_id(write->id) ? local_evaluate(bulk->service, write, command)
                                  : write_evaluate(bulk->service, write, command);
}

static enum qk_err bulk_evaluate(void *arg, struct wire_command *command)
{
    struct bulk *bulk = arg;
    enum qk_err err = QK_OK;
    size_t i;

    bulk->proposed_n = 0;
    bulk->waits = false;
    validation_begin(&bulk->validation, bulk->service);
    bulk_look(bulk);
    for (i = 0; err == QK_OK && i < bulk->items_n; i++) {
        if (!item_is_due(&bulk->items[i]))
            continue;
        if (wire_command_size(command) >= SUBMIT_COMMAND_BYTES)
            break;
        err = item_evaluate(bulk, &bulk->items[i].write, command);
        if (err == QK_OK && bulk->items[i].write.state == WRITE_OPEN &&
            bulk->items[i].write.verdict.waits)
            bulk->waits = true;
        else if (err == QK_OK && bulk->items[i].write.state == WRITE_OPEN)
            bulk->proposed[bulk->proposed_n++] = i;
    }
    /* No room for more under some key: what has room goes first. */
    return err == QK_ERR_KEY_FULL && bulk->proposed_n > 0 ? QK_OK : err;
}

static enum qk_err bulk_wait(void *arg, void (*cb)(void *arg, enum qk_err err), void *cb_arg)
{
    struct bulk *bulk = arg;

    return bulk->waits ? validation_wait(&bulk->validation, cb, cb_arg) : QK_ERR_NOT_FOUND;
}

static void bulk_result(void *arg, size_t at, const struct wire_result *result)
{
    struct bulk *bulk = arg;

    if (at >= bulk->proposed_n || !result->ok)
        return;
    bulk->items[bulk->proposed[at]].write.state = WRITE_DONE;
    bulk->applied = true;
}

static void put_member(const char *before, struct bytes text, struct buf *out)
{
    buf_put_str(out, before);
    json_write_string(text, out);
}

/* Written straight to the text: a tree of so many small objects cost more than sealing the bodies.
 */
static void put_error(const struct write *write, const char *error, const char *reason,
                      struct buf *out)
{
    char revision[REVISION_TEXT_BYTES_MAX + 1];

    put_member("{\"id\":", write->id, out);
    if (write->replicated && !local_is_id(write->id)) {
        revision_format(&write->document->revision, revision);
        put_member(",\"rev\":", bytes_str(revision), out);
    }
    put_member(",\"error\":", bytes_str(error), out);
    put_member(",\"reason\":", bytes_str(reason), out);
    buf_put_u8(out, '}');
}

static void put_no_stub(const struct write *write, struct buf *out)
{
    char reason[DOC_REASON_BYTES_MAX];

    write_no_stub_reason(write, reason);
    put_error(write, "missing_stub", reason, out);
}

static void put_item(const struct write *write, struct buf *out)
{
    switch (write->state) {
    case WRITE_DONE:
        if (local_is_id(write->id))
            local_put_result(write, out);
        else
            write_put_result(write, out);
        return;
    case WRITE_CONFLICT:
        put_error(write, "conflict", "Document update conflict.", out);
        return;
    case WRITE_NO_KEY:
        put_error(write, "bad_request", "there is no data key of that name", out);
        return;
    case WRITE_NO_DATABASE:
        put_error(write, "not_found", "Database does not exist.", out);
        return;
    case WRITE_DENIED:
        put_error(write, "forbidden", "You are not allowed to write this document.", out);
        return;
    case WRITE_REFUSED:
        put_error(write, write->verdict.refusal.error, write->verdict.refusal.reason, out);
        return;
    case WRITE_NO_GRANT:
        put_error(write, "forbidden", WRITE_NO_GRANT_REASON, out);
        return;
    case WRITE_NO_STUB:
        put_no_stub(write, out);
        return;
    case WRITE_MISSING: /* a _local one, deleted */
        put_error(write, "not_found", "missing", out);
        return;
    case WRITE_NO_ATTACHMENT: /* of DELETE alone */
    case WRITE_DELETED:
    case WRITE_OPEN:
    case WRITE_FAILED:
        break;
    }
    put_error(write, "internal_error", qk_err_text(write->err), out);
}

static void bulk_reply(struct bulk *bulk)
{
    struct buf text = BUF_SECRET_INIT(BULK_REPLY_BYTES_MAX);
    const char *before = "[";
    enum qk_err err = buf_reserve(&text, bulk->items_n * RESULT_BYTES_USUAL + 3);

    for (size_t i = 0; i < bulk->items_n; i++) {
        const struct write *write = &bulk->items[i].write;

        if (bulk->replicated && write->state == WRITE_DONE)
            continue; /* CouchDB's: only what went wrong */
        buf_put_str(&text, before);
        put_item(write, &text);
        before = ",";
    }
    buf_put_str(&text, before[0] == '[' ? "[]\n" : "]\n");
    if (err == QK_OK)
        err = buf_error(&text);
    if (err == QK_OK)
        exchange_reply_bytes(bulk->exchange, 201, "application/json", buf_bytes(&text));
    else
        exchange_reply_err(bulk->exchange, QK_ERR_UNKNOWN_OUTCOME); /* written, not told */
    buf_fini(&text);
}

static bool bulk_is_settled(const struct bulk *bulk)
{
    size_t i;

    for (i = 0; i < bulk->items_n; i++) {
        if (bulk->items[i].write.state == WRITE_OPEN)
            return false;
    }
    return true;
}

static void bulk_done(void *arg, enum qk_err err)
{
    struct bulk *bulk = arg;

    /* Sealed or no longer leading after some of it was applied: "nothing was written" would be
     * wrong. */
    if (err != QK_OK && bulk->applied)
        err = bulk_is_settled(bulk) ? QK_OK : QK_ERR_UNKNOWN_OUTCOME;
    else if (err == QK_OK && !bulk->applied)
        err = bulk->denied;
    if (err != QK_OK)
        submit_reply_err(bulk->service, bulk->exchange, err);
    else if (!bulk->applied && bulk->no_database)
        exchange_reply_error(bulk->exchange, 404, "not_found", "Database does not exist.");
    else
        bulk_reply(bulk);
    bulk_free(bulk);
}

static const struct submit_ops bulk_ops = {bulk_evaluate, bulk_result, bulk_done};

static enum qk_err item_latch(struct bulk *bulk, const struct write *write,
                              struct record_key *ret_key)
{
    return local_is_id(write->id)
               ? local_latch(bulk->service, write, ret_key)
               : write_latch(bulk->service, write->database_name, write->id, ret_key);
}

static enum qk_err bulk_start(struct bulk *bulk)
{
    struct record_key *keys = calloc(bulk->items_n + 1, sizeof(*keys));
    struct bytes *views = calloc(bulk->items_n + 1, sizeof(*views));
    enum qk_err err = QK_ERR_NOMEM;
    size_t i;

    if (keys == NULL || views == NULL)
        goto out;
    err = bulk_mark_doubles(bulk);
    for (i = 0; err == QK_OK && i < bulk->items_n; i++) {
        err = item_latch(bulk, &bulk->items[i].write, &keys[i]);
        views[i] = record_key_bytes(&keys[i]);
    }
    if (err == QK_OK)
        err = submit_start_waiting(bulk->service, views, bulk->items_n, &bulk_ops, bulk_wait, bulk);

out:
    free(keys);
    free(views);
    return err;
}

static void bulk_parsed(void *arg, enum qk_err err)
{
    struct bulk *bulk = arg;

    if (err == QK_OK)
        err = bulk->err;
    for (size_t i = 0; i < bulk->items_n && err == QK_OK; i++)
        err = item_name(bulk, &bulk->items[i]);
    if (err == QK_OK && !service_is_open(bulk->service)) { /* sealed meanwhile */
        submit_reply_err(bulk->service, bulk->exchange, QK_ERR_SEALED);
        bulk_free(bulk);
        return;
    }
    if (err == QK_OK)
        err = bulk_start(bulk);
    if (err == QK_OK)
        return;
    exchange_reply_problem_or(bulk->exchange, &bulk->problem, err);
    bulk_free(bulk);
}

void handle_bulk_docs(struct service *service, struct exchange *exchange)
{
    struct bulk *bulk;

    if (request_wants_json(exchange) != QK_OK)
        return;
    if (!service_is_open(service)) {
        submit_reply_err(service, exchange, QK_ERR_SEALED);
        return;
    }
    bulk = calloc(1, sizeof(*bulk));
    if (bulk == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    bulk->service = service;
    bulk->exchange = exchange;
    offload_run(service, exchange->request.body.len, bulk_parse, bulk_parsed, bulk);
}

static void ensure_ready(struct service *service, struct exchange *exchange)
{
    if (read_database(service, exchange, ACCESS_DB_WRITE) != NULL)
        exchange_reply_json(exchange, 201,
                            json_pack("{s:b, s:s}", "ok", 1, "instance_start_time", "0"));
}

void handle_ensure_full_commit(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, ensure_ready);
}
