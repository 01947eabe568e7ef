#include "access/list.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/json.h"
#include "secret/secret.h"
#include "wire/pack.h"

enum qk_err role_name_check(struct bytes role)
{
    size_t i;

    if (role.len == 0 || role.len > ROLE_NAME_BYTES_MAX || role.data[0] == '_' ||
        !utf8_is_valid(role))
        return QK_ERR_INVALID;
    for (i = 0; i < role.len; i++) {
        if (role.data[i] < 0x20 || role.data[i] == 0x7f)
            return QK_ERR_INVALID;
    }
    return QK_OK;
}

void access_list_fini(struct access_list *list)
{
    if (list->items != NULL)
        secret_wipe(list->items, list->n * sizeof(*list->items));
    free(list->items);
    *list = (struct access_list){NULL, 0};
}

enum qk_err access_list_copy(const struct access_list *list, struct access_list *ret_list)
{
    struct access_list copy = {NULL, list->n};

    if (list->n > 0) {
        copy.items = calloc(list->n, sizeof(*copy.items));
        if (copy.items == NULL)
            return QK_ERR_NOMEM;
        memcpy(copy.items, list->items, list->n * sizeof(*copy.items));
    }
    *ret_list = copy;
    return QK_OK;
}

static struct access_entry *find_user(const struct access_list *list,
                                      const uint8_t user_id[static USER_ID_BYTES])
{
    unsigned i;

    for (i = 0; i < list->n; i++) {
        if (!list->items[i].is_role && memcmp(list->items[i].user_id, user_id, USER_ID_BYTES) == 0)
            return &list->items[i];
    }
    return NULL;
}

static struct access_entry *find_role(const struct access_list *list, struct bytes role)
{
    unsigned i;

    for (i = 0; i < list->n; i++) {
        if (list->items[i].is_role && bytes_equal(bytes_str(list->items[i].role), role))
            return &list->items[i];
    }
    return NULL;
}

/* By copy and wipe, as everything that the catalog keeps. */
static struct access_entry *append(struct access_list *list, enum qk_err *ret_err)
{
    struct access_entry *items;

    *ret_err = QK_ERR_TOO_BIG;
    if (list->n >= ACCESS_LIST_MAX)
        return NULL;
    items = calloc(list->n + 1, sizeof(*items));
    *ret_err = QK_ERR_NOMEM;
    if (items == NULL)
        return NULL;
    if (list->n > 0) {
        memcpy(items, list->items, list->n * sizeof(*items));
        secret_wipe(list->items, list->n * sizeof(*items));
    }
    free(list->items);
    list->items = items;
    *ret_err = QK_OK;
    return &list->items[list->n++];
}

enum qk_err access_list_add_user(struct access_list *list,
                                 const uint8_t user_id[static USER_ID_BYTES], uint8_t bits)
{
    struct access_entry *entry = find_user(list, user_id);
    enum qk_err err;

    assert((bits & ~ACCESS_BITS_ALL) == 0);

    if (bits == 0)
        return QK_OK;
    if (entry == NULL) {
        entry = append(list, &err);
        if (entry == NULL)
            return err;
        memcpy(entry->user_id, user_id, USER_ID_BYTES);
    }
    entry->bits |= bits;
    return QK_OK;
}

enum qk_err access_list_add_role(struct access_list *list, struct bytes role, uint8_t bits)
{
    struct access_entry *entry = find_role(list, role);
    enum qk_err err;

    assert((bits & ~ACCESS_BITS_ALL) == 0 && role.len <= ROLE_NAME_BYTES_MAX);

    if (bits == 0)
        return QK_OK;
    if (entry == NULL) {
        entry = append(list, &err);
        if (entry == NULL)
            return err;
        entry->is_role = true;
        memcpy(entry->role, role.data, role.len);
    }
    entry->bits |= bits;
    return QK_OK;
}

static void remove_bits(struct access_list *list, struct access_entry *entry, uint8_t bits)
{
    if (entry == NULL)
        return;
    entry->bits &= (uint8_t)~bits;
    if (entry->bits != 0)
        return;
    *entry = list->items[--list->n];
    secret_wipe(&list->items[list->n], sizeof(*list->items));
}

void access_list_remove_user(struct access_list *list, const uint8_t user_id[static USER_ID_BYTES],
                             uint8_t bits)
{
    remove_bits(list, find_user(list, user_id), bits);
}

void access_list_remove_role(struct access_list *list, struct bytes role, uint8_t bits)
{
    remove_bits(list, find_role(list, role), bits);
}

uint8_t access_list_bits_of_user(const struct access_list *list,
                                 const uint8_t user_id[static USER_ID_BYTES])
{
    const struct access_entry *entry = find_user(list, user_id);

    return entry == NULL ? 0 : entry->bits;
}

uint8_t access_list_bits_of_role(const struct access_list *list, struct bytes role)
{
    const struct access_entry *entry = find_role(list, role);

    return entry == NULL ? 0 : entry->bits;
}

/* --- encoding --- */

void access_list_encode(const struct access_list *list, struct buf *out)
{
    unsigned i;

    pack_array(out, list->n);
    for (i = 0; i < list->n; i++) {
        const struct access_entry *entry = &list->items[i];

        pack_array(out, 2);
        if (entry->is_role)
            pack_text(out, entry->role);
        else
            pack_bin(out, bytes_of(entry->user_id, USER_ID_BYTES));
        pack_u64(out, entry->bits);
    }
}

/* A text is a role, bytes are a user. */
static enum qk_err decode_entry(struct unpack *in, struct access_list *list)
{
    struct unpack look;
    uint8_t user_id[USER_ID_BYTES];
    struct bytes role;
    uint64_t bits;
    unsigned before = list->n;
    enum qk_err err;

    unpack_array_of(in, 2);
    look = *in;
    role = unpack_str(&look, ROLE_NAME_BYTES_MAX);
    if (unpack_error(&look) == QK_OK)
        *in = look;
    else
        unpack_bin_copy(in, user_id, sizeof(user_id));
    bits = unpack_u64_max(in, ACCESS_BITS_ALL);
    if (unpack_error(in) != QK_OK)
        return unpack_error(in);
    if (unpack_error(&look) != QK_OK)
        err = access_list_add_user(list, user_id, (uint8_t)bits);
    else if (role_name_check(role) != QK_OK)
        err = QK_ERR_INVALID;
    else
        err = access_list_add_role(list, role, (uint8_t)bits);
    return err == QK_OK && list->n == before ? QK_ERR_INVALID : err;
}

void access_list_decode(struct unpack *in, struct access_list *ret_list)
{
    uint32_t n;

    *ret_list = (struct access_list){NULL, 0};
    for (n = unpack_array(in, ACCESS_LIST_MAX); n > 0 && unpack_error(in) == QK_OK; n--) {
        enum qk_err err = decode_entry(in, ret_list);

        if (err != QK_OK && in->failed == QK_OK)
            in->failed = err;
    }
}
