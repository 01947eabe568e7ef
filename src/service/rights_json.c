#include "service/rights_json.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"

const char *const rights_of_key[3] = {"encrypt", "decrypt", "manage"};
const char *const rights_of_database[3] = {"read", "write", "admin"};

#define WISH_DEPTH 4

/* --- the names of ids --- */

/* Lists hold ids; names are looked up in one walk over the users, by a sorted list of the ids. */
struct naming {
    const struct access_entry **sought; /* users, by id */
    const char **names;                 /* beside them; NULL: gone */
    size_t n;
};

static int order_by_id(const void *a, const void *b)
{
    const struct access_entry *x = *(const struct access_entry *const *)a;
    const struct access_entry *y = *(const struct access_entry *const *)b;

    return memcmp(x->user_id, y->user_id, USER_ID_BYTES);
}

static size_t naming_place(const struct naming *naming, const uint8_t *id)
{
    size_t low = 0, high = naming->n;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (memcmp(naming->sought[middle]->user_id, id, USER_ID_BYTES) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < naming->n && memcmp(naming->sought[low]->user_id, id, USER_ID_BYTES) == 0
               ? low
               : naming->n;
}

static bool naming_each(void *arg, const struct user *user)
{
    struct naming *naming = arg;
    size_t at = naming_place(naming, user->id);

    if (at < naming->n)
        naming->names[at] = user->name;
    return true;
}

static void naming_fini(struct naming *naming)
{
    free(naming->sought);
    free(naming->names);
}

static enum qk_err naming_init(struct naming *naming, const struct catalog *catalog,
                               const struct access_list *list)
{
    unsigned i;

    *naming = (struct naming){calloc(list->n + 1, sizeof(*naming->sought)),
                              calloc(list->n + 1, sizeof(*naming->names)), 0};
    if (naming->sought == NULL || naming->names == NULL) {
        naming_fini(naming);
        return QK_ERR_NOMEM;
    }
    for (i = 0; i < list->n; i++) {
        if (!list->items[i].is_role)
            naming->sought[naming->n++] = &list->items[i];
    }
    qsort(naming->sought, naming->n, sizeof(*naming->sought), order_by_id);
    if (naming->n > 0)
        catalog_users_each(catalog, naming_each, naming);
    return QK_OK;
}

static const char *naming_of(const struct naming *naming, const struct access_entry *entry)
{
    return entry->is_role ? entry->role : naming->names[naming_place(naming, entry->user_id)];
}

/* --- out --- */

static json_t *words_json(uint8_t bits, const char *const words[static 3])
{
    json_t *json = json_array();
    unsigned i;

    for (i = 0; i < 3; i++) {
        if ((bits & 1u << i) != 0)
            (void)json_array_append_new(json, json_string(words[i]));
    }
    return json;
}

static json_t *entry_json(const struct naming *naming, const struct access_entry *entry,
                          const char *const words[static 3])
{
    char id[2 * USER_ID_BYTES + 1];
    const char *name = naming_of(naming, entry);
    json_t *json;

    json = json_pack("{s:s?, s:o}", entry->is_role ? "role" : "user", name, "rights",
                     words_json(entry->bits, words));
    if (name == NULL && json != NULL) {
        hex_encode(entry->user_id, USER_ID_BYTES, id);
        (void)json_object_set_new(json, "id", json_string(id));
    }
    return json;
}

json_t *rights_json(const struct catalog *catalog, const struct access_list *list,
                    const char *const words[static 3])
{
    json_t *json = json_array();
    struct naming naming;
    unsigned i;

    if (naming_init(&naming, catalog, list) != QK_OK) {
        json_decref(json);
        return NULL;
    }
    for (i = 0; i < list->n; i++)
        (void)json_array_append_new(json, entry_json(&naming, &list->items[i], words));
    naming_fini(&naming);
    return json;
}

json_t *rights_names_json(const struct catalog *catalog, const struct access_list *list, bool roles,
                          bool (*wants)(uint8_t bits))
{
    json_t *json = json_array();
    struct naming naming;
    unsigned i;

    if (naming_init(&naming, catalog, list) != QK_OK) {
        json_decref(json);
        return NULL;
    }
    for (i = 0; i < list->n; i++) {
        const struct access_entry *entry = &list->items[i];
        const char *name = naming_of(&naming, entry);

        if (entry->is_role == roles && name != NULL && wants(entry->bits))
            (void)json_array_append_new(json, json_string(name));
    }
    naming_fini(&naming);
    return json;
}

/* --- in --- */

static enum qk_err word_bits(const json_t *list, const char *const words[static 3],
                             uint8_t *ret_bits, struct doc_problem *problem)
{
    size_t at;

    *ret_bits = 0;
    if (list == NULL)
        return QK_OK;
    for (at = 0; at < json_array_size(list); at++) {
        const char *word = json_string_value(json_array_get(list, at));
        unsigned i = 0;

        while (i < 3 && (word == NULL || strcmp(word, words[i]) != 0))
            i++;
        if (i == 3)
            return doc_problem_set(problem, 400, "bad_request", "a right here is %s, %s or %s",
                                   words[0], words[1], words[2]);
        *ret_bits |= (uint8_t)(1u << i);
    }
    if (json_is_array(list))
        return QK_OK;
    return doc_problem_set(problem, 400, "bad_request",
                           "\"add\" and \"remove\" are arrays of rights");
}

static enum qk_err wish_name(const json_t *json, struct rights_wish *wish,
                             struct doc_problem *problem)
{
    const json_t *user = json_object_get(json, "user"), *role = json_object_get(json, "role");
    struct bytes name = json_bytes(user != NULL ? user : role);

    wish->is_role = user == NULL;
    if ((user == NULL) == (role == NULL) ||
        (wish->is_role ? role_name_check(name) : user_name_check(name)) != QK_OK)
        return doc_problem_set(problem, 400, "bad_request",
                               "name one: \"user\" or \"role\", as a string");
    memcpy(wish->name, name.data, name.len);
    return QK_OK;
}

static enum qk_err wish_members(json_t *json, struct doc_problem *problem)
{
    const char *name;
    json_t *value;

    if (!json_is_object(json))
        return doc_problem_set(problem, 400, "bad_request", "the body is an object");
    json_object_foreach(json, name, value)
    {
        if (strcmp(name, "user") != 0 && strcmp(name, "role") != 0 && strcmp(name, "add") != 0 &&
            strcmp(name, "remove") != 0)
            return doc_problem_set(problem, 400, "bad_request",
                                   "the members are \"user\" or \"role\", \"add\", \"remove\"");
    }
    return QK_OK;
}

enum qk_err rights_wish_parse(struct bytes body, const char *const words[static 3],
                              struct rights_wish *ret_wish, struct doc_problem *ret_problem)
{
    struct rights_wish wish = {0};
    json_t *json = NULL;
    enum qk_err err;

    err = json_parse(body, WISH_DEPTH, ret_problem, &json);
    if (err == QK_OK)
        err = wish_members(json, ret_problem);
    if (err == QK_OK)
        err = wish_name(json, &wish, ret_problem);
    if (err == QK_OK)
        err = word_bits(json_object_get(json, "add"), words, &wish.add, ret_problem);
    if (err == QK_OK)
        err = word_bits(json_object_get(json, "remove"), words, &wish.remove, ret_problem);
    if (err == QK_OK && (wish.add | wish.remove) == 0)
        err = doc_problem_set(ret_problem, 400, "bad_request",
                              "nothing to change: \"add\" and \"remove\" name no right");
    if (err == QK_OK && (wish.add & wish.remove) != 0)
        err = doc_problem_set(ret_problem, 400, "bad_request",
                              "a right is added and removed at once");
    json_decref(json);
    if (err == QK_OK)
        *ret_wish = wish;
    return err;
}

enum qk_err rights_wish_apply(const struct rights_wish *wish, const struct catalog *catalog,
                              struct access_list *list)
{
    struct bytes name = bytes_str(wish->name);
    const struct user *user;

    if (wish->is_role) {
        access_list_remove_role(list, name, wish->remove);
        return access_list_add_role(list, name, wish->add);
    }
    user = catalog_user_find(catalog, name);
    if (user == NULL)
        return QK_ERR_NOT_FOUND;
    access_list_remove_user(list, user->id, wish->remove);
    return access_list_add_user(list, user->id, wish->add);
}
