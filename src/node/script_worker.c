#include "node/script_worker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
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

/* --- heaps --- */

/* One for each compartment met, the design in each of them; when there are too many the one not
 * used for longest makes way. */
struct heap {
    uint8_t compartment[SCRIPT_COMPARTMENT_BYTES];
    struct script_engine *engine; /* NULL: none */
    uint64_t used;
};
struct heaps {
    struct heap heaps[SCRIPT_HEAPS_MAX];
    struct bytes design;
    uint64_t calls_n;
};

static void heap_make(struct heaps *heaps, struct heap *heap, const uint8_t *compartment)
{
    script_engine_free(heap->engine);
    heap->engine = NULL;
    memcpy(heap->compartment, compartment, SCRIPT_COMPARTMENT_BYTES);
    if (script_engine_new(&heap->engine) == QK_OK &&
        script_engine_design(heap->engine, heaps->design) == QK_OK)
        return;
    script_engine_free(heap->engine);
    heap->engine = NULL;
}

/* NULL: the design is none, or there is no memory. */
static struct script_engine *heap_of(struct heaps *heaps, const uint8_t *compartment)
{
    struct heap *oldest = &heaps->heaps[0], *found = NULL;
    size_t i;

    for (i = 0; found == NULL && i < SCRIPT_HEAPS_MAX; i++) {
        struct heap *heap = &heaps->heaps[i];

        if (heap->engine != NULL &&
            memcmp(heap->compartment, compartment, SCRIPT_COMPARTMENT_BYTES) == 0)
            found = heap;
        if (heap->used < oldest->used)
            oldest = heap;
    }
    if (found == NULL) {
        found = oldest;
        heap_make(heaps, found, compartment);
    }
    found->used = ++heaps->calls_n;
    return found->engine;
}

/* --- calls --- */

static enum qk_err run(struct heaps *heaps, struct bytes call, struct buf *reply)
{
    struct reader in = reader_of(call);
    uint8_t what = reader_u8(&in);
    struct bytes compartment = reader_bytes(&in, SCRIPT_COMPARTMENT_BYTES);
    struct script_engine *engine;

    if (reader_error(&in) != QK_OK)
        return QK_ERR_INVALID;
    engine = heap_of(heaps, compartment.data);
    return engine == NULL ? QK_ERR_INVALID
                          : script_engine_call(engine, what, reader_rest(&in), reply);
}

static bool answer(int fd, struct heaps *heaps, struct bytes call, struct buf *reply)
{
    buf_reset(reply);
    buf_put_u32(reply, 0);
    limit_time(SCRIPT_DOCUMENT_S);
    if (run(heaps, call, reply) != QK_OK) {
        reply->len = 4;
        reply->failed = QK_OK;
    }
    limit_time(0);
    put_u32(reply->data, (uint32_t)(reply->len - 4));
    return write_all(fd, buf_bytes(reply));
}

void script_worker_serve(int fd)
{
    struct buf design = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX);
    struct buf frame = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX);
    struct buf reply = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX + 4);
    struct heaps heaps = {.calls_n = 0};
    bool go_on = read_frame(fd, &design);
    size_t i;

    heaps.design = buf_bytes(&design);
    while (go_on && read_frame(fd, &frame))
        go_on = answer(fd, &heaps, buf_bytes(&frame), &reply);
    for (i = 0; i < SCRIPT_HEAPS_MAX; i++)
        script_engine_free(heaps.heaps[i].engine);
    buf_fini(&design);
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
