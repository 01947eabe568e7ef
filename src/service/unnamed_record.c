#include "service/unnamed_record.h"

#include "keys/keyring.h"

#define FORMAT 1
#define LABEL "unnamed content"
#define PARTS_N 4

static void mac_parts(const struct service *service, const uint8_t *database, const uint8_t *id,
                      struct bytes name, struct bytes ret_parts[static PARTS_N])
{
    ret_parts[0] = bytes_of(service->origin_id, CLUSTER_ID_BYTES);
    ret_parts[1] = bytes_of(database, DATABASE_ID_BYTES);
    ret_parts[2] = bytes_of(id, ATTACHMENT_ID_BYTES);
    ret_parts[3] = name;
}

enum qk_err unnamed_record_encode(const struct service *service,
                                  const uint8_t database[static DATABASE_ID_BYTES],
                                  const uint8_t id[static ATTACHMENT_ID_BYTES], struct bytes name,
                                  struct buf *out)
{
    struct bytes parts[PARTS_N];
    uint8_t mac[HASH_BYTES];
    enum qk_err err;

    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    mac_parts(service, database, id, name, parts);
    err = mac_compute(keyring_integrity_key(service->keyring), LABEL, parts, PARTS_N, mac);
    if (err != QK_OK)
        return err;
    buf_put_u8(out, FORMAT);
    buf_put(out, mac, sizeof(mac));
    buf_put_bytes(out, name);
    return buf_error(out);
}

enum qk_err unnamed_record_decode(const struct service *service,
                                  const uint8_t database[static DATABASE_ID_BYTES],
                                  const uint8_t id[static ATTACHMENT_ID_BYTES], struct bytes value,
                                  struct bytes *ret_name)
{
    struct reader reader = reader_of(value);
    uint8_t format = reader_u8(&reader);
    struct bytes parts[PARTS_N], mac = reader_bytes(&reader, HASH_BYTES);
    struct bytes name = reader_rest(&reader);
    enum qk_err err;

    if (service->keyring == NULL)
        return QK_ERR_SEALED;
    if (reader_error(&reader) != QK_OK || format != FORMAT || name.len == 0 ||
        name.len > RECORD_NAME_BYTES_MAX)
        return QK_ERR_CORRUPT;
    mac_parts(service, database, id, name, parts);
    err = mac_verify(keyring_integrity_key(service->keyring), LABEL, parts, PARTS_N, mac.data);
    if (err == QK_OK)
        *ret_name = name;
    return err;
}
