#include "trio.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 120000 /* a hang is what it is for: tools make all of it many times slower */

/* --- callbacks of the configuration -------------------------------------------------------- */

static void node_send(void *arg, uint64_t peer, struct bytes message)
{
    struct trio_node *node = arg;
    struct trio *trio = node->trio;
    struct trio_message *m;

    if (peer > TRIO_MAX || trio->cut[node->id] || trio->cut[peer])
        return;
    m = malloc(sizeof(*m) + message.len);
    cr_assert_not_null(m);
    m->from = node->id;
    m->to = peer;
    m->len = message.len;
    m->next = NULL;
    memcpy(m->data, message.data, message.len);
    *trio->tail = m;
    trio->tail = &m->next;
}

static enum qk_err node_apply(void *arg, uint64_t index, uint64_t term, bool last,
                              struct bytes command, struct buf *result)
{
    struct trio_node *node = arg;

    (void)term;
    cr_assert_gt(index, node->applied, "an index is applied once");
    for (size_t i = 0; i < command.len; i++)
        node->hash = node->hash * 1099511628211u ^ command.data[i];
    node->commands_n++;
    if (last) {
        node->applied = index;
        if (node->trio->sync_all)
            node->synced = index;
    }
    buf_put_str(result, "ok ");
    buf_put_bytes(result, bytes_slice(command, 0, 64));
    return QK_OK;
}

static uint64_t node_synced(void *arg)
{
    return ((struct trio_node *)arg)->synced;
}

static void node_state(void *arg)
{
    (void)arg;
}

static void node_fatal(void *arg, const char *what)
{
    struct trio_node *node = arg;

    node->fatal = true;
    snprintf(node->fatal_what, sizeof(node->fatal_what), "%s", what);
}

/* The stream takes no time here; its end is reported from the pipe. */
static void node_snapshot_send(void *arg, uint64_t peer, struct bytes token)
{
    struct trio_node *node = arg;
    struct trio_node *to = &node->trio->nodes[peer];

    node->snapshots_n++;
    cr_assert_leq(token.len, sizeof(to->staged_token));
    if (to->up && !node->trio->cut[peer]) {
        memcpy(to->staged_token, token.data, token.len);
        to->staged_token_len = token.len;
        to->staged = true;
        to->staged_applied = node->applied;
        to->staged_hash = node->hash;
        to->staged_n = node->commands_n;
    }
    consensus_snapshot_sent(node->c, peer, token, to->up ? QK_OK : QK_ERR_IO);
}

static bool node_snapshot_staged(void *arg, struct bytes token)
{
    struct trio_node *node = arg;

    return node->staged && bytes_equal(token, bytes_of(node->staged_token, node->staged_token_len));
}

static void node_snapshot_install(void *arg, struct bytes token)
{
    struct trio_node *node = arg;

    cr_assert(node_snapshot_staged(node, token));
    node->installs_n++;
    node->applied = node->synced = node->staged_applied;
    node->hash = node->staged_hash;
    node->commands_n = node->staged_n;
    node->staged = false;
    consensus_snapshot_installed(node->c, QK_OK, node->applied);
}

/* --- the loop ------------------------------------------------------------------------------ */

static void pipe_cb(uv_idle_t *idle)
{
    struct trio *trio = idle->data;
    struct trio_message *m = trio->first;

    if (m == NULL) {
        usleep(100); /* an idle handle keeps the loop turning; not so fast */
        return;
    }
    trio->first = m->next;
    if (trio->first == NULL)
        trio->tail = &trio->first;
    if (trio->nodes[m->to].up && !trio->cut[m->to] && !trio->cut[m->from])
        consensus_receive(trio->nodes[m->to].c, m->from, bytes_of(m->data, m->len));
    free(m);
}

static void guard_cb(uv_timer_t *timer)
{
    ((struct trio *)timer->data)->timed_out = true;
}

void trio_init(struct trio *trio)
{
    memset(trio, 0, sizeof(*trio));
    cr_assert_eq(uv_loop_init(&trio->loop), 0);
    cr_assert_eq(uv_idle_init(&trio->loop, &trio->pipe), 0);
    cr_assert_eq(uv_timer_init(&trio->loop, &trio->guard), 0);
    trio->pipe.data = trio;
    trio->guard.data = trio;
    trio->tail = &trio->first;
    trio->sync_all = true;
    uv_idle_start(&trio->pipe, pipe_cb);
    snprintf(trio->base, sizeof(trio->base), "/tmp/qk-trio-XXXXXX");
    cr_assert_not_null(mkdtemp(trio->base));
}

