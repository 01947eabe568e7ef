#include "http/forward.h"

#include <assert.h>
#include <stdlib.h>

#include "base/log.h"

enum qk_err forward_new(struct http *http, struct forward **ret_forward)
{
    struct forward *forward = calloc(1, sizeof *forward);

    if (forward == NULL)
        return QK_ERR_NOMEM;
    forward->http = http;
    *ret_forward = forward;
    return QK_OK;
}

void forward_free(struct forward *forward)
{
    assert(forward == NULL || (forward->outs == NULL && forward->ins == NULL));
    free(forward);
}

enum qk_err forward_post(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                         const struct forward_message *message)
{
    const struct http_hooks *hooks = &forward->http->config.hooks;
    struct buf out = BUF_SECRET_INIT(FORWARD_HEAD_BYTES_MAX + FORWARD_PIECE_BYTES);
    enum qk_err err;

    forward_encode(message, &out);
    err = buf_error(&out);
    if (err == QK_OK)
        err =
            forward->http->closing ? QK_ERR_CLOSED : hooks->send(hooks->arg, peer, buf_bytes(&out));
    buf_fini(&out);
    return err;
}

void forward_receive(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES],
                     struct bytes message)
{
    const struct http_hooks *hooks = &forward->http->config.hooks;
    struct forward_message decoded;
    enum qk_err err;

    if (forward->http->closing)
        return;
    if (!hooks->is_member(hooks->arg, peer)) {
        log_warn("http", "a request forwarded by a node that is no member was dropped");
        return;
    }
    err = forward_decode(message, &decoded);
    if (err != QK_OK) {
        log_warn("http", "a malformed message of a peer was dropped: %s", qk_err_text(err));
        return;
    }
    if (forward_kind_is_request(decoded.kind))
        forward_in_receive(forward, peer, &decoded);
    else
        forward_out_receive(forward, peer, &decoded);
}

void forward_peer_down(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES])
{
    forward_out_peer_down(forward, peer);
    forward_in_peer_down(forward, peer);
}

void forward_drained(struct forward *forward, const uint8_t peer[static NODE_ID_BYTES])
{
    (void)peer;
    forward_tick(forward);
}

void forward_tick(struct forward *forward)
{
    forward_out_tick(forward);
    forward_in_tick(forward);
}

void forward_close(struct forward *forward)
{
    if (forward == NULL)
        return;
    forward_out_close(forward);
    forward_in_close(forward);
}
