#include "node/attester_uv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

struct ask {
    uint32_t id; /* 0: free */
    uint64_t until_ms;
};

struct attester {
    struct attester_config config;
    uv_poll_t poll;
    uv_timer_t timer;
    bool gone;
    bool closing;
    unsigned handles_n;
    struct ask asks[ATTESTER_ASKS_MAX];
};

/* --- answers -----------------------------------------------------------------------------------
 */

static struct ask *find(struct attester *attester, uint32_t id)
{
    for (unsigned i = 0; i < ATTESTER_ASKS_MAX; i++)
        if (attester->asks[i].id == id)
            return &attester->asks[i];
    return NULL;
}

static void answer(struct attester *attester, struct ask *ask, const struct attest_result *result)
{
    uint32_t id = ask->id;

    memset(ask, 0, sizeof *ask);
    attester->config.answered(attester->config.arg, id, result);
}

static void arm(struct attester *attester);

static void on_timer(uv_timer_t *timer)
{
    struct attester *attester = timer->data;
    struct attest_result late = {.end = ATTEST_TIMEOUT};

    for (unsigned i = 0; i < ATTESTER_ASKS_MAX && !attester->closing; i++) {
        struct ask *ask = &attester->asks[i];

        if (ask->id != 0 && ask->until_ms <= uv_now(attester->config.loop))
            answer(attester, ask, &late);
    }
    arm(attester);
}

static void arm(struct attester *attester)
{
    uint64_t now = uv_now(attester->config.loop), at = UINT64_MAX;

    if (attester->closing)
        return;
    for (unsigned i = 0; i < ATTESTER_ASKS_MAX; i++)
        if (attester->asks[i].id != 0 && attester->asks[i].until_ms < at)
            at = attester->asks[i].until_ms;
    if (at == UINT64_MAX)
        (void)uv_timer_stop(&attester->timer);
    else
        (void)uv_timer_start(&attester->timer, on_timer, at > now ? at - now : 0, 0);
}

static void lose(struct attester *attester, const char *why)
{
    static const char gone[] = "the launcher has ended: restart this node";
    struct attest_result failed = {.end = ATTEST_FAILED, .errors = bytes_str(gone)};

    attester->gone = true;
    (void)uv_poll_stop(&attester->poll);
    launcher_end(attester->config.launcher);
    attester->config.lost(attester->config.arg, why);
    for (unsigned i = 0; i < ATTESTER_ASKS_MAX && !attester->closing; i++)
        if (attester->asks[i].id != 0)
            answer(attester, &attester->asks[i], &failed);
    arm(attester);
}

/* --- the socket --------------------------------------------------------------------------------
 */

static void on_readable(uv_poll_t *poll, int status, int events)
{
    static uint8_t packet[LAUNCHER_PACKET_BYTES_MAX + 1];
    struct attester *attester = poll->data;

    (void)events;
    while (!attester->gone && !attester->closing) {
        struct launcher_reply reply;
        struct ask *ask;
        ssize_t n = status < 0
                        ? 0
                        : recv(attester->config.launcher->fd, packet, sizeof packet, MSG_DONTWAIT);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n <= 0) {
            lose(attester, "it has ended");
        } else if (launcher_reply_decode(bytes_of(packet, (size_t)n), &reply) != QK_OK) {
            lose(attester, "it sent what is no reply");
        } else if ((ask = find(attester, reply.id)) != NULL) {
            answer(attester, ask, &reply.result);
            arm(attester);
        }
    }
}

enum qk_err attester_ask(struct attester *attester, uint32_t id, struct bytes input)
{
    struct launcher_request request = {id, 0, attester->config.timeout_ms, input};
    struct buf out = BUF_INIT(LAUNCHER_PACKET_BYTES_MAX);
    struct ask *place = find(attester, 0);
    enum qk_err err = QK_OK;
    ssize_t n;

    if (attester->gone)
        return QK_ERR_CLOSED;
    launcher_request_encode(&request, &out);
    if (place == NULL || input.len > LAUNCHER_INPUT_BYTES_MAX || buf_error(&out) != QK_OK)
        err = place == NULL ? QK_ERR_BUSY : QK_ERR_TOO_BIG;
    if (err == QK_OK) {
        n = send(attester->config.launcher->fd, out.data, out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n < 0) /* that it is gone is found out by on_readable */
            err = errno == EAGAIN ? QK_ERR_BUSY : QK_ERR_CLOSED;
    }
    buf_fini(&out);
    if (err != QK_OK)
        return err;
    place->id = id;
    place->until_ms =
        uv_now(attester->config.loop) + attester->config.timeout_ms + ATTESTER_GRACE_MS;
    arm(attester);
    return QK_OK;
}

/* --- life --------------------------------------------------------------------------------------
 */

enum qk_err attester_new(const struct attester_config *config, struct attester **ret_attester)
{
    struct attester *attester = calloc(1, sizeof *attester);

    if (attester == NULL)
        return QK_ERR_NOMEM;
    attester->config = *config;
    attester->poll.data = attester->timer.data = attester;
    if (uv_poll_init(config->loop, &attester->poll, config->launcher->fd) != 0) {
        free(attester);
        return QK_ERR_IO;
    }
    (void)uv_timer_init(config->loop, &attester->timer); /* cannot fail once there is a loop */
    attester->handles_n = 2;
    if (uv_poll_start(&attester->poll, UV_READABLE | UV_DISCONNECT, on_readable) != 0) {
        attester_free(attester);
        return QK_ERR_IO;
    }
    *ret_attester = attester;
    return QK_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct attester *attester = handle->data;

    if (--attester->handles_n == 0)
        free(attester);
}

void attester_free(struct attester *attester)
{
    if (attester == NULL || attester->closing)
        return;
    attester->closing = true;
    uv_close((uv_handle_t *)&attester->poll, on_closed);
    uv_close((uv_handle_t *)&attester->timer, on_closed);
}
