/* A change of a user: body -> wish -> may they? -> argon2id on the pool -> change (change.h).
 *
 * Administrators may do everything; anybody may read the own record and set the own password. Who
 * is neither gets the same answer whether there is such a user or not. The last administrator who
 * can log in is not taken away: the control socket could make another, but nobody should have to
 * find that out. */
#include "service/users/users.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "secret/crypto.h"
#include "secret/secret.h"
#include "audit/audit.h"
#include "service/authorize.h"
#include "service/change.h"
#include "service/login.h"
#include "service/offload_uv.h"
#include "service/params.h"
#include "service/request.h"
#include "service/read.h"
#include "service/users/user_wish.h"

#define DOCUMENT_PREFIX "org.couchdb.user:"

enum user_order { USER_ADD, USER_CHANGE, USER_PUT, USER_DELETE }; /* PUT: adds or changes */

struct user_change {
    struct change change; /* first */
    enum user_order order;
    struct user_wish wish;
    char name[USER_NAME_BYTES_MAX + 1];
    uint8_t id[USER_ID_BYTES]; /* of a new one; then of the one that was changed */
    char password_hash[PASSWORD_HASH_BYTES];
    enum qk_err hash_err;
    uint64_t version; /* of the record as proposed */
};

/* --- who may --- */

/* `now` is NULL for a user who is not there. */
static enum qk_err may_read(const struct service *service, const struct principal *who,
                            struct bytes name)
{
    enum qk_err err = authorize_user(service, who, ACCESS_CLUSTER);

    if (err == QK_ERR_DENIED && bytes_equal(name, bytes_str(who->name)))
        return QK_OK;
    return err;
}

static enum qk_err may_change(const struct user_change *work, const struct user *now)
{
    const struct principal *who = &work->change.exchange->request.who;
    enum qk_err err = authorize_user(work->change.service, who, ACCESS_CLUSTER);

    if (err != QK_ERR_DENIED || now == NULL || work->order == USER_DELETE ||
        memcmp(now->id, who->user_id, USER_ID_BYTES) != 0)
        return err;
    return user_wish_is_more(&work->wish, now) ? err : QK_OK;
}

/* --- reading --- */

static enum qk_err name_of_document(const struct request *request, struct bytes *ret_name)
{
    struct bytes prefix = bytes_str(DOCUMENT_PREFIX);
    struct bytes id = request->segments[1];

    *ret_name = bytes_slice(id, prefix.len, id.len);
    return bytes_starts_with(id, prefix) ? user_name_check(*ret_name) : QK_ERR_INVALID;
}

static void reply_no_user(struct exchange *exchange)
{
    exchange_reply_error(exchange, 404, "not_found", "there is no user of that name");
}

static void user_ready(struct service *service, struct exchange *exchange)
{
    struct bytes name = exchange->request.segments[2];
    const struct user *user = catalog_user_find(service->catalog, name);
    enum qk_err err = may_read(service, &exchange->request.who, name);

    if (err != QK_OK)
        exchange_reply_err(exchange, err);
    else if (user == NULL)
        reply_no_user(exchange);
    else
        exchange_reply_json(exchange, 200, user_json(user));
}

void handle_user_get(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, user_ready);
}

static void userdoc_ready(struct service *service, struct exchange *exchange)
{
    char rev[USER_REV_BYTES];
    const struct user *user;
    struct bytes name;
    uint64_t version;
    enum qk_err err;

    err = name_of_document(&exchange->request, &name) == QK_OK ? QK_OK : QK_ERR_NOT_FOUND;
    if (err == QK_OK)
        err = may_read(service, &exchange->request.who, name);
    user = err == QK_OK ? catalog_user_find(service->catalog, name) : NULL;
    if (err == QK_OK && user == NULL)
        err = QK_ERR_NOT_FOUND;
    if (err != QK_OK) {
        exchange_reply_err(exchange, err);
        return;
    }
    version = catalog_user_version(service->catalog, name);
    user_rev(user, version, rev);
    exchange_field(exchange, "ETag", "\"%s\"", rev);
    exchange_reply_json(exchange, 200, user_document_json(user, version));
}

