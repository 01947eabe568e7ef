/* Who asks, and what they may do: pure decisions, deny by default. */
#ifndef ACCESS_ACCESS_H
#define ACCESS_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define USER_ID_BYTES 16
#define USER_NAME_BYTES_MAX 128
#define PRINCIPAL_TOKEN_BYTES 16

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
    bool admin;
    bool loopback; /* set by http: the client is on this machine (loopback, control socket) */
};

/* Logged in by a token (access/login_token.h), not by a password. */
bool principal_has_token(const struct principal *who);

/* What a route needs. */
enum access_right {
    ACCESS_PUBLIC,       /* no login: /, /_up, health */
    ACCESS_STATUS,       /* no login on loopback */
    ACCESS_USER,         /* any logged-in user */
    ACCESS_DB_READ,      /* read in a database */
    ACCESS_DB_WRITE,     /* write in a database */
    ACCESS_DB_ADMIN,     /* create, drop, list */
    ACCESS_CLUSTER,      /* administers members, seal, invite */
    ACCESS_CONTROL_ONLY, /* init and join: the control socket and nothing else */
};

/* A principal that asked over the control socket. */
struct principal principal_control(void);

/* The one decision: deny by default. ACCESS_STATUS is open to whoever is on this machine and to
 * whoever is logged in. QK_OK, QK_ERR_UNAUTHENTICATED (no login where one is due) or QK_ERR_DENIED.
 */
MUST_USE enum qk_err access_check(const struct principal *who, enum access_right right);

#endif
