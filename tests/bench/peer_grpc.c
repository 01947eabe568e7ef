/* etcd's Put and Range over gRPC: HTTP/2 by nghttp2, the two messages of protobuf by hand. A
 * message is a byte 0 (not compressed), its length in four bytes, and fields of "number << 3 | 2",
 * length, bytes (https://protobuf.dev/programming-guides/encoding). */
#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "peers.h"

#define MESSAGE_BYTES_MAX (16 * MIB)
#define WINDOW_BYTES (1 << 20)
#define FIELD_KEY 1
#define FIELD_VALUE 2

struct grpc_slot {
    struct buf message;
    size_t sent;
    size_t got; /* bytes of the reply's message */
    bool good;
};

struct grpc_state {
    nghttp2_session *session;
    struct load_conn *conn;
    struct grpc_slot *slots;
    unsigned slots_n;
};

static void put_varint(struct buf *out, size_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_put_u8(out, (uint8_t)(value | 0x80));
    buf_put_u8(out, (uint8_t)value);
}

static void put_field(struct buf *out, uint8_t number, struct bytes bytes)
{
    buf_put_u8(out, (uint8_t)(number << 3 | 2));
    put_varint(out, bytes.len);
    buf_put_bytes(out, bytes);
}

static void put_message(struct peer *peer, struct buf *out)
{
    char key[LOAD_KEY_BYTES];

    buf_reset(out);
    peer_key(peer, key);
    buf_put_u8(out, 0);
    buf_put_u32(out, 0);
    put_field(out, FIELD_KEY, bytes_str(key));
    if (!peer->reads)
        put_field(out, FIELD_VALUE, buf_bytes(&peer->value));
    if (buf_error(out) == QK_OK)
        put_u32(out->data + 1, (uint32_t)(out->len - 5));
}

static ssize_t on_read(nghttp2_session *session, int32_t stream, uint8_t *room, size_t len,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct grpc_slot *slot = source->ptr;
    struct bytes rest = bytes_slice(buf_bytes(&slot->message), slot->sent, len);

    (void)session;
    (void)stream;
    (void)arg;
    memcpy(room, rest.data, rest.len);
    slot->sent += rest.len;
    if (slot->sent == slot->message.len)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)rest.len;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct grpc_slot *slot = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)arg;
    if (slot != NULL && bytes_equal(bytes_of(name, name_len), bytes_str("grpc-status")))
        slot->good = value_len == 1 && value[0] == '0';
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t len, void *arg)
{
    struct grpc_slot *slot = nghttp2_session_get_stream_user_data(session, stream);

    (void)flags;
    (void)data;
    (void)arg;
    if (slot != NULL)
        slot->got += len;
    return 0;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *arg)
{
    struct grpc_state *state = arg;
    struct grpc_slot *slot = nghttp2_session_get_stream_user_data(session, stream);
    const struct peer *peer = state->conn->arg;

    (void)code;
    if (slot == NULL)
        return 0;
    if (slot->good && peer->reads && slot->got < peer->value.len)
        load_done(state->conn, (unsigned)(slot - state->slots), 1, "a key that is not there");
    else
        load_done(state->conn, (unsigned)(slot - state->slots), 1,
                  slot->good ? NULL : "an error of etcd");
    return 0;
}

static bool flush_session(struct grpc_state *state)
{
    const uint8_t *data;
    ssize_t len;

    while ((len = nghttp2_session_mem_send(state->session, &data)) > 0)
        buf_put(&state->conn->out, data, (size_t)len);
    return len == 0 && buf_error(&state->conn->out) == QK_OK;
}

static enum qk_err make_session(struct grpc_state *state)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES}};
    nghttp2_session_callbacks *callbacks;
    int rc;

    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return QK_ERR_NOMEM;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    rc = nghttp2_session_client_new(&state->session, callbacks, state);
    nghttp2_session_callbacks_del(callbacks);
    if (rc != 0 || nghttp2_submit_settings(state->session, 0, settings, 1) != 0)
        return QK_ERR_NOMEM;
    return flush_session(state) ? QK_OK : QK_ERR_IO;
}

static enum qk_err grpc_open(struct load_conn *conn)
{
    struct grpc_state *state = calloc(1, sizeof(*state));

    if (state == NULL)
        return QK_ERR_NOMEM;
    conn->state = state;
    state->conn = conn;
    state->slots_n = conn->slots_n;
    state->slots = calloc(conn->slots_n, sizeof(*state->slots));
    if (state->slots == NULL)
        return QK_ERR_NOMEM;
    for (unsigned i = 0; i < conn->slots_n; i++)
        state->slots[i].message = BUF_INIT(MESSAGE_BYTES_MAX);
    return make_session(state);
}

#define FIELD(name, value)                                                                         \
    {                                                                                              \
        (uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1,             \
            strlen(value), NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE            \
    }

static void grpc_ask(struct load_conn *conn, unsigned at)
{
    struct grpc_state *state = conn->state;
    struct peer *peer = conn->arg;
    struct grpc_slot *slot = &state->slots[at];
    const char *path = peer->reads ? "/etcdserverpb.KV/Range" : "/etcdserverpb.KV/Put";
    const nghttp2_nv fields[] = {
        FIELD(":method", "POST"), FIELD(":scheme", "http"),
        FIELD(":path", path),     FIELD(":authority", "bench"),
        FIELD("te", "trailers"),  FIELD("content-type", "application/grpc")};
    nghttp2_data_provider provider = {.source.ptr = slot, .read_callback = on_read};

    put_message(peer, &slot->message);
    slot->sent = slot->got = 0;
    slot->good = false;
    (void)nghttp2_submit_request(state->session, NULL, fields, sizeof(fields) / sizeof(fields[0]),
                                 &provider, slot);
    (void)flush_session(state);
}

static bool grpc_take(struct load_conn *conn, struct bytes in)
{
    struct grpc_state *state = conn->state;

    if (nghttp2_session_mem_recv(state->session, in.data, in.len) != (ssize_t)in.len)
        return false;
    return flush_session(state); /* windows and acknowledgements */
}

static void grpc_close(struct load_conn *conn)
{
    struct grpc_state *state = conn->state;

    if (state == NULL)
        return;
    nghttp2_session_del(state->session);
    for (unsigned i = 0; i < state->slots_n && state->slots != NULL; i++)
        buf_fini(&state->slots[i].message);
    free(state->slots);
    free(state);
    conn->state = NULL;
}

const struct load_wire peer_grpc_wire = {
    .open = grpc_open, .ask = grpc_ask, .take = grpc_take, .close = grpc_close};
