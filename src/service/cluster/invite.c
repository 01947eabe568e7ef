/* `node invite`: a join token. Its psk is kept sealed in the replicated record, so that whichever
 * member leads can honour it; the record is consumed by the join (one use). */
#include "service/cluster/invite.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/encode.h"
#include "consensus/consensus.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/cluster/cluster_handlers.h"
#include "service/cluster/hub.h"
#include "store/store.h"
#include "wire/token.h"

#define INVITE_TTL_S 3600u
#define INVITE_TTL_S_MAX (7u * 24 * 3600)
#define INVITE_EXPIRED_MAX 64 /* old tokens removed by one new one */

struct invite {
    struct service *service;
    struct exchange *exchange;
    struct token token;
    struct record_key expired[INVITE_EXPIRED_MAX];
    unsigned expired_n;
    uint8_t replaces[NODE_ID_BYTES];
    uint64_t invited; /* tokens made when the flush was asked for */
};

static void invite_free(struct invite *invite)
{
    invite->service->cluster->inviting--;
    token_fini(&invite->token);
    free(invite);
}

static void invite_fail(struct invite *invite, enum qk_err err)
{
    exchange_reply_err(invite->exchange, err);
    invite_free(invite);
}

/* --- the psk at rest ------------------------------------------------------------------------- */

/* The key encrypts once: its context is the token's id. It hangs on the catalog key's active
 * version, which a rotation of MK rewraps and does not change, so an outstanding token survives it;
 * a removal makes a new version and so ends the tokens that the removed member may have seen. */
static enum qk_err psk_key(const struct service *service, const uint8_t *token_id,
                           struct secret **ret_key)
{
    const struct secret *catalog_key;
    uint32_t version;

    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    catalog_key = keyring_catalog_key(service->keyring, &version);
    if (catalog_key == NULL)
        return QK_ERR_NOT_FOUND;
    return kdf_derive(catalog_key, "join-token", bytes_of(token_id, TOKEN_ID_BYTES), ret_key);
}

static void psk_aad(const struct service *service, const uint8_t *token_id, uint8_t ret_aad[32])
{
    _Static_assert(CLUSTER_ID_BYTES + TOKEN_ID_BYTES == 32, "the additional data's length");
    memcpy(ret_aad, service->cluster_id, CLUSTER_ID_BYTES);
    memcpy(ret_aad + CLUSTER_ID_BYTES, token_id, TOKEN_ID_BYTES);
}

static enum qk_err psk_seal(const struct service *service, const struct token *token,
                            struct buf *out)
{
    struct secret *key = NULL;
    uint8_t aad[32];
    enum qk_err err = psk_key(service, token->token_id, &key);

    if (err != QK_OK)
        return err;
    psk_aad(service, token->token_id, aad);
    err = aead_seal_secret(key, NULL, bytes_of(aad, sizeof(aad)), token->psk, out);
    secret_free(key);
    return err;
}

enum qk_err invite_open_psk(const struct service *service, const uint8_t *token_id,
                            const struct system_token *record, struct secret **ret_psk)
{
    struct secret *key = NULL;
    uint8_t aad[32];
    enum qk_err err = psk_key(service, token_id, &key);

    if (err != QK_OK)
        return err;
    psk_aad(service, token_id, aad);
    err = aead_open_secret(key, NULL, bytes_of(aad, sizeof(aad)), record->sealed_psk, ret_psk);
    secret_free(key);
    return err;
}

/* --- the end --------------------------------------------------------------------------------- */

static void invite_reply(struct invite *invite)
{
    struct buf out = BUF_SECRET_INIT(2 * TOKEN_TEXT_BYTES_MAX);
    char id[2 * TOKEN_ID_BYTES + 1], replaces[2 * NODE_ID_BYTES + 1], number[24];
    enum qk_err err;

    hex_encode(invite->token.token_id, TOKEN_ID_BYTES, id);
    snprintf(number, sizeof(number), "%" PRIu64, invite->token.expiry_s);
    buf_put_str(&out, "{\"token\":\"");
    err = token_encode(&invite->token, &out);
    buf_put_str(&out, "\",\"token_id\":\"");
    buf_put_str(&out, id);
    buf_put_str(&out, "\",\"expires\":");
    buf_put_str(&out, number);
    buf_put_str(&out, "}\n");
    if (err == QK_OK)
        err = buf_error(&out);
    hex_encode(invite->replaces, NODE_ID_BYTES, replaces);
    audit_event(invite->service->audit, "invite", "token", id, "by", invite->exchange->from,
                "replaces", hub_id_is_set(invite->replaces) ? replaces : NULL, NULL);
    if (err == QK_OK)
        exchange_reply_bytes(invite->exchange, 200, "application/json", buf_bytes(&out));
    else
        exchange_reply_err(invite->exchange, err);
    buf_fini(&out);
    invite_free(invite);
}

