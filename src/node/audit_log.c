/* The audit log of the process: opened as the configuration says, synced from the pool, marked once
 * a minute, tried again while it fails. */
#include <stdio.h>

#include "base/log.h"
#include "node/node.h"
#include "service/audit_mark.h"
#include "service/audit_use.h"

enum qk_err audit_init(struct node *node)
{
    node->audit.timer.data = node;
    return uv_timer_init(&node->loop, &node->audit.timer) == 0 ? QK_OK : QK_ERR_IO;
}

static void sync_work(uv_work_t *work)
{
    struct node *node = work->data;

    node->audit.err = audit_sync_run(&node->audit.job);
}

static void synced(uv_work_t *work, int status)
{
    struct node *node = work->data;
    bool failed = status != 0 || node->audit.err != QK_OK;

    audit_sync_end(node->service.audit, &node->audit.job,
                   status != 0 ? QK_ERR_CLOSED : node->audit.err);
    if (failed && !node->audit.failed)
        log_error("node", "the audit log could not be synced: %s",
                  qk_err_text(status != 0 ? QK_ERR_CLOSED : node->audit.err));
    node->audit.failed = failed;
}

static void mark(struct node *node)
{
    uint64_t now_ms = uv_now(&node->loop);
    struct audit_figures figures;

    audit_figures(node->service.audit, &figures);
    if (figures.unmarked_n > 0 && now_ms - node->audit.marked_ms < AUDIT_MARK_MS)
        return;
    audit_mark_put(&node->service);
    node->audit.marked_ms = now_ms;
}

static void on_timer(uv_timer_t *timer)
{
    struct node *node = timer->data;
    struct node_audit *audit = &node->audit;

    audit_retry(node->service.audit);
    audit_use_tick(&node->service);
    mark(node);
    if (!audit_sync_begin(node->service.audit, &audit->job))
        return;
    audit->work.data = node;
    if (uv_queue_work(&node->loop, &audit->work, sync_work, synced) != 0)
        audit_sync_end(node->service.audit, &audit->job, QK_ERR_NOMEM);
}

enum qk_err audit_start(struct node *node, char *ret_reason)
{
    const struct config *config = &node->config;
    const struct audit_settings settings = {
        .file_bytes_max = (uint64_t)config->audit_file_mib * MIB,
        .files_keep = config->audit_files_keep,
        .go_on = config->audit_on_failure == CONFIG_AUDIT_GO_ON,
        .to_stdout = config->audit_stdout,
        .syslog = config->audit_syslog[0] == '\0' ? NULL : config->audit_syslog,
    };
    char path[sizeof node->service.data_dir + 16];
    enum qk_err err;

    snprintf(path, sizeof path, "%s/audit.log", node->service.data_dir);
    err = audit_open_as(path, &settings, &node->service.audit);
    if (err == QK_OK)
        err = audit_use_new(config->audit_key_use == CONFIG_KEY_USE_ALL, &node->service.audit_use);
    if (err == QK_OK) {
        audit_on_unmarked(node->service.audit, audit_mark_due, &node->service);
        (void)uv_timer_start(&node->audit.timer, on_timer, NODE_AUDIT_SYNC_MS, NODE_AUDIT_SYNC_MS);
    } else if (err == QK_ERR_INVALID) {
        snprintf(ret_reason, NODE_REASON_BYTES, "audit syslog: the path of the socket is too long");
    } else {
        snprintf(ret_reason, NODE_REASON_BYTES,
                 "'%s': %s: look at it with 'quorumkeep audit verify', move it and its older files "
                 "(audit.log.*) away to start a new one",
                 path, qk_err_text(err));
    }
    return err;
}
