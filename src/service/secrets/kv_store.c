#include "service/secrets/kv_store.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/encode.h"
#include "doc/json.h"
#include "keys/keyring.h"
#include "secret/crypto.h"
#include "service/documents/db.h"
#include "service/vault.h"
#include "wire/command.h"

#define NAME_HASH_BYTES 16
#define NAME_HEX_BYTES (2 * NAME_HASH_BYTES)
#define CONFIG_ID "config"

/* --- ids --- */

/* Keyed by the index key, which a rotation leaves as it is: a name is found again. */
static enum qk_err name_hash(const struct service *service,
                             const uint8_t database[static DATABASE_ID_BYTES], struct bytes path,
                             char ret_hex[static NAME_HEX_BYTES + 1])
{
    const struct bytes parts[] = {bytes_of(database, DATABASE_ID_BYTES), path};
    uint8_t hash[HASH_BYTES];
    enum qk_err err;

    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    err = mac_compute(keyring_index_key(service->keyring), "secret name", parts, 2, hash);
    if (err == QK_OK)
        hex_encode(hash, NAME_HASH_BYTES, ret_hex);
    return err;
}

enum qk_err kv_id_names(const struct service *service,
                        const uint8_t database[static DATABASE_ID_BYTES], struct bytes folder,
                        struct kv_id *ret_id)
{
    char hex[NAME_HEX_BYTES + 1];
    enum qk_err err = name_hash(service, database, folder, hex);

    if (err == QK_OK)
        (void)snprintf(ret_id->text, sizeof(ret_id->text), "n/%s/", hex);
    return err;
}

enum qk_err kv_id_name(const struct service *service,
                       const uint8_t database[static DATABASE_ID_BYTES], struct bytes path,
                       struct kv_id *ret_id)
{
    char folder_hex[NAME_HEX_BYTES + 1], hex[NAME_HEX_BYTES + 1];
    enum qk_err err = name_hash(service, database, kv_path_folder(path), folder_hex);

    if (err == QK_OK)
        err = name_hash(service, database, path, hex);
    if (err == QK_OK)
        (void)snprintf(ret_id->text, sizeof(ret_id->text), "n/%s/%s", folder_hex, hex);
    return err;
}

enum qk_err kv_id_version(const struct service *service,
                          const uint8_t database[static DATABASE_ID_BYTES], struct bytes path,
                          uint64_t version, struct kv_id *ret_id)
{
    char hex[NAME_HEX_BYTES + 1];
    enum qk_err err = name_hash(service, database, path, hex);

    if (err == QK_OK)
        (void)snprintf(ret_id->text, sizeof(ret_id->text), "v/%s/%016" PRIx64, hex, version);
    return err;
}

struct kv_id kv_id_config(void)
{
    return (struct kv_id){CONFIG_ID};
}

struct bytes kv_id_bytes(const struct kv_id *id)
{
    return bytes_str(id->text);
}

/* --- paths --- */

struct bytes kv_path_folder(struct bytes path)
{
    size_t len = path.len > 0 ? path.len - 1 : 0; /* a folder's own last slash does not count */

    while (len > 0 && path.data[len - 1] != '/')
        len--;
    return bytes_slice(path, 0, len);
}

static const char *part_problem(struct bytes part)
{
    if (part.len == 0)
        return "the path of a secret has no empty parts";
    if (bytes_equal(part, bytes_str(".")) || bytes_equal(part, bytes_str("..")))
        return "the path of a secret has no parts '.' or '..'";
    for (size_t i = 0; i < part.len; i++) {
        if (part.data[i] < 0x20 || part.data[i] == 0x7f)
            return "the path of a secret has no control characters";
    }
    return NULL;
}

