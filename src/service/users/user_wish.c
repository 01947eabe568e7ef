#include "service/users/user_wish.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"
#include "secret/crypto.h"
#include "secret/secret.h"

#define WISH_DEPTH 3
#define ID_PREFIX "org.couchdb.user:"

void user_wish_init(struct user_wish *wish)
{
    *wish = (struct user_wish){.password = BUF_SECRET_INIT(PASSWORD_BYTES_MAX)};
}

void user_wish_fini(struct user_wish *wish)
{
    buf_fini(&wish->password);
    access_list_fini(&wish->roles);
}

/* --- in --- */

static enum qk_err read_roles(const json_t *value, struct user_wish *wish,
                              struct doc_problem *problem)
{
    size_t at;

    wish->has_roles = true;
    for (at = 0; at < json_array_size(value); at++) {
        struct bytes role = json_bytes(json_array_get(value, at));

        if (role_name_check(role) != QK_OK)
            return doc_problem_set(problem, 400, "bad_request",
                                   "a role is a text of 1 to %d bytes that begins with no "
                                   "underscore",
                                   ROLE_NAME_BYTES_MAX);
        if (access_list_add_role(&wish->roles, role, 1) != QK_OK || wish->roles.n > USER_ROLES_MAX)
            return doc_problem_set(problem, 400, "bad_request", "a user has at most %d roles",
                                   USER_ROLES_MAX);
    }
    if (json_is_array(value))
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request", "\"roles\" is an array of texts");
}

static enum qk_err read_password(const json_t *value, struct user_wish *wish,
                                 struct doc_problem *problem)
{
    struct bytes password = json_bytes(value);

    if (json_is_null(value))
        return QK_OK; /* as CouchDB's clients send a document back */
    if (password.len == 0 || password.len > PASSWORD_BYTES_MAX)
        return doc_problem_set(problem, 400, "bad_request", "a password has 1 to %d bytes",
                               PASSWORD_BYTES_MAX);
    wish->has_password = true;
    buf_put_bytes(&wish->password, password);
    return buf_error(&wish->password);
}

static enum qk_err read_name(const json_t *value, struct user_wish *wish,
                             struct doc_problem *problem)
{
    struct bytes name = json_bytes(value);

    if (user_name_check(name) != QK_OK)
        return doc_problem_set(problem, 400, "bad_request",
                               "a user's name has 1 to %d bytes without control characters and "
                               "without ':'",
                               USER_NAME_BYTES_MAX);
    memcpy(wish->name, name.data, name.len);
    wish->name[name.len] = '\0';
    return QK_OK;
}

static enum qk_err read_flag(const char *name, const json_t *value, bool *ret_has, bool *ret_flag,
                             struct doc_problem *problem)
{
    *ret_has = true;
    *ret_flag = json_is_true(value);
    if (json_is_boolean(value))
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request", "\"%s\" is true or false", name);
}

static enum qk_err read_document_member(const char *name, const json_t *value,
                                        struct user_wish *wish, struct doc_problem *problem)
{
    struct bytes text = json_bytes(value);

    if (strcmp(name, "_id") == 0) /* which the path names too */
        return QK_OK;
    if (strcmp(name, "type") == 0 && bytes_equal(text, bytes_str("user")))
        return QK_OK;
    if (strcmp(name, "_rev") == 0 && text.len > 0 && text.len < USER_REV_BYTES) {
        wish->has_rev = true;
        memcpy(wish->rev, text.data, text.len);
        return QK_OK;
    }
    return doc_problem_set(problem, 403, "forbidden",
                           "a user's document has the members _id, _rev, type (\"user\"), name, "
                           "password, roles, and nothing else is kept");
}

