#include "seal/node_sec_half.h"

#include <assert.h>
#include <string.h>

#define FLAG_FOUNDED 1u

static size_t put_secret(uint8_t *out, const struct secret *secret)
{
    memcpy(out, secret_borrow(secret), secret_len(secret));
    secret_return(secret);
    return secret_len(secret);
}

/* The payload of node_sec_half.h; what follows the last generation is zero. */
void node_sec_encode(const struct node_sec *node, uint8_t *out)
{
    uint8_t *at = out;

    memset(out, 0, HALF_PAYLOAD_BYTES);
    memcpy(at, NODE_SEC_MAGIC, 4);
    put_u16(at + 4, NODE_SEC_VERSION);
    put_u16(at + 6, node->founded ? FLAG_FOUNDED : 0);
    at += 8;
    memcpy(at, node->cluster_id, CLUSTER_ID_BYTES);
    memcpy(at + 16, node->node_id, NODE_ID_BYTES);
    put_u64(at + 32, node->raft_id);
    put_u32(at + 40, node->x);
    put_u64(at + 44, node->boot_counter);
    put_u64(at + 52, node->gen_last);
    at += 60;
    at += put_secret(at, node->identity);
    at += put_secret(at, node->cluster_psk);
    *at++ = (uint8_t)node->gens_n;
    for (size_t i = 0; i < node->gens_n; i++) {
        put_u64(at, node->gens[i].gen);
        at += 8;
        at += put_secret(at, node->gens[i].d);
        at += put_secret(at, node->gens[i].p);
    }
    assert((size_t)(at - out) <= HALF_PAYLOAD_BYTES);
}

static enum qk_err take_secret(struct reader *reader, struct secret **ret_secret)
{
    struct bytes raw = reader_bytes(reader, KEY_BYTES);

    return raw.len != KEY_BYTES ? QK_ERR_CORRUPT : secret_new_copy(raw.data, raw.len, ret_secret);
}

static enum qk_err decode_generations(struct reader *reader, struct node_sec *node)
{
    size_t n = reader_u8(reader);
    enum qk_err err = n > NODE_SEC_GENERATIONS_MAX ? QK_ERR_CORRUPT : QK_OK;

    for (size_t i = 0; i < n && err == QK_OK; i++) {
        struct node_sec_generation *gen = &node->gens[i];

        node->gens_n = i + 1; /* node_sec_free looks at this many */
        gen->gen = reader_u64(reader);
        if (gen->gen == 0 || gen->gen > node->gen_last ||
            (i > 0 && gen->gen <= node->gens[i - 1].gen))
            return QK_ERR_CORRUPT;
        err = take_secret(reader, &gen->d);
        if (err == QK_OK)
            err = take_secret(reader, &gen->p);
    }
    return err;
}

enum qk_err node_sec_decode(struct bytes payload, struct node_sec *node)
{
    struct reader reader = reader_of(payload);
    struct bytes magic = reader_bytes(&reader, 4);
    uint16_t version = reader_u16(&reader);
    enum qk_err err;

    if (!bytes_equal(magic, bytes_str(NODE_SEC_MAGIC)))
        return QK_ERR_CORRUPT;
    if (version != NODE_SEC_VERSION)
        return QK_ERR_UNSUPPORTED;
    node->founded = (reader_u16(&reader) & FLAG_FOUNDED) != 0;
    reader_copy(&reader, node->cluster_id, sizeof node->cluster_id);
    reader_copy(&reader, node->node_id, sizeof node->node_id);
    node->raft_id = reader_u64(&reader);
    node->x = reader_u32(&reader);
    node->boot_counter = reader_u64(&reader);
    node->gen_last = reader_u64(&reader);
    err = take_secret(&reader, &node->identity);
    if (err == QK_OK)
        err = take_secret(&reader, &node->cluster_psk);
    if (err == QK_OK)
        err = decode_generations(&reader, node);
    if (err == QK_OK)
        err = x25519_public(node->identity, node->noise_pk);
    return err;
}
