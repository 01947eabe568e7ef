/* POST /{db}/_purge: takes leaves out of the tree, without a tombstone; a document without leaves
 * is gone, as if it had never been. For the database's administrators, who also need the grants
 * that a write over the document needs. Nothing is kept of it: every node applies the same purge,
 * so there is no list of purges to be told on (CouchDB's _purged_infos). */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/id.h"
#include "doc/json.h"
#include "doc/tree.h"
#include "keys/keyring.h"
#include "service/authorize.h"
#include "service/doc_name.h"
#include "service/handlers.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/submit.h"
#include "service/write_right.h"

/* CouchDB's limits of one request. */
#define PURGE_DOCS_MAX 100
#define PURGE_REVS_MAX 1000

struct purge_item {
    struct write write; /* whose id, and what became of it */
    const json_t *names;
    json_t *purged; /* the revisions taken out */
};

struct purge {
    struct service *service;
    struct exchange *exchange;
    json_t *body;
    struct purge_item items[PURGE_DOCS_MAX];
    size_t items_n;
    size_t proposed[PURGE_DOCS_MAX]; /* batch -> item, of the command under way */
    size_t proposed_n;
    bool no_database; /* as of the last evaluation */
    enum qk_err denied;
};

static void purge_free(struct purge *purge)
{
    size_t i;

    for (i = 0; i < purge->items_n; i++)
        json_decref(purge->items[i].purged);
    json_decref(purge->body);
    free(purge);
}

/* --- one document --- */

/* Takes the named leaves out; how many. A revision that is named but no leaf stays, as in CouchDB.
 */
static enum qk_err item_take(struct purge_item *item, struct doc_record *record, size_t *ret_n)
{
    struct revision revision;
    size_t i;

    json_decref(item->purged);
    item->purged = json_array();
    *ret_n = 0;
    for (i = 0; item->purged != NULL && i < json_array_size(item->names); i++) {
        json_t *name = json_array_get(item->names, i);

        if (revision_parse(json_bytes(name), &revision) != QK_OK ||
            !doc_tree_remove(record, &revision))
            continue;
        ++*ret_n;
        if (json_array_append(item->purged, name) != 0)
            return QK_ERR_NOMEM;
    }
    return item->purged == NULL ? QK_ERR_NOMEM : QK_OK;
}

/* What is left of the record, or its end. */
static enum qk_err item_put(struct purge *purge, const struct catalog_database *database,
                            const struct record_key *key, struct stored *stored,
                            struct wire_command *command)
{
    struct doc_place place = {purge->service->origin_id, database->id,
                              record_key_name(record_key_bytes(key)), stored->version + 1};
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    enum qk_err err;

    if (stored->record.leaves_n == 0) {
        wire_command_delete(command, record_key_bytes(key));
        return QK_OK;
    }
    err = doc_record_encode(keyring_integrity_key(purge->service->keyring), &place, &stored->record,
                            &value);
    if (err == QK_OK)
        wire_command_put(command, record_key_bytes(key), stored->version + 1,
                         WIRE_DOC | WIRE_KEYED |
                             (stored->record.leaves[0].deleted ? WIRE_DELETED : 0),
                         buf_bytes(&value));
    buf_fini(&value);
    return err;
}

/* The contents of attachments that no leaf has any more. */
static enum qk_err item_drop(struct service *service, const struct record_key *key,
                             const struct doc_record *record, struct bytes before,
                             struct wire_command *command)
{
    struct buf after = BUF_INIT(WRITE_ATTS_IDS_BYTES_MAX);
    enum qk_err err;

    attachment_ids_put(record, &after);
    err = buf_error(&after);
    if (err == QK_OK)
        attachment_ids_drop(service, key, before, buf_bytes(&after), command);
    buf_fini(&after);
    return err;
}

static enum qk_err item_propose(struct purge *purge, struct purge_item *item,
                                const struct catalog_database *database,
                                const struct record_key *key, struct stored *stored,
                                struct wire_command *command)
{
    struct buf keys = BUF_INIT((size_t)DOC_RECORD_LEAVES_MAX * KEY_ID_BYTES);
    struct buf before = BUF_INIT(WRITE_ATTS_IDS_BYTES_MAX);
    size_t taken;
    enum qk_err err;

