#include "node/script_worker.h"

#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

#include "node/script_engine.h"
#include "secret/memory.h"

static bool read_all(int fd, uint8_t *to, size_t len)
{
    while (len > 0) {
        ssize_t n = read(fd, to, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        to += n;
        len -= (size_t)n;
    }
    return true;
}

static bool write_all(int fd, struct bytes bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(fd, bytes.data, bytes.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes = bytes_slice(bytes, (size_t)n, bytes.len);
    }
    return true;
}

static bool read_frame(int fd, struct buf *frame)
{
    uint8_t head[4], *body;

    buf_reset(frame);
    if (!read_all(fd, head, sizeof head))
        return false;
    body = buf_extend(frame, get_u32(head));
    return body != NULL && read_all(fd, body, get_u32(head));
}

/* SIGALRM's default ends the process, whatever it is doing. */
static void limit_time(unsigned seconds)
{
    const struct itimerval most = {.it_value = {.tv_sec = seconds}};

    (void)setitimer(ITIMER_REAL, &most, NULL);
}

static bool answer(int fd, struct script_engine *engine, struct bytes document, struct buf *reply)
{
    buf_reset(reply);
    buf_put_u32(reply, 0);
    limit_time(SCRIPT_DOCUMENT_S);
    if (script_engine_map(engine, document, reply) != QK_OK) {
        reply->len = 4;
        reply->failed = QK_OK;
    }
    limit_time(0);
    put_u32(reply->data, (uint32_t)(reply->len - 4));
    return write_all(fd, buf_bytes(reply));
}

void script_worker_serve(int fd)
{
    struct buf frame = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX);
    struct buf reply = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX + 4);
    struct script_engine *engine = NULL;
    bool go_on = script_engine_new(&engine) == QK_OK && read_frame(fd, &frame);

    limit_time(SCRIPT_DOCUMENT_S);
    go_on = go_on && script_engine_design(engine, buf_bytes(&frame)) == QK_OK;
    limit_time(0);
    while (go_on && read_frame(fd, &frame))
        go_on = answer(fd, engine, buf_bytes(&frame), &reply);
    script_engine_free(engine);
    buf_fini(&frame);
    buf_fini(&reply);
}

void script_worker_be(int fd)
{
    const struct rlimit address = {SCRIPT_ADDRESS_BYTES_MAX, SCRIPT_ADDRESS_BYTES_MAX};
    const struct rlimit none = {0, 0};

    (void)prctl(PR_SET_NAME, "qk-script", 0, 0, 0);
    (void)signal(SIGALRM, SIG_DFL);
#ifndef __SANITIZE_ADDRESS__ /* its shadow takes terabytes of addresses */
    if (setrlimit(RLIMIT_AS, &address) != 0)
        _exit(1);
#else
    (void)address;
#endif
    if (setrlimit(RLIMIT_CORE, &none) != 0 || setrlimit(RLIMIT_FSIZE, &none) != 0 ||
        process_confine_worker() != QK_OK)
        _exit(1);
    script_worker_serve(fd);
    _exit(0);
}
