#include "service/query/views.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "doc/document.h"
#include "keys/keyring.h"
#include "secret/secret.h"
#include "index/disk.h"
#include "service/doc_name.h"
#include "service/script_job.h"
#include "service/query/views_file.h"
#include "service/query/views_private.h"

#define PLAIN_BYTES_MAX (DOCUMENT_PLAIN_BYTES_MAX + 64 * MIB)
#define KEY_RECORD_PREFIX "key/"

/* --- life --- */

static void indexes_free(struct view_group *group)
{
    size_t i;

    for (i = 0; group->indexes != NULL && i < group->design->views_n; i++)
        index_free(group->indexes[i]);
    free(group->indexes);
    group->indexes = NULL;
}

static void group_free(void *arg)
{
    struct view_group *group = arg;

    indexes_free(group);
    view_design_free(group->design);
    view_rows_fini(&group->rows);
    buf_fini(&group->plain);
    buf_fini(&group->text);
    buf_fini(&group->id);
    buf_fini(&group->batch);
    buf_fini(&group->sends);
    secret_wipe(group, sizeof(*group)); /* names */
    free(group);
}

/* Out of the list; its memory goes with the last who holds it. */
static void group_unlink(struct view_group *group)
{
    struct view_group **link = &group->service->view_groups;

    while (*link != NULL && *link != group)
        link = &(*link)->next;
    if (*link == group) {
        *link = group->next;
        group->service->view_groups_n--;
    }
    group->next = NULL;
}

static void group_unwatch(struct view_group *group);

void views_kill(struct view_group *group, enum qk_err why)
{
    if (group->dead)
        return;
    group->dead = true;
    group->why = why;
    group_unlink(group);
    group_unwatch(group);
    views_hold(group);
    views_update_stop(group);
    indexes_free(group);
    views_file_close(group, why == QK_ERR_SEALED || group->keeps_file);
    view_rows_fini(&group->rows);
    if (group->waiters != NULL) /* told from the timer, never inside of what killed it */
        timer_start(group->timer, 0);
    views_release(group);
}

void views_hold(struct view_group *group)
{
    group->refs++;
}

void views_release(struct view_group *group)
{
    if (group == NULL)
        return;
    assert(group->refs > 0);
    group->refs--;
    if (group->refs == 0 && group->dead && group->waiters == NULL)
        timer_free(group->timer, group_free, group);
}

void views_pin(struct view_group *group)
{
    if (group->pins++ == 0)
        group->pinned_ms = timer_now_ms(group->service->loop);
}

void views_unpin(struct view_group *group)
{
    assert(group->pins > 0);
    group->pins--;
}

void views_drop(struct view_group *group)
{
    views_kill(group, QK_ERR_CLOSED);
}

void views_close(struct service *service)
{
    while (service->view_groups != NULL)
        views_kill(service->view_groups, QK_ERR_SEALED);
    script_jobs_close(service);
}

static void databases_dropped(struct service *service)
{
    views_file_sweep(service);
}

const struct catalog_follower views_follower = {views_close, databases_dropped};

/* --- what happens to the store --- */

static void remove_document(struct view_group *group, struct bytes id)
{
    size_t i;

    assert(group->disk == NULL);

    for (i = 0; i < group->design->views_n; i++)
        index_remove(group->indexes[i], id);
}

/* A record that is gone altogether leaves nothing in the sequence. */
static void record_changed(struct view_group *group, struct bytes key)
{
    struct bytes id;
    struct record record;

    if (!doc_name_is_document(record_key_name(key)) ||
        store_get(group->service->store, key, &record) != QK_ERR_NOT_FOUND)
        return;
    group->removed = true;
    if (group->disk != NULL) {
        if (views_file_remove(group, record_key_name(key)) != QK_OK)
            views_kill(group, QK_ERR_BUSY);
        return;
    }
    if (doc_name_to_id(group->service, group->database, group->ids_hidden, record_key_name(key),
                       &group->id, &id) == QK_OK)
        remove_document(group, id);
    else
        views_kill(group, QK_ERR_BUSY);
}

/* After a snapshot nobody knows what is gone: the next reader has it built anew. */
static void store_changed(void *arg, struct bytes key)
{
    struct view_group *group = arg;

    if (key.len == 0)
        views_kill(group, QK_ERR_BUSY);
    else if (key.len <= DATABASE_ID_BYTES)
        views_kill(group, QK_ERR_CLOSED);
    else
        record_changed(group, key);
}

static void group_unwatch(struct view_group *group)
{
    store_unwatch(group->service->store, store_changed, group);
}

