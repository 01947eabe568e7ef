/* The rights of a database: CouchDB's _security object, and single changes of it.
 *
 *     admins  = all rights     members = read and write     readers, writers = one of the two
 *
 * An empty list lets in administrators alone, where CouchDB would open the database to everybody.
 * The role "_admin" is theirs: it is shown where CouchDB 3 shows it, and taken and passed over. The
 * mount of the secrets is a database that no path names: /_quorumkeep/secrets/rights is its
 * _security. */
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"
#include "secret/secret.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/change.h"
#include "service/handlers.h"
#include "service/kv.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/rights_json.h"

#define SECURITY_DEPTH 4

static bool is_admin(uint8_t bits)
{
    return (bits & RIGHT_ADMIN) != 0;
}

static bool is_member(uint8_t bits)
{
    return bits == (RIGHT_READ | RIGHT_WRITE);
}

static bool is_reader(uint8_t bits)
{
    return bits == RIGHT_READ;
}

static bool is_writer(uint8_t bits)
{
    return bits == RIGHT_WRITE;
}

static const struct section {
    const char *name;
    bool (*wants)(uint8_t bits);
    uint8_t bits;
    bool couch; /* in CouchDB too: always shown */
} SECTIONS[] = {
    {"admins", is_admin, RIGHT_ADMIN, true},
    {"members", is_member, RIGHT_READ | RIGHT_WRITE, true},
    {"readers", is_reader, RIGHT_READ, false},
    {"writers", is_writer, RIGHT_WRITE, false},
};
#define SECTIONS_N (sizeof SECTIONS / sizeof SECTIONS[0])

static const struct catalog_database *database_find(const struct service *service,
                                                    const struct exchange *exchange)
{
    return catalog_database_find(service->catalog, kv_database_name(&exchange->request));
}

/* --- GET --- */

static json_t *section_json(const struct catalog *catalog, const struct access_list *list,
                            const struct section *section)
{
    json_t *names = rights_names_json(catalog, list, false, section->wants);
    json_t *roles = rights_names_json(catalog, list, true, section->wants);
    bool empty = json_array_size(names) + json_array_size(roles) == 0;

    if (names == NULL || roles == NULL || (empty && !section->couch)) {
        json_decref(names);
        json_decref(roles);
        return NULL;
    }
    if (empty)
        (void)json_array_append_new(roles, json_string("_admin"));
    return json_pack("{s:o, s:o}", "names", names, "roles", roles);
}

json_t *security_json(const struct catalog *catalog, const struct access_list *list)
{
    json_t *json = json_object();
    size_t i;

    for (i = 0; i < SECTIONS_N; i++) {
        json_t *section = section_json(catalog, list, &SECTIONS[i]);

        if (section != NULL)
            (void)json_object_set_new(json, SECTIONS[i].name, section);
    }
    return json;
}

static void security_ready(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database = read_database(service, exchange, ACCESS_DB_READ);

    if (database != NULL)
        exchange_reply_json(exchange, 200, security_json(service->catalog, &database->rights));
}

void handle_security(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, security_ready);
}

/* --- PUT and POST --- */

struct security_change {
    struct change change; /* first */
    json_t *wanted;       /* PUT: the whole object; NULL: POST */
    struct rights_wish wish;
};

static enum qk_err names_read(struct security_change *work, const json_t *names, bool roles,
                              uint8_t bits, struct access_list *list)
{
    const struct catalog *catalog = work->change.service->catalog;
    enum qk_err err = QK_OK;
    size_t at;

    for (at = 0; err == QK_OK && at < json_array_size(names); at++) {
        struct bytes name = json_bytes(json_array_get(names, at));
        const struct user *user;

        if (roles && bytes_equal(name, bytes_str("_admin")))
            continue;
        if (roles) {
            err = role_name_check(name);
            if (err == QK_OK)
                err = access_list_add_role(list, name, bits);
            continue;
        }
        user = catalog_user_find(catalog, name);
        err = user == NULL ? QK_ERR_NOT_FOUND : access_list_add_user(list, user->id, bits);
        if (err == QK_ERR_NOT_FOUND && user_name_check(name) == QK_OK)
            change_refuse(&work->change, 404, "not_found", "there is no user '%.*s'", (int)name.len,
                          (const char *)name.data);
    }
    return err;
}

static enum qk_err section_read(struct security_change *work, const struct section *section,
                                struct access_list *list)
{
    const json_t *json = json_object_get(work->wanted, section->name);
    const json_t *names = json_object_get(json, "names"), *roles = json_object_get(json, "roles");
    enum qk_err err;

    if ((json != NULL && !json_is_object(json)) || (names != NULL && !json_is_array(names)) ||
        (roles != NULL && !json_is_array(roles)))
        return QK_ERR_INVALID;
    err = names_read(work, names, false, section->bits, list);
    return err != QK_OK ? err : names_read(work, roles, true, section->bits, list);
}

static enum qk_err security_read(struct security_change *work, struct access_list *list)
{
    enum qk_err err = QK_OK;
    size_t i;

