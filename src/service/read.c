#include "service/read.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "base/log.h"
#include "consensus/consensus.h"
#include "keys/envelope.h"
#include "keys/keyring.h"
#include "service/authorize.h"
#include "service/bodies.h"
#include "service/keys_current.h"
#include "service/kv.h"
#include "service/submit.h"
#include "store/store.h"

/* --- the point in time --- */

struct read_wait {
    struct service *service;
    struct exchange *exchange;
    void (*ready)(struct service *service, struct exchange *exchange);
};

static void read_keys(void *arg, enum qk_err err);

/* What is applied here may be sealed under keys that are not open yet. */
static enum qk_err read_wait_keys(struct service *service, struct exchange *exchange,
                                  void (*ready)(struct service *service, struct exchange *exchange))
{
    struct read_wait *wait = malloc(sizeof(*wait));
    enum qk_err err = QK_ERR_NOMEM;

    if (wait == NULL)
        return err;
    *wait = (struct read_wait){service, exchange, ready};
    err = keys_wait(service, read_keys, wait);
    if (err != QK_OK)
        free(wait);
    return err;
}

/* The node may have been sealed while the read waited. */
static void read_go(struct service *service, struct exchange *exchange, enum qk_err err,
                    void (*ready)(struct service *service, struct exchange *exchange))
{
    if (err == QK_OK && !service_is_open(service))
        err = QK_ERR_SEALED;
    if (err == QK_OK)
        err = catalog_check(service->catalog);
    if (err == QK_OK && !keys_are_current(service)) {
        err = read_wait_keys(service, exchange, ready);
        if (err == QK_OK)
            return;
    }
    /* A login that ended, or a right that was lost, before the read began is known here now. */
    if (err == QK_OK)
        err = authorize_route(service, exchange, exchange->right);
    if (err != QK_OK)
        submit_reply_err(service, exchange, err);
    else
        ready(service, exchange);
}

static void read_keys(void *arg, enum qk_err err)
{
    struct read_wait wait = *(struct read_wait *)arg;

    free(arg);
    read_go(wait.service, wait.exchange, err, wait.ready);
}

static void read_point(void *arg, enum qk_err err, uint64_t index)
{
    struct read_wait wait = *(struct read_wait *)arg;

    (void)index;
    free(arg);
    read_go(wait.service, wait.exchange, err, wait.ready);
}

static void read_linearizable(struct service *service, struct exchange *exchange,
                              void (*ready)(struct service *service, struct exchange *exchange))
{
    struct read_wait *wait = malloc(sizeof(*wait));
    enum qk_err err = QK_ERR_NOMEM;

    if (wait != NULL) {
        *wait = (struct read_wait){service, exchange, ready};
        err = consensus_read(service->consensus, READ_TIMEOUT_MS, read_point, wait);
    }
    if (err == QK_OK)
        return;
    free(wait);
    submit_reply_err(service, exchange, err);
}

/* How long ago this node last heard from the leader, or from a majority where it leads or knows no
 * leader; a leader that a majority still follows is not stale. */
static void read_say_stale(struct service *service, struct exchange *exchange)
{
    struct consensus *consensus = service->consensus;
    uint64_t leader = consensus_leader(consensus);
    uint64_t stale_ms = consensus_alone_ms(consensus);

    if (consensus_role(consensus) != CONSENSUS_LEADER && leader != 0)
        stale_ms = consensus_peer_contact_ms(consensus, leader);
    if (stale_ms == UINT64_MAX)
        exchange_field(exchange, "X-Quorumkeep-Staleness", "unknown; applied=%" PRIu64,
                       consensus_applied(consensus));
    else
        exchange_field(exchange, "X-Quorumkeep-Staleness", "ms=%" PRIu64 "; applied=%" PRIu64,
                       stale_ms, consensus_applied(consensus));
}

void read_begin(struct service *service, struct exchange *exchange,
                void (*ready)(struct service *service, struct exchange *exchange))
{
    struct bytes consistency;

    assert(ready != NULL);

    if (!service_is_open(service)) {
        submit_reply_err(service, exchange, QK_ERR_SEALED);
        return;
    }
    if (!request_param(&exchange->request, "consistency", &consistency) ||
        bytes_equal(consistency, bytes_str("linearizable"))) {
        read_linearizable(service, exchange, ready);
        return;
    }
    if (!bytes_equal(consistency, bytes_str("local"))) {
        exchange_reply_error(exchange, 400, "query_parse_error",
                             "consistency must be linearizable or local");
        return;
    }
    read_say_stale(service, exchange);
    read_go(service, exchange, QK_OK, ready);
}

const struct catalog_database *read_database(struct service *service, struct exchange *exchange,
                                             enum access_right right)
{
    const struct catalog_database *database;
    enum qk_err err;

