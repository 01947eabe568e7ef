/* What callers asked for: commands, reads, changes. The calls only queue; before the loop polls
 * again all that was queued goes to the engine together, commands coalesced into few entries. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/apply.h"
#include "consensus/consensus_private.h"

void requests_init(struct consensus *c)
{
    c->queued.tail = &c->queued.first;
    c->proposals_tail = &c->proposals;
    c->reads_tail = &c->reads;
    c->reads_due = UINT64_MAX;
    c->late_tail = &c->late;
}

/* --- commands ------------------------------------------------------------------------------ */

static void list_add(struct submission_list *list, struct submission *submission)
{
    submission->next = NULL;
    *list->tail = submission;
    list->tail = &submission->next;
}

static struct submission *list_take(struct submission_list *list)
{
    struct submission *submission = list->first;

    if (submission == NULL)
        return NULL;
    list->first = submission->next;
    if (list->first == NULL)
        list->tail = &list->first;
    return submission;
}

static void answer(struct consensus *c, struct submission *submission, enum qk_err err,
                   uint64_t index, struct bytes result)
{
    assert(c->inflight_bytes >= submission->len);
    c->inflight_bytes -= submission->len;
    submission->cb(submission->arg, err, index, result);
    free(submission);
}

static void fail_list(struct consensus *c, struct submission_list *list, enum qk_err err)
{
    /* Detached first: a callback may submit again. */
    struct submission *submission = list->first;

    list->first = NULL;
    list->tail = &list->first;
    while (submission != NULL) {
        struct submission *next = submission->next;
        answer(c, submission, err, 0, BYTES_NONE);
        submission = next;
    }
}

static void fail_proposals(struct consensus *c, enum qk_err err)
{
    struct proposal *proposal = c->proposals;

    c->proposals = NULL;
    c->proposals_tail = &c->proposals;
    while (proposal != NULL) {
        struct proposal *next = proposal->next;
        fail_list(c, &proposal->submissions, err);
        free(proposal);
        proposal = next;
    }
}