void handle_userdoc_get(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, userdoc_ready);
}

static bool users_each(void *arg, const struct user *user)
{
    return json_array_append_new(arg, user_json(user)) == 0;
}

static void users_ready(struct service *service, struct exchange *exchange)
{
    enum qk_err err = authorize_user(service, &exchange->request.who, ACCESS_CLUSTER);
    json_t *users;

    if (err != QK_OK) {
        exchange_reply_err(exchange, err);
        return;
    }
    users = json_array();
    catalog_users_each(service->catalog, users_each, users);
    exchange_reply_json(exchange, 200, json_pack("{s:o}", "users", users));
}

void handle_users(struct service *service, struct exchange *exchange)
{
    read_begin(service, exchange, users_ready);
}

/* --- the decision --- */

static bool is_active_admin(const struct user *user)
{
    return user->admin && !user->disabled;
}

struct admin_search {
    const struct user *but;
    bool found;
};

static bool admin_each(void *arg, const struct user *user)
{
    struct admin_search *search = arg;

    search->found = user != search->but && is_active_admin(user);
    return !search->found;
}

static bool is_last_admin(const struct service *service, const struct user *user)
{
    struct admin_search search = {user, false};

    if (!is_active_admin(user))
        return false;
    catalog_users_each(service->catalog, admin_each, &search);
    return !search.found;
}

/* What is wrong with the order as the catalog is now; true: refused. */
static bool refuse(struct user_change *work, const struct user *now)
{
    struct change *change = &work->change;
    enum qk_err err = may_change(work, now);
    char rev[USER_REV_BYTES] = "";

    if (now != NULL)
        user_rev(now, catalog_user_version(change->service->catalog, bytes_str(work->name)), rev);
    if (err != QK_OK)
        change_refuse_err(change, err);
    else if (now == NULL && (work->order == USER_CHANGE || work->order == USER_DELETE))
        change_refuse(change, 404, "not_found", "there is no user of that name");
    else if (now != NULL && work->order == USER_ADD)
        change_refuse(change, 409, "conflict", "there is a user of that name already");
    else if (work->wish.document && (now != NULL) != work->wish.has_rev)
        change_refuse_err(change, QK_ERR_CONFLICT);
    else if (work->wish.has_rev && strcmp(work->wish.rev, rev) != 0)
        change_refuse_err(change, QK_ERR_CONFLICT);
    else if (now == NULL && catalog_users_n(change->service->catalog) >= USERS_MAX)
        change_refuse(change, 403, "forbidden", "there are %d users: no more fit", USERS_MAX);
    return change->refused != QK_OK;
}

/* The record as it shall be; its roles are borrowed. */
static void describe(const struct user_change *work, const struct user *now, struct user *ret_next)
{
    const struct user_wish *wish = &work->wish;

    memset(ret_next, 0, sizeof(*ret_next));
    if (now != NULL)
        *ret_next = *now;
    else
        memcpy(ret_next->id, work->id, USER_ID_BYTES);
    memcpy(ret_next->name, work->name, sizeof(ret_next->name));
    if (wish->has_password || now == NULL)
        ret_next->credential_version++;
    if (wish->has_password)
        memcpy(ret_next->password_hash, work->password_hash, sizeof(ret_next->password_hash));
    if (wish->has_roles)
        ret_next->roles = wish->roles;
    if (wish->has_admin)
        ret_next->admin = wish->admin;
    if (wish->has_key_creator)
        ret_next->key_creator = wish->key_creator;
    if (wish->has_disabled)
        ret_next->disabled = wish->disabled;
}

static enum qk_err propose(struct user_change *work, const struct user *next,
                           struct wire_command *command)
{
    const struct service *service = work->change.service;
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_user_key(service, bytes_str(work->name), key);

    work->version = catalog_user_version(service->catalog, bytes_str(work->name)) + 1;
    if (err == QK_OK && next != NULL)
        err = catalog_user_seal(service, next, work->version, &value);
    if (err == QK_OK) {
        change_batch(&work->change, NULL, command);
        if (next != NULL)
            wire_command_put(command, bytes_of(key, sizeof(key)), work->version, 0,
                             buf_bytes(&value));
        else
            wire_command_cond(command, bytes_of(key, sizeof(key)), work->version - 1);
        if (next == NULL)
            wire_command_delete(command, bytes_of(key, sizeof(key)));
    }
    buf_fini(&value);
    return err;
}