    assert(exchange->request.segments_n > 0);

    database = catalog_database_find(service->catalog, kv_database_name(&exchange->request));
    err = authorize_exchange(service, exchange, database, right);
    if (err != QK_OK) {
        submit_reply_err(service, exchange, err);
        return NULL;
    }
    if (database == NULL)
        exchange_reply_error(exchange, 404, "not_found", "Database does not exist.");
    return database;
}

/* --- records --- */

/* As text for a log: a sealed name, and what is no text in any other, byte by byte. */
static void put_name(struct bytes name, struct buf *out)
{
    bool text = utf8_is_valid(name);

    for (size_t i = 0; i < name.len; i++) {
        uint8_t byte = name.data[i];

        if (byte >= ' ' && byte != 0x7f && byte != '\\' && (byte < 0x80 || text))
            buf_put_u8(out, byte);
        else
            buf_printf(out, "\\x%02x", byte);
    }
    buf_put_u8(out, '\0');
}

void stored_damaged(struct service *service, const uint8_t database[static DATABASE_ID_BYTES],
                    struct bytes name)
{
    struct buf text = BUF_INIT(4 * (RECORD_NAME_BYTES_MAX + 1));
    char hex[2 * DATABASE_ID_BYTES + 1];
    const char *where = store_error(service->store);

    put_name(name, &text);
    hex_encode(database, DATABASE_ID_BYTES, hex);
    log_error("document",
              "store.mdb: the record of document '%s' in database %s does not "
              "authenticate%s%s",
              buf_error(&text) == QK_OK ? (const char *)text.data : "", hex,
              where[0] == '\0' ? "" : ": ", where);
    buf_fini(&text);
}

static struct doc_place stored_place(const struct service *service, const uint8_t *database,
                                     struct bytes name, uint64_t version)
{
    return (struct doc_place){service->origin_id, database, name, version};
}

enum qk_err stored_decode(struct service *service, const uint8_t database[static DATABASE_ID_BYTES],
                          struct bytes name, uint64_t version, struct bytes value,
                          struct doc_record *ret_record)
{
    struct doc_place place = stored_place(service, database, name, version);
    enum qk_err err;

    err = doc_record_decode(keyring_integrity_key(service->keyring), &place, value, ret_record);
    if (err == QK_ERR_CORRUPT)
        stored_damaged(service, database, name);
    return err;
}

enum qk_err stored_get(struct service *service, const uint8_t database[static DATABASE_ID_BYTES],
                       struct bytes name, struct stored *ret_stored)
{
    struct record_key key = record_document(database, name);
    struct record record;
    enum qk_err err;

    assert(ret_stored != NULL);

    *ret_stored = (struct stored){0, 0, DOC_RECORD_EMPTY};
    err = store_get(service->store, record_key_bytes(&key), &record);
    if (err == QK_ERR_NOT_FOUND)
        return QK_OK;
    if (err == QK_ERR_CORRUPT)
        stored_damaged(service, database, name);
    if (err != QK_OK)
        return err;
    err = stored_decode(service, database, name, record.version, record.value, &ret_stored->record);
    ret_stored->version = record.version;
    ret_stored->seq = record.seq;
    return err;
}

void stored_fini(struct stored *stored)
{
    doc_record_fini(&stored->record);
}

struct envelope_aad stored_aad(const struct service *service,
                               const uint8_t database[static DATABASE_ID_BYTES], struct bytes name,
                               const struct doc_leaf *leaf, uint8_t revision[static REVISION_BYTES])
{
    struct envelope_aad aad = {.document_id = name,
                               .record_version = leaf->sealed_at,
                               .deleted = leaf->deleted,
                               .record_kind = ENVELOPE_DOCUMENT};

    revision_encode(&leaf->revision, revision);
    aad.revision = bytes_of(revision, REVISION_BYTES);
    memcpy(aad.cluster, service->origin_id, CLUSTER_ID_BYTES);
    memcpy(aad.database, database, DATABASE_ID_BYTES);
    return aad;
}

enum qk_err stored_open(struct service *service, const uint8_t database[static DATABASE_ID_BYTES],
                        struct bytes name, const struct doc_leaf *leaf, struct buf *plain,
                        struct document_parts *ret_parts)
{
    uint8_t revision[REVISION_BYTES];
    struct envelope_aad aad = stored_aad(service, database, name, leaf, revision);
    enum qk_err err;

    assert(plain->secret);

    err = bodies_open(service, database, &aad, leaf->envelope, plain);
    if (err == QK_OK)
        err = document_plain_open(buf_bytes(plain), ret_parts);
    if (err == QK_ERR_CORRUPT)
        stored_damaged(service, database, name);
    return err;
}
