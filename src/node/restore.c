/* A member whose store was lost (damaged and set aside, deleted, or replaced by an older copy) gets
 * it back without anybody's help, sealed until then.
 *
 * The log is whole, so consensus runs. Where the log still reaches back to what the store holds, it
 * is applied again; else the connected members are asked for their store, one after the other,
 * until one sends it. When everything that the cluster had committed is applied here (a read
 * point), the hub is told, and the node unseals like any other.
 *
 * That this is under way stands in the store itself, so that a stop in the midst of it goes on
 * afterwards: a store that is half replayed must not be taken for the cluster's state. Nobody
 * connected, a sender lost, a store that cannot be put in place: asked again, of the next. */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "node/node.h"
#include "store/store.h"

#define LOCAL_NAME "restoring"
#define TICK_MS 200
#define READ_MS 5000

static void restore_tick(void *arg);

/* --- telling --------------------------------------------------------------------------------- */

/* `step` goes to the log when it is another one, `figures` to whoever asks for the status. */
static void note(struct node *node, const char *step, const char *figures)
{
    struct restore *restore = &node->restore;
    char text[CLUSTER_REASON_BYTES];

    snprintf(text, sizeof text, "%s; %s%s", restore->why, step, figures);
    cluster_restore_note(node->service.cluster, text);
    if (strcmp(restore->said, step) == 0)
        return;
    snprintf(restore->said, sizeof restore->said, "%s", step);
    log_info("restore", "%s", text);
}

static void note_taking(struct node *node)
{
    struct transfer_progress progress[TRANSFERS_MAX + 1];
    size_t n = transfer_progress(node->transfer, progress);
    char name[NODE_NAME_BYTES_MAX + 1], step[NODE_NAME_BYTES_MAX + 32], figures[16];

    for (size_t i = 0; i < n; i++) {
        if (progress[i].sending)
            continue;
        cluster_node_text(node->service.cluster, progress[i].node_id, name, sizeof name);
        snprintf(step, sizeof step, "taking it from %s: ", name);
        snprintf(figures, sizeof figures, "%u %%",
                 progress[i].total == 0 || progress[i].bytes >= progress[i].total
                     ? 100
                     : (unsigned)(100 * progress[i].bytes / progress[i].total));
        note(node, step, figures);
        return;
    }
}

static void note_replay(struct node *node)
{
    const struct consensus *consensus = node->service.consensus;
    char figures[64];

    snprintf(figures, sizeof figures, "%" PRIu64 " of %" PRIu64, store_applied(node->service.store),
             consensus_last_index(consensus));
    note(node, "applying the log: ", figures);
}

/* --- the steps ------------------------------------------------------------------------------- */

static void ask_next(struct node *node, uint64_t index)
{
    struct restore *restore = &node->restore;

    if (restore->peers_n == 0) {
        note(node, "waiting for a member that can give it", "");
        return;
    }
    restore->next = (restore->next + 1) % restore->peers_n;
    transfer_ask(node->transfer, restore->peers[restore->next], index);
}

static void restore_done(struct node *node)
{
    node->restore.active = false;
    timer_stop(node->restore.timer);
    /* Until it is durable, a stop would only have the last step done again. */
    if (store_local_put(node->service.store, LOCAL_NAME, BYTES_NONE, NULL, NULL) != QK_OK)
        log_warn("restore", "the mark in the store was not removed");
    log_info("restore", "the store is whole again, up to %" PRIu64,
             store_applied(node->service.store));
    cluster_restore_end(node->service.cluster);
}

static void on_read(void *arg, enum qk_err err, uint64_t index)
{
    struct node *node = arg;

    (void)index;
    node->restore.reading = false;
    if (node->restore.active && err == QK_OK)
        restore_done(node);
}

static void restore_step(struct node *node)
{
    struct restore *restore = &node->restore;
    struct consensus *consensus = node->service.consensus;
    uint64_t index;

    if (consensus_wants_store(consensus, &index)) {
        if (!transfer_is_asking(node->transfer))
            ask_next(node, index);
        note_taking(node);
        return;
    }
    note_replay(node);
    if (!restore->reading)
        restore->reading = consensus_read(consensus, READ_MS, on_read, node) == QK_OK;
}

static void restore_tick(void *arg)
{
    struct node *node = arg;

    if (!node->restore.active || node->transfer == NULL)
        return;
    restore_step(node);
    if (node->restore.active)
        timer_start(node->restore.timer, TICK_MS);
}

/* --- what others bring ----------------------------------------------------------------------- */

void restore_installed(struct node *node, enum qk_err err)
{
    if (err != QK_OK) {
        log_warn("restore", "the store that came could not be put in place: %s", qk_err_text(err));
        return;
    }
    consensus_restored(node->service.consensus, store_applied(node->service.store));
    if (node->restore.active)
        timer_start(node->restore.timer, 0);
}

bool restore_gives(const struct node *node, uint64_t index)
{
    return !node->restore.active && store_applied(node->service.store) >= index;
}

void restore_peer(struct node *node, const uint8_t node_id[NODE_ID_BYTES], bool up)
{
    struct restore *restore = &node->restore;

    for (unsigned i = 0; i < restore->peers_n; i++)
        if (memcmp(restore->peers[i], node_id, NODE_ID_BYTES) == 0) {
            memmove(restore->peers[i], restore->peers[--restore->peers_n], NODE_ID_BYTES);
            break;
        }
    if (up && restore->peers_n < NODES_MAX)
        memcpy(restore->peers[restore->peers_n++], node_id, NODE_ID_BYTES);
    if (up && restore->active)
        timer_start(restore->timer, 0);
}

/* --- start and end --------------------------------------------------------------------------- */

/* An earlier start found it out. */
static bool is_marked(struct node *node, char ret_why[static RESTORE_WHY_BYTES])
{
    struct bytes value;

    if (store_local_get(node->service.store, LOCAL_NAME, &value) != QK_OK)
        return false;
    snprintf(ret_why, RESTORE_WHY_BYTES, "%.*s", (int)value.len, (const char *)value.data);
    return true;
}

enum qk_err restore_check(struct node *node, bool founder, const char *why)
{
    struct restore *restore = &node->restore;
    struct store *store = node->service.store;
    bool marked;
    enum qk_err err = QK_OK;

    memset(restore, 0, sizeof *restore);
    marked = is_marked(node, restore->why);
    if (!marked && (founder || !consensus_outruns(node->service.consensus, store_applied(store))))
        return QK_OK;
    if (why[0] != '\0')
        snprintf(restore->why, sizeof restore->why, "%s", why);
    else if (!marked)
        snprintf(restore->why, sizeof restore->why, "the store is behind the log");
    err = store_local_put(store, LOCAL_NAME, bytes_str(restore->why), NULL, NULL);
    if (err == QK_OK)
        err = timer_new(&node->loop, restore_tick, node, &restore->timer);
    if (err != QK_OK)
        return err;
    restore->active = true;
    cluster_restore_begin(node->service.cluster, restore->why);
    log_warn("restore", "%s: this node stays sealed until the store is whole again", restore->why);
    timer_start(restore->timer, TICK_MS);
    return QK_OK;
}

void restore_close(struct node *node)
{
    node->restore.active = false;
    timer_free(node->restore.timer, NULL, NULL);
    node->restore.timer = NULL;
}