enum qk_err consensus_submit(struct consensus *c, struct bytes command, consensus_submit_cb cb,
                             void *arg)
{
    struct submission *submission;
    enum qk_err err;

    assert(cb != NULL);
    if (c->closing || c->failed || c->engine == NULL)
        return QK_ERR_CLOSED;
    if (command.len == 0)
        return QK_ERR_INVALID;
    if (command.len > COMMAND_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    if (engine_role(c->engine) != CONSENSUS_LEADER || engine_transferring(c->engine))
        return QK_ERR_NOT_LEADER;
    err = c->config.may_submit != NULL ? c->config.may_submit(c->config.arg, command) : QK_OK;
    if (err != QK_OK)
        return err;
    if (c->inflight_bytes + command.len > CONSENSUS_INFLIGHT_BYTES_MAX)
        return QK_ERR_BUSY;
    err = disk_reserve(c->disk, command.len + APPLY_HEAD_BYTES + APPLY_FRAME_BYTES, 1);
    if (err != QK_OK)
        return err;
    submission = malloc(sizeof(*submission) + command.len);
    if (submission == NULL)
        return QK_ERR_NOMEM;
    submission->cb = cb;
    submission->arg = arg;
    submission->len = command.len;
    memcpy(submission->command, command.data, command.len);
    c->inflight_bytes += command.len;
    list_add(&c->queued, submission);
    return QK_OK;
}

/* Takes as many queued commands as make one entry. */
static enum qk_err make_payload(struct consensus *c, struct submission_list *taken,
                                struct buf *payload)
{
    size_t n = 0;

    apply_frame_start(payload);
    while (c->queued.first != NULL && n < APPLY_COMMANDS_MAX) {
        struct submission *submission = c->queued.first;
        if (n > 0 && payload->len + APPLY_FRAME_BYTES + submission->len > APPLY_COALESCE_BYTES)
            break;
        apply_frame_add(payload, bytes_of(submission->command, submission->len));
        list_add(taken, list_take(&c->queued));
        n++;
    }
    c->stats.commands_n += n;
    return buf_error(payload);
}

/* Proposes one entry. */
static void propose(struct consensus *c)
{
    struct submission_list taken = {NULL, &taken.first};
    struct buf payload = BUF_INIT(ENTRY_BYTES_MAX);
    struct proposal *proposal = calloc(1, sizeof(*proposal));
    enum qk_err err = make_payload(c, &taken, &payload);

    if (err == QK_OK && proposal == NULL)
        err = QK_ERR_NOMEM;
    if (err == QK_OK)
        err = disk_reserve(c->disk, payload.len, 1);
    if (err == QK_OK)
        err = engine_submit(c->engine, consensus_now(c), buf_bytes(&payload), &proposal->index,
                            &proposal->term);
    buf_fini(&payload);
    if (err != QK_OK) {
        free(proposal);
        fail_list(c, &taken, err);
        if (err != QK_ERR_NOT_LEADER && err != QK_ERR_FULL && err != QK_ERR_BUSY &&
            err != QK_ERR_IO)
            consensus_fail(c, qk_err_text(err));
        return;
    }
    proposal->submissions.first = taken.first;
    proposal->submissions.tail = taken.tail;
    *c->proposals_tail = proposal;
    c->proposals_tail = &proposal->next;
    c->led_term = proposal->term;
    c->stats.entries_n++;
}

void requests_role_changed(struct consensus *c)
{
    bool leads = engine_role(c->engine) == CONSENSUS_LEADER;

    if (c->role_seen != CONSENSUS_CANDIDATE && engine_role(c->engine) == CONSENSUS_CANDIDATE)
        c->stats.elections_n++;
    c->role_seen = engine_role(c->engine);
    if (c->proposals != NULL && (!leads || engine_term(c->engine) != c->led_term))
        fail_proposals(c, QK_ERR_UNKNOWN_OUTCOME);
    if (!leads)
        fail_list(c, &c->queued, QK_ERR_NOT_LEADER);
}

enum qk_err requests_apply(struct consensus *c, const struct engine_apply *apply)
{
    struct proposal *proposal = c->proposals;
    struct apply_cursor cursor;
    struct bytes command;
    bool last;
    enum qk_err err = apply_cursor_open(apply->payload, &cursor);

    if (proposal != NULL && proposal->index == apply->index) {
        c->proposals = proposal->next;
        if (c->proposals == NULL)
            c->proposals_tail = &c->proposals;
    } else {
        proposal = NULL;
    }
    while (err == QK_OK && apply_cursor_next(&cursor, &command, &last)) {
        struct submission *submission = proposal == NULL ? NULL : list_take(&proposal->submissions);
        buf_reset(&c->result);
        err = c->config.apply(c->config.arg, apply->index, apply->term, last, command, &c->result);
        if (err == QK_OK)
            err = buf_error(&c->result);
        if (submission == NULL)
            continue;
        if (err != QK_OK || proposal->term != apply->term)
            answer(c, submission, QK_ERR_UNKNOWN_OUTCOME, 0, BYTES_NONE);
        else
            answer(c, submission, QK_OK, apply->index, buf_bytes(&c->result));
    }
    if (proposal != NULL)
        fail_list(c, &proposal->submissions, QK_ERR_UNKNOWN_OUTCOME);
    free(proposal);
    return err;
}

/* --- reads --------------------------------------------------------------------------------- */

enum qk_err consensus_read(struct consensus *c, unsigned timeout_ms, consensus_read_cb cb,
                           void *arg)
{
    struct read_wait *read;

    assert(cb != NULL);
    if (c->closing || c->failed || c->engine == NULL)
        return QK_ERR_CLOSED;
    read = calloc(1, sizeof(*read));
    if (read == NULL)
        return QK_ERR_NOMEM;
    read->cookie = ++c->read_cookie;
    read->deadline = consensus_now(c) + timeout_ms;
    read->cb = cb;
    read->arg = arg;
    if (read->deadline < c->reads_due)
        c->reads_due = read->deadline;
    if (c->reads_unasked == NULL)
        c->reads_unasked = read;
    read->link = c->reads_tail;
    *c->reads_tail = read;
    c->reads_tail = &read->next;
    return QK_OK;
}

static void read_end(struct consensus *c, struct read_wait *read, enum qk_err err, uint64_t index)
{
    if (c->reads_unasked == read)
        c->reads_unasked = read->next;
    *read->link = read->next;
    if (read->next != NULL)
        read->next->link = read->link;
    else
        c->reads_tail = read->link;
    read->cb(read->arg, err, index);
    free(read);
}

void requests_read_done(struct consensus *c, uint64_t cookie, uint64_t index)
{
    for (struct read_wait *read = c->reads; read != NULL; read = read->next) {
        if (read->cookie == cookie) {
            read_end(c, read, QK_OK, index);
            return;
        }
    }
}

/* Reads that the engine does not know yet are the tail of the list. */
static void ask_reads(struct consensus *c)
{
    while (c->reads_unasked != NULL && !c->failed) {
        struct read_wait *read = c->reads_unasked;
        enum qk_err err = engine_read(c->engine, consensus_now(c), read->cookie);
        c->reads_unasked = read->next;
        if (err == QK_ERR_BUSY)
            read_end(c, read, err, 0);
        else if (err != QK_OK)
            consensus_fail(c, qk_err_text(err));
    }
}

uint64_t requests_tick(struct consensus *c)
{
    uint64_t now = consensus_now(c);
    struct read_wait *read = c->reads;

    if (now < c->reads_due)
        return c->reads_due;
    c->reads_due = UINT64_MAX;
    while (read != NULL) {
        struct read_wait *next = read->next;
        if (read->deadline <= now) {
            engine_read_cancel(c->engine, read->cookie);
            read_end(c, read, QK_ERR_NO_QUORUM, 0);
        } else if (read->deadline < c->reads_due) {
            c->reads_due = read->deadline;
        }
        read = next;
    }
    return c->reads_due;
}

/* --- changes and transfers ----------------------------------------------------------------- */

static enum qk_err request_change(struct consensus *c, enum change_kind kind, uint64_t id,
                                  const char *address, consensus_change_cb cb, void *arg)
{
    size_t len = address == NULL ? 0 : strlen(address);

    assert(cb != NULL);
    if (c->closing || c->failed || c->engine == NULL)
        return QK_ERR_CLOSED;
    if (engine_role(c->engine) != CONSENSUS_LEADER)
        return QK_ERR_NOT_LEADER;
    if (id == 0 || (kind == CHANGE_ADD && len == 0))
        return QK_ERR_INVALID;
    if (len > CONSENSUS_ADDRESS_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    if (c->change.state != REQUEST_NONE)
        return QK_ERR_BUSY;
    c->change = (struct change_request){
        .state = REQUEST_WANTED, .kind = kind, .id = id, .cb = cb, .arg = arg};
    if (len > 0)
        memcpy(c->change.address, address, len);
    return QK_OK;
}

enum qk_err consensus_add(struct consensus *c, uint64_t id, const char *address,
                          consensus_change_cb cb, void *arg)
{
    return request_change(c, CHANGE_ADD, id, address, cb, arg);
}

enum qk_err consensus_promote(struct consensus *c, uint64_t id, consensus_change_cb cb, void *arg)
{
    return request_change(c, CHANGE_PROMOTE, id, NULL, cb, arg);
}

static enum qk_err request_transfer(struct consensus *c, uint64_t id, bool for_removal,
                                    consensus_change_cb cb, void *arg)
{
    assert(cb != NULL);
    if (c->closing || c->failed || c->engine == NULL)
        return QK_ERR_CLOSED;
    if (engine_role(c->engine) != CONSENSUS_LEADER)
        return QK_ERR_NOT_LEADER;
    if (c->transfer.state != REQUEST_NONE)
        return QK_ERR_BUSY;
    c->transfer = (struct transfer_request){
        .state = REQUEST_WANTED, .id = id, .for_removal = for_removal, .cb = cb, .arg = arg};
    return QK_OK;
}

enum qk_err consensus_remove(struct consensus *c, uint64_t id, consensus_change_cb cb, void *arg)
{
    struct members members;

    if (c->engine == NULL || id != c->config.id)
        return request_change(c, CHANGE_REMOVE, id, NULL, cb, arg);
    engine_members(c->engine, &members);
    if (members_voters_n(&members) < 2)
        return QK_ERR_DENIED;
    return request_transfer(c, 0, true, cb, arg);
}

enum qk_err consensus_transfer(struct consensus *c, uint64_t id, consensus_change_cb cb, void *arg)
{
    return request_transfer(c, id, false, cb, arg);
}

void requests_change_done(struct consensus *c, enum qk_err err)
{
    struct change_request change = c->change;

    if (change.state == REQUEST_NONE)
        return;
    c->change.state = REQUEST_NONE;
    change.cb(change.arg, err);
}

static void transfer_done(struct consensus *c, enum qk_err err)
{
    struct transfer_request transfer = c->transfer;

    c->transfer.state = REQUEST_NONE;
    if (err == QK_OK && transfer.for_removal)
        err = QK_ERR_NOT_LEADER;
    transfer.cb(transfer.arg, err);
}

static bool is_refusal(enum qk_err err)
{
    return err == QK_ERR_NOT_LEADER || err == QK_ERR_BUSY || err == QK_ERR_EXISTS ||
           err == QK_ERR_NOT_FOUND || err == QK_ERR_TOO_BIG || err == QK_ERR_INVALID ||
           err == QK_ERR_DENIED;
}

static void run_change(struct consensus *c)
{
    enum qk_err err;

    if (c->change.state != REQUEST_WANTED)
        return;
    c->change.state = REQUEST_RUNNING;
    err = engine_change(c->engine, consensus_now(c), c->change.kind, c->change.id,
                        c->change.address, 1);
    if (is_refusal(err))
        requests_change_done(c, err);
    else if (err != QK_OK)
        consensus_fail(c, qk_err_text(err));
}

static void run_transfer(struct consensus *c)
{
    enum qk_err err;

    if (c->transfer.state == REQUEST_WANTED) {
        c->transfer.state = REQUEST_RUNNING;
        err = engine_transfer(c->engine, consensus_now(c), c->transfer.id);
        if (is_refusal(err))
            transfer_done(c, err);
        else if (err != QK_OK)
            consensus_fail(c, qk_err_text(err));
    } else if (c->transfer.state == REQUEST_RUNNING) {
        if (engine_role(c->engine) != CONSENSUS_LEADER)
            transfer_done(c, QK_OK);
        else if (!engine_transferring(c->engine))
            transfer_done(c, QK_ERR_TIMEOUT);
    }
}

/* --- all ----------------------------------------------------------------------------------- */

void requests_run(struct consensus *c)
{
    while (c->queued.first != NULL && !c->failed)
        propose(c);
    if (!c->failed)
        ask_reads(c);
    if (!c->failed)
        run_change(c);
    if (!c->failed)
        run_transfer(c);
}

void requests_fail_all(struct consensus *c, enum qk_err err)
{
    fail_proposals(c, err);
    fail_list(c, &c->queued, err);
    while (c->reads != NULL)
        read_end(c, c->reads, err, 0);
    requests_change_done(c, err);
    if (c->transfer.state != REQUEST_NONE)
        transfer_done(c, err);
    while (c->late != NULL) {
        struct late_message *late = c->late;
        c->late = late->next;
        free(late);
    }
    c->late_tail = &c->late;
}
