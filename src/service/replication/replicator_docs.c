/* A document comes with its credentials in clear: they are taken out of it, sealed, and put back as
 * one member that nobody can read. One that comes back as it was read keeps them that way, as long
 * as both addresses are the same and its owner writes it, or an administrator. What the replicator
 * itself notes in it (`_replication_*`) it writes over a request of its own, as the control socket.
 */
#include "service/replication/replicator_docs.h"

#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/document.h"
#include "doc/id.h"
#include "keys/keyring.h"
#include "secret/crypto.h"
#include "service/authorize.h"
#include "service/documents/db.h"
#include "service/offload_uv.h"
#include "service/params.h"
#include "service/request.h"
#include "service/submit.h"
#include "service/write.h"

#define SALT_BYTES 24
#define MEMBER "credentials"

enum qk_err replicator_mount_put(const struct service *service, struct wire_command *command)
{
    struct catalog_database database;

    db_describe(bytes_str(REPLICATOR_DATABASE), &database);
    return db_records_put(service, &database, command);
}

/* --- sealing --------------------------------------------------------------------------------- */

static struct bytes address_of(const json_t *public, const char *side)
{
    const json_t *place = json_object_get(public, side);

    return json_bytes(json_is_object(place) ? json_object_get(place, "url") : place);
}

static void put_aad(const struct service *service, struct bytes id, const json_t *public,
                    struct buf *aad)
{
    buf_put_blob(aad, bytes_of(service->origin_id, CLUSTER_ID_BYTES));
    buf_put_blob(aad, id);
    buf_put_blob(aad, address_of(public, "source"));
    buf_put_blob(aad, address_of(public, "target"));
}

static enum qk_err key_of(const struct service *service, struct bytes salt, struct secret **ret_key)
{
    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    return kdf_derive(keyring_index_key(service->keyring), "replication credentials", salt,
                      ret_key);
}

static enum qk_err seal_text(const struct service *service, struct bytes id, struct bytes plain,
                             const json_t *public, struct buf *out)
{
    struct buf aad = BUF_INIT(16 * KIB), sealed = BUF_INIT(REPLICATOR_BODY_BYTES_MAX);
    uint8_t salt[SALT_BYTES]; /* random: the key that it gives encrypts once */
    struct secret *key = NULL;
    enum qk_err err;

    random_fill(salt, sizeof salt);
    buf_put(&sealed, salt, sizeof salt);
    put_aad(service, id, public, &aad);
    err = buf_error(&aad);
    if (err == QK_OK)
        err = key_of(service, bytes_of(salt, sizeof salt), &key);
    if (err == QK_OK)
        err = aead_seal_once(AEAD_XCHACHA20POLY1305, key, buf_bytes(&aad), plain, &sealed);
    if (err == QK_OK) {
        base64_encode(buf_bytes(&sealed), out);
        err = buf_error(out);
    }
    secret_free(key);
    buf_fini(&aad);
    buf_fini(&sealed);
    return err;
}

enum qk_err replicator_seal(const struct service *service, struct bytes id,
                            const struct replicator_owner *owner, json_t *secret, json_t *public)
{
    struct buf plain = BUF_SECRET_INIT(REPLICATOR_BODY_BYTES_MAX);
    struct buf text = BUF_INIT(2 * REPLICATOR_BODY_BYTES_MAX);
    char user_id[2 * USER_ID_BYTES + 1];
    enum qk_err err = QK_ERR_NOMEM;

    hex_encode(owner->user_id, USER_ID_BYTES, user_id);
    if (json_object_set_new(secret, "owner", json_string(owner->name)) != 0 ||
        json_object_set_new(secret, "owner_id", json_string(user_id)) != 0)
        goto out;
    err = json_write(secret, &plain);
    if (err == QK_OK)
        err = seal_text(service, id, buf_bytes(&plain), public, &text);
    if (err == QK_OK &&
        json_object_set_new(public, MEMBER, json_stringn((const char *)text.data, text.len)) != 0)
        err = QK_ERR_NOMEM;

out:
    buf_fini(&plain);
    buf_fini(&text);
    return err;
}

static enum qk_err owner_read(const json_t *secret, struct replicator_owner *ret_owner)
{
    struct bytes name = json_bytes(json_object_get(secret, "owner"));
    struct bytes user_id = json_bytes(json_object_get(secret, "owner_id"));

    memset(ret_owner, 0, sizeof *ret_owner);
    if (name.len > USER_NAME_BYTES_MAX || user_id.len != 2 * (size_t)USER_ID_BYTES)
        return QK_ERR_CORRUPT;
    if (name.len > 0)
        memcpy(ret_owner->name, name.data, name.len);
    return hex_decode(user_id, ret_owner->user_id, USER_ID_BYTES);
}