static void invite_applied(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct invite *invite = arg;

    (void)index;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err == QK_OK) {
        invite->service->cluster->invited++;
        invite_reply(invite);
    } else
        invite_fail(invite, err);
}

/* --- the command ----------------------------------------------------------------------------- */

static enum qk_err invite_command(struct invite *invite, struct wire_command *command)
{
    struct record_key key = record_token(invite->token.token_id);
    struct system_token record = {.expiry_s = invite->token.expiry_s};
    struct buf sealed = BUF_INIT(256), value = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);
    enum qk_err err = psk_seal(invite->service, &invite->token, &sealed);

    memcpy(record.inviter, invite->service->node_id, NODE_ID_BYTES);
    memcpy(record.replaces, invite->replaces, NODE_ID_BYTES);
    record.sealed_psk = buf_bytes(&sealed);
    system_token_encode(&record, &value);
    wire_command_batch(command);
    wire_command_put(command, record_key_bytes(&key), 1, 0, buf_bytes(&value));
    for (unsigned i = 0; i < invite->expired_n; i++)
        wire_command_delete(command, record_key_bytes(&invite->expired[i]));
    if (err == QK_OK)
        err = buf_error(&value);
    buf_fini(&sealed);
    buf_fini(&value);
    return err;
}

static void invite_submit(struct invite *invite)
{
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    wire_command_begin(&command, WIRE_TOKEN);
    err = invite_command(invite, &command);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(invite->service->consensus, bytes, invite_applied, invite);
    wire_command_fini(&command);
    if (err != QK_OK)
        invite_fail(invite, err);
}

/* Counts the tokens that are still good and notes for removal those that have expired, and those of
 * a node that was removed, since a joiner asks nobody but who made its token. */
static enum qk_err tokens_count(struct invite *invite, unsigned *ret_n)
{
    struct record_key prefix = record_tokens_prefix();
    struct store_cursor *cursor = NULL;
    struct store_row row;
    struct system_token token;
    uint64_t now_s = (uint64_t)time(NULL);
    enum qk_err err;

