#include "service/feeds/db_events.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"
#include "store/store.h"

#define LOOKUPS_MAX 128 /* of a refresh: the loop waits meanwhile */

struct known {
    uint8_t id[DATABASE_ID_BYTES];
    uint64_t created, updated; /* stamps; 0: never */
    uint64_t seq;              /* of the write that `updated` is of */
    uint64_t round;            /* of the refresh that saw it last */
    char name[DATABASE_NAME_BYTES_MAX + 1];
};

struct db_events {
    struct known *known; /* ascending by id */
    size_t known_n, known_cap;
    struct db_event *dropped; /* the newest last */
    size_t dropped_n;
    uint64_t round, covered;
};

/* Memory for `n + 1` items of that size, of which what is no longer used is wiped. */
static void *grown(void *items, size_t n, size_t *cap, size_t size)
{
    size_t wanted = *cap == 0 ? 16 : 2 * *cap;
    void *more;

    if (n < *cap)
        return items;
    more = calloc(wanted, size);
    if (more == NULL)
        return NULL;
    if (n > 0)
        memcpy(more, items, n * size);
    if (items != NULL)
        secret_wipe(items, n * size);
    free(items);
    *cap = wanted;
    return more;
}

/* --- looking --- */

struct look {
    struct service *service;
    struct db_events *events;
    unsigned lookups_n;
    bool more;
    enum qk_err err;
};

static size_t known_place(const struct db_events *events, const uint8_t *id, bool *ret_found)
{
    size_t low = 0, high = events->known_n;

    *ret_found = false;
    while (low < high && !*ret_found) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(events->known[middle].id, id, DATABASE_ID_BYTES);

        *ret_found = order == 0;
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return high;
}

