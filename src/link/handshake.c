#include "link/handshake.h"

#include <assert.h>
#include <string.h>

#include "secret/secret.h"

/* Message 1: ephemeral key, for members also the sealed static key, then the sealed payload. */
#define MEMBER_PAYLOAD_BYTES (NODE_ID_BYTES + BOOT_ID_BYTES)
#define MEMBER_FIRST_BYTES                                                                         \
    (NOISE_KEY_BYTES + NOISE_KEY_BYTES + NOISE_TAG_BYTES + MEMBER_PAYLOAD_BYTES + NOISE_TAG_BYTES)
#define JOIN_FIRST_BYTES (NOISE_KEY_BYTES + HANDSHAKE_TOKEN_ID_BYTES + NOISE_TAG_BYTES)

_Static_assert(MEMBER_FIRST_BYTES <= FRAME_HANDSHAKE_BYTES_MAX, "the first message fits");

/* What a refusal looks like on the wire: part of the protocol, unlike the numbers of qk_err. */
static const struct {
    uint8_t status;
    enum qk_err err;
} join_statuses[] = {
    {0, QK_OK},         {1, QK_ERR_DENIED}, {2, QK_ERR_NOT_FOUND}, {3, QK_ERR_EXPIRED},
    {4, QK_ERR_EXISTS}, {5, QK_ERR_SEALED}, {6, QK_ERR_BUSY},      {7, QK_ERR_NOT_LEADER},
};
#define JOIN_STATUSES_N (sizeof join_statuses / sizeof join_statuses[0])
#define JOIN_STATUS_DENIED 1

static uint8_t status_of(enum qk_err err)
{
    for (size_t i = 0; i < JOIN_STATUSES_N; i++)
        if (join_statuses[i].err == err)
            return join_statuses[i].status;
    return JOIN_STATUS_DENIED;
}

static enum qk_err status_err(uint8_t status)
{
    for (size_t i = 0; i < JOIN_STATUSES_N; i++)
        if (join_statuses[i].status == status)
            return join_statuses[i].err;
    return QK_ERR_DENIED;
}

static enum qk_err start_noise(struct handshake *handshake, const uint8_t *remote_pk,
                               const uint8_t header[static FRAME_HEADER_BYTES])
{
    const struct handshake_self *self = handshake->self;
    struct buf prologue = BUF_INIT(FRAME_PROLOGUE_BYTES_MAX);
    bool join = handshake->kind == FRAME_JOIN;
    struct noise_config config = {
        .pattern = join ? &noise_xkpsk3 : &noise_ikpsk2,
        .initiator = handshake->initiator,
        .static_key = self->identity,
        .static_pk = self->pk,
        .remote_pk = remote_pk,
        /* A responder of a join learns the token's psk from handshake_answer. */
        .psk = join && !handshake->initiator ? NULL : self->psk,
    };
    enum qk_err err;

    frame_prologue(self->cluster_id, header, &prologue);
    err = buf_error(&prologue);
    if (err == QK_OK) {
        config.prologue = buf_bytes(&prologue);
        err = noise_init(&handshake->noise, &config);
    }
    buf_fini(&prologue);
    handshake->begun = err == QK_OK;
    return err;
}

static enum qk_err write_first(struct handshake *handshake, const uint8_t *remote_pk,
                               struct bytes payload, struct buf *out)
{
    size_t len = handshake->kind == FRAME_JOIN ? JOIN_FIRST_BYTES : MEMBER_FIRST_BYTES;
    uint8_t header[FRAME_HEADER_BYTES], mac[FRAME_MAC1_BYTES];
    size_t start = out->len;
    enum qk_err err;

    frame_header(handshake->kind, len, header);
    err = start_noise(handshake, remote_pk, header);
    if (err != QK_OK)
        return err;
    buf_put(out, header, sizeof header);
    err = noise_write(&handshake->noise, payload, out);
    if (err != QK_OK)
        return err;
    assert(out->len - start == FRAME_HEADER_BYTES + len);
    frame_mac1(remote_pk, bytes_slice(buf_bytes(out), start, FRAME_HEADER_BYTES + len), mac);
    buf_put(out, mac, sizeof mac);
    return buf_error(out);
}

enum qk_err handshake_begin(struct handshake *handshake, const struct handshake_self *self,
                            enum frame_kind kind, const uint8_t remote_pk[static NOISE_KEY_BYTES],
                            const uint8_t *token_id, struct buf *out)
{
    uint8_t payload[MEMBER_PAYLOAD_BYTES];
    size_t len = kind == FRAME_JOIN ? HANDSHAKE_TOKEN_ID_BYTES : MEMBER_PAYLOAD_BYTES;

    assert((kind == FRAME_JOIN) == (token_id != NULL));
    *handshake = (struct handshake){.self = self, .kind = kind, .initiator = true};
    if (kind == FRAME_JOIN) {
        memcpy(handshake->token_id, token_id, HANDSHAKE_TOKEN_ID_BYTES);
        memcpy(payload, token_id, HANDSHAKE_TOKEN_ID_BYTES);
    } else {
        memcpy(payload, self->node_id, NODE_ID_BYTES);
        memcpy(payload + NODE_ID_BYTES, self->boot_id, BOOT_ID_BYTES);
    }
    return write_first(handshake, remote_pk, bytes_of(payload, len), out);
}

void handshake_await(struct handshake *handshake, const struct handshake_self *self)
{
    *handshake = (struct handshake){.self = self};
}

void handshake_fini(struct handshake *handshake)
{
    if (handshake->begun)
        noise_fini(&handshake->noise);
    handshake->begun = false;
    secret_free(handshake->token_psk);
    handshake->token_psk = NULL;
}

