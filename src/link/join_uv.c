/* A join at the joiner: dials the token's addresses in turn until one answers as the inviter.
 *
 * The happy path: dial, handshake, the inviter's first record says that it accepted (on_up), what
 * was queued before is sent, messages go to and fro, the connection ends (on_end). An address that
 * fails before on_up gives way to the next; a refusal by the inviter itself is final. */
#include "link/link.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "link/conn_uv.h"

#define TICK_MS 50
#define KEEPALIVE_MS 1000
#define KEEPALIVES_MISSED_MAX 5

struct link_join {
    struct link_join_config config;
    struct handshake_self self;
    uv_timer_t timer;
    bool timer_closed;
    char addresses[LINK_JOIN_ADDRESSES_MAX][ADDRESS_BYTES_MAX + 1];
    size_t addresses_n, tried_n;
    struct conn *conn;
    struct outbox waiting; /* messages queued before on_up */
    enum qk_err err;       /* the most telling failure so far */
    bool up, ended, closing;
    uint64_t ticked_ms;
    void (*close_cb)(void *arg);
    void *close_arg;
};

static void on_conn_event(struct conn *conn, enum link_stream_event event);
static void on_conn_sent(struct conn *conn);
static void on_conn_closed(struct conn *conn);
static const struct conn_ops join_conn_ops = {on_conn_event, on_conn_sent, on_conn_closed};

static void join_free_when_over(struct link_join *join)
{
    void (*cb)(void *arg) = join->close_cb;
    void *arg = join->close_arg;

    if (!join->closing || !join->timer_closed || join->conn != NULL)
        return;
    outbox_fini(&join->waiting);
    free(join);
    if (cb != NULL)
        cb(arg);
}

static void join_end(struct link_join *join)
{
    if (join->ended || join->closing)
        return;
    join->ended = true;
    if (join->config.on_end != NULL)
        join->config.on_end(join->config.arg, join->err == QK_OK ? QK_ERR_IO : join->err);
}

static void join_try_next(struct link_join *join)
{
    struct conn *conn = conn_new(join->config.loop, &join_conn_ops, join);

    if (conn == NULL) {
        join->err = QK_ERR_NOMEM;
        join_end(join);
        return;
    }
    join->conn = conn;
    conn->deadline_ms = conn_now_ms(conn) + join->config.handshake_ms;
    if (link_stream_dial(&conn->stream, &join->self, FRAME_JOIN, join->config.inviter_pk,
                         join->config.token_id) != QK_OK)
        conn_close(conn, QK_ERR_FOREIGN); /* no usable key: nobody can be the inviter */
    else
        conn_dial(conn, join->addresses[join->tried_n % join->addresses_n],
                  (unsigned)(join->tried_n / join->addresses_n));
    join->tried_n++;
}

/* Whole messages: a piece is as long as its message here. */
static void send_waiting(struct link_join *join)
{
    while (!outbox_is_empty(&join->waiting)) {
        struct outbox_piece piece = outbox_next(&join->waiting, LINK_MESSAGE_BYTES_MAX);
        enum qk_err err = outbox_put(&join->conn->stream.outbox, LINK_JOIN, &piece.data, 1);

        outbox_taken(&join->waiting, &piece);
        if (err != QK_OK) {
            conn_close(join->conn, err);
            return;
        }
    }
}

static void on_conn_event(struct conn *conn, enum link_stream_event event)
{
    struct link_join *join = conn->owner;

    if (join->closing)
        return;
    if (event == STREAM_UP) {
        join->up = true;
        send_waiting(join);
        if (join->config.on_up != NULL)
            join->config.on_up(join->config.arg);
    }
    if (event == STREAM_MESSAGE && conn->stream.channel != LINK_JOIN)
        conn_close(conn, QK_ERR_CORRUPT);
    else if (event == STREAM_MESSAGE && join->config.on_message != NULL)
        join->config.on_message(join->config.arg, conn->stream.message);
}

static void on_conn_sent(struct conn *conn)
{
    (void)conn; /* a join has no use for back-pressure beyond QK_ERR_BUSY */
}

/* What the end of a connection that was never up says about the other side. `keyed`: message 2
 * was good, so it is the inviter; then silence means that it could not read message 3. */
static enum qk_err join_failure(const struct conn *conn)
{
    if (conn->err == QK_ERR_CLOSED && conn->connected)
        return conn->stream.keyed ? QK_ERR_DENIED : QK_ERR_FOREIGN;
    return conn->err == QK_ERR_CLOSED ? QK_ERR_IO : conn->err;
}

static bool is_final(enum qk_err err)
{
    return err != QK_ERR_IO && err != QK_ERR_TIMEOUT && err != QK_ERR_FOREIGN &&
           err != QK_ERR_CORRUPT;
}

