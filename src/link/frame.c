#include "link/frame.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "secret/crypto.h"

#define PROTOCOL "quorumkeep link 1"
#define MAC1_LABEL "quorumkeep mac1"

static const uint8_t frame_magic[4] = {'Q', 'K', 'L', 'K'};

_Static_assert(sizeof PROTOCOL - 1 + CLUSTER_ID_BYTES + FRAME_HEADER_BYTES <=
                   FRAME_PROLOGUE_BYTES_MAX,
               "the prologue fits");

void frame_header(enum frame_kind kind, size_t message_len,
                  uint8_t ret_header[static FRAME_HEADER_BYTES])
{
    assert(message_len <= FRAME_HANDSHAKE_BYTES_MAX);
    memcpy(ret_header, frame_magic, sizeof frame_magic);
    ret_header[4] = FRAME_VERSION;
    ret_header[5] = (uint8_t)kind;
    put_u16(ret_header + 6, (uint16_t)message_len);
}

void frame_prologue(const uint8_t cluster_id[static CLUSTER_ID_BYTES],
                    const uint8_t header[static FRAME_HEADER_BYTES], struct buf *out)
{
    buf_put_str(out, PROTOCOL);
    buf_put(out, cluster_id, CLUSTER_ID_BYTES);
    buf_put(out, header, FRAME_HEADER_BYTES);
}

/* Everything here is public, the key included; no wrapper of secret/ is due. */
void frame_mac1(const uint8_t responder_pk[static NOISE_KEY_BYTES], struct bytes header_and_message,
                uint8_t ret_mac[static FRAME_MAC1_BYTES])
{
    const struct bytes parts[] = {bytes_str(MAC1_LABEL), bytes_of(responder_pk, NOISE_KEY_BYTES)};
    uint8_t key[HASH_BYTES];

    hash_compute(parts, 2, key);
    (void)crypto_generichash(ret_mac, FRAME_MAC1_BYTES, header_and_message.data,
                             header_and_message.len, key, sizeof key);
}

enum qk_err frame_first_scan(struct bytes in, size_t *ret_len)
{
    size_t common = in.len < sizeof frame_magic ? in.len : sizeof frame_magic;
    size_t message_len;

    *ret_len = 0;
    if (common > 0 && memcmp(in.data, frame_magic, common) != 0)
        return QK_ERR_CORRUPT;
    if (in.len > 4 && in.data[4] != FRAME_VERSION)
        return QK_ERR_UNSUPPORTED;
    if (in.len > 5 && in.data[5] != FRAME_MEMBER && in.data[5] != FRAME_JOIN)
        return QK_ERR_UNSUPPORTED;
    if (in.len < FRAME_HEADER_BYTES)
        return QK_OK;
    message_len = get_u16(in.data + 6);
    if (message_len > FRAME_HANDSHAKE_BYTES_MAX)
        return QK_ERR_CORRUPT;
    if (in.len >= FRAME_HEADER_BYTES + message_len + FRAME_MAC1_BYTES)
        *ret_len = FRAME_HEADER_BYTES + message_len + FRAME_MAC1_BYTES;
    return QK_OK;
}

enum qk_err frame_scan(struct bytes in, size_t message_len_max, size_t *ret_len)
{
    size_t message_len;

    *ret_len = 0;
    if (in.len < FRAME_LENGTH_BYTES)
        return QK_OK;
    message_len = get_u16(in.data);
    if (message_len > message_len_max || message_len < NOISE_TAG_BYTES)
        return QK_ERR_CORRUPT;
    if (in.len >= FRAME_LENGTH_BYTES + message_len)
        *ret_len = FRAME_LENGTH_BYTES + message_len;
    return QK_OK;
}

enum qk_err frame_first_open(struct bytes frame, const uint8_t own_pk[static NOISE_KEY_BYTES],
                             enum frame_kind *ret_kind, struct bytes *ret_message)
{
    uint8_t mac[FRAME_MAC1_BYTES];
    size_t signed_len;

    assert(frame.len >= FRAME_HEADER_BYTES + FRAME_MAC1_BYTES); /* frame_first_scan said so */
    signed_len = frame.len - FRAME_MAC1_BYTES;
    frame_mac1(own_pk, bytes_slice(frame, 0, signed_len), mac);
    if (sodium_memcmp(mac, frame.data + signed_len, sizeof mac) != 0)
        return QK_ERR_CORRUPT;
    *ret_kind = frame.data[5] == FRAME_JOIN ? FRAME_JOIN : FRAME_MEMBER;
    *ret_message = bytes_slice(frame, FRAME_HEADER_BYTES, signed_len - FRAME_HEADER_BYTES);
    return QK_OK;
}