static void remove_dir(const char *path)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char name[600];

    while (dir != NULL && (entry = readdir(dir)) != NULL) {
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        unlink(name);
    }
    if (dir != NULL)
        closedir(dir);
    rmdir(path);
}

void trio_fini(struct trio *trio)
{
    for (uint64_t id = 1; id <= TRIO_MAX; id++) {
        if (trio->nodes[id].up)
            trio_close(trio, id);
        if (trio->nodes[id].id != 0)
            remove_dir(trio->nodes[id].dir);
    }
    while (trio->first != NULL) {
        struct trio_message *m = trio->first;
        trio->first = m->next;
        free(m);
    }
    uv_close((uv_handle_t *)&trio->pipe, NULL);
    uv_close((uv_handle_t *)&trio->guard, NULL);
    uv_run(&trio->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&trio->loop), 0);
    rmdir(trio->base);
}

/* What a failing test prints. */
static void describe(struct trio *trio)
{
    for (uint64_t id = 1; id <= TRIO_MAX; id++) {
        const struct trio_node *node = &trio->nodes[id];
        if (node->up)
            fprintf(stderr,
                    "node %d: role %d term %d leader %d commit %d applied %d last %d store %d\n",
                    (int)id, (int)consensus_role(node->c), (int)consensus_term(node->c),
                    (int)consensus_leader(node->c), (int)consensus_commit(node->c),
                    (int)consensus_applied(node->c), (int)consensus_last_index(node->c),
                    (int)node->applied);
    }
}

void trio_until(struct trio *trio, bool (*done)(struct trio *trio, void *arg), void *arg)
{
    trio->timed_out = false;
    uv_timer_start(&trio->guard, guard_cb, PATIENCE_MS, 0);
    while (!done(trio, arg)) {
        if (trio->timed_out)
            describe(trio);
        cr_assert(!trio->timed_out, "nothing happened for two minutes");
        for (uint64_t id = 1; id <= TRIO_MAX; id++)
            cr_assert(!trio->nodes[id].fatal, "node %d: %s", (int)id, trio->nodes[id].fatal_what);
        uv_run(&trio->loop, UV_RUN_ONCE);
    }
    uv_timer_stop(&trio->guard);
}

void trio_open(struct trio *trio, uint64_t id, bool bootstrap)
{
    struct trio_node *node = &trio->nodes[id];
    struct consensus_config config = {
        .loop = &trio->loop,
        .dir = node->dir,
        .id = id,
        .election_timeout_ms = trio->election_timeout_ms == 0 ? 150 : trio->election_timeout_ms,
        .heartbeat_ms = 30,
        .log_keep_bytes = trio->log_keep_bytes,
        .arg = node,
        .send = node_send,
        .apply = node_apply,
        .synced = node_synced,
        .state_changed = node_state,
        .fatal = node_fatal,
        .snapshot_send = node_snapshot_send,
        .snapshot_staged = node_snapshot_staged,
        .snapshot_install = node_snapshot_install,
    };
    char address[40];
    char reason[512];
    enum qk_err err;

    snprintf(node->dir, sizeof(node->dir), "%s/n%d", trio->base, (int)id);
    snprintf(address, sizeof(address), "%032d", (int)id);
    node->trio = trio;
    node->id = id;
    cr_assert_eq(consensus_new(&config, &node->c), QK_OK);
    err = consensus_open(node->c, reason);
    cr_assert_eq(err, QK_OK, "open: %s", reason);
    if (bootstrap)
        cr_assert_eq(consensus_bootstrap(node->c, address), QK_OK);
    if (trio->wanted != NULL)
        node->found = consensus_find_unapplied(node->c, node->synced, trio->wanted);
    cr_assert_eq(consensus_start(node->c, node->synced), QK_OK);
    node->up = true;
    node->closed = false;
}

static void closed_cb(void *arg)
{
    ((struct trio_node *)arg)->closed = true;
}

static bool is_closed(struct trio *trio, void *arg)
{
    (void)trio;
    return ((struct trio_node *)arg)->closed;
}

void trio_close(struct trio *trio, uint64_t id)
{
    struct trio_node *node = &trio->nodes[id];

    node->up = false;
    consensus_close(node->c, closed_cb, node);
    trio_until(trio, is_closed, node);
    consensus_free(node->c);
    node->c = NULL;
}

