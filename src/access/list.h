/* Who has which rights to one thing, a database or a data key: pure.
 *
 * An entry names a user by id (so that a user made later under the same name inherits nothing) or a
 * role by its text, and carries bits. What a user may is the union of the entries that name the
 * user or one of the user's roles. */
#ifndef ACCESS_LIST_H
#define ACCESS_LIST_H

#include "access/access.h"
#include "base/bytes.h"
#include "base/limits.h"

#define ROLE_NAME_BYTES_MAX 64
#define ACCESS_LIST_MAX 512
#define ACCESS_LIST_BYTES_MAX (48 * KIB) /* encoded: it stands in one record of the catalog */

/* Of a database. */
#define RIGHT_READ 0x01u
#define RIGHT_WRITE 0x02u
#define RIGHT_ADMIN 0x04u /* its _security and design documents; reads and writes too */
/* Of a data key. */
#define GRANT_ENCRYPT 0x01u
#define GRANT_DECRYPT 0x02u
#define GRANT_MANAGE 0x04u
#define ACCESS_BITS_ALL 0x07u

struct access_entry {
    bool is_role;
    uint8_t bits;
    uint8_t user_id[USER_ID_BYTES];
    char role[ROLE_NAME_BYTES_MAX + 1];
};

struct access_list {
    struct access_entry *items; /* owned */
    unsigned n;
};

/* 1 to ROLE_NAME_BYTES_MAX bytes of UTF-8 without control characters. Those that begin with an
 * underscore are CouchDB's own ("_admin"): nobody is given one. */
MUST_USE enum qk_err role_name_check(struct bytes role);

void access_list_fini(struct access_list *list);
MUST_USE enum qk_err access_list_copy(const struct access_list *list, struct access_list *ret_list);
/* Adds bits to the entry of that user or role, which is made if there is none. QK_ERR_TOO_BIG past
 * ACCESS_LIST_MAX; a role must have passed role_name_check. */
MUST_USE enum qk_err access_list_add_user(struct access_list *list,
                                          const uint8_t user_id[static USER_ID_BYTES],
                                          uint8_t bits);
MUST_USE enum qk_err access_list_add_role(struct access_list *list, struct bytes role,
                                          uint8_t bits);
/* Takes bits away; an entry without any is gone. Nothing there is no error. */
void access_list_remove_user(struct access_list *list, const uint8_t user_id[static USER_ID_BYTES],
                             uint8_t bits);
void access_list_remove_role(struct access_list *list, struct bytes role, uint8_t bits);

uint8_t access_list_bits_of_user(const struct access_list *list,
                                 const uint8_t user_id[static USER_ID_BYTES]);
uint8_t access_list_bits_of_role(const struct access_list *list, struct bytes role);

/* One MessagePack value: an array of [id or text, bits]. */
void access_list_encode(const struct access_list *list, struct buf *out);
struct unpack;
/* Errors stick in `in` (unpack_error): duplicates, no bits, unknown bits, too many. The caller
 * frees `ret_list` in every case. */
void access_list_decode(struct unpack *in, struct access_list *ret_list);

#endif