/* A slash that came percent-encoded is one like any other, as in Vault. */
static const char *path_problem(struct bytes path)
{
    const char *problem = utf8_is_valid(path) ? NULL : "the path of a secret is UTF-8";
    unsigned parts_n = 0;

    for (size_t at = 0; at <= path.len && problem == NULL; parts_n++) {
        size_t end = at;

        while (end < path.len && path.data[end] != '/')
            end++;
        problem = part_problem(bytes_slice(path, at, end - at));
        at = end + 1;
    }
    if (problem == NULL && parts_n > KV_PATH_PARTS_MAX)
        problem = "the path of a secret is too deep";
    return problem;
}

enum qk_err kv_path_take(const struct request *request, unsigned first, struct buf *out,
                         const char **ret_reason)
{
    assert(first < request->segments_n && out->max == KV_PATH_BYTES_MAX);

    for (unsigned i = first; i < request->segments_n; i++) {
        if (i > first)
            buf_put_u8(out, '/');
        buf_put_bytes(out, request->segments[i]);
    }
    *ret_reason = buf_error(out) == QK_OK ? path_problem(buf_bytes(out))
                                          : "the path of a secret is at most 1024 bytes long";
    return *ret_reason == NULL ? QK_OK : QK_ERR_INVALID;
}

/* --- the database --- */

enum qk_err kv_mount_put(const struct service *service, struct wire_command *command)
{
    struct catalog_database database;

    db_describe(bytes_str(KV_DATABASE), &database);
    database.revs_limit = 1; /* nobody asks for the history of these records */
    return db_records_put(service, &database, command);
}

struct bytes kv_database_name(const struct request *request)
{
    bool secrets = bytes_equal(request->segments[0], bytes_str("_quorumkeep"));

    return secrets ? bytes_str(KV_DATABASE) : request->segments[0];
}

const struct catalog_database *kv_database(struct service *service, struct exchange *exchange)
{
    const struct catalog_database *database =
        catalog_database_find(service->catalog, bytes_str(KV_DATABASE));

    if (database == NULL)
        vault_reply_error(exchange, 404, "this cluster was made without a place for secrets");
    return database;
}

/* --- records --- */

enum qk_err kv_record_get(struct service *service, const struct catalog_database *database,
                          const struct kv_id *id, struct kv_record *ret_record)
{
    struct document_parts parts;
    enum qk_err err;

    *ret_record = (struct kv_record){.stored = {0, 0, DOC_RECORD_EMPTY},
                                     .plain = BUF_SECRET_INIT(DOCUMENT_PLAIN_BYTES_MAX)};
    err = stored_get(service, database->id, kv_id_bytes(id), &ret_record->stored);
    if (err != QK_OK || ret_record->stored.record.leaves_n == 0)
        return err;
    err = stored_open(service, database->id, kv_id_bytes(id), &ret_record->stored.record.leaves[0],
                      &ret_record->plain, &parts);
    if (err == QK_OK)
        ret_record->body = parts.body;
    return err;
}

void kv_record_fini(struct kv_record *record)
{
    stored_fini(&record->stored);
    buf_fini(&record->plain);
}

enum qk_err kv_find(struct service *service, const struct catalog_database *database,
                    struct bytes path, struct kv_found *ret_found)
{
    struct kv_id id;
    enum qk_err err;

    *ret_found = (struct kv_found){.record.stored.record = DOC_RECORD_EMPTY};
    err = kv_id_name(service, database->id, path, &id);
    if (err == QK_OK)
        err = kv_record_get(service, database, &id, &ret_found->record);
    if (err != QK_OK || ret_found->record.stored.version == 0)
        return err;
    return kv_meta_decode(ret_found->record.body, path, &ret_found->meta);
}

void kv_found_fini(struct kv_found *found)
{
    kv_record_fini(&found->record);
    kv_meta_fini(&found->meta);
}

enum qk_err kv_config_get(struct service *service, const struct catalog_database *database,
                          struct kv_record *ret_record, struct kv_config *ret_config)
{
    struct kv_id id = kv_id_config();
    enum qk_err err = kv_record_get(service, database, &id, ret_record);

    *ret_config = (struct kv_config){0};
    if (err != QK_OK || ret_record->stored.version == 0)
        return err;
    return kv_config_decode(ret_record->body, ret_config);
}
