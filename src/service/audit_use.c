/* Refusals cost whoever makes them nothing, so they must not fill the disk, nor push out of it what
 * happened before: some a second have lines, the others a count.
 *
 * First uses are remembered as hashes in a table of fixed size under a key of this process. When it
 * is three quarters full it is emptied: a use is then told again, none is ever missed. */
#include "service/audit_use.h"

#include <assert.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "secret/crypto.h"
#include "audit/audit.h"

#define SLOTS AUDIT_USES_MAX
#define WHO_BYTES (2 * USER_ID_BYTES + 1)

struct slot {
    uint64_t parts[2]; /* zeros: free */
};

struct audit_use {
    bool all;
    unsigned refusals_n;
    uint64_t untold_n;
    uint8_t seed[crypto_shorthash_siphashx24_KEYBYTES];
    unsigned used_n;
    struct slot slots[SLOTS];
};

enum qk_err audit_use_new(bool all, struct audit_use **ret_use)
{
    struct audit_use *use = calloc(1, sizeof(*use));

    if (use == NULL)
        return QK_ERR_NOMEM;
    use->all = all;
    random_fill(use->seed, sizeof(use->seed));
    *ret_use = use;
    return QK_OK;
}

void audit_use_free(struct audit_use *use)
{
    free(use);
}

/* --- who ------------------------------------------------------------------------------------- */

/* NULL: nobody has logged in. */
static const char *user_text(const struct principal *who, char ret_text[static WHO_BYTES])
{
    switch (who->kind) {
    case PRINCIPAL_NONE:
        return NULL;
    case PRINCIPAL_CONTROL:
        return "control socket";
    case PRINCIPAL_USER:
        break;
    }
    hex_encode(who->user_id, USER_ID_BYTES, ret_text);
    return ret_text;
}

static const char *token_text(const struct principal *who, char ret_text[static WHO_BYTES])
{
    _Static_assert(PRINCIPAL_TOKEN_BYTES == USER_ID_BYTES, "one size of text for both");

    if (who->kind != PRINCIPAL_USER || !principal_has_token(who))
        return NULL;
    hex_encode(who->token_id, PRINCIPAL_TOKEN_BYTES, ret_text);
    return ret_text;
}

/* Over the control socket that is all there is to say of where it came from. */
static const char *from_text(const struct exchange *exchange)
{
    return exchange->request.who.kind == PRINCIPAL_CONTROL ? NULL : exchange->from;
}

/* --- orders and refusals --------------------------------------------------------------------- */

enum qk_err audit_call(struct service *service, const struct exchange *exchange, const char *method,
                       const char *route, uint64_t *ret_call)
{
    const struct principal *who = &exchange->request.who;
    char user[WHO_BYTES], token[WHO_BYTES];
    struct audit_figures figures;
    enum qk_err err;

    if (service->audit == NULL)
        return QK_OK;
    err = audit_record(service->audit, "call", "method", method, "route", route, "user",
                       user_text(who, user), "from", from_text(exchange), "token",
                       token_text(who, token), NULL);
    if (err != QK_OK)
        return err;
    audit_figures(service->audit, &figures);
    *ret_call = figures.seq;
    return QK_OK;
}

void audit_call_failed(struct service *service, uint64_t call, int status)
{
    char call_text[24], status_text[16];

    (void)snprintf(call_text, sizeof(call_text), "%" PRIu64, call);
    (void)snprintf(status_text, sizeof(status_text), "%d", status);
    audit_event(service->audit, "call_failed", "call", call_text, "status", status_text, NULL);
}

/* May another refusal have its line? */
static bool has_line(const struct service *service)
{
    struct audit_use *use = service->audit_use;

    if (service->audit == NULL)
        return false;
    if (use == NULL)
        return true;
    if (use->refusals_n < AUDIT_REFUSALS_S) {
        use->refusals_n++;
        return true;
    }
    use->untold_n++;
    return false;
}

void audit_refused(struct service *service, const struct exchange *exchange, const char *method,
                   const char *route, int status)
{
    const struct principal *who = &exchange->request.who;
    char user[WHO_BYTES], token[WHO_BYTES], text[16];

    if (!has_line(service))
        return;
    (void)snprintf(text, sizeof(text), "%d", status);
    audit_event(service->audit, "refused", "status", text, "method", method, "route", route, "user",
                user_text(who, user), "from", from_text(exchange), "token", token_text(who, token),
                NULL);
}