    write_replaced_keys(&stored->record, &keys);
    attachment_ids_put(&stored->record, &before);
    err = buf_error(&keys);
    if (err == QK_OK)
        err = buf_error(&before);
    if (err == QK_OK)
        err = item_take(item, &stored->record, &taken);
    if (err == QK_OK && taken == 0) {
        item->write.state = WRITE_DONE;
    } else if (err == QK_OK) {
        wire_command_batch(command);
        wire_command_cond(command, bytes_of(database->key, CATALOG_KEY_BYTES),
                          database->record_version);
        wire_command_cond(command, record_key_bytes(key), stored->version);
        write_right_conds(purge->service, &item->write, keys.data, buf_bytes(&keys), command);
        err = item_put(purge, database, key, stored, command);
        if (err == QK_OK)
            err = item_drop(purge->service, key, &stored->record, buf_bytes(&before), command);
    }
    buf_fini(&keys);
    buf_fini(&before);
    return err;
}

static enum qk_err item_evaluate(struct purge *purge, struct purge_item *item,
                                 const struct catalog_database *database,
                                 struct wire_command *command)
{
    struct service *service = purge->service;
    struct stored stored = {0, 0, DOC_RECORD_EMPTY};
    struct record_key key;
    enum qk_err err =
        doc_name_of_id(service, database->id, database->ids_hidden, item->write.id, &key);

    if (err == QK_OK)
        err = stored_get(service, database->id, record_key_name(record_key_bytes(&key)), &stored);
    if (err == QK_OK)
        err = write_authorize(service, &item->write, database, &stored.record);
    if (err == QK_OK && stored.record.leaves_n == 0)
        err = QK_ERR_NOT_FOUND;
    if (err == QK_OK)
        err = item_propose(purge, item, database, &key, &stored, command);
    stored_fini(&stored);
    if (item->write.state == WRITE_DENIED || item->write.state == WRITE_NO_GRANT)
        return QK_OK;
    if (err == QK_ERR_NOT_FOUND || err == QK_ERR_TOO_BIG) {
        item->write.state = WRITE_DONE; /* nothing of it is here: nothing was purged */
        return QK_OK;
    }
    if (err == QK_ERR_CORRUPT) {
        item->write.state = WRITE_FAILED;
        item->write.err = err;
        return QK_OK;
    }
    return err;
}

/* --- the request --- */

static enum qk_err purge_evaluate(void *arg, struct wire_command *command)
{
    struct purge *purge = arg;
    const struct catalog_database *database =
        catalog_database_find(purge->service->catalog, purge->exchange->request.segments[0]);
    enum qk_err err = QK_OK;
    size_t i;

    purge->proposed_n = 0;
    purge->no_database = database == NULL;
    purge->denied = authorize_exchange(purge->service, purge->exchange, database, ACCESS_DB_ADMIN);
    if (database == NULL || purge->denied != QK_OK)
        return QK_OK;
    for (i = 0; err == QK_OK && i < purge->items_n; i++) {
        struct purge_item *item = &purge->items[i];

        if (item->write.state != WRITE_OPEN)
            continue;
        err = item_evaluate(purge, item, database, command);
        if (err == QK_OK && item->write.state == WRITE_OPEN)
            purge->proposed[purge->proposed_n++] = i;
    }
    return err;
}

static void purge_result(void *arg, size_t at, const struct wire_result *result)
{
    struct purge *purge = arg;

    if (at < purge->proposed_n && result->ok)
        purge->items[purge->proposed[at]].write.state = WRITE_DONE;
}

static json_t *item_json(const struct purge_item *item, int *status)
{
    if (item->write.state == WRITE_DONE)
        return item->purged == NULL ? json_array() : json_incref(item->purged);
    *status = item->write.state == WRITE_FAILED ? 500 : *status > 403 ? *status : 403;
    if (item->write.state == WRITE_FAILED)
        return json_pack("{s:s, s:s}", "error", "corrupt", "reason",
                         "the stored record does not authenticate");
    return json_pack("{s:s, s:s}", "error", "forbidden", "reason", WRITE_NO_GRANT_REASON);
}

