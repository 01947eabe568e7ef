/* What operators order of the whole cluster: hold and unhold, suspend and resume. The record is
 * written as the handlers write it, on the leader; signatures are not modelled. */
#include "system.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/apply.h"
#include "consensus/consensus.h"

static bool read_control(const struct table *table, struct system_control *ret_control)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_CONTROL);
    const struct row *row = table_find(table, record_key_bytes(&key));

    memset(ret_control, 0, sizeof(*ret_control));
    return row != NULL && system_control_decode(blob_bytes(row->value), ret_control) == QK_OK;
}

static void ordered(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    (void)arg;
    (void)err;
    (void)index;
    (void)result;
}

static void order(struct machine *m, const struct system_control *next)
{
    struct machine *before = system_current;
    enum qk_err err;

    system_current = m;
    err = hub_control_propose(m->cluster, next, ordered, NULL);
    system_say(m, "order: hold %d, %u suspended: %s", next->hold, next->suspended_n,
               qk_err_text(err));
    system_current = before;
}

/* The leader, if it may evaluate orders. */
static struct machine *addressee(struct system *sys)
{
    struct machine *m = people_leader(sys);

    if (m == NULL || m->dying || !m->cluster->booted || sys->final_epoch == 0 ||
        system_stopped(m, 0) || m->cluster->leader_term != consensus_term(m->service.consensus))
        return NULL;
    return m;
}

void orders_hold(struct system *sys)
{
    struct machine *m = addressee(sys);
    struct system_control next;

    if (m == NULL)
        return;
    next = m->cluster->control;
    next.hold = !next.hold;
    if (next.hold)
        next.hold_number = m->cluster->control_version + 1;
    order(m, &next);
}

static void drop(struct system_control *control, const uint8_t *node_id)
{
    for (unsigned i = 0; i < control->suspended_n; i++)
        if (memcmp(control->suspended[i], node_id, NODE_ID_BYTES) == 0) {
            memmove(control->suspended[i], control->suspended[--control->suspended_n],
                    NODE_ID_BYTES);
            return;
        }
}

void orders_suspend(struct system *sys)
{
    orders_suspend_or_resume(&sys->machines[sim_below(sys->w, sys->machines_n)]);
}

void orders_suspend_or_resume(const struct machine *whom)
{
    struct machine *m = addressee(whom->sys);
    struct system_control next;

    if (m == NULL || whom->service.node_sec == NULL || whom == m)
        return;
    next = m->cluster->control;
    if (system_is_suspended(&next, whom->service.node_id))
        drop(&next, whom->service.node_id);
    else if (next.suspended_n < NODES_MAX)
        memcpy(next.suspended[next.suspended_n++], whom->service.node_id, NODE_ID_BYTES);
    order(m, &next);
}

bool orders_on_hold(const struct machine *m)
{
    struct system_control control;

    return read_control(&m->mem, &control) && control.hold;
}

/* The alarm is over: everything may go on. */
void orders_end(struct system *sys)
{
    struct machine *m = addressee(sys);
    struct system_control next;

    if (m == NULL || (!m->cluster->control.hold && m->cluster->control.suspended_n == 0))
        return;
    next = m->cluster->control;
    next.hold = false;
    next.suspended_n = 0;
    order(m, &next);
}

/* --- what must hold -------------------------------------------------------------------------- */

static bool holds(struct bytes command)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_CONTROL);
    struct wire_reader reader;
    struct system_control control;
    struct wire_op op;
    bool hold = false;

    if (wire_reader_open(command, &reader) != QK_OK || reader.kind != WIRE_HOLD)
        return false;
    while (wire_reader_batch(&reader))
        while (wire_reader_op(&reader, &op))
            if (bytes_equal(op.key, record_key_bytes(&key)) &&
                system_control_decode(op.value, &control) == QK_OK)
                hold = control.hold;
    return hold;
}

static bool is_hold(struct bytes command)
{
    struct wire_reader reader;

    return wire_reader_open(command, &reader) == QK_OK && reader.kind == WIRE_HOLD;
}

/* The newest entry of its log between those indexes that has such a command; 0: none. */
static uint64_t find_in_log(const struct machine *m, uint64_t after, uint64_t last,
                            bool (*is)(struct bytes command))
{
    const struct entry_log *log = &m->raft->disk.log;
    uint64_t found = 0;

    for (uint64_t i = after + 1 > log->first ? after + 1 : log->first; i <= last; i++) {
        const struct log_entry *entry = entry_log_get(log, i);
        struct apply_cursor cursor;
        struct bytes command;
        bool end;

        if (entry == NULL || entry->type != RAFT_COMMAND ||
            apply_cursor_open(bytes_of(entry->data, entry->len), &cursor) != QK_OK)
            continue;
        while (apply_cursor_next(&cursor, &command, &end))
            if (is(command))
                found = i;
    }
    return found;
}

void orders_start(struct machine *m)
{
    uint64_t index;

    m->start_last = entry_log_last(&m->raft->disk.log);
    m->own_checked = m->held_ms = m->control_ms = m->control_seen = 0;
    index = find_in_log(m, m->disk.index, m->start_last, is_hold);
    if (index > 0 && m->sys->bug != BUG_HOLD_AT_START)
        cluster_control_pending(m->cluster, index);
}

/* When the record as it is now was applied: the hub hears of it in the loop's next turn. */
void orders_applied(struct machine *m)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_CONTROL);
    const struct row *row = table_find(&m->mem, record_key_bytes(&key));

    if (row == NULL || row->version == m->control_seen)
        return;
    m->control_seen = row->version;
    m->control_ms = m->sys->w->now;
}

void orders_check_given(struct machine *from, const uint8_t *node_id)
{
    struct system_control control;

    (void)read_control(&from->mem, &control);
    if (from->control_ms == from->sys->w->now)
        return;
    if (control.hold)
        sim_fail(from->sys->w, "m%u gives while it knows of a hold", from->at);
    if (system_is_suspended(&control, node_id))
        sim_fail(from->sys->w, "m%u gives to a node that is suspended", from->at);
    if (system_is_suspended(&control, from->service.node_id))
        sim_fail(from->sys->w, "m%u is suspended and gives", from->at);
    /* The store does not count entries without a command. */
    if (find_in_log(from, consensus_applied(from->service.consensus), from->start_last, holds) > 0)
        sim_fail(from->sys->w, "m%u gives though its log held a hold when it started", from->at);
}

/* Within the time that a refresh and a wipe take. */
void orders_check_machine(struct machine *m)
{
    struct world *w = m->sys->w;

    if (!orders_on_hold(m)) {
        m->held_ms = 0;
        return;
    }
    if (m->held_ms == 0)
        m->held_ms = w->now;
    if (w->now - m->held_ms > 1000 &&
        (m->cluster->mk != NULL || m->cluster->seal.state == SEAL_UNSEALED))
        sim_fail(w, "m%u is open on hold", m->at);
}