void audit_use_tick(struct service *service)
{
    struct audit_use *use = service->audit_use;
    char count[24];

    if (use == NULL)
        return;
    use->refusals_n = 0;
    if (use->untold_n == 0 || service->audit == NULL)
        return;
    (void)snprintf(count, sizeof(count), "%" PRIu64, use->untold_n);
    use->untold_n = 0;
    audit_event(service->audit, "refused_more", "count", count, NULL);
}

/* --- logins ---------------------------------------------------------------------------------- */

enum qk_err audit_login(const struct service *service, const struct principal *who,
                        const char *from)
{
    char user[WHO_BYTES];

    if (service->audit == NULL)
        return QK_OK;
    return audit_record(service->audit, "login", "user", user_text(who, user), "from", from, NULL);
}

void audit_login_failed(const struct service *service, const uint8_t *user_id, const char *from)
{
    char user[WHO_BYTES];

    if (!has_line(service))
        return;
    if (user_id != NULL)
        hex_encode(user_id, USER_ID_BYTES, user);
    audit_event(service->audit, "login_failed", "user", user_id == NULL ? NULL : user, "from", from,
                NULL);
}

/* --- keys ------------------------------------------------------------------------------------ */

static struct slot hash_of(const struct audit_use *use, const struct principal *who,
                           const uint8_t *key_id, const char *what)
{
    uint8_t in[1 + USER_ID_BYTES + 8 + PRINCIPAL_TOKEN_BYTES + KEY_ID_BYTES + 1];
    uint8_t out[crypto_shorthash_siphashx24_BYTES], *at = in;
    struct slot slot;

    *at++ = (uint8_t)who->kind;
    memcpy(at, who->user_id, USER_ID_BYTES);
    put_u64(at + USER_ID_BYTES, who->credential_version);
    at += USER_ID_BYTES + 8;
    memcpy(at, who->token_id, PRINCIPAL_TOKEN_BYTES);
    memcpy(at + PRINCIPAL_TOKEN_BYTES, key_id, KEY_ID_BYTES);
    at[PRINCIPAL_TOKEN_BYTES + KEY_ID_BYTES] = (uint8_t)what[0];
    (void)crypto_shorthash_siphashx24(out, in, sizeof(in), use->seed);
    slot = (struct slot){{get_u64(out), get_u64(out + 8)}};
    slot.parts[0] += slot.parts[0] == 0 && slot.parts[1] == 0;
    return slot;
}

/* The place of that use, or the free one where it belongs: one in four is free. */
static struct slot *find(struct audit_use *use, const struct slot *wanted)
{
    size_t at = (size_t)(wanted->parts[0] % SLOTS);

    for (;;) {
        struct slot *slot = &use->slots[at];

        if ((slot->parts[0] == 0 && slot->parts[1] == 0) ||
            memcmp(slot, wanted, sizeof(*slot)) == 0)
            return slot;
        at = (at + 1) % SLOTS;
    }
}

static bool is_known(struct audit_use *use, const struct slot *wanted)
{
    return memcmp(find(use, wanted), wanted, sizeof(*wanted)) == 0;
}

static void remember(struct audit_use *use, const struct slot *wanted)
{
    if (use->used_n >= SLOTS / 4 * 3) {
        memset(use->slots, 0, sizeof(use->slots));
        use->used_n = 0;
    }
    *find(use, wanted) = *wanted;
    use->used_n++;
}

enum qk_err audit_key_use(const struct service *service, const struct principal *who,
                          const uint8_t key_id[static KEY_ID_BYTES], const char *what)
{
    struct audit_use *use = service->audit_use;
    char user[WHO_BYTES], token[WHO_BYTES], key[2 * KEY_ID_BYTES + 1];
    struct slot slot;
    enum qk_err err;

    if (service->audit == NULL || use == NULL)
        return QK_OK;
    slot = hash_of(use, who, key_id, what);
    if (!use->all && is_known(use, &slot))
        return QK_OK;
    hex_encode(key_id, KEY_ID_BYTES, key);
    err = audit_record(service->audit, "key_use", "use", what, "key", key, "user",
                       user_text(who, user), "token", token_text(who, token), NULL);
    if (err == QK_OK && !use->all)
        remember(use, &slot);
    return err;
}
