/* What keys may be, for the whole cluster: which suites, which key documents get that name none,
 * and whether a database is encrypted that says nothing. A sealed record of the catalog, so that no
 * writer on a disk lowers it; absent as long as nobody has changed it. */
#ifndef SERVICE_KEY_POLICY_H
#define SERVICE_KEY_POLICY_H

#include "keys/envelope.h"
#include "service/exchange.h"
#include "service/service.h"
#include "wire/command.h"

struct catalog_database;

struct key_policy {
    uint32_t suites; /* a bit, 1 << number, for each that may be used for new versions */
    bool encrypt_by_default;
    uint8_t default_key[KEY_ID_BYTES]; /* zeros: the key named "default" */
};

#define KEY_POLICY_DEFAULT                                                                         \
    ((struct key_policy){.suites = 1u << ENVELOPE_XCHACHA20POLY1305, .encrypt_by_default = true})

/* As of now. The node is open. */
struct key_policy key_policy_of(const struct service *service);
/* Adds to the batch begun the condition that it is still so. */
void key_policy_cond(const struct service *service, struct wire_command *command);
bool key_policy_allows(const struct key_policy *policy, unsigned suite);
/* The one for a key that asks for none: the lowest. */
unsigned key_policy_first(const struct key_policy *policy);

/* 1 and 2 by their names; 0: no such suite. */
unsigned key_suite_parse(struct bytes name);
const char *key_suite_text(unsigned suite);

/* The key of a revision: the one that the document names; else the one that its parent is under, so
 * that nobody takes a document away from its key by not knowing it; else the database's; else the
 * cluster's. What deletes is under its parent's key. A parent whose key is destroyed names none.
 * QK_ERR_NOT_FOUND, QK_ERR_DESTROYED: of the one that is named. */
MUST_USE enum qk_err key_choose(const struct service *service,
                                const struct catalog_database *database, struct bytes named,
                                const uint8_t *parent_key, uint8_t ret_key_id[static KEY_ID_BYTES],
                                uint32_t *ret_version);

void handle_key_policy(struct service *service, struct exchange *exchange);
void handle_key_policy_put(struct service *service, struct exchange *exchange);

#endif
