/* Lists of rights as JSON, for grants on data keys and for the rights of databases. */
#ifndef SERVICE_RIGHTS_JSON_H
#define SERVICE_RIGHTS_JSON_H

#include <jansson.h>

#include "access/list.h"
#include "doc/problem.h"
#include "service/catalog.h"

/* The words of the three bits, lowest first. */
extern const char *const rights_of_key[3];      /* encrypt, decrypt, manage */
extern const char *const rights_of_database[3]; /* read, write, admin */

/* [{"user":"anna","rights":["encrypt"]},{"role":"staff",...}]; a user who is gone is named null,
 * with the id. NULL without memory. */
json_t *rights_json(const struct catalog *catalog, const struct access_list *list,
                    const char *const words[static 3]);
/* The names of the users whose bits are exactly one of those that `wants` accepts, or the roles. */
json_t *rights_names_json(const struct catalog *catalog, const struct access_list *list, bool roles,
                          bool (*wants)(uint8_t bits));

/* A database's as CouchDB's _security shows them (security.c). NULL without memory. */
json_t *security_json(const struct catalog *catalog, const struct access_list *list);

/* What a request wants changed: {"user"|"role":NAME, "add":[WORD...], "remove":[WORD...]}. */
struct rights_wish {
    bool is_role;
    char name[USER_NAME_BYTES_MAX + 1];
    uint8_t add, remove;
};
MUST_USE enum qk_err rights_wish_parse(struct bytes body, const char *const words[static 3],
                                       struct rights_wish *ret_wish,
                                       struct doc_problem *ret_problem);
/* Does it to a list. QK_ERR_NOT_FOUND: there is no such user. QK_ERR_TOO_BIG, QK_ERR_NOMEM. */
MUST_USE enum qk_err rights_wish_apply(const struct rights_wish *wish,
                                       const struct catalog *catalog, struct access_list *list);

#endif
