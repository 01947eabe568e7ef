#include "service/documents/db.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "doc/id.h"
#include "doc/json.h"
#include "keys/keyring.h"
#include "secret/crypto.h"
#include "service/authorize.h"
#include "service/bodies.h"
#include "service/documents/db_encryption.h"
#include "service/handlers.h"
#include "service/keys_current.h"
#include "service/params.h"
#include "service/read.h"
#include "service/seq.h"
#include "service/submit.h"
#include "service/visible.h"
#include "store/store.h"

#define REVS_LIMIT_DEFAULT DOC_RECORD_PATH_MAX
#define UUIDS_MAX 1000

/* --- GET, HEAD /{db} --- */

static json_t *db_json(const struct service *service, const struct catalog_database *database,
                       const struct store_stats *stats, const char *seq, const char *purge_seq)
{
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:{s:I, s:I, s:I}, s:{}, s:I, s:I, s:i, s:b, s:{s:i, s:i, s:i, s:i}, "
        "s:o}",
        "instance_start_time", "0", "db_name", database->name, "purge_seq", purge_seq, "update_seq",
        seq, "sizes", "file", (json_int_t)stats->bytes, "external", (json_int_t)stats->bytes,
        "active", (json_int_t)stats->bytes, "props", "doc_del_count", (json_int_t)stats->del_count,
        "doc_count", (json_int_t)stats->doc_count, "disk_format_version", 8, "compact_running", 0,
        "cluster", "q", 1, "n", 1, "w", 1, "r", 1, "encryption",
        db_encryption_json(service, database));
}

json_t *db_info(struct service *service, struct exchange *exchange,
                const struct catalog_database *database)
{
    char seq[SEQ_TEXT_BYTES_MAX + 1], purge_seq[SEQ_TEXT_BYTES_MAX + 1];
    struct store_stats stats;
    struct visible visible;
    enum qk_err err;

    err = visible_init(&visible, service, exchange, database);
    visible_stats(&visible, &stats);
    seq_format(database->id, 0, purge_seq);
    if (err == QK_OK)
        err = visible_seq_format(&visible, stats.seq, seq);
    visible_fini(&visible);
    return err == QK_OK ? db_json(service, database, &stats, seq, purge_seq) : NULL;
}

static void db_get_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);

    if (database == NULL)
        return;
    if (bodies_are_clear(database))
        exchange_field(exchange, BODIES_CLEAR_FIELD, "true");
    exchange_reply_json(exchange, 200, db_info(service, exchange, database));
}

void handle_db_get(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, db_get_ready);
}

/* --- PUT and DELETE /{db} --- */

struct db_write {
    struct service *service;
    struct exchange *exchange;
    struct catalog_database database; /* PUT: the new one */
    struct db_encryption encryption;  /* PUT: as asked for */
    enum qk_err key_err;              /* PUT: of the key asked for */
    bool done;                        /* a batch has made or removed it */
    bool refused;                     /* it exists already; DELETE: it does not */
    bool too_many;
    enum qk_err denied; /* as of the last evaluation */
};

static struct bytes db_name(const struct db_write *write)
{
    return write->exchange->request.segments[0];
}

static enum qk_err db_authorize(const struct db_write *write)
{
    return authorize_user(write->service, &write->exchange->request.who, ACCESS_CLUSTER);
}

enum qk_err db_records_put(const struct service *service, const struct catalog_database *database,
                           struct wire_command *command)
{
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX),
               name_value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES], name_key[CATALOG_KEY_BYTES];
    enum qk_err err;

    err = catalog_database_key(service, database->id, key);
    if (err == QK_OK)
        err = catalog_name_key(service, bytes_str(database->name), name_key);
    if (err == QK_OK)
        err = catalog_database_seal(service, database, 1, &value);
    if (err == QK_OK)
        err = catalog_name_seal(service, database, 1, &name_value);
    if (err == QK_OK) {
        wire_command_put(command, bytes_of(key, sizeof(key)), 1, 0, buf_bytes(&value));
        wire_command_put(command, bytes_of(name_key, sizeof(name_key)), 1, 0,
                         buf_bytes(&name_value));
    }
    buf_fini(&value);
    buf_fini(&name_value);
    return err;
}

static enum qk_err db_create_put(struct service *service, const struct principal *who,
                                 const struct catalog_database *database,
                                 struct wire_command *command)
{
    wire_command_batch(command);
    keys_cond(service, command, keyring_catalog_id);
    key_policy_cond(service, command);
    authorize_conditions(service, who, NULL, command);
    return db_records_put(service, database, command);
}

