#include "service/tasks.h"

#include <stdio.h>
#include <stdlib.h>

#include "service/clock.h"
#include "service/service.h"

struct task {
    struct service *service;
    struct task *next;
    json_t *row; /* members are names and counts: jansson's memory is wiped as it is freed */
};

static void row_fill(struct task *task, const char *type)
{
    const struct service *service = task->service;
    uint64_t now_s = service_time_s(service);
    char pid[40];

    /* CouchDB's clients show it and expect an Erlang process; here it numbers the task. */
    snprintf(pid, sizeof(pid), "<0.%llu.0>", (unsigned long long)service->tasks_began_n);
    task_set(task, "node", json_string(service->node_name));
    task_set(task, "pid", json_string(pid));
    task_set(task, "type", json_string(type));
    task_set(task, "started_on", json_integer((json_int_t)now_s));
}

enum qk_err task_begin(struct service *service, const char *type, struct task **ret_task)
{
    struct task *task = calloc(1, sizeof(*task));

    if (task != NULL)
        task->row = json_object();
    if (task == NULL || task->row == NULL) {
        free(task);
        return QK_ERR_NOMEM;
    }
    service->tasks_began_n++;
    task->service = service;
    task->next = service->tasks;
    service->tasks = task;
    row_fill(task, type);
    *ret_task = task;
    return QK_OK;
}

void task_set(struct task *task, const char *name, json_t *value)
{
    if (task == NULL) {
        json_decref(value);
        return;
    }
    (void)json_object_set_new(task->row, name, value);
    (void)json_object_set_new(task->row, "updated_on",
                              json_integer((json_int_t)service_time_s(task->service)));
}

void task_progress(struct task *task, uint64_t done, uint64_t total)
{
    uint64_t percent = total == 0 || done >= total ? 100 : done * 100 / total;

    task_set(task, "changes_done", json_integer((json_int_t)done));
    task_set(task, "total_changes", json_integer((json_int_t)total));
    task_set(task, "progress", json_integer((json_int_t)percent));
}

void task_end(struct task *task)
{
    struct task **link;

    if (task == NULL)
        return;
    for (link = &task->service->tasks; *link != task; link = &(*link)->next)
        continue;
    *link = task->next;
    json_decref(task->row);
    free(task);
}

json_t *tasks_json(const struct service *service)
{
    json_t *list = json_array();
    const struct task *task;
    json_t *row;

    for (task = service->tasks; list != NULL && task != NULL; task = task->next) {
        row = json_deep_copy(task->row);
        if (json_array_append_new(list, row) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}
