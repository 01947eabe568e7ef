#include "link/session.h"

#include <assert.h>

#include "base/limits.h"
#include "secret/secret.h"

#define REKEY_BIT 0x80

/* A scratch that once held a big record is given back, so that an idle link stays small. */
#define SCRATCH_KEPT_BYTES (8 * KIB)

void session_init(struct session *session, struct secret *send_key, struct secret *receive_key,
                  uint64_t now_ms)
{
    *session = (struct session){
        .send = {.key = send_key},
        .receive = {.key = receive_key},
        .keyed_ms = now_ms,
        .scratch = BUF_SECRET_INIT(NOISE_MESSAGE_BYTES_MAX),
    };
}

void session_fini(struct session *session)
{
    noise_cipher_fini(&session->send);
    noise_cipher_fini(&session->receive);
    buf_fini(&session->scratch);
}

static void scratch_clear(struct buf *scratch)
{
    if (scratch->cap > SCRATCH_KEPT_BYTES)
        buf_fini(scratch);
    else
        buf_reset(scratch);
}

/* The sender decides when to rekey and says so in the last record under the old key, so that both
 * ends change at the same record whatever their clocks say. */
static bool rekey_is_due(const struct session *session, uint64_t now_ms)
{
    return session->sent_n + 1 >= SESSION_REKEY_MESSAGES ||
           (now_ms > session->keyed_ms && now_ms - session->keyed_ms >= SESSION_REKEY_MS);
}

static enum qk_err sender_rekey(struct session *session, uint64_t now_ms)
{
    session->sent_n = 0;
    session->keyed_ms = now_ms;
    return noise_cipher_rekey(&session->send);
}

enum qk_err session_seal(struct session *session, uint64_t now_ms, uint8_t kind, struct bytes head,
                         struct bytes tail, struct buf *out)
{
    bool rekey = rekey_is_due(session, now_ms);
    enum qk_err err;

    assert(kind > 0 && kind <= SESSION_KIND_MAX);
    if (tail.len > SESSION_BODY_BYTES_MAX || head.len > SESSION_BODY_BYTES_MAX - tail.len)
        return QK_ERR_TOO_BIG;
    buf_reset(&session->scratch);
    buf_put_u8(&session->scratch, (uint8_t)(kind | (rekey ? REKEY_BIT : 0)));
    buf_put_bytes(&session->scratch, head);
    buf_put_bytes(&session->scratch, tail);
    err = buf_error(&session->scratch);
    if (err != QK_OK)
        return err;
    buf_put_u16(out, (uint16_t)(session->scratch.len + NOISE_TAG_BYTES));
    err = buf_error(out);
    if (err == QK_OK)
        err = noise_cipher_seal(&session->send, buf_bytes(&session->scratch), out);
    scratch_clear(&session->scratch);
    if (err != QK_OK)
        return err;
    session->sent_n++;
    return rekey ? sender_rekey(session, now_ms) : QK_OK;
}

/* The receiver enforces the count alone: by its own clock a record that waited in a socket buffer
 * while this process was stopped would look like a sender that does not rekey. */
enum qk_err session_open(struct session *session, struct bytes sealed, uint8_t *ret_kind,
                         struct bytes *ret_body)
{
    enum qk_err err;
    uint8_t kind;

    if (session->received_n >= SESSION_REKEY_MESSAGES)
        return QK_ERR_CORRUPT;
    scratch_clear(&session->scratch);
    err = noise_cipher_open(&session->receive, sealed, &session->scratch);
    if (err != QK_OK)
        return err;
    if (session->scratch.len < 1)
        return QK_ERR_CORRUPT;
    session->received_n++;
    kind = session->scratch.data[0];
    if ((kind & REKEY_BIT) != 0) {
        session->received_n = 0;
        err = noise_cipher_rekey(&session->receive);
        if (err != QK_OK)
            return err;
    }
    *ret_kind = (uint8_t)(kind & SESSION_KIND_MAX);
    *ret_body = bytes_slice(buf_bytes(&session->scratch), 1, session->scratch.len - 1);
    return QK_OK;
}