static enum qk_err db_create_evaluate(void *arg, struct wire_command *command)
{
    struct db_write *write = arg;
    struct catalog *catalog = write->service->catalog;

    if (write->done)
        return QK_OK;
    write->denied = db_authorize(write);
    if (write->denied != QK_OK)
        return QK_OK;
    write->refused = catalog_database_find(catalog, db_name(write)) != NULL;
    if (write->refused)
        return QK_OK;
    write->too_many = catalog_databases_n(catalog) >= DATABASES_MAX;
    if (write->too_many)
        return QK_OK;
    write->key_err =
        db_encryption_apply(write->service, &write->encryption, true, &write->database);
    if (write->key_err != QK_OK)
        return QK_OK;
    return db_create_put(write->service, &write->exchange->request.who, &write->database, command);
}

static void db_result(void *arg, size_t at, const struct wire_result *result)
{
    struct db_write *write = arg;

    (void)at;
    write->done = result->ok;
}

static void db_location(struct exchange *exchange, struct bytes name)
{
    struct buf path = BUF_INIT(sizeof(exchange->fields[0].value));
    struct bytes host = exchange->request.host;

    percent_encode(name, &path);
    if (buf_error(&path) == QK_OK)
        exchange_field(exchange, "Location", "%s://%.*s/%.*s",
                       exchange->request.tls ? "https" : "http", (int)host.len,
                       (const char *)host.data, (int)path.len, (const char *)path.data);
    buf_fini(&path);
}

static void db_create_done(void *arg, enum qk_err err)
{
    struct db_write *write = arg;
    struct exchange *exchange = write->exchange;

    if (err == QK_OK)
        err = write->denied;
    if (err != QK_OK && !write->done) {
        submit_reply_err(write->service, exchange, err);
    } else if (write->too_many) {
        exchange_reply_error(exchange, 403, "forbidden", "there are %d databases: no more fit",
                             DATABASES_MAX);
    } else if (write->refused) {
        exchange_reply_error(exchange, 412, "file_exists",
                             "The database could not be created, the file already exists.");
    } else if (write->key_err == QK_ERR_NOT_FOUND) {
        exchange_reply_error(exchange, 400, "bad_request", "there is no data key of that name");
    } else if (write->key_err != QK_OK) {
        exchange_reply_err(exchange, write->key_err);
    } else {
        if (bodies_are_clear(&write->database))
            exchange_field(exchange, BODIES_CLEAR_FIELD, "true");
        if (exchange->request.host.len > 0)
            db_location(exchange, bytes_str(write->database.name));
        exchange_reply_json(exchange, 201, json_pack("{s:b}", "ok", 1));
    }
    secret_wipe(write, sizeof(*write));
    free(write);
}

static const struct submit_ops db_create_ops = {db_create_evaluate, db_result, db_create_done};

