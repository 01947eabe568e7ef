#include "service/bodies.h"

#include "keys/keyring.h"

bool bodies_are_clear(const struct catalog_database *database)
{
    return database->bodies == BODIES_CLEAR;
}

bool bodies_may_be_clear(const struct service *service,
                         const uint8_t database[static DATABASE_ID_BYTES], struct bytes envelope)
{
    const struct catalog_database *found = envelope_is_clear(envelope) && service->catalog != NULL
                                               ? catalog_database_of(service->catalog, database)
                                               : NULL;

    return found != NULL && found->bodies != BODIES_SEALED;
}

bool bodies_are_to_seal(const struct service *service,
                        const uint8_t database[static DATABASE_ID_BYTES], struct bytes envelope)
{
    const struct catalog_database *found = envelope_is_clear(envelope) && service->catalog != NULL
                                               ? catalog_database_of(service->catalog, database)
                                               : NULL;

    return found != NULL && found->bodies == BODIES_WERE_CLEAR;
}

struct sealing {
    const struct service *service;
    struct wire_command *command;
    enum qk_err err;
};

static bool seal_one(void *arg, const struct catalog_database *database)
{
    struct sealing *sealing = arg;
    struct catalog_database next = *database; /* its lists stay the catalog's */
    struct buf value = BUF_INIT(RECORD_VALUE_BYTES_MAX);

    if (database->bodies != BODIES_WERE_CLEAR)
        return true;
    next.bodies = BODIES_SEALED;
    sealing->err =
        catalog_database_seal(sealing->service, &next, database->record_version + 1, &value);
    if (sealing->err == QK_OK)
        wire_command_put(sealing->command, bytes_of(database->key, CATALOG_KEY_BYTES),
                         database->record_version + 1, 0, buf_bytes(&value));
    buf_fini(&value);
    return sealing->err == QK_OK;
}

enum qk_err bodies_put_sealed(const struct service *service, struct wire_command *command)
{
    struct sealing sealing = {.service = service, .command = command};

    catalog_databases_each(service->catalog, seal_one, &sealing);
    return sealing.err;
}

enum qk_err bodies_open(const struct service *service,
                        const uint8_t database[static DATABASE_ID_BYTES],
                        const struct envelope_aad *aad, struct bytes envelope, struct buf *out)
{
    return keyring_open_body(service->keyring, aad, envelope,
                             bodies_may_be_clear(service, database, envelope), out);
}
