#include "service/keys_current.h"

#include <assert.h>
#include <stdlib.h>

#include "service/period.h"
#include "service/system.h"
#include "service/timer_uv.h"
#include "store/store.h"

struct keys_waiter {
    struct keys_waiter *next;
    void (*cb)(void *arg, enum qk_err err);
    void *arg;
    uint64_t until_ms;
};

bool keys_are_current(const struct service *service)
{
    return !service->keys.behind;
}

static void arm(struct service *service)
{
    const struct keys_gate *gate = &service->keys;
    uint64_t now_ms = timer_now_ms(service->loop);

    if (gate->first == NULL)
        timer_stop(gate->timer);
    else
        timer_start(gate->timer,
                    gate->first->until_ms > now_ms ? gate->first->until_ms - now_ms : 0);
}

enum qk_err keys_wait(struct service *service, void (*cb)(void *arg, enum qk_err err), void *arg)
{
    struct keys_gate *gate = &service->keys;
    struct keys_waiter *waiter = calloc(1, sizeof(*waiter));

    assert(gate->timer != NULL && cb != NULL);

    if (waiter == NULL)
        return QK_ERR_NOMEM;
    waiter->cb = cb;
    waiter->arg = arg;
    waiter->until_ms = timer_now_ms(service->loop) + KEYS_WAIT_MS;
    if (gate->first == NULL)
        gate->first = waiter;
    else
        gate->last->next = waiter;
    gate->last = waiter;
    arm(service);
    return QK_OK;
}

static void call(struct keys_waiter *waiter, enum qk_err err)
{
    void (*cb)(void *arg, enum qk_err err) = waiter->cb;
    void *arg = waiter->arg;

    free(waiter);
    cb(arg, err);
}

/* Those who come to wait in a callback are not of this round. */
void keys_wake(struct service *service, enum qk_err err)
{
    struct keys_waiter *waiter = service->keys.first;

    service->keys.first = service->keys.last = NULL;
    while (waiter != NULL) {
        struct keys_waiter *next = waiter->next;

        call(waiter, err);
        waiter = next;
    }
}

/* The list is in the order of their times. */
void keys_tick(void *arg)
{
    struct service *service = arg;
    struct keys_gate *gate = &service->keys;
    uint64_t now_ms = timer_now_ms(service->loop);

    if (!gate->behind) {
        keys_wake(service, QK_OK);
        return;
    }
    while (gate->first != NULL && gate->first->until_ms <= now_ms) {
        struct keys_waiter *waiter = gate->first;

        gate->first = waiter->next;
        call(waiter, QK_ERR_NO_QUORUM);
    }
    arm(service);
}

void keys_opened(struct service *service)
{
    if (!service->keys.behind && service->keys.first != NULL)
        timer_start(service->keys.timer, 0);
}

static uint64_t version_of(struct service *service, const struct record_key *key)
{
    struct record record;

    return store_get(service->store, record_key_bytes(key), &record) == QK_OK ? record.version : 0;
}

void keys_cond(struct service *service, struct wire_command *command,
               const uint8_t key_id[static KEY_ID_BYTES])
{
    struct record_key key = record_data_key(key_id);

    wire_command_cond(command, record_key_bytes(&key), version_of(service, &key));
    period_cond(service, command, key_id);
}

void keys_put_changed(struct service *service, struct wire_command *command)
{
    struct record_key key = record_system(RECORD_SYS, SYSTEM_KEYRING);

    wire_command_put(command, record_key_bytes(&key), version_of(service, &key) + 1, 0,
                     bytes_of(service->node_id, NODE_ID_BYTES));
}