enum qk_err replicator_open(const struct service *service, struct bytes id, const json_t *public,
                            struct replicator_owner *ret_owner, json_t **ret_secret)
{
    struct bytes text = json_bytes(json_object_get(public, MEMBER));
    struct buf sealed = BUF_INIT(REPLICATOR_BODY_BYTES_MAX), aad = BUF_INIT(16 * KIB);
    struct buf plain = BUF_SECRET_INIT(REPLICATOR_BODY_BYTES_MAX);
    struct doc_problem problem;
    struct secret *key = NULL;
    json_t *secret = NULL;
    enum qk_err err = QK_ERR_CORRUPT;

    if (base64_decode(text, &sealed) != QK_OK || sealed.len < SALT_BYTES)
        goto out;
    put_aad(service, id, public, &aad);
    err = key_of(service, bytes_slice(buf_bytes(&sealed), 0, SALT_BYTES), &key);
    if (err == QK_OK)
        err = aead_open_once(AEAD_XCHACHA20POLY1305, key, buf_bytes(&aad),
                             bytes_slice(buf_bytes(&sealed), SALT_BYTES, sealed.len), &plain);
    if (err == QK_OK)
        err = json_parse(buf_bytes(&plain), JSON_DEPTH_MAX, &problem, &secret);
    if (err == QK_OK)
        err = owner_read(secret, ret_owner);
    if (err == QK_OK)
        *ret_secret = json_incref(secret);

out:
    json_decref(secret);
    secret_free(key);
    buf_fini(&sealed);
    buf_fini(&aad);
    buf_fini(&plain);
    return err;
}

/* --- writing one ----------------------------------------------------------------------------- */

struct replicator_put {
    struct service *service;
    struct exchange *exchange;
    json_t *object;
    struct document document;
    struct doc_problem problem;
    struct buf id;
    bool post;
};

/* By the replicator alone, see above: a user's write begins the replication anew. */
static void drop_notes(json_t *object)
{
    static const char *const NOTES[] = {"_replication_id", "_replication_state",
                                        "_replication_state_time", "_replication_state_reason",
                                        "_replication_stats"};

    for (size_t i = 0; i < sizeof NOTES / sizeof NOTES[0]; i++)
        (void)json_object_del(object, NOTES[i]);
}

/* New credentials in place of those there, if it names any. */
static void secret_merge(json_t *had, json_t *secret)
{
    static const char *const SIDES[] = {"source", "target"};

    for (size_t i = 0; i < 2; i++) {
        if (json_object_get(secret, SIDES[i]) == NULL && json_object_get(had, SIDES[i]) != NULL)
            (void)json_object_set(secret, SIDES[i], json_object_get(had, SIDES[i]));
    }
}

/* The member may have come back: what it holds is kept, for who may write the document at all. */
static enum qk_err keep_credentials(struct replicator_put *put, json_t *secret)
{
    const struct principal *who = &put->exchange->request.who;
    struct replicator_owner owner;
    json_t *had = NULL;
    enum qk_err err;

    if (json_object_get(put->object, MEMBER) == NULL)
        return QK_OK;
    err = replicator_open(put->service, buf_bytes(&put->id), put->object, &owner, &had);
    if (err == QK_ERR_CORRUPT)
        return doc_problem_set(&put->problem, 400, "bad_request",
                               "`credentials` are those of another document or other addresses: "
                               "leave them out, and name user and password anew");
    if (err != QK_OK)
        return err;
    if (who->kind == PRINCIPAL_USER && memcmp(owner.user_id, who->user_id, USER_ID_BYTES) != 0 &&
        authorize_user(put->service, who, ACCESS_CLUSTER) != QK_OK)
        err = doc_problem_set(&put->problem, 403, "forbidden",
                              "the credentials in this document are another user's");
    if (err == QK_OK)
        secret_merge(had, secret);
    json_decref(had);
    return err;
}

static enum qk_err put_sealed(struct replicator_put *put)
{
    const struct principal *who = &put->exchange->request.who;
    struct replicator_owner owner = {{0}, {0}};
    struct replication_spec spec = {0};
    json_t *secret = NULL;
    enum qk_err err = replication_split(put->object, &put->problem, &secret);