    if (work->wanted == NULL)
        return rights_wish_apply(&work->wish, work->change.service->catalog, list);
    access_list_fini(list);
    for (i = 0; err == QK_OK && i < SECTIONS_N; i++)
        err = section_read(work, &SECTIONS[i], list);
    return err;
}

static void security_refuse(struct change *change, enum qk_err err)
{
    if (change->refused == QK_ERR_INVALID)
        return; /* said already */
    if (err == QK_ERR_NOT_FOUND)
        change_refuse(change, 404, "not_found", "there is no user of that name");
    else if (err == QK_ERR_TOO_BIG)
        change_refuse(change, 403, "forbidden", "%d users and roles fit one database",
                      ACCESS_LIST_MAX);
    else
        change_refuse(change, 400, "bad_request",
                      "each of admins, members, readers, writers is an object with the arrays "
                      "\"names\" and \"roles\"");
}

static enum qk_err security_put(struct security_change *work, const struct catalog_database *next,
                                struct wire_command *command)
{
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    enum qk_err err =
        catalog_database_seal(work->change.service, next, next->record_version + 1, &value);

    if (err == QK_OK) {
        change_batch(&work->change, NULL, command);
        wire_command_put(command, bytes_of(next->key, CATALOG_KEY_BYTES), next->record_version + 1,
                         0, buf_bytes(&value));
    }
    buf_fini(&value);
    return err;
}

/* The list is a copy, all else of the record stays as it is. */
static enum qk_err security_evaluate(struct change *change, struct wire_command *command)
{
    struct security_change *work = (struct security_change *)(void *)change;
    const struct catalog_database *now = database_find(change->service, change->exchange);
    enum qk_err err = authorize_exchange(change->service, change->exchange, now, ACCESS_DB_ADMIN);
    struct catalog_database next;

    if (err != QK_OK || now == NULL) {
        if (err != QK_OK)
            change_refuse_err(change, err);
        else
            change_refuse(change, 404, "not_found", "Database does not exist.");
        return QK_OK;
    }
    next = *now;
    err = access_list_copy(&now->rights, &next.rights);
    if (err != QK_OK)
        return err;
    err = security_read(work, &next.rights);
    if (err == QK_ERR_NOT_FOUND || err == QK_ERR_TOO_BIG || err == QK_ERR_INVALID) {
        security_refuse(change, err);
        err = QK_OK;
    } else if (err == QK_OK) {
        err = security_put(work, &next, command);
    }
    access_list_fini(&next.rights);
    return err;
}

static void security_applied(struct change *change)
{
    const struct catalog_database *database = NULL;
    char by[2 * USER_ID_BYTES + 1], id[2 * DATABASE_ID_BYTES + 1];

    if (service_is_open(change->service))
        database = database_find(change->service, change->exchange);
    change_by(change->exchange, by);
    if (database != NULL) {
        hex_encode(database->id, DATABASE_ID_BYTES, id);
        audit_event(change->service->audit, "database_rights", "database", id, "by", by, NULL);
    }
    exchange_reply_json(change->exchange, 200, json_pack("{s:b}", "ok", 1));
}

static void security_free(struct change *change)
{
    struct security_change *work = (struct security_change *)(void *)change;

    json_decref(work->wanted);
    secret_wipe(work, sizeof(*work));
    free(work);
}

static const struct change_ops SECURITY_OPS = {security_evaluate, security_applied, security_free};

static enum qk_err security_parse(struct security_change *work, const struct request *request,
                                  struct doc_problem *problem)
{
    const char *name;
    json_t *value;
    enum qk_err err;

    if (request->method == METHOD_POST)
        return rights_wish_parse(request->body, rights_of_database, &work->wish, problem);
    err = json_parse(request->body, SECURITY_DEPTH, problem, &work->wanted);
    if (err == QK_OK && !json_is_object(work->wanted))
        return doc_problem_set(problem, 400, "bad_request", "Request body must be a JSON object");
    json_object_foreach(work->wanted, name, value)
    {
        size_t i = 0;

        while (i < SECTIONS_N && strcmp(name, SECTIONS[i].name) != 0)
            i++;
        if (i == SECTIONS_N)
            return doc_problem_set(problem, 400, "bad_request",
                                   "the members are admins, members, readers, writers");
    }
    return err;
}

void handle_security_change(struct service *service, struct exchange *exchange)
{
    struct security_change *work;
    struct doc_problem problem = {0};
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = QK_ERR_NOMEM;

    if (request_wants_json(exchange) != QK_OK)
        return;
    work = calloc(1, sizeof(*work));
    if (work != NULL)
        err = security_parse(work, &exchange->request, &problem);
    if (err == QK_OK)
        err = service_is_open(service) ? QK_OK : QK_ERR_SEALED;
    if (err == QK_OK)
        err = catalog_name_key(service, kv_database_name(&exchange->request), key);
    if (err != QK_OK) {
        exchange_reply_problem_or(exchange, &problem, err);
        if (work != NULL)
            security_free(&work->change);
        return;
    }
    work->change = (struct change){.service = service, .exchange = exchange, .ops = &SECURITY_OPS};
    change_start(&work->change, key);
}
