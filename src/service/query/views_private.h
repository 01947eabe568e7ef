/* The inside of views.h: what views.c and views_update.c share. Nobody else includes this. */
#ifndef SERVICE_QUERY_VIEWS_PRIVATE_H
#define SERVICE_QUERY_VIEWS_PRIVATE_H

#include "service/script.h"
#include "service/tasks.h"
#include "service/timer_uv.h"
#include "service/query/views.h"
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
    struct index **indexes;   /* design->views_n; NULL with `disk` */
    struct index_disk *disk;  /* views_file.h: of kind plain or blind */
    bool file_ready;          /* it was looked through */
    bool file_anew;           /* this update has begun anew */
    bool keeps_file;          /* when it is killed */
    bool committed, settling; /* views_file_settle */
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
    bool opened; /* the walk is under way */
    struct task *task;
    uint64_t done_n, total_n, began_ms;
    struct view_rows rows;
    struct buf plain, text, id; /* secret */
    bool walked;                /* the walk is at its end */

    /* JavaScript: views_script.c */
    struct script *script;
    struct buf batch;  /* secret: documents that wait for their rows */
    struct buf sends;  /* secret: as the worker is to get them */
    unsigned batch_n;  /* not answered yet */
    size_t batch_at;   /* where the next to be answered stands */
    bool script_waits; /* answers are to come */
    unsigned deaths, failures;
};

#define VIEW_BATCH_BYTES (1 * MIB)
#define VIEW_BATCH_DOCS 512
/* Workers that documents have ended: then the group cannot be built. */
#define VIEW_DEATHS_MAX 3

/* The document that gives rows. */
struct view_source {
    struct bytes id;
    const uint8_t *key_id; /* KEY_ID_BYTES: its data key, and the version that it is under */
    uint32_t key_version;
    uint64_t seq;
};

/* Adds the document in group->text to the batch. */
MUST_USE enum qk_err views_script_add(struct view_group *group, const struct view_source *source);
bool views_script_is_full(const struct view_group *group);
/* Has the rows of the batch made; then views_script_done, never inside of this call. QK_ERR_BUSY:
 * no worker is to be had now. */
MUST_USE enum qk_err views_script_run(struct view_group *group);
void views_script_done(struct view_group *group, enum qk_err err);
void views_script_stop(struct view_group *group);
/* Puts group->rows in the place of what the document had. */
MUST_USE enum qk_err views_put_rows(struct view_group *group, const struct view_source *source);

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
