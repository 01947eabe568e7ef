#include "service/clock.h"

#include <inttypes.h>
#include <time.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "service/service.h"
#include "service/timer_uv.h"
#include "store/store.h"
#include "wire/command.h"
#include "wire/records.h"

#define VALUE_BYTES_MAX 64

static uint64_t wall_s(void)
{
    time_t now = time(NULL);

    return now < 0 ? 0 : (uint64_t)now > CLOCK_TIME_S_MAX ? CLOCK_TIME_S_MAX : (uint64_t)now;
}

/* What the record has come to since; 0: there is none. */
static uint64_t going_s(const struct service *service)
{
    const struct service_clock *clock = &service->clock;

    return clock->version == 0
               ? 0
               : clock->base_s + (timer_now_ms(service->loop) - clock->base_ms) / 1000;
}

uint64_t service_time_s(const struct service *service)
{
    return service->clock.version == 0 ? wall_s() : going_s(service);
}

void clock_read(struct service *service)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_TIME);
    struct service_clock *clock = &service->clock;
    struct record record;
    uint64_t time_s, now_ms;

    if (store_get(service->store, record_key_bytes(&key), &record) != QK_OK ||
        record.version == clock->version)
        return;
    if (clock_record_decode(record.value, &time_s) != QK_OK) {
        log_error("cluster", "store.mdb: the record of the cluster's time is damaged");
        return;
    }
    now_ms = timer_now_ms(service->loop);
    if (clock->version == 0)
        clock->first_ms = now_ms;
    clock->follows = clock->follows || now_ms - clock->first_ms >= CLOCK_FOLLOWS_MS;
    if (clock->version == 0 || time_s > going_s(service)) {
        clock->base_s = time_s;
        clock->base_ms = now_ms;
    }
    clock->version = record.version;
}

void clock_forget(struct service *service)
{
    struct timer *timer = service->clock.timer;

    service->clock = (struct service_clock){.timer = timer, .ticking = service->clock.ticking};
}

static void ticked(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct service *service = arg;

    (void)index;
    service->clock.ticking = false;
    if (err == QK_OK)
        err = wire_result_single(result, NULL);
    if (err != QK_OK) /* another has ticked, or this node leads no more: looks again soon */
        service->clock.term = 0;
}

uint64_t clock_next(const struct service_clock *clock, uint64_t going_s, uint64_t wall_s)
{
    if (wall_s <= going_s)
        return going_s;
    if (!clock->follows || wall_s - going_s <= CLOCK_AHEAD_S)
        return wall_s;
    log_warn("cluster",
             "this node's clock is %" PRIu64 " s ahead of the cluster's time, which goes twice as "
             "fast until it has caught up: set the clock right",
             wall_s - going_s);
    return going_s + CLOCK_TICK_MS / 1000;
}

static enum qk_err tick(struct service *service)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_TIME);
    uint64_t next = clock_next(&service->clock, going_s(service), wall_s());
    struct buf value = BUF_INIT(VALUE_BYTES_MAX);
    struct wire_command command;
    struct bytes bytes;
    enum qk_err err;

    clock_record_encode(next, &value);
    wire_command_begin(&command, WIRE_TICK);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), service->clock.version + 1, 0,
                     buf_bytes(&value));
    err = buf_error(&value);
    if (err == QK_OK)
        err = wire_command_end(&command, &bytes);
    if (err == QK_OK)
        err = consensus_submit(service->consensus, bytes, ticked, service);
    wire_command_fini(&command);
    buf_fini(&value);
    return err;
}

/* A new leader that has not applied its predecessors' last tick proposes one whose version fails,
 * and looks again. */
static bool is_due(const struct service *service)
{
    const struct service_clock *clock = &service->clock;

    if (service->store == NULL || service->consensus == NULL || clock->ticking ||
        consensus_role(service->consensus) != CONSENSUS_LEADER ||
        store_admit(service->store) != QK_OK)
        return false;
    return clock->term != consensus_term(service->consensus) ||
           timer_now_ms(service->loop) - clock->ticked_ms >= CLOCK_TICK_MS;
}

void clock_tick(void *arg)
{
    struct service *service = arg;
    struct service_clock *clock = &service->clock;

    if (is_due(service)) {
        clock_read(service);
        clock->term = consensus_term(service->consensus);
        clock->ticked_ms = timer_now_ms(service->loop);
        clock->ticking = tick(service) == QK_OK;
        if (!clock->ticking)
            clock->term = 0;
    }
    timer_start(clock->timer, CLOCK_LOOK_MS);
}
