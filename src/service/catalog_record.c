/* The catalog's records at rest: names by keyed hash, values sealed. */
#include "service/catalog_record.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "doc/id.h"
#include "doc/record.h"
#include "keys/envelope.h"
#include "keys/keyring.h"
#include "secret/crypto.h"
#include "service/kv.h"
#include "service/replicator_database.h"
#include "wire/pack.h"

/* --- keys --- */

enum qk_err catalog_key(const struct service *service, const char *label, struct bytes name,
                        uint8_t ret_key[static CATALOG_KEY_BYTES])
{
    uint8_t hash[HASH_BYTES];
    struct record_key key;
    enum qk_err err;

    _Static_assert(HASH_BYTES == CATALOG_NAME_BYTES, "a catalog name is one hash");
    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    err = mac_compute(keyring_index_key(service->keyring), label, &name, 1, hash);
    if (err != QK_OK)
        return err;
    key = record_catalog(hash);
    assert(key.len == CATALOG_KEY_BYTES);
    memcpy(ret_key, key.data, CATALOG_KEY_BYTES);
    return QK_OK;
}

enum qk_err catalog_database_key(const struct service *service,
                                 const uint8_t id[static DATABASE_ID_BYTES],
                                 uint8_t ret_key[static CATALOG_KEY_BYTES])
{
    return catalog_key(service, "catalog database", bytes_of(id, DATABASE_ID_BYTES), ret_key);
}

enum qk_err catalog_name_key(const struct service *service, struct bytes name,
                             uint8_t ret_key[static CATALOG_KEY_BYTES])
{
    return catalog_key(service, "catalog database name", name, ret_key);
}

enum qk_err catalog_user_key(const struct service *service, struct bytes name,
                             uint8_t ret_key[static CATALOG_KEY_BYTES])
{
    return catalog_key(service, "catalog user name", name, ret_key);
}

/* --- sealing --- */

static struct envelope_aad catalog_aad(const struct service *service,
                                       const uint8_t key[static CATALOG_KEY_BYTES],
                                       uint64_t record_version)
{
    struct envelope_aad aad = {.document_id = bytes_of(key + DATABASE_ID_BYTES, CATALOG_NAME_BYTES),
                               .record_version = record_version,
                               .record_kind = ENVELOPE_CATALOG};

    memcpy(aad.cluster, service->origin_id, CLUSTER_ID_BYTES);
    memcpy(aad.database, key, DATABASE_ID_BYTES);
    return aad;
}

enum qk_err catalog_seal(const struct service *service, const uint8_t key[static CATALOG_KEY_BYTES],
                         uint64_t record_version, struct buf *plain, struct buf *out)
{
    struct envelope_aad aad = catalog_aad(service, key, record_version);
    const struct secret *catalog_key;
    enum qk_err err = buf_error(plain);
    uint32_t version = 0;

    catalog_key = keyring_catalog_key(service->keyring, &version);
    if (err == QK_OK && catalog_key == NULL)
        err = QK_ERR_NOT_FOUND;
    if (err == QK_OK)
        err = envelope_seal(catalog_key, keyring_catalog_id, version, &aad, buf_bytes(plain), out);
    buf_fini(plain);
    return err;
}

