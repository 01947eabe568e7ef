/* The routes about data keys, and what the hub does for the keyring: it learns of each record as it
 * is applied. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <string.h>

#include "keys/keyring.h"
#include "service/documents/db_encryption.h"
#include "service/keys/keys_admin.h"
#include "service/keys/reencrypt.h"
#include "service/query/views.h"
#include "wire/records.h"

service_handler documents_keys_handler(const struct request *request)
{
    bool read = request->method == METHOD_GET || request->method == METHOD_HEAD;
    struct bytes last = request->segments[request->segments_n - 1];

    if (request->segments_n == 2)
        return read ? handle_keys : handle_keys_post;
    if (bytes_equal(last, bytes_str("rotate")))
        return handle_key_rotate;
    if (bytes_equal(last, bytes_str("destroy")))
        return handle_key_destroy;
    if (bytes_equal(last, bytes_str("limits")))
        return handle_key_limits;
    return read ? handle_key : handle_keys_reencrypt;
}

static void keyring_changed(void *arg, struct bytes key)
{
    struct documents *documents = arg;
    struct record record;

    if (store_get(documents->service.store, key, &record) == QK_OK)
        cr_assert_eq(keyring_add(documents->service.keyring, record_key_name(key), record.value),
                     QK_OK);
    views_key_changed(&documents->service, record_key_name(key));
}

void documents_watch_keyring(struct documents *documents)
{
    uint8_t space[DATABASE_ID_BYTES];

    record_space_id(RECORD_KEYRING, space);
    cr_assert_eq(store_watch(documents->service.store, bytes_of(space, sizeof(space)),
                             keyring_changed, documents),
                 QK_OK);
}