    if (err == QK_OK)
        err = replication_spec_read(put->object, secret, &spec, &put->problem);
    if (err == QK_OK)
        err = keep_credentials(put, secret);
    if (err != QK_OK)
        goto out;
    drop_notes(put->object);
    if (who->kind == PRINCIPAL_USER) {
        memcpy(owner.name, who->name, sizeof owner.name);
        memcpy(owner.user_id, who->user_id, USER_ID_BYTES);
    }
    if (json_object_set_new(put->object, "owner",
                            owner.name[0] == '\0' ? json_null() : json_string(owner.name)) != 0)
        err = QK_ERR_NOMEM;
    else
        err = replicator_seal(put->service, buf_bytes(&put->id), &owner, secret, put->object);

out:
    replication_spec_fini(&spec);
    json_decref(secret);
    return err;
}

/* What the replicator has read and adds its notes to: the credentials are good, and there are no
 * others. An administrator who writes so over the control socket changes nothing but notes. */
static bool is_note(const struct replicator_put *put)
{
    struct replicator_owner owner;
    struct doc_problem problem;
    json_t *copy, *had = NULL, *secret = NULL;
    bool note = false;

    if (put->exchange->request.who.kind != PRINCIPAL_CONTROL ||
        json_object_get(put->object, "_replication_state") == NULL)
        return false;
    copy = json_deep_copy(put->object);
    if (copy != NULL && replication_split(copy, &problem, &secret) == QK_OK &&
        json_object_size(secret) == 0)
        note =
            replicator_open(put->service, buf_bytes(&put->id), put->object, &owner, &had) == QK_OK;
    json_decref(copy);
    json_decref(had);
    json_decref(secret);
    return note;
}

static enum qk_err put_id(struct replicator_put *put)
{
    char text[DOC_ID_GENERATED_BYTES + 1];
    uint8_t random[16];
    struct bytes given = json_bytes(json_object_get(put->object, "_id"));

    if (!put->post) {
        request_doc_id(&put->exchange->request, &put->id);
    } else if (given.len > 0) {
        buf_put_bytes(&put->id, given);
    } else {
        random_fill(random, sizeof random);
        doc_id_generate(random, text);
        buf_put_str(&put->id, text);
    }
    if (buf_error(&put->id) != QK_OK)
        return QK_ERR_TOO_BIG;
    if (put->id.len > 0 && put->id.data[0] == '_')
        return doc_problem_set(&put->problem, 400, "illegal_docid",
                               "a replication's id does not begin with an underscore");
    return doc_id_check(buf_bytes(&put->id), &put->problem);
}

/* Nobody reads a tombstone's addresses, and they may come with passwords. */
static void drop_body(json_t *object)
{
    (void)json_object_del(object, "source");
    (void)json_object_del(object, "target");
    (void)json_object_del(object, MEMBER);
}

static enum qk_err put_make(struct replicator_put *put)
{
    enum qk_err err =
        json_parse(put->exchange->request.body, JSON_DEPTH_MAX, &put->problem, &put->object);

    if (err == QK_OK && !json_is_object(put->object))
        err = doc_problem_set(&put->problem, 400, "bad_request", "Document must be a JSON object");
    if (err == QK_OK)
        err = put_id(put);
    if (err == QK_OK && json_is_true(json_object_get(put->object, "_deleted")))
        drop_body(put->object);
    else if (err == QK_OK && !is_note(put))
        err = put_sealed(put);
    if (err == QK_OK)
        err = document_from_json(put->object, &put->document, &put->problem);
    if (err == QK_OK)
        err = request_revision(&put->exchange->request, &put->document, &put->problem);
    if (err == QK_OK)
        err = request_key(&put->exchange->request, &put->document, &put->problem);
    return err;
}

static void put_start(struct service *service, struct exchange *exchange, bool post)
{
    struct replicator_put put = {
        .service = service, .exchange = exchange, .post = post, .id = BUF_INIT(DOC_ID_BYTES_MAX)};
    enum qk_err err = service_is_open(service) ? put_make(&put) : QK_ERR_SEALED;

    if (err == QK_OK) {
        struct write_how how = {.status_ok = put.document.deleted && !post ? 200 : 201};

        write_one(service, exchange, buf_bytes(&put.id), &put.document, &how);
    } else {
        document_fini(&put.document);
        if (err == QK_ERR_INVALID || err == QK_ERR_TOO_BIG)
            exchange_reply_problem_or(exchange, &put.problem, err);
        else
            submit_reply_err(service, exchange, err);
    }
    json_decref(put.object);
    buf_fini(&put.id);
}

void handle_replicator_put(struct service *service, struct exchange *exchange)
{
    put_start(service, exchange, false);
}

void handle_replicator_post(struct service *service, struct exchange *exchange)
{
    if (request_wants_json(exchange) == QK_OK)
        put_start(service, exchange, true);
}