enum qk_err catalog_database_seal(const struct service *service,
                                  const struct catalog_database *database, uint64_t record_version,
                                  struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(CATALOG_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_database_key(service, database->id, key);

    if (err != QK_OK)
        return err;
    pack_map(&plain, 9);
    pack_text(&plain, "kind");
    pack_text(&plain, "db");
    pack_text(&plain, "id");
    pack_bin(&plain, bytes_of(database->id, DATABASE_ID_BYTES));
    pack_text(&plain, "name");
    pack_text(&plain, database->name);
    pack_text(&plain, "revs_limit");
    pack_u64(&plain, database->revs_limit);
    pack_text(&plain, "created");
    pack_u64(&plain, database->created_ms);
    pack_text(&plain, "rights");
    access_list_encode(&database->rights, &plain);
    pack_text(&plain, "key");
    pack_bin(&plain, bytes_of(database->default_key, KEY_ID_BYTES));
    pack_text(&plain, "bodies");
    pack_u64(&plain, database->bodies);
    pack_text(&plain, "ids_hidden");
    pack_u64(&plain, database->ids_hidden ? 1 : 0);
    return catalog_seal(service, key, record_version, &plain, out);
}

enum qk_err catalog_name_seal(const struct service *service,
                              const struct catalog_database *database, uint64_t record_version,
                              struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(CATALOG_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_name_key(service, bytes_str(database->name), key);

    if (err != QK_OK)
        return err;
    pack_map(&plain, 2);
    pack_text(&plain, "kind");
    pack_text(&plain, "db_name");
    pack_text(&plain, "id");
    pack_bin(&plain, bytes_of(database->id, DATABASE_ID_BYTES));
    return catalog_seal(service, key, record_version, &plain, out);
}

enum qk_err catalog_user_seal(const struct service *service, const struct user *user,
                              uint64_t record_version, struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(CATALOG_VALUE_BYTES_MAX);
    uint8_t key[CATALOG_KEY_BYTES];
    enum qk_err err = catalog_user_key(service, bytes_str(user->name), key);

    if (err != QK_OK)
        return err;
    user_encode(user, &plain);
    return catalog_seal(service, key, record_version, &plain, out);
}

/* --- opening --- */

#define HAS_ID 0x01u
#define HAS_NAME 0x02u
#define HAS_REVS_LIMIT 0x04u
#define HAS_CREATED 0x08u
#define HAS_RIGHTS 0x10u
#define HAS_KEY 0x20u
#define HAS_BODIES 0x40u
#define HAS_ALL 0x7fu

static unsigned database_decode_member(struct unpack *in, struct catalog_database *database)
{
    struct bytes name = unpack_str(in, 32);

    if (bytes_equal(name, bytes_str("id"))) {
        unpack_bin_copy(in, database->id, sizeof(database->id));
        return HAS_ID;
    }
    if (bytes_equal(name, bytes_str("name"))) {
        unpack_str_copy(in, database->name, sizeof(database->name));
        return HAS_NAME;
    }
    if (bytes_equal(name, bytes_str("revs_limit"))) {
        database->revs_limit = (uint32_t)unpack_u64_max(in, DOC_RECORD_PATH_MAX);
        return HAS_REVS_LIMIT;
    }
    if (bytes_equal(name, bytes_str("created"))) {
        database->created_ms = unpack_u64(in);
        return HAS_CREATED;
    }
    if (bytes_equal(name, bytes_str("rights"))) {
        access_list_fini(&database->rights); /* a member that comes twice must not leak */
        access_list_decode(in, &database->rights);
        return HAS_RIGHTS;
    }
    if (bytes_equal(name, bytes_str("key"))) {
        unpack_bin_copy(in, database->default_key, sizeof(database->default_key));
        return HAS_KEY;
    }
    if (bytes_equal(name, bytes_str("bodies"))) {
        database->bodies = (enum catalog_bodies)unpack_u64_max(in, BODIES_WERE_CLEAR);
        return HAS_BODIES;
    }
    if (bytes_equal(name, bytes_str("ids_hidden"))) { /* absent in what older versions wrote */
        database->ids_hidden = unpack_u64_max(in, 1) == 1;
        return 0;
    }
    unpack_skip(in);
    return 0;
}

/* Made with the cluster: no client can make one of such a name. */
static bool is_own_database(struct bytes name)
{
    return bytes_equal(name, bytes_str(KV_DATABASE)) ||
           bytes_equal(name, bytes_str(REPLICATOR_DATABASE));
}

static enum qk_err database_decode(struct bytes plain, struct catalog_database *ret_database)
{
    struct unpack in = unpack_of(plain);
    struct doc_problem problem;
    unsigned has = 0;
    uint32_t n;

    for (n = unpack_map(&in, CATALOG_MEMBERS_MAX); n > 0 && unpack_error(&in) == QK_OK; n--)
        has |= database_decode_member(&in, ret_database);
    if (unpack_end(&in) != QK_OK || has != HAS_ALL || ret_database->revs_limit == 0)
        return QK_ERR_CORRUPT;
    if (!is_own_database(bytes_str(ret_database->name)) &&
        database_name_check(bytes_str(ret_database->name), &problem) != QK_OK)
        return QK_ERR_CORRUPT;
    return QK_OK;
}

/* The value of the member "kind", which every body has; empty if it has none. */
static struct bytes body_kind(struct bytes plain)
{
    struct unpack in = unpack_of(plain);
    uint32_t n;

    for (n = unpack_map(&in, CATALOG_MEMBERS_MAX); n > 0 && unpack_error(&in) == QK_OK; n--) {
        if (bytes_equal(unpack_str(&in, 32), bytes_str("kind")))
            return unpack_str(&in, 32);
        unpack_skip(&in);
    }
    return BYTES_NONE;
}

static enum qk_err entry_decode(struct bytes plain, uint64_t version, struct catalog_entry *entry,
                                bool *ret_known)
{
    struct bytes kind = body_kind(plain);

    *ret_known = true;
    if (bytes_equal(kind, bytes_str("user"))) {
        entry->kind = CATALOG_USER;
        return user_decode(plain, &entry->user);
    }
    if (bytes_equal(kind, bytes_str("grants"))) {
        entry->kind = CATALOG_GRANTS;
        return catalog_grants_decode(plain, &entry->grants);
    }
    if (bytes_equal(kind, bytes_str("token"))) {
        entry->kind = CATALOG_TOKEN;
        return login_token_decode(plain, &entry->token);
    }
    if (bytes_equal(kind, bytes_str("policy"))) {
        entry->kind = CATALOG_POLICY;
        return catalog_policy_decode(plain, &entry->policy);
    }
    if (bytes_equal(kind, bytes_str("db"))) {
        entry->kind = CATALOG_DATABASE;
        memcpy(entry->database.key, entry->key, CATALOG_KEY_BYTES);
        entry->database.record_version = version;
        return database_decode(plain, &entry->database);
    }
    *ret_known = false; /* a name's record, or a newer version's kind */
    return kind.len > 0 ? QK_OK : QK_ERR_CORRUPT;
}

enum qk_err catalog_entry_open(const struct service *service, struct bytes key, uint64_t version,
                               struct bytes value, struct catalog_entry **ret_entry)
{
    struct buf plain = BUF_SECRET_INIT(CATALOG_VALUE_BYTES_MAX);
    struct catalog_entry *entry = NULL;
    struct envelope_aad aad;
    bool known = false;
    enum qk_err err;

    assert(ret_entry != NULL);

    if (key.len != CATALOG_KEY_BYTES)
        return QK_ERR_CORRUPT;
    aad = catalog_aad(service, key.data, version);
    err = keyring_open_envelope(service->keyring, &aad, value, &plain);
    if (err != QK_OK)
        goto out;
    entry = calloc(1, sizeof(*entry));
    err = QK_ERR_NOMEM;
    if (entry == NULL)
        goto out;
    memcpy(entry->key, key.data, CATALOG_KEY_BYTES);
    entry->version = version;
    err = entry_decode(buf_bytes(&plain), version, entry, &known);

out:
    if (err != QK_OK || !known) {
        catalog_entry_free(entry);
        entry = NULL;
    }
    buf_fini(&plain);
    if (err == QK_OK)
        *ret_entry = entry;
    return err;
}

enum qk_err catalog_reseal(const struct service *service, struct bytes key, uint64_t version,
                           struct bytes value, struct buf *out)
{
    struct buf plain = BUF_SECRET_INIT(CATALOG_VALUE_BYTES_MAX);
    struct envelope_aad aad;
    enum qk_err err;

    if (key.len != CATALOG_KEY_BYTES)
        return QK_ERR_CORRUPT;
    aad = catalog_aad(service, key.data, version);
    err = keyring_open_envelope(service->keyring, &aad, value, &plain);
    if (err != QK_OK) {
        buf_fini(&plain);
        return err;
    }
    return catalog_seal(service, key.data, version + 1, &plain, out);
}