static bool has_leader(struct trio *trio, void *arg)
{
    uint64_t *leader = arg;

    for (uint64_t id = 1; id <= TRIO_MAX; id++) {
        struct trio_node *node = &trio->nodes[id];
        if (node->up && !trio->cut[id] && consensus_role(node->c) == CONSENSUS_LEADER &&
            consensus_has_majority_contact(node->c)) {
            *leader = id;
            return true;
        }
    }
    return false;
}

uint64_t trio_leader(struct trio *trio)
{
    uint64_t leader = 0;

    trio_until(trio, has_leader, &leader);
    return leader;
}

/* --- requests ------------------------------------------------------------------------------ */

struct waiting {
    bool done;
    enum qk_err err;
};

static bool is_done(struct trio *trio, void *arg)
{
    (void)trio;
    return ((struct waiting *)arg)->done;
}

static void change_cb(void *arg, enum qk_err err)
{
    struct waiting *waiting = arg;

    cr_assert(!waiting->done, "answered once");
    waiting->done = true;
    waiting->err = err;
}

static void submit_cb(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    if (err == QK_OK) {
        cr_assert_gt(index, 0);
        cr_assert(bytes_starts_with(result, bytes_str("ok ")));
    }
    change_cb(arg, err);
}

static void read_cb(void *arg, enum qk_err err, uint64_t index)
{
    (void)index;
    change_cb(arg, err);
}

static enum qk_err wait_for(struct trio *trio, enum qk_err err, struct waiting *waiting)
{
    if (err != QK_OK)
        return err;
    cr_assert(!waiting->done, "never inside the call that started it");
    trio_until(trio, is_done, waiting);
    return waiting->err;
}

enum qk_err trio_write(struct trio *trio, uint64_t id, const char *text)
{
    struct waiting waiting = {0};

    return wait_for(trio, consensus_submit(trio->nodes[id].c, bytes_str(text), submit_cb, &waiting),
                    &waiting);
}

enum qk_err trio_read(struct trio *trio, uint64_t id)
{
    struct waiting waiting = {0};

    return wait_for(trio, consensus_read(trio->nodes[id].c, 2000, read_cb, &waiting), &waiting);
}

enum qk_err trio_add(struct trio *trio, uint64_t leader, uint64_t id)
{
    struct waiting waiting = {0};
    char address[40];

    snprintf(address, sizeof(address), "%032d", (int)id);
    return wait_for(trio, consensus_add(trio->nodes[leader].c, id, address, change_cb, &waiting),
                    &waiting);
}

enum qk_err trio_promote(struct trio *trio, uint64_t leader, uint64_t id)
{
    struct waiting waiting = {0};

    return wait_for(trio, consensus_promote(trio->nodes[leader].c, id, change_cb, &waiting),
                    &waiting);
}

enum qk_err trio_remove(struct trio *trio, uint64_t leader, uint64_t id)
{
    struct waiting waiting = {0};

    return wait_for(trio, consensus_remove(trio->nodes[leader].c, id, change_cb, &waiting),
                    &waiting);
}

enum qk_err trio_transfer(struct trio *trio, uint64_t leader, uint64_t id)
{
    struct waiting waiting = {0};

    return wait_for(trio, consensus_transfer(trio->nodes[leader].c, id, change_cb, &waiting),
                    &waiting);
}

void trio_make_three(struct trio *trio)
{
    trio_open(trio, 1, true);
    cr_assert_eq(trio_leader(trio), 1);
    cr_assert_eq(trio_write(trio, 1, "first"), QK_OK);
    for (uint64_t id = 2; id <= 3; id++) {
        enum qk_err err;
        trio_open(trio, id, false);
        while ((err = trio_add(trio, 1, id)) == QK_ERR_BUSY)
            uv_run(&trio->loop, UV_RUN_ONCE);
        cr_assert_eq(err, QK_OK, "add: %s", qk_err_text(err));
        while ((err = trio_promote(trio, 1, id)) == QK_ERR_BUSY)
            uv_run(&trio->loop, UV_RUN_ONCE);
        cr_assert_eq(err, QK_OK, "promote: %s", qk_err_text(err));
    }
}

static bool are_equal(struct trio *trio, void *arg)
{
    const struct trio_node *one = NULL;

    (void)arg;
    for (uint64_t id = 1; id <= TRIO_MAX; id++) {
        const struct trio_node *node = &trio->nodes[id];
        if (!node->up)
            continue;
        if (one == NULL)
            one = node;
        if (node->hash != one->hash || node->commands_n != one->commands_n)
            return false;
    }
    return true;
}

void trio_equal(struct trio *trio)
{
    trio_until(trio, are_equal, NULL);
}
