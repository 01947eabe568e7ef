#include "service/write_right.h"

#include <string.h>

#include "service/authorize.h"

enum qk_err write_authorize_key(struct service *service, struct write *write,
                                const uint8_t key_id[static KEY_ID_BYTES])
{
    enum qk_err err =
        authorize_key(service, &write->exchange->request.who, key_id, ACCESS_KEY_ENCRYPT);

    if (err == QK_ERR_DENIED)
        write->state = WRITE_NO_GRANT;
    return err;
}

/* As in CouchDB, what the database's design says is for its administrators. */
static enum access_right write_needs(const struct write *write)
{
    return bytes_starts_with(write->id, bytes_str("_design/")) ? ACCESS_DB_ADMIN : ACCESS_DB_WRITE;
}

enum qk_err write_authorize(struct service *service, struct write *write,
                            const struct catalog_database *database,
                            const struct doc_record *record)
{
    enum qk_err err = authorize_exchange(service, write->exchange, database, write_needs(write));
    unsigned i;

    if (err == QK_ERR_DENIED || err == QK_ERR_UNAUTHENTICATED) {
        write->state = WRITE_DENIED;
        write->err = err;
    }
    for (i = 0; err == QK_OK && i < record->leaves_n; i++)
        err = write_authorize_key(service, write, record->leaves[i].key_id);
    return err;
}

void write_replaced_keys(const struct doc_record *record, struct buf *out)
{
    unsigned i;

    for (i = 0; i < record->leaves_n; i++)
        buf_put(out, record->leaves[i].key_id, KEY_ID_BYTES);
}

void write_right_conds(struct service *service, const struct write *write,
                       const uint8_t key_id[static KEY_ID_BYTES], struct bytes replaced,
                       struct wire_command *command)
{
    const struct principal *who = &write->exchange->request.who;
    size_t at;

    authorize_conditions(service, who, key_id, command);
    for (at = 0; at < replaced.len; at += KEY_ID_BYTES) {
        if (memcmp(replaced.data + at, key_id, KEY_ID_BYTES) != 0)
            authorize_conditions(service, who, replaced.data + at, command);
    }
}

enum write_state write_state_no_key(struct service *service, const struct write *write)
{
    return authorize_user(service, &write->exchange->request.who, ACCESS_CLUSTER) == QK_OK
               ? WRITE_NO_KEY
               : WRITE_NO_GRANT;
}
