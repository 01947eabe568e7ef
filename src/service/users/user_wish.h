/* What a request wants of a user's record, in the words of /_quorumkeep/users or as CouchDB's
 * document of the database _users. */
#ifndef SERVICE_USERS_USER_WISH_H
#define SERVICE_USERS_USER_WISH_H

#include <jansson.h>

#include "access/user.h"
#include "doc/problem.h"

#define USER_REV_BYTES 40 /* "N-<32 hex>", terminated */

struct user_wish {
    char name[USER_NAME_BYTES_MAX + 1]; /* empty: the path tells */
    bool has_password, has_roles, has_admin, has_key_creator, has_disabled, has_rev;
    bool admin, key_creator, disabled;
    bool document;            /* came as a document: its revision must be the present one */
    struct buf password;      /* secret */
    struct access_list roles; /* owned */
    char rev[USER_REV_BYTES];
};

void user_wish_init(struct user_wish *wish);
void user_wish_fini(struct user_wish *wish);
/* {"name":..., "password":..., "roles":[...], "admin":bool, "key_creator":bool, "disabled":bool},
 * each optional. With `document`: CouchDB's members, unknown ones refused, since nothing keeps
 * them. QK_ERR_INVALID with the problem, QK_ERR_NOMEM. */
MUST_USE enum qk_err user_wish_parse(struct bytes body, bool document, struct user_wish *wish,
                                     struct doc_problem *ret_problem);
/* More than a new password is wished for: an administrator's business. */
bool user_wish_is_more(const struct user_wish *wish, const struct user *now);

/* Never the password, nor its hash. */
json_t *user_json(const struct user *user);
/* As CouchDB's document; the revision is made of the record's version. */
json_t *user_document_json(const struct user *user, uint64_t version);
void user_rev(const struct user *user, uint64_t version, char ret_rev[static USER_REV_BYTES]);

#endif