enum qk_err handshake_scan(const struct handshake *handshake, struct bytes in, size_t *ret_len)
{
    if (!handshake->initiator && !handshake->begun)
        return frame_first_scan(in, ret_len);
    return frame_scan(in, FRAME_HANDSHAKE_BYTES_MAX, ret_len);
}

static enum qk_err write_next(struct handshake *handshake, struct bytes payload, struct buf *out)
{
    struct buf message = BUF_INIT(FRAME_HANDSHAKE_BYTES_MAX);
    enum qk_err err = noise_write(&handshake->noise, payload, &message);

    if (err == QK_OK) {
        buf_put_u16(out, (uint16_t)message.len);
        buf_put_bytes(out, buf_bytes(&message));
        err = buf_error(out);
    }
    buf_fini(&message);
    return err;
}

static enum qk_err read_member_first(struct handshake *handshake, struct bytes payload,
                                     struct buf *out, enum handshake_step *ret_step)
{
    struct reader reader = reader_of(payload);

    reader_copy(&reader, handshake->remote_node_id, NODE_ID_BYTES);
    reader_copy(&reader, handshake->remote_boot_id, BOOT_ID_BYTES);
    if (reader_end(&reader) != QK_OK)
        return QK_ERR_CORRUPT;
    *ret_step = HANDSHAKE_DONE;
    return write_next(handshake, bytes_of(handshake->self->boot_id, BOOT_ID_BYTES), out);
}

static enum qk_err read_join_first(struct handshake *handshake, struct bytes payload,
                                   enum handshake_step *ret_step)
{
    if (payload.len != HANDSHAKE_TOKEN_ID_BYTES)
        return QK_ERR_CORRUPT;
    memcpy(handshake->token_id, payload.data, HANDSHAKE_TOKEN_ID_BYTES);
    handshake->asking = true;
    *ret_step = HANDSHAKE_ASKS;
    return QK_OK;
}

/* Message 2 at the initiator. */
static enum qk_err read_second(struct handshake *handshake, struct bytes payload, struct buf *out,
                               enum handshake_step *ret_step)
{
    enum qk_err err;

    *ret_step = HANDSHAKE_DONE;
    if (handshake->kind == FRAME_MEMBER) {
        if (payload.len != BOOT_ID_BYTES)
            return QK_ERR_CORRUPT;
        memcpy(handshake->remote_boot_id, payload.data, BOOT_ID_BYTES);
        return QK_OK;
    }
    if (payload.len != 1)
        return QK_ERR_CORRUPT;
    err = status_err(payload.data[0]);
    return err == QK_OK ? write_next(handshake, BYTES_NONE, out) : err;
}

static enum qk_err read_payload(struct handshake *handshake, struct bytes payload, struct buf *out,
                                enum handshake_step *ret_step)
{
    if (handshake->initiator)
        return read_second(handshake, payload, out, ret_step);
    if (handshake->kind == FRAME_MEMBER)
        return read_member_first(handshake, payload, out, ret_step);
    if (handshake->noise.message_n == 1)
        return read_join_first(handshake, payload, ret_step);
    *ret_step = HANDSHAKE_DONE; /* message 3 of a join */
    return payload.len == 0 ? QK_OK : QK_ERR_CORRUPT;
}

static enum qk_err open_first(struct handshake *handshake, struct bytes frame,
                              struct bytes *ret_message)
{
    enum qk_err err = frame_first_open(frame, handshake->self->pk, &handshake->kind, ret_message);

    return err == QK_OK ? start_noise(handshake, NULL, frame.data) : err;
}

enum qk_err handshake_read(struct handshake *handshake, struct bytes frame, struct buf *out,
                           enum handshake_step *ret_step)
{
    struct bytes message = bytes_slice(frame, FRAME_LENGTH_BYTES, frame.len);
    struct buf payload = BUF_SECRET_INIT(FRAME_HANDSHAKE_BYTES_MAX);
    enum qk_err err = QK_OK;

    *ret_step = HANDSHAKE_WAITS;
    if (handshake->asking || handshake->refused) /* it is our turn: the peer must wait */
        return QK_ERR_CORRUPT;
    if (!handshake->begun)
        err = open_first(handshake, frame, &message);
    if (err == QK_OK)
        err = noise_read(&handshake->noise, message, &payload);
    if (err == QK_OK)
        err = read_payload(handshake, buf_bytes(&payload), out, ret_step);
    buf_fini(&payload);
    return err;
}

enum qk_err handshake_answer(struct handshake *handshake, enum qk_err answer,
                             const struct secret *psk, struct buf *out)
{
    uint8_t status = status_of(answer);
    enum qk_err err;

    assert(handshake->asking);
    assert(answer != QK_OK || psk != NULL);
    handshake->asking = false;
    if (answer == QK_OK) {
        err = secret_new_clone(psk, &handshake->token_psk);
        if (err != QK_OK)
            return err;
        noise_set_psk(&handshake->noise, handshake->token_psk);
    }
    handshake->refused = answer != QK_OK;
    return write_next(handshake, bytes_of(&status, 1), out);
}

bool handshake_is_confirmed_by_record(const struct handshake *handshake)
{
    return handshake->initiator == (handshake->kind == FRAME_JOIN);
}

const uint8_t *handshake_remote_pk(const struct handshake *handshake)
{
    return handshake->begun ? noise_remote_pk(&handshake->noise) : NULL;
}

enum qk_err handshake_finish(struct handshake *handshake, struct secret **ret_send,
                             struct secret **ret_receive)
{
    if (handshake->initiator)
        return noise_split(&handshake->noise, ret_send, ret_receive);
    return noise_split(&handshake->noise, ret_receive, ret_send);
}