static enum qk_err read_member(const char *name, const json_t *value, struct user_wish *wish,
                               struct doc_problem *problem)
{
    if (strcmp(name, "name") == 0)
        return read_name(value, wish, problem);
    if (strcmp(name, "password") == 0)
        return read_password(value, wish, problem);
    if (strcmp(name, "roles") == 0)
        return read_roles(value, wish, problem);
    if (wish->document)
        return read_document_member(name, value, wish, problem);
    if (strcmp(name, "admin") == 0)
        return read_flag(name, value, &wish->has_admin, &wish->admin, problem);
    if (strcmp(name, "key_creator") == 0)
        return read_flag(name, value, &wish->has_key_creator, &wish->key_creator, problem);
    if (strcmp(name, "disabled") == 0)
        return read_flag(name, value, &wish->has_disabled, &wish->disabled, problem);
    return doc_problem_set(problem, 400, "bad_request",
                           "the members are name, password, roles, admin, key_creator, disabled");
}

enum qk_err user_wish_parse(struct bytes body, bool document, struct user_wish *wish,
                            struct doc_problem *ret_problem)
{
    json_t *json = NULL, *value;
    const char *name;
    enum qk_err err;

    wish->document = document;
    err = json_parse(body, WISH_DEPTH, ret_problem, &json);
    if (err == QK_OK && !json_is_object(json))
        err =
            doc_problem_set(ret_problem, 400, "bad_request", "Request body must be a JSON object");
    if (err == QK_OK) {
        json_object_foreach(json, name, value)
        {
            err = read_member(name, value, wish, ret_problem);
            if (err != QK_OK)
                break;
        }
    }
    json_decref(json);
    return err;
}

static bool same_roles(const struct access_list *a, const struct access_list *b)
{
    unsigned i;

    for (i = 0; i < a->n; i++) {
        if (access_list_bits_of_role(b, bytes_str(a->items[i].role)) == 0)
            return false;
    }
    return a->n == b->n;
}

bool user_wish_is_more(const struct user_wish *wish, const struct user *now)
{
    return (wish->has_roles && !same_roles(&wish->roles, &now->roles)) ||
           (wish->has_admin && wish->admin != now->admin) ||
           (wish->has_key_creator && wish->key_creator != now->key_creator) ||
           (wish->has_disabled && wish->disabled != now->disabled);
}

/* --- out --- */

static json_t *roles_json(const struct user *user)
{
    json_t *roles = json_array();
    unsigned i;

    for (i = 0; i < user->roles.n; i++)
        (void)json_array_append_new(roles, json_string(user->roles.items[i].role));
    return roles;
}

json_t *user_json(const struct user *user)
{
    char id[2 * USER_ID_BYTES + 1];

    hex_encode(user->id, USER_ID_BYTES, id);
    return json_pack("{s:s, s:s, s:o, s:b, s:b, s:b, s:b}", "name", user->name, "id", id, "roles",
                     roles_json(user), "admin", user->admin, "key_creator", user->key_creator,
                     "disabled", user->disabled, "password", user->password_hash[0] != '\0');
}

void user_rev(const struct user *user, uint64_t version, char ret_rev[static USER_REV_BYTES])
{
    uint8_t hash[HASH_BYTES], number[8];
    const struct bytes parts[] = {bytes_of(user->id, USER_ID_BYTES), bytes_of(number, 8)};
    int len;

    put_u64(number, version);
    hash_compute(parts, 2, hash);
    len = snprintf(ret_rev, USER_REV_BYTES, "%u-", (unsigned)(version % 1000000));
    assert(len > 0 && len + 32 < USER_REV_BYTES);
    hex_encode(hash, 16, ret_rev + len);
}

json_t *user_document_json(const struct user *user, uint64_t version)
{
    char id[sizeof(ID_PREFIX) + USER_NAME_BYTES_MAX], rev[USER_REV_BYTES];

    (void)snprintf(id, sizeof(id), ID_PREFIX "%s", user->name);
    user_rev(user, version, rev);
    return json_pack("{s:s, s:s, s:s, s:s, s:o}", "_id", id, "_rev", rev, "type", "user", "name",
                     user->name, "roles", roles_json(user));
}