/* The record of the name is as old as the database, unless it was sealed again since. */
static enum qk_err find_created(struct service *service, const struct catalog_database *database,
                                uint64_t *ret_stamp)
{
    uint8_t key[CATALOG_KEY_BYTES];
    struct record record;
    enum qk_err err = catalog_name_key(service, bytes_str(database->name), key);

    if (err == QK_OK)
        err = store_get(service->store, bytes_of(key, sizeof(key)), &record);
    if (err == QK_OK)
        *ret_stamp = record.stamp;
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

/* The newest write to it that the file has. */
static enum qk_err find_updated(struct service *service, struct known *known)
{
    struct store_cursor *cursor = NULL;
    struct store_row row;
    enum qk_err err = store_changes_open(service->store, known->id, 0, true, &cursor);

    if (err == QK_OK)
        err = store_cursor_next(cursor, &row);
    if (err == QK_OK) {
        known->updated = row.record.stamp;
        known->seq = row.record.seq;
    }
    store_cursor_close(cursor);
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

static enum qk_err known_add(struct look *look, const struct catalog_database *database, size_t at)
{
    struct db_events *events = look->events;
    struct known known = {.round = events->round};
    struct known *items;
    enum qk_err err;

    memcpy(known.id, database->id, DATABASE_ID_BYTES);
    memcpy(known.name, database->name, sizeof(known.name));
    err = find_created(look->service, database, &known.created);
    if (err != QK_OK)
        return err;
    items = grown(events->known, events->known_n, &events->known_cap, sizeof(*items));
    if (items == NULL)
        return QK_ERR_NOMEM;
    events->known = items;
    memmove(items + at + 1, items + at, (events->known_n - at) * sizeof(*items));
    items[at] = known;
    events->known_n++;
    return QK_OK;
}

static enum qk_err look_at(struct look *look, const struct catalog_database *database)
{
    struct db_events *events = look->events;
    struct store_stats stats;
    enum qk_err err = QK_OK;
    bool found;
    size_t at = known_place(events, database->id, &found);

    store_database_stats(look->service->store, database->id, &stats);
    if (found && events->known[at].seq == stats.seq) {
        events->known[at].round = events->round;
        return QK_OK;
    }
    if (look->lookups_n++ == LOOKUPS_MAX) {
        look->more = true;
        return QK_OK;
    }
    if (!found)
        err = known_add(look, database, at);
    if (err != QK_OK)
        return err;
    events->known[at].round = events->round;
    return stats.seq == 0 ? QK_OK : find_updated(look->service, &events->known[at]);
}

static bool look_each(void *arg, const struct catalog_database *database)
{
    struct look *look = arg;

    if (database->name[0] != '_') /* the system's own: no route leads to it */
        look->err = look_at(look, database);
    return look->err == QK_OK && !look->more;
}

/* --- what is gone --- */

static void dropped_put(struct db_events *events, const struct known *known, uint64_t stamp)
{
    struct db_event *event;

    if (events->dropped_n == DB_EVENTS_DROPPED_MAX) {
        events->dropped_n--;
        memmove(events->dropped, events->dropped + 1, events->dropped_n * sizeof(*events->dropped));
    }
    event = &events->dropped[events->dropped_n++];
    *event = (struct db_event){.stamp = stamp, .type = "deleted"};
    memcpy(event->name, known->name, sizeof(event->name));
}

/* Its drop is applied, and was not when the events before were told: a stamp of now is behind
 * those, and not before the drop's own. */
static void drop_unseen(struct db_events *events, uint64_t stamp)
{
    size_t kept = 0, i;

    for (i = 0; i < events->known_n; i++) {
        if (events->known[i].round == events->round)
            events->known[kept++] = events->known[i];
        else
            dropped_put(events, &events->known[i], stamp);
    }
    if (kept < events->known_n)
        secret_wipe(events->known + kept, (events->known_n - kept) * sizeof(*events->known));
    events->known_n = kept;
}

/* --- the interface --- */

static enum qk_err events_get(struct service *service, struct db_events **ret_events)
{
    struct db_events *events = service->db_events;

    if (events == NULL) {
        events = calloc(1, sizeof(*events));
        if (events == NULL)
            return QK_ERR_NOMEM;
        events->dropped = calloc(DB_EVENTS_DROPPED_MAX, sizeof(*events->dropped));
        if (events->dropped == NULL) {
            free(events);
            return QK_ERR_NOMEM;
        }
        service->db_events = events;
    }
    *ret_events = events;
    return QK_OK;
}

enum qk_err db_events_refresh(struct service *service, bool *ret_more)
{
    struct store_position position;
    struct look look = {.service = service};
    enum qk_err err = events_get(service, &look.events);

    *ret_more = false;
    if (err == QK_OK)
        err = catalog_check(service->catalog);
    if (err == QK_OK)
        err = store_file_position(service->store, &position);
    if (err != QK_OK)
        return err;
    look.events->round++;
    catalog_databases_each(service->catalog, look_each, &look);
    if (look.err != QK_OK)
        return look.err;
    *ret_more = look.more;
    if (!look.more) {
        drop_unseen(look.events, store_stamp(service->store));
        look.events->covered = position.stamp;
    }
    return QK_OK;
}

static enum qk_err list_put(struct db_events_list *list, uint64_t since, uint64_t stamp,
                            const char *type, const char *name)
{
    struct db_event *items;

    if (stamp <= since || stamp > list->covered)
        return QK_OK;
    items = grown(list->items, list->n, &list->cap, sizeof(*items));
    if (items == NULL)
        return QK_ERR_NOMEM;
    list->items = items;
    items[list->n] = (struct db_event){.stamp = stamp, .type = type};
    memcpy(items[list->n].name, name, sizeof(items->name));
    list->n++;
    return QK_OK;
}

static int event_compare(const void *a, const void *b)
{
    const struct db_event *left = a, *right = b;

    if (left->stamp != right->stamp)
        return left->stamp < right->stamp ? -1 : 1;
    return strcmp(left->name, right->name);
}

enum qk_err db_events_since(struct service *service, uint64_t since,
                            struct db_events_list *ret_list)
{
    const struct db_events *events = service->db_events;
    enum qk_err err = QK_OK;
    size_t i;

    assert(events != NULL);

    *ret_list = (struct db_events_list){.covered = events->covered};
    for (i = 0; err == QK_OK && i < events->known_n; i++) {
        const struct known *known = &events->known[i];

        err = list_put(ret_list, since, known->created, "created", known->name);
        if (err == QK_OK)
            err = list_put(ret_list, since, known->updated, "updated", known->name);
    }
    for (i = 0; err == QK_OK && i < events->dropped_n; i++)
        err =
            list_put(ret_list, since, events->dropped[i].stamp, "deleted", events->dropped[i].name);
    if (ret_list->n > 0)
        qsort(ret_list->items, ret_list->n, sizeof(*ret_list->items), event_compare);
    return err;
}

void db_events_list_fini(struct db_events_list *list)
{
    if (list->items != NULL)
        secret_wipe(list->items, list->cap * sizeof(*list->items));
    free(list->items);
    *list = (struct db_events_list){0};
}

void db_events_drop(struct service *service)
{
    struct db_events *events = service->db_events;

    if (events == NULL)
        return;
    if (events->known != NULL)
        secret_wipe(events->known, events->known_cap * sizeof(*events->known));
    secret_wipe(events->dropped, DB_EVENTS_DROPPED_MAX * sizeof(*events->dropped));
    free(events->known);
    free(events->dropped);
    free(events);
    service->db_events = NULL;
}