static enum qk_err user_evaluate(struct change *change, struct wire_command *command)
{
    struct user_change *work = (struct user_change *)(void *)change;
    const struct user *now = catalog_user_find(change->service->catalog, bytes_str(work->name));
    struct user next;
    enum qk_err err;

    if (refuse(work, now))
        return QK_OK;
    describe(work, now, &next);
    if (now != NULL)
        memcpy(work->id, now->id, USER_ID_BYTES);
    if (now != NULL && (work->order == USER_DELETE || !is_active_admin(&next)) &&
        is_last_admin(change->service, now)) {
        change_refuse(change, 409, "conflict", "that is the last administrator who can log in");
        err = QK_OK;
    } else {
        err = propose(work, work->order == USER_DELETE ? NULL : &next, command);
    }
    secret_wipe(&next, sizeof(next));
    return err;
}

/* --- the reply --- */

static void user_audit(const struct user_change *work)
{
    static const char *const events[] = {"user_add", "user_change", "user_change", "user_delete"};
    char by[2 * USER_ID_BYTES + 1], id[2 * USER_ID_BYTES + 1];

    change_by(work->change.exchange, by);
    hex_encode(work->id, USER_ID_BYTES, id);
    audit_event(work->change.service->audit,
                work->version == 1 && work->order != USER_DELETE ? "user_add" : events[work->order],
                "user", id, "password", work->wish.has_password ? "changed" : NULL, "by", by, NULL);
}

static void document_applied(const struct user_change *work)
{
    struct exchange *exchange = work->change.exchange;
    char id[sizeof(DOCUMENT_PREFIX) + USER_NAME_BYTES_MAX], rev[USER_REV_BYTES];
    struct user user = {0};

    memcpy(user.id, work->id, USER_ID_BYTES);
    user_rev(&user, work->version, rev);
    (void)snprintf(id, sizeof(id), DOCUMENT_PREFIX "%s", work->name);
    exchange_field(exchange, "ETag", "\"%s\"", rev);
    exchange_reply_json(exchange, work->order == USER_DELETE ? 200 : 201,
                        json_pack("{s:b, s:s, s:s}", "ok", 1, "id", id, "rev", rev));
}

static void user_applied(struct change *change)
{
    const struct user_change *work = (const struct user_change *)(const void *)change;

    user_audit(work);
    if (work->wish.document)
        document_applied(work);
    else
        exchange_reply_json(change->exchange, work->order == USER_ADD ? 201 : 200,
                            json_pack("{s:b, s:s}", "ok", 1, "name", work->name));
}

static void user_free(struct change *change)
{
    struct user_change *work = (struct user_change *)(void *)change;

    user_wish_fini(&work->wish);
    secret_wipe(work, sizeof(*work));
    free(work);
}

static const struct change_ops USER_OPS = {user_evaluate, user_applied, user_free};

/* --- the request --- */

static void user_start(struct user_change *work)
{
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = QK_ERR_SEALED;

    if (service_is_open(work->change.service))
        err = catalog_user_key(work->change.service, bytes_str(work->name), key);
    if (err != QK_OK)
        change_fail(&work->change, err);
    else
        change_start(&work->change, key);
}

static void hash_work(void *arg)
{
    struct user_change *work = arg;

    work->hash_err = password_hash(buf_bytes(&work->wish.password), work->password_hash);
}

static void hash_done(void *arg, enum qk_err err)
{
    struct user_change *work = arg;

    if (err == QK_OK)
        err = work->hash_err;
    buf_fini(&work->wish.password);
    if (err != QK_OK)
        change_fail(&work->change, err);
    else
        user_start(work);
}