    *ret_n = 0;
    err =
        store_cursor_open_prefix(invite->service->store, record_key_bytes(&prefix), false, &cursor);
    while (err == QK_OK && (err = store_cursor_next(cursor, &row)) == QK_OK) {
        if (system_token_decode(row.record.value, &token) != QK_OK)
            continue;
        if (token.expiry_s > now_s &&
            hub_member_find(invite->service->cluster, token.inviter) != NULL)
            *ret_n += !token.used;
        else if (invite->expired_n < INVITE_EXPIRED_MAX) {
            struct record_key *key = &invite->expired[invite->expired_n++];

            key->len = (uint16_t)row.key.len;
            memcpy(key->data, row.key.data, row.key.len);
        }
    }
    store_cursor_close(cursor);
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

static void invite_flushed(void *arg, enum qk_err err);

/* The count reads the file: all that is applied must be in it first. */
static void invite_flush(struct invite *invite)
{
    invite->invited = invite->service->cluster->invited;
    store_flush(invite->service->store, invite_flushed, invite);
}

static void invite_flushed(void *arg, enum qk_err err)
{
    struct invite *invite = arg;
    unsigned n = 0;

    /* One that was made meanwhile is neither in the file nor under way: it would not be counted. */
    if (err == QK_OK && invite->invited != invite->service->cluster->invited) {
        invite_flush(invite);
        return;
    }
    if (err == QK_OK && invite->service->keyring == NULL)
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = tokens_count(invite, &n);
    if (err != QK_OK) {
        invite_fail(invite, err);
        return;
    }
    n += invite->service->cluster->inviting - 1; /* others being made, none of them counted yet */
    if (n >= JOIN_TOKENS_MAX) {
        exchange_reply_error(invite->exchange, 409, "conflict",
                             "%u join tokens are outstanding, which is the most at a time: use "
                             "one or wait until one has expired",
                             n);
        invite_free(invite);
        return;
    }
    invite_submit(invite);
}

/* --- the beginning --------------------------------------------------------------------------- */

static void body_bad(struct exchange *exchange)
{
    exchange_reply_error(exchange, 400, "bad_request",
                         "\"ttl_s\" is a number from 1 to %u, \"replace\" the name of a member",
                         INVITE_TTL_S_MAX);
}

/* {"ttl_s"?, "replace"?}; false: the refusal has been sent. */
static bool replace_read(const struct service *service, struct exchange *exchange,
                         const json_t *json, uint8_t ret_replaces[static NODE_ID_BYTES])
{
    const json_t *name = json_object_get(json, "replace");
    const struct hub_member *member;

    memset(ret_replaces, 0, NODE_ID_BYTES);
    if (name == NULL)
        return true;
    if (!json_is_string(name)) {
        body_bad(exchange);
        return false;
    }
    member = hub_replace_find(service->cluster, json_string_value(name));
    if (member == NULL) {
        exchange_reply_error(exchange, 404, "not_found",
                             "no member has the name '%.64s': 'quorumkeep node list' shows them",
                             json_string_value(name));
        return false;
    }
    memcpy(ret_replaces, member->node_id, NODE_ID_BYTES);
    return true;
}

static bool body_read(const struct service *service, struct exchange *exchange, uint64_t *ret_ttl_s,
                      uint8_t ret_replaces[static NODE_ID_BYTES])
{
    struct bytes body = exchange->request.body;
    json_t *json =
        body.len == 0 ? json_object() : json_loadb((const char *)body.data, body.len, 0, NULL);
    json_t *ttl = json_object_get(json, "ttl_s");
    bool good = json_is_object(json) &&
                (ttl == NULL || (json_is_integer(ttl) && json_integer_value(ttl) > 0 &&
                                 json_integer_value(ttl) <= (json_int_t)INVITE_TTL_S_MAX));

    *ret_ttl_s = good && ttl != NULL ? (uint64_t)json_integer_value(ttl) : INVITE_TTL_S;
    if (!good)
        body_bad(exchange);
    else
        good = replace_read(service, exchange, json, ret_replaces);
    json_decref(json);
    return good;
}

static enum qk_err token_make(struct invite *invite, uint64_t ttl_s)
{
    const struct service *service = invite->service;
    struct token *token = &invite->token;

    memcpy(token->cluster_id, service->cluster_id, CLUSTER_ID_BYTES);
    random_fill(token->token_id, sizeof(token->token_id));
    memcpy(token->inviter_pk, service->node_sec->noise_pk, TOKEN_PK_BYTES);
    token->expiry_s = (uint64_t)time(NULL) + ttl_s;
    snprintf(token->addresses[0], sizeof(token->addresses[0]), "%s", service->peer_address);
    token->addresses_n = 1;
    return secret_new_random(TOKEN_PSK_BYTES, &token->psk);
}

void handle_invite(struct service *service, struct exchange *exchange)
{
    struct invite *invite;
    uint8_t replaces[NODE_ID_BYTES];
    uint64_t ttl_s;
    enum qk_err err;

    if (service->keyring == NULL || service->cluster->seal.state != SEAL_UNSEALED) {
        char reason[CLUSTER_REASON_BYTES];

        service_closed_reason(service, reason, sizeof(reason));
        exchange_reply_error(exchange, 503, "sealed", "%s", reason);
        return;
    }
    if (!cluster_is_leader(service->cluster)) {
        exchange_reply_err(exchange, QK_ERR_NOT_LEADER);
        return;
    }
    if (!body_read(service, exchange, &ttl_s, replaces))
        return;
    invite = calloc(1, sizeof(*invite));
    if (invite == NULL) {
        exchange_reply_err(exchange, QK_ERR_NOMEM);
        return;
    }
    invite->service = service;
    invite->exchange = exchange;
    memcpy(invite->replaces, replaces, sizeof(replaces));
    service->cluster->inviting++;
    err = token_make(invite, ttl_s);
    if (err != QK_OK)
        invite_fail(invite, err);
    else
        invite_flush(invite);
}
