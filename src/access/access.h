/* Who asks, and what they may do: pure decisions, deny by default. */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define USER_ID_BYTES 16
#define USER_NAME_BYTES_MAX 128
#define PRINCIPAL_TOKEN_BYTES 16

struct user;
struct access_list;

enum principal_kind {
    PRINCIPAL_NONE,    /* not logged in */
    PRINCIPAL_CONTROL, /* the control socket: whoever may open it (0600) administers the node */
    PRINCIPAL_USER,
};

struct principal {
    enum principal_kind kind;
    uint8_t user_id[USER_ID_BYTES];
    char name[USER_NAME_BYTES_MAX + 1];
    uint64_t credential_version;
    uint8_t token_id[PRINCIPAL_TOKEN_BYTES]; /* the login token shown; zeros: a password */
    bool admin;    /* as of the login; what counts is the user's record (access_facts) */
    bool loopback; /* set by http: the client is on this machine (loopback, control socket) */
};

/* Logged in by a token (access/login_token.h), not by a password. */
bool principal_has_token(const struct principal *who);

/* What a route, or one step of a use case, needs. */
enum access_right {
    ACCESS_PUBLIC,       /* no login: /, /_up, health */
    ACCESS_STATUS,       /* no login on loopback */
    ACCESS_USER,         /* any logged-in user */
    ACCESS_DB_READ,      /* read in a database */
    ACCESS_DB_WRITE,     /* write in a database */
    ACCESS_DB_ADMIN,     /* a database's rights and design documents */
    ACCESS_CLUSTER,      /* administrators: members, seal, users, which databases there are */
    ACCESS_CONTROL_ONLY, /* init and join: the control socket and nothing else */
    ACCESS_KEY_CREATE,   /* makes data keys */
    ACCESS_KEY_ENCRYPT,  /* writes under a data key */
    ACCESS_KEY_DECRYPT,  /* reads what is under it */
    ACCESS_KEY_MANAGE,   /* its grants, rotation, limits, destruction */
};

/* A principal that asked over the control socket. */
struct principal principal_control(void);

/* What the decision goes by; the caller has read it from the catalog as it is now. */
struct access_facts {
    const struct principal *who;
    const struct user *user;            /* of `who`, whose login still holds; else NULL */
    const struct access_list *database; /* of the ACCESS_DB_* rights; NULL: no such database */
    const struct access_list *key;      /* of the ACCESS_KEY_* rights; NULL: nobody has a grant */
};

/* The one decision: deny by default. ACCESS_STATUS is open to whoever is on this machine and to
 * whoever is logged in. Administrators and the control socket may do everything; whoever has no
 * right to a database gets the same answer whether there is one or not.
 * QK_OK, QK_ERR_UNAUTHENTICATED (no login where one is due) or QK_ERR_DENIED. */
MUST_USE enum qk_err access_check(const struct access_facts *facts, enum access_right right);
/* The part of it that needs no facts, for who has not logged in yet: QK_ERR_UNAUTHENTICATED if a
 * login is due, QK_ERR_DENIED if none would help. */
MUST_USE enum qk_err access_admit(const struct principal *who, enum access_right right);

#endif