/* 64 MiB and a tenth of a second are not spent on who may not have it. */
static void user_run(struct user_change *work)
{
    const struct service *service = work->change.service;
    enum qk_err err = QK_ERR_SEALED;

    if (service_is_open(service))
        err = may_change(work, catalog_user_find(service->catalog, bytes_str(work->name)));
    if (err == QK_OK && work->wish.has_password)
        offload_run(work->change.service, OFFLOAD_BYTES_MIN, hash_work, hash_done, work);
    else
        user_start(work);
}

static struct user_change *work_new(struct service *service, struct exchange *exchange,
                                    enum user_order order)
{
    struct user_change *work = calloc(1, sizeof(*work));

    if (work == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return NULL;
    }
    work->change = (struct change){.service = service, .exchange = exchange, .ops = &USER_OPS};
    work->order = order;
    user_wish_init(&work->wish);
    random_fill(work->id, USER_ID_BYTES);
    return work;
}

/* The name that the path gives must be that of the body, if it has one. */
static enum qk_err work_name(struct user_change *work, struct bytes name,
                             struct doc_problem *problem)
{
    const char *given = work->wish.name;

    if (name.len == 0)
        name = bytes_str(given);
    if (user_name_check(name) != QK_OK)
        return doc_problem_set(problem, 400, "bad_request",
                               "\"name\": 1 to %d bytes without control characters, without ':'",
                               USER_NAME_BYTES_MAX);
    if (given[0] != '\0' && !bytes_equal(bytes_str(given), name))
        return doc_problem_set(problem, 403, "forbidden",
                               "the name of the path and of the body differ");
    memcpy(work->name, name.data, name.len);
    return QK_OK;
}

static void user_order(struct service *service, struct exchange *exchange, enum user_order order,
                       struct bytes name, bool document)
{
    struct user_change *work = work_new(service, exchange, order);
    struct doc_problem problem = {0};
    enum qk_err err;

    if (work == NULL)
        return;
    err = user_wish_parse(exchange->request.body, document, &work->wish, &problem);
    if (err == QK_OK)
        err = work_name(work, name, &problem);
    if (err == QK_OK && document && work->wish.name[0] == '\0')
        err = doc_problem_set(&problem, 403, "forbidden", "doc.name is required");
    if (err == QK_OK) {
        user_run(work);
        return;
    }
    exchange_reply_problem_or(exchange, &problem, err);
    user_free(&work->change);
}

void handle_user_add(struct service *service, struct exchange *exchange)
{
    user_order(service, exchange, USER_ADD, BYTES_NONE, false);
}

void handle_user_change(struct service *service, struct exchange *exchange)
{
    user_order(service, exchange, USER_CHANGE, exchange->request.segments[2], false);
}

void handle_userdoc_put(struct service *service, struct exchange *exchange)
{
    struct bytes name;

    if (request_wants_json(exchange) != QK_OK)
        return;
    if (name_of_document(&exchange->request, &name) != QK_OK)
        exchange_reply_error(exchange, 403, "forbidden",
                             "the id of a user's document is " DOCUMENT_PREFIX "NAME");
    else
        user_order(service, exchange, USER_PUT, name, true);
}

static void user_remove(struct service *service, struct exchange *exchange, struct bytes name,
                        bool document)
{
    struct user_change *work = work_new(service, exchange, USER_DELETE);
    struct doc_problem problem = {0};
    struct bytes rev = exchange->request.if_match;

    if (work == NULL)
        return;
    work->wish.document = document;
    if (document && (request_param(&exchange->request, "rev", &rev) || rev.len > 0)) {
        rev = bytes_slice(rev, 0, USER_REV_BYTES - 1);
        work->wish.has_rev = true;
        memcpy(work->wish.rev, rev.data, rev.len);
    }
    if (work_name(work, name, &problem) == QK_OK) {
        user_start(work);
        return;
    }
    exchange_reply_problem(exchange, &problem);
    user_free(&work->change);
}

void handle_user_delete(struct service *service, struct exchange *exchange)
{
    user_remove(service, exchange, exchange->request.segments[2], false);
}

void handle_userdoc_delete(struct service *service, struct exchange *exchange)
{
    struct bytes name;

    if (name_of_document(&exchange->request, &name) != QK_OK)
        exchange_reply_err(exchange, QK_ERR_NOT_FOUND);
    else
        user_remove(service, exchange, name, true);
}
