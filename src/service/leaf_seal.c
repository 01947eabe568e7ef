#include "service/leaf_seal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "keys/keyring.h"
#include "service/authorize.h"
#include "service/bodies.h"
#include "service/period.h"

enum qk_err leaf_seal_anew(struct service *service,
                           const uint8_t database[static DATABASE_ID_BYTES], struct bytes name,
                           const struct leaf_seal *to, struct doc_leaf *leaf, struct buf *envelope)
{
    struct buf plain = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    uint8_t revision[REVISION_BYTES];
    struct envelope_aad aad = stored_aad(service, database, name, leaf, revision);
    struct doc_leaf next = *leaf;
    enum qk_err err;

    assert(envelope->len == 0);

    err = bodies_open(service, database, &aad, leaf->envelope, &plain);
    if (err == QK_OK)
        err = period_take(service, to->key_id, to->version, plain.len);
    if (err != QK_OK)
        goto out;
    memcpy(next.key_id, to->key_id, KEY_ID_BYTES);
    next.key_version = to->version;
    next.sealed_at = to->sealed_at;
    aad = stored_aad(service, database, name, &next, revision);
    err = keyring_seal_envelope(service->keyring, next.key_id, next.key_version, to->clear, &aad,
                                buf_bytes(&plain), envelope);
    if (err != QK_OK)
        goto out;
    next.envelope = buf_bytes(envelope);
    *leaf = next;

out:
    buf_fini(&plain);
    return err;
}

/* --- under another key ------------------------------------------------------------------------ */

static enum qk_err follow_one(struct service *service, const uint8_t *database, struct bytes name,
                              struct write *write, const struct leaf_seal *to,
                              struct doc_leaf *leaf, struct buf *envelope)
{
    enum qk_err err = keyring_version_check(service->keyring, leaf->key_id, leaf->key_version);

    if (err == QK_ERR_DESTROYED)
        return QK_OK;
    err = authorize_key(service, &write->exchange->request.who, leaf->key_id, ACCESS_KEY_DECRYPT);
    if (err == QK_ERR_DENIED)
        write->state = WRITE_NO_GRANT;
    return err == QK_OK ? leaf_seal_anew(service, database, name, to, leaf, envelope) : err;
}

enum qk_err leaf_follow(struct service *service, const uint8_t database[static DATABASE_ID_BYTES],
                        struct bytes name, struct write *write, const struct doc_leaf *leader,
                        struct doc_record *record, struct leaf_follow *ret_follow)
{
    const struct leaf_seal to = {leader->key_id, leader->key_version, leader->sealed_at,
                                 write->clear};
    enum qk_err err = QK_OK;

    assert(ret_follow->envelopes == NULL);

    ret_follow->envelopes = calloc(record->leaves_n, sizeof(*ret_follow->envelopes));
    if (ret_follow->envelopes == NULL)
        return QK_ERR_NOMEM;
    ret_follow->n = record->leaves_n;
    for (unsigned i = 0; i < record->leaves_n; i++)
        ret_follow->envelopes[i] = BUF_INIT(RECORD_VALUE_BYTES_MAX);
    for (unsigned i = 0; i < record->leaves_n && err == QK_OK; i++) {
        struct doc_leaf *leaf = &record->leaves[i];

        if (memcmp(leaf->key_id, leader->key_id, KEY_ID_BYTES) != 0)
            err = follow_one(service, database, name, write, &to, leaf, &ret_follow->envelopes[i]);
    }
    return err;
}

void leaf_follow_fini(struct leaf_follow *follow)
{
    for (unsigned i = 0; i < follow->n; i++)
        buf_fini(&follow->envelopes[i]);
    free(follow->envelopes);
    *follow = LEAF_FOLLOW_INIT;
}