static void purge_reply(struct purge *purge)
{
    json_t *purged = json_object();
    int status = 201;
    size_t i;

    for (i = 0; i < purge->items_n; i++)
        (void)json_object_setn_new(purged, (const char *)purge->items[i].write.id.data,
                                   purge->items[i].write.id.len,
                                   item_json(&purge->items[i], &status));
    exchange_reply_json(purge->exchange, status,
                        json_pack("{s:n, s:o}", "purge_seq", "purged", purged));
}

static void purge_done(void *arg, enum qk_err err)
{
    struct purge *purge = arg;

    if (err == QK_OK)
        err = purge->denied;
    if (err != QK_OK)
        submit_reply_err(purge->service, purge->exchange, err);
    else if (purge->no_database)
        exchange_reply_error(purge->exchange, 404, "not_found", "Database does not exist.");
    else
        purge_reply(purge);
    purge_free(purge);
}

static const struct submit_ops purge_ops = {purge_evaluate, purge_result, purge_done};

static enum qk_err names_check(const json_t *names, size_t *revs_n, struct doc_problem *problem)
{
    struct revision revision;
    size_t i;

    if (!json_is_array(names))
        return doc_problem_set(problem, 400, "bad_request", "`revs` must be an array.");
    for (i = 0; i < json_array_size(names); i++) {
        if (revision_parse(json_bytes(json_array_get(names, i)), &revision) == QK_ERR_INVALID)
            return doc_problem_set(problem, 400, "bad_request", "Invalid rev format");
    }
    *revs_n += json_array_size(names);
    if (*revs_n > PURGE_REVS_MAX)
        return doc_problem_set(problem, 400, "bad_request",
                               "Exceeded maximum number of revisions.");
    return QK_OK;
}

static enum qk_err purge_parse(struct purge *purge, struct doc_problem *problem)
{
    enum qk_err err =
        json_parse(purge->exchange->request.body, JSON_DEPTH_MAX, problem, &purge->body);
    size_t revs_n = 0;
    void *member;

    if (err == QK_OK && !json_is_object(purge->body))
        return doc_problem_set(problem, 400, "bad_request", "Request body must be a JSON object");
    if (err == QK_OK && json_object_size(purge->body) > PURGE_DOCS_MAX)
        return doc_problem_set(problem, 400, "bad_request",
                               "Exceeded maximum number of documents.");
    for (member = json_object_iter(purge->body); err == QK_OK && member != NULL;
         member = json_object_iter_next(purge->body, member)) {
        struct purge_item *item = &purge->items[purge->items_n++];

        item->names = json_object_iter_value(member);
        item->write.exchange = purge->exchange;
        item->write.database_name = purge->exchange->request.segments[0];
        item->write.id = bytes_str(json_object_iter_key(member));
        err = doc_id_check(item->write.id, problem);
        if (err == QK_OK)
            err = names_check(item->names, &revs_n, problem);
    }
    return err;
}

static enum qk_err purge_start(struct purge *purge)
{
    struct record_key keys[PURGE_DOCS_MAX];
    struct bytes views[PURGE_DOCS_MAX];
    enum qk_err err = service_is_open(purge->service) ? QK_OK : QK_ERR_SEALED;
    size_t i;

    for (i = 0; err == QK_OK && i < purge->items_n; i++) {
        err = write_latch(purge->service, purge->exchange->request.segments[0],
                          purge->items[i].write.id, &keys[i]);
        views[i] = record_key_bytes(&keys[i]);
    }
    return err == QK_OK ? submit_start(purge->service, views, purge->items_n, &purge_ops, purge)
                        : err;
}

void handle_purge(struct service *service, struct exchange *exchange)
{
    struct doc_problem problem = {0};
    struct purge *purge;
    enum qk_err err;

    if (request_wants_json(exchange) != QK_OK)
        return;
    purge = calloc(1, sizeof(*purge));
    if (purge == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    purge->service = service;
    purge->exchange = exchange;
    err = purge_parse(purge, &problem);
    if (err == QK_OK)
        err = purge_start(purge);
    if (err == QK_OK)
        return;
    exchange_reply_problem_or(exchange, &problem, err);
    purge_free(purge);
}
