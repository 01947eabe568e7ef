/* One change of the catalog on behalf of a request: decided on the leader against the catalog as it
 * is then, proposed as one batch, decided again if a condition failed, and answered.
 *
 * The owner embeds a `struct change` as its first member, fills service, exchange and ops, and
 * calls change_start; `free` ends it. */
#ifndef SERVICE_CHANGE_H
#define SERVICE_CHANGE_H

#include "service/catalog.h"
#include "service/exchange.h"
#include "wire/command.h"

struct change;

struct change_ops {
    /* Either appends one batch, begun with change_batch, or refuses (change_refuse*). Not QK_OK
     * only for what ends the request (sealed, out of memory). */
    enum qk_err (*evaluate)(struct change *change, struct wire_command *command);
    /* It is applied: replies. */
    void (*applied)(struct change *change);
    void (*free)(struct change *change);
};

struct change {
    struct service *service;
    struct exchange *exchange;
    const struct change_ops *ops;
    bool done;
    enum qk_err refused; /* as of the last evaluation; QK_ERR_INVALID: `status` and the rest */
    int status;
    const char *error;
    char reason[256];
};

/* Under the latch of `key`, a record key. Takes over `change` in every case. */
void change_start(struct change *change, const uint8_t key[static CATALOG_KEY_BYTES]);
/* Answers instead; for what is wrong before it was started. Frees. */
void change_fail(struct change *change, enum qk_err err);

void change_refuse(struct change *change, int status, const char *error, const char *reason, ...)
    __attribute__((format(printf, 4, 5)));
void change_refuse_err(struct change *change, enum qk_err err);
/* Opens the batch: the principal is still who it was, with the same rights (to that key, unless
 * NULL), and the catalog's own key is still the one that records are sealed under. */
void change_batch(struct change *change, const uint8_t *key_id, struct wire_command *command);
/* For audit lines: whose request it is, as a user id in hex; "control" over the control socket. */
void change_by(const struct exchange *exchange, char ret_text[static 2 * USER_ID_BYTES + 1]);

#endif