/* A second round, for names with several addresses, only if nobody at all was reached. */
static bool tried_enough(const struct link_join *join)
{
    return join->tried_n == 2 * join->addresses_n ||
           (join->tried_n >= join->addresses_n && join->err != QK_ERR_IO);
}

static void on_conn_closed(struct conn *conn)
{
    struct link_join *join = conn->owner;
    enum qk_err err = join->up ? conn->err : join_failure(conn);

    join->conn = NULL;
    if (join->closing) {
        join_free_when_over(join);
        return;
    }
    /* An address that nobody answers on says less than one where somebody did. */
    if (join->up || join->err == QK_OK || join->err == QK_ERR_IO || is_final(err))
        join->err = err;
    if (join->up || is_final(err) || tried_enough(join))
        join_end(join);
    else
        join_try_next(join);
}

static void on_tick(uv_timer_t *timer)
{
    struct link_join *join = timer->data;
    uint64_t now_ms = uv_now(timer->loop);
    struct conn *conn = join->conn;
    bool stood_still = now_ms - join->ticked_ms > KEEPALIVE_MS;

    join->ticked_ms = now_ms;
    if (conn == NULL || conn->closing) {
        if (conn == NULL && !join->ended && join->tried_n == 0)
            join_try_next(join);
        return;
    }
    if (stood_still)
        conn->heard_ms = now_ms;
    if (!conn->stream.up) {
        if (now_ms >= conn->deadline_ms)
            conn_close(conn, QK_ERR_TIMEOUT);
        return;
    }
    if (now_ms - conn->heard_ms > KEEPALIVE_MS * KEEPALIVES_MISSED_MAX)
        conn_close(conn, QK_ERR_TIMEOUT);
    else if (now_ms - conn->pinged_ms >= KEEPALIVE_MS) {
        conn->pinged_ms = now_ms;
        link_stream_ping(&conn->stream, 0);
        conn_flush(conn);
    }
}

static void join_init(struct link_join *join, const struct link_join_config *config)
{
    join->config = *config;
    if (join->config.handshake_ms == 0)
        join->config.handshake_ms = LINK_HANDSHAKE_MS_MAX;
    join->config.addresses = NULL; /* copied */
    join->self.identity = config->identity;
    join->self.psk = config->psk;
    memcpy(join->self.pk, config->pk, sizeof join->self.pk);
    memcpy(join->self.cluster_id, config->cluster_id, sizeof join->self.cluster_id);
    join->addresses_n = config->addresses_n;
    for (size_t i = 0; i < config->addresses_n; i++)
        memcpy(join->addresses[i], config->addresses[i], strlen(config->addresses[i]) + 1);
}

enum qk_err link_join_open(const struct link_join_config *config, struct link_join **ret_join)
{
    struct link_join *join;

    if (config->addresses_n == 0 || config->addresses_n > LINK_JOIN_ADDRESSES_MAX)
        return QK_ERR_INVALID;
    for (size_t i = 0; i < config->addresses_n; i++)
        if (strlen(config->addresses[i]) > ADDRESS_BYTES_MAX)
            return QK_ERR_INVALID;
    join = calloc(1, sizeof *join);
    if (join == NULL)
        return QK_ERR_NOMEM;
    join_init(join, config);
    if (uv_timer_init(config->loop, &join->timer) != 0) {
        free(join);
        return QK_ERR_NOMEM;
    }
    join->timer.data = join;
    join->ticked_ms = uv_now(config->loop);
    (void)uv_timer_start(&join->timer, on_tick, 0, TICK_MS);
    *ret_join = join;
    return QK_OK;
}

enum qk_err link_join_send(struct link_join *join, const struct bytes *parts, size_t parts_n)
{
    enum qk_err err;

    if (join->ended || join->closing || (join->up && (join->conn == NULL || join->conn->closing)))
        return QK_ERR_CLOSED;
    if (!join->up)
        return outbox_put(&join->waiting, LINK_JOIN, parts, parts_n);
    err = outbox_put(&join->conn->stream.outbox, LINK_JOIN, parts, parts_n);
    if (err == QK_OK)
        conn_flush(join->conn);
    return err;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct link_join *join = handle->data;

    join->timer_closed = true;
    join_free_when_over(join);
}

void link_join_close(struct link_join *join, void (*cb)(void *arg), void *arg)
{
    assert(!join->closing);
    join->closing = true;
    join->close_cb = cb;
    join->close_arg = arg;
    if (join->conn != NULL)
        conn_close(join->conn, QK_ERR_CLOSED);
    uv_close((uv_handle_t *)&join->timer, on_timer_closed);
}
