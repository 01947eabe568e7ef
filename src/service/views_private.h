/* The inside of views.h: what views.c and views_update.c share. Nobody else includes this. */
#ifndef SERVICE_VIEWS_PRIVATE_H
#define SERVICE_VIEWS_PRIVATE_H

#include "service/tasks.h"
#include "service/timer_uv.h"
#include "service/views.h"
#include "store/store.h"

struct view_waiter {
    struct view_waiter *next;
    uint64_t seq;
    void (*cb)(void *arg, enum qk_err err);
    void *arg;
};

struct view_group {
    struct view_group *next; /* in service->view_groups, the one used last first; not when dead */
    struct service *service;
    unsigned refs; /* of readers, and of an update that is under way */
    bool dead;
    enum qk_err why; /* dead: what waiters get */
    uint8_t database[DATABASE_ID_BYTES];
    bool ids_hidden;
    char database_name[DATABASE_NAME_BYTES_MAX + 1];
    char name[DOC_ID_BYTES_MAX + 1];
    struct view_design *design;
    struct index **indexes; /* design->views_n */
    uint64_t seq;

    struct view_waiter *waiters;
    struct timer *timer; /* the next slice, and waking */
    enum qk_err wake_err;

    unsigned pins;
    uint64_t pinned_ms;
    bool updating, flushing, keys_waiting;
    bool removed;              /* since it began: records of the file may be gone from the store */
    uint64_t target, read_seq; /* the walk's end at least, and how far it has come */
    struct store_cursor *cursor;
    struct task *task;
    uint64_t done_n, total_n;
    struct view_rows rows;
    struct buf plain, text, id; /* secret */
};

/* An update begins, unless one is under way. */
void views_update(struct view_group *group);
/* From the group's timer: a slice, or those who wait are told. */
void views_tick(void *arg);
/* Ends it at once, without telling anybody. */
void views_update_stop(struct view_group *group);
void views_kill(struct view_group *group, enum qk_err why);
/* Groups give way until all keep to the setting. QK_ERR_FULL: `group` alone is too large. */
MUST_USE enum qk_err views_make_room(struct view_group *group);
/* Readers and updates hold it; freed with the last, if it is dead. */
void views_hold(struct view_group *group);

#endif
