/* Who is told: watchers of records, and those who wait until a batch is in the file. */
#include "store/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WATCHES_MAX 256

enum qk_err store_watch(struct store *store, struct bytes prefix, store_watch_cb cb, void *arg)
{
    struct store_watch *watch;

    assert(cb != NULL);
    if (prefix.len > RECORD_KEY_BYTES_MAX || store->watches_n == WATCHES_MAX)
        return QK_ERR_TOO_BIG;
    if (store->watches_n == store->watches_cap) {
        size_t cap = store->watches_cap == 0 ? 8 : store->watches_cap * 2;
        struct store_watch *watches = reallocarray(store->watches, cap, sizeof *watches);

        if (watches == NULL)
            return QK_ERR_NOMEM;
        store->watches = watches;
        store->watches_cap = cap;
    }
    watch = &store->watches[store->watches_n++];
    *watch = (struct store_watch){.cb = cb, .arg = arg, .prefix_len = prefix.len};
    if (prefix.len > 0)
        memcpy(watch->prefix, prefix.data, prefix.len);
    return QK_OK;
}

static void watches_pack(struct store *store)
{
    size_t kept = 0;

    for (size_t i = 0; i < store->watches_n; i++)
        if (store->watches[i].cb != NULL)
            store->watches[kept++] = store->watches[i];
    store->watches_n = kept;
    store->watches_holes = false;
}

void store_unwatch(struct store *store, store_watch_cb cb, void *arg)
{
    for (size_t i = 0; i < store->watches_n; i++)
        if (store->watches[i].cb == cb && store->watches[i].arg == arg) {
            store->watches[i].cb = NULL;
            store->watches_holes = true;
        }
    if (store->notifying == 0 && store->watches_holes)
        watches_pack(store);
}

/* A shorter key (a whole database, or everything) concerns those who watch anything under it. */
static bool watch_concerns(const struct store_watch *watch, struct bytes key)
{
    struct bytes prefix = bytes_of(watch->prefix, watch->prefix_len);

    return bytes_starts_with(key, prefix) ||
           (key.len <= DATABASE_ID_BYTES && bytes_starts_with(prefix, key));
}

void store_notify(struct store *store, struct bytes key)
{
    store->notifying++;
    for (size_t i = 0; i < store->watches_n; i++) {
        const struct store_watch *watch = &store->watches[i];

        /* Not touched after the call: the callback may add watches, which moves them. */
        if (watch->cb != NULL && watch_concerns(watch, key))
            watch->cb(watch->arg, key);
    }
    store->notifying--;
    if (store->notifying == 0 && store->watches_holes)
        watches_pack(store);
}

enum qk_err store_wait(struct store *store, uint64_t number, bool impatient, store_cb cb, void *arg)
{
    struct store_waiter *waiter = calloc(1, sizeof *waiter);

    if (waiter == NULL)
        return QK_ERR_NOMEM;
    *waiter = (struct store_waiter){
        .number = number, .impatient = impatient, .cb = cb, .arg = arg, .err = QK_OK};
    *store->waiters_tail = waiter;
    store->waiters_tail = &waiter->next;
    return QK_OK;
}

/* Whether it is told now, and what. */
static bool waiter_is_due(const struct store *store, struct store_waiter *waiter, bool all)
{
    if (waiter->number <= store->batch_done)
        waiter->err = QK_OK;
    else if (all)
        waiter->err = QK_ERR_CLOSED;
    else if (waiter->impatient && store->no_room)
        waiter->err = QK_ERR_FULL;
    else
        return false;
    return true;
}

static struct store_waiter *waiters_detach(struct store *store, bool all)
{
    struct store_waiter *due = NULL, **due_tail = &due, **link = &store->waiters;

    while (*link != NULL) {
        struct store_waiter *waiter = *link;

        if (waiter_is_due(store, waiter, all)) {
            *link = waiter->next;
            *due_tail = waiter;
            due_tail = &waiter->next;
        } else {
            link = &waiter->next;
        }
    }
    *due_tail = NULL;
    store->waiters_tail = link;
    return due;
}

void store_tell_waiters(struct store *store, bool all)
{
    struct store_waiter *waiter = waiters_detach(store, all), *next;

    for (; waiter != NULL; waiter = next) {
        next = waiter->next;
        waiter->cb(waiter->arg, waiter->err);
        free(waiter);
    }
}