/* --- making --- */

static enum qk_err indexes_make(struct view_group *group)
{
    enum qk_err err = QK_OK;
    size_t i;

    if (group->design->kind != VIEW_MEMORY)
        return views_file_open(group);
    group->indexes = calloc(group->design->views_n + 1, sizeof(struct index *));
    if (group->indexes == NULL)
        return QK_ERR_NOMEM;
    for (i = 0; err == QK_OK && i < group->design->views_n; i++)
        err = index_new(&group->indexes[i]);
    return err;
}

static void copy_name(char *to, size_t size, struct bytes name)
{
    size_t n = name.len < size ? name.len : size - 1;

    memcpy(to, name.data, n);
    to[n] = '\0';
}

static void group_fill(struct view_group *group, struct service *service,
                       const struct catalog_database *database, struct bytes name,
                       struct view_design *design)
{
    *group = (struct view_group){.service = service,
                                 .refs = 1,
                                 .design = design,
                                 .ids_hidden = database->ids_hidden,
                                 .rows = VIEW_ROWS_INIT,
                                 .plain = BUF_SECRET_INIT(PLAIN_BYTES_MAX),
                                 .text = BUF_SECRET_INIT(PLAIN_BYTES_MAX),
                                 .id = BUF_SECRET_INIT(RECORD_KEY_BYTES_MAX),
                                 .batch = BUF_SECRET_INIT(3 * PLAIN_BYTES_MAX),
                                 .sends = BUF_SECRET_INIT(3 * PLAIN_BYTES_MAX)};
    memcpy(group->database, database->id, DATABASE_ID_BYTES);
    copy_name(group->database_name, sizeof(group->database_name), bytes_str(database->name));
    copy_name(group->name, sizeof(group->name), name);
}

static enum qk_err group_new(struct service *service, const struct catalog_database *database,
                             struct bytes name, struct view_design *design,
                             struct view_group **ret_group)
{
    struct view_group *group = malloc(sizeof(*group));
    enum qk_err err;

    if (group == NULL)
        return QK_ERR_NOMEM;
    group_fill(group, service, database, name, design);
    err = indexes_make(group);
    if (err == QK_OK)
        err = timer_new(service->loop, views_tick, group, &group->timer);
    if (err == QK_OK) {
        err = store_watch(service->store, bytes_of(group->database, DATABASE_ID_BYTES),
                          store_changed, group);
        if (err != QK_OK) {
            indexes_free(group);
            views_file_close(group, true);
            group->design = NULL; /* stays the caller's */
            timer_free(group->timer, group_free, group);
            return err;
        }
    }
    if (err != QK_OK) {
        indexes_free(group);
        views_file_close(group, true);
        free(group);
        return err;
    }
    *ret_group = group;
    return QK_OK;
}

static void group_link(struct view_group *group)
{
    group->next = group->service->view_groups;
    group->service->view_groups = group;
    group->service->view_groups_n++;
}

static struct view_group *group_find(const struct service *service, const uint8_t *database,
                                     const struct view_design *design)
{
    struct view_group *group = service->view_groups;

    while (group != NULL && (memcmp(group->database, database, DATABASE_ID_BYTES) != 0 ||
                             memcmp(group->design->signature, design->signature, HASH_BYTES) != 0))
        group = group->next;
    return group;
}

enum qk_err views_open(struct service *service, const struct catalog_database *database,
                       struct bytes name, struct view_design *design, struct view_group **ret_group)
{
    struct view_group *group = group_find(service, database->id, design);
    enum qk_err err = QK_OK;

    assert(ret_group != NULL);

    if (group != NULL) {
        view_design_free(design);
        views_hold(group);
        group_unlink(group); /* to the front */
    } else if (service->view_groups_n >= VIEW_GROUPS_MAX) {
        return QK_ERR_FULL;
    } else {
        err = group_new(service, database, name, design, &group);
    }
    if (err != QK_OK)
        return err;
    group_link(group);
    *ret_group = group;
    return QK_OK;
}

/* --- bounds --- */

size_t views_bytes(const struct view_group *group)
{
    size_t bytes = sizeof(*group), i;

    for (i = 0; group->indexes != NULL && i < group->design->views_n; i++)
        bytes += index_bytes(group->indexes[i]);
    return bytes;
}

size_t views_bytes_all(const struct service *service)
{
    const struct view_group *group;
    size_t bytes = 0;

    for (group = service->view_groups; group != NULL; group = group->next)
        bytes += views_bytes(group);
    return bytes;
}

