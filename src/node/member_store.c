/* The store of a member: recovered if the last end was unclean, and opened; a damaged file is set
 * aside, and restore.c gets it back. */
#include "node/node.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "service/integrity/integrity.h"
#include "store/store.h"

static void store_fatal(void *arg, enum qk_err err, const char *what)
{
    (void)arg;
    log_error("node", "the store failed, this node stops: %s: %s", what, qk_err_text(err));
    _exit(1);
}

static void store_full(void *arg, bool full)
{
    struct node *node = arg;

    if (full)
        log_warn("node", "no space left in '%s': writes are refused until there is room",
                 node->service.data_dir);
    else
        log_info("node", "there is space in '%s' again: writes go on", node->service.data_dir);
}

static void set_aside_text(const char *path, const char *what, const char *aside, char *ret_why)
{
    const char *name = strrchr(aside, '/');

    log_error("node", "'%s' is damaged (%s) and was set aside as '%s'", path, what, aside);
    snprintf(ret_why, RESTORE_WHY_BYTES, "the store was damaged and set aside as '%.200s'",
             name != NULL ? name + 1 : aside);
}

/* A file that cannot even be opened goes the way of one that the walk found damaged. */
static enum qk_err store_open_or_aside(struct node *node, const char *path, char *ret_what,
                                       size_t size, char *ret_why)
{
    struct store_callbacks callbacks = {.arg = node, .fatal = store_fatal, .full = store_full};
    struct store **store = &node->service.store;
    char aside[sizeof node->service.data_dir + 64];
    enum qk_err err = store_open(&node->loop, path, NULL, &callbacks, store, ret_what, size);

    if (err != QK_ERR_CORRUPT)
        return err;
    err = store_set_aside(path, (uint64_t)time(NULL), aside, sizeof aside);
    if (err != QK_OK)
        return err;
    set_aside_text(path, ret_what, aside, ret_why);
    return store_open(&node->loop, path, NULL, &callbacks, store, ret_what, size);
}

enum qk_err member_store_start(struct node *node, char *ret_why, char *ret_reason)
{
    char path[sizeof node->service.data_dir + 16];
    char aside[sizeof path + 32];
    char what[512] = "";
    enum qk_err err;

    snprintf(path, sizeof path, "%s/store.mdb", node->service.data_dir);
    if (access(path, F_OK) != 0 && errno == ENOENT)
        snprintf(ret_why, RESTORE_WHY_BYTES, "store.mdb was missing");
    err = store_recover(path, (uint64_t)time(NULL), aside, sizeof aside, what, sizeof what);
    if (err == QK_ERR_CORRUPT) {
        set_aside_text(path, what, aside, ret_why);
        err = QK_OK;
    }
    if (err == QK_OK)
        err = store_open_or_aside(node, path, what, sizeof what, ret_why);
    if (err == QK_OK)
        integrity_attach(node->service.integrity);
    if (err != QK_OK)
        snprintf(ret_reason, CLUSTER_REASON_BYTES, "'%.200s': %.200s (%s)", path, what,
                 qk_err_text(err));
    return err;
}