static uint64_t unix_ms(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_REALTIME, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void db_describe(struct bytes name, struct catalog_database *ret_database)
{
    assert(name.len <= DATABASE_NAME_BYTES_MAX);

    memset(ret_database, 0, sizeof(*ret_database));
    do {
        random_fill(ret_database->id, DATABASE_ID_BYTES);
    } while (ret_database->id[0] == 0); /* zero begins the system spaces */
    memcpy(ret_database->name, name.data, name.len);
    ret_database->revs_limit = REVS_LIMIT_DEFAULT;
    ret_database->created_ms = unix_ms();
}

/* In line per name; the keyed hash that names the record is at hand while the node is open. */
static enum qk_err db_start(struct service *service, struct exchange *exchange,
                            const struct submit_ops *ops, struct db_write *write)
{
    uint8_t key[CATALOG_KEY_BYTES];
    struct bytes view;
    enum qk_err err;

    if (!service_is_open(service))
        return QK_ERR_SEALED;
    err = catalog_name_key(service, exchange->request.segments[0], key);
    if (err != QK_OK)
        return err;
    view = bytes_of(key, sizeof(key));
    return submit_start(service, &view, 1, ops, write);
}

/* A client that is told 201 would rely on partitions. */
static enum qk_err partitions_refuse(const struct request *request, struct doc_problem *problem)
{
    bool partitioned = false;
    enum qk_err err = param_bool(request, "partitioned", &partitioned, problem);

    if (err != QK_OK || !partitioned)
        return err;
    return doc_problem_set(problem, 501, "not_implemented",
                           "partitioned databases are not part of this server");
}

void handle_db_put(struct service *service, struct exchange *exchange)
{
    struct bytes name = exchange->request.segments[0];
    struct doc_problem problem = {0};
    struct db_encryption encryption;
    struct db_write *write;
    enum qk_err err;

    err = database_name_check(name, &problem);
    if (err == QK_OK)
        err = db_encryption_params(&exchange->request, &encryption, &problem);
    if (err == QK_OK)
        err = partitions_refuse(&exchange->request, &problem);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        return;
    }
    write = calloc(1, sizeof(*write));
    if (write == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    write->service = service;
    write->exchange = exchange;
    write->encryption = encryption;
    db_describe(name, &write->database);
    err = db_start(service, exchange, &db_create_ops, write);
    if (err != QK_OK)
        db_create_done(write, err);
}

static enum qk_err db_delete_evaluate(void *arg, struct wire_command *command)
{
    struct db_write *write = arg;
    struct service *service = write->service;
    const struct catalog_database *there = catalog_database_find(service->catalog, db_name(write));
    uint8_t name_key[CATALOG_KEY_BYTES];
    enum qk_err err;

    if (write->done)
        return QK_OK; /* maybe another one of that name was made since */
    write->denied = db_authorize(write);
    if (write->denied != QK_OK)
        return QK_OK;
    write->refused = there == NULL;
    if (write->refused)
        return QK_OK;
    err = catalog_name_key(service, db_name(write), name_key);
    if (err != QK_OK)
        return err;
    wire_command_batch(command);
    authorize_conditions(service, &write->exchange->request.who, NULL, command);
    wire_command_cond(command, bytes_of(there->key, CATALOG_KEY_BYTES), there->record_version);
    wire_command_delete(command, bytes_of(there->key, CATALOG_KEY_BYTES));
    wire_command_delete(command, bytes_of(name_key, sizeof(name_key)));
    wire_command_delete_range(command, bytes_of(there->id, DATABASE_ID_BYTES));
    return QK_OK;
}

static void db_delete_done(void *arg, enum qk_err err)
{
    struct db_write *write = arg;
    struct exchange *exchange = write->exchange;

    if (err == QK_OK)
        err = write->denied;
    if (err != QK_OK && !write->done)
        submit_reply_err(write->service, exchange, err);
    else if (write->refused)
        exchange_reply_error(exchange, 404, "not_found", "Database does not exist.");
    else
        exchange_reply_json(exchange, 200, json_pack("{s:b}", "ok", 1));
    free(write);
}

static const struct submit_ops db_delete_ops = {db_delete_evaluate, db_result, db_delete_done};

void handle_db_delete(struct service *service, struct exchange *exchange)
{
    struct db_write *write = calloc(1, sizeof(*write));
    struct bytes ignored;
    enum qk_err err;

    if (write == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    write->service = service;
    write->exchange = exchange;
    if (request_param(&exchange->request, "rev", &ignored)) {
        /* CouchDB's guard against DELETE /db/docid?rev= with an empty docid. */
        free(write);
        exchange_reply_error(exchange, 400, "bad_request",
                             "You tried to DELETE a database with a ?=rev parameter. Did you mean "
                             "to DELETE a document instead?");
        return;
    }
    err = db_start(service, exchange, &db_delete_ops, write);
    if (err != QK_OK)
        db_delete_done(write, err);
}

/* --- GET /_uuids --- */

void handle_uuids(struct service *service, struct exchange *exchange)
{
    struct doc_problem problem = {0};
    json_t *uuids = json_array();
    uint64_t count = 1;
    enum qk_err err;

    (void)service;
    err = param_u64(&exchange->request, "count", &count, &problem);
    if (err == QK_OK && count > UUIDS_MAX)
        err = doc_problem_set(&problem, 400, "bad_request", "count parameter too large");
    if (err != QK_OK) {
        json_decref(uuids);
        exchange_reply_problem_or(exchange, &problem, err);
        return;
    }
    while (count-- > 0) {
        char text[DOC_ID_GENERATED_BYTES + 1];
        uint8_t random[16];

        random_fill(random, sizeof(random));
        doc_id_generate(random, text);
        json_array_append_new(uuids, json_string(text));
    }
    exchange_field(exchange, "Cache-Control", "must-revalidate, no-cache");
    exchange_field(exchange, "Pragma", "no-cache");
    if (json_array_size(uuids) > 0) /* no other reply is the same */
        exchange_field(exchange, "ETag", "\"%s\"", json_string_value(json_array_get(uuids, 0)));
    exchange_reply_json(exchange, 200, json_pack("{s:o}", "uuids", uuids));
}