size_t views_groups_n(const struct service *service)
{
    return service->view_groups_n;
}

/* The last in the list that nobody reads. */
static struct view_group *group_idle(const struct service *service)
{
    struct view_group *group, *idle = NULL;

    for (group = service->view_groups; group != NULL; group = group->next)
        if (group->refs == 0)
            idle = group;
    return idle;
}

enum qk_err views_make_room(struct view_group *group)
{
    struct service *service = group->service;
    size_t max = service->view_bytes_max == 0 ? VIEWS_BYTES_DEFAULT : service->view_bytes_max;
    struct view_group *idle;

    while (views_bytes_all(service) > max) {
        idle = group_idle(service);
        if (idle == NULL)
            return QK_ERR_FULL;
        views_drop(idle);
    }
    return QK_OK;
}

/* --- looking --- */

bool views_is_dead(const struct view_group *group)
{
    return group->dead;
}

struct bytes views_name(const struct view_group *group)
{
    return bytes_str(group->name);
}

const struct view_design *views_design(const struct view_group *group)
{
    return group->design;
}

const struct index *views_index(const struct view_group *group, size_t at)
{
    assert(at < group->design->views_n);

    if (group->dead)
        return NULL;
    return group->disk != NULL ? index_disk_index(group->disk, at) : group->indexes[at];
}

uint64_t views_seq(const struct view_group *group)
{
    return group->seq;
}

bool views_is_ready(const struct view_group *group)
{
    return group->disk == NULL || group->file_ready;
}

uint64_t views_file_bytes(const struct view_group *group)
{
    return group->disk == NULL ? 0 : index_disk_bytes(group->disk);
}

void views_damaged(struct view_group *group)
{
    log_error("index", "an index on the disk was damaged while it was read: it is made anew");
    views_kill(group, QK_ERR_BUSY);
}

bool views_is_updating(const struct view_group *group)
{
    return group->updating;
}

size_t views_waiting_n(const struct view_group *group)
{
    const struct view_waiter *waiter;
    size_t n = 0;

    for (waiter = group->waiters; waiter != NULL; waiter = waiter->next)
        n++;
    return n;
}

void views_each(const struct service *service, const uint8_t database[static DATABASE_ID_BYTES],
                bool (*each)(void *arg, struct view_group *group), void *arg)
{
    struct view_group *group = service->view_groups, *next;

    for (; group != NULL; group = next) {
        next = group->next;
        if (memcmp(group->database, database, DATABASE_ID_BYTES) == 0 && !each(arg, group))
            return;
    }
}

/* --- keys --- */

static bool key_has_destroyed(const struct keyring *keyring, const uint8_t *key_id)
{
    struct keyring_info info;
    size_t i;

    if (keyring_info_of(keyring, key_id, &info) != QK_OK || info.active == 0)
        return true;
    for (i = 0; i < info.versions_n; i++)
        if (keyring_version_at(keyring, &info, i).state == KEY_DESTROYED)
            return true;
    return false;
}

/* Rows of the key, or of any key with `key_id` NULL, that may be of a destroyed version. */
static bool group_has_destroyed(const struct view_group *group, const uint8_t *key_id)
{
    const struct keyring *keyring = group->service->keyring;
    uint32_t slot;
    size_t i;

    if (group->disk != NULL)
        return index_disk_has_destroyed(group->disk);
    for (i = 0; i < group->design->views_n; i++) {
        for (slot = 0; slot < index_slots_n(group->indexes[i]); slot++) {
            const uint8_t *known = index_slot_key(group->indexes[i], slot);

            if (key_id != NULL && memcmp(known, key_id, KEY_ID_BYTES) != 0)
                continue;
            if (key_has_destroyed(keyring, known))
                return true;
        }
    }
    return false;
}

/* What a destroyed version has sealed must not be found in memory either. That a key with an older
 * version destroyed costs its groups at each change of its record, too, is rare and does no harm:
 * they are built again. */
void views_key_changed(struct service *service, struct bytes name)
{
    size_t prefix = strlen(KEY_RECORD_PREFIX);
    struct view_group *group = service->view_groups, *next;
    const uint8_t *key_id = name.len == 0 ? NULL : name.data + prefix;

    if (name.len != 0 && (name.len != prefix + KEY_ID_BYTES ||
                          !bytes_starts_with(name, bytes_str(KEY_RECORD_PREFIX))))
        return;
    for (; group != NULL; group = next) {
        next = group->next;
        if (group_has_destroyed(group, key_id))
            views_kill(group, QK_ERR_BUSY);
    }
}
