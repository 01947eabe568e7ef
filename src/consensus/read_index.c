#include "consensus/read_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void read_index_init(struct read_index *reads, uint64_t random)
{
    memset(reads, 0, sizeof(*reads));
    /* Room to count up from, and never 0, which is no number. */
    reads->ask = (random >> 1) + 1;
}

void read_index_fini(struct read_index *reads)
{
    free(reads->queued.items);
    free(reads->active.items);
    free(reads->confirmed.items);
    memset(reads, 0, sizeof(*reads));
}

static enum qk_err list_add(struct read_list *list, struct read read)
{
    if (list->n == list->cap) {
        size_t cap = list->cap == 0 ? 16 : list->cap * 2;
        struct read *items = realloc(list->items, cap * sizeof(*items));
        if (items == NULL)
            return QK_ERR_NOMEM;
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = read;
    return QK_OK;
}

static bool list_has_question(const struct read_list *list, struct read read)
{
    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].peer == read.peer && list->items[i].ask == read.ask)
            return true;
    }
    return false;
}

enum qk_err read_index_add(struct read_index *reads, struct read read)
{
    if (read.peer != 0 &&
        (list_has_question(&reads->queued, read) || list_has_question(&reads->active, read)))
        return QK_OK;
    if (reads->queued.n + reads->active.n + reads->confirmed.n >= READS_MAX)
        return QK_ERR_BUSY;
    return list_add(&reads->queued, read);
}

static void list_cancel(struct read_list *list, uint64_t cookie)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->n; i++) {
        if (list->items[i].peer != 0 || list->items[i].cookie != cookie)
            list->items[kept++] = list->items[i];
    }
    list->n = kept;
}

void read_index_cancel(struct read_index *reads, uint64_t cookie)
{
    list_cancel(&reads->queued, cookie);
    list_cancel(&reads->active, cookie);
    list_cancel(&reads->confirmed, cookie);
}

enum qk_err read_index_discard(struct read_index *reads)
{
    struct read_list old = reads->queued;
    enum qk_err err = QK_OK;

    memset(&reads->queued, 0, sizeof(reads->queued));
    for (size_t i = 0; i < reads->active.n && err == QK_OK; i++) {
        if (reads->active.items[i].peer == 0)
            err = list_add(&reads->queued, reads->active.items[i]);
    }
    for (size_t i = 0; i < old.n && err == QK_OK; i++) {
        if (old.items[i].peer == 0)
            err = list_add(&reads->queued, old.items[i]);
    }
    free(old.items);
    reads->active.n = 0;
    reads->acks_n = 0;
    return err;
}

void read_index_begin(struct read_index *reads, uint64_t now)
{
    struct read_list empty = reads->active;

    assert(reads->active.n == 0);
    reads->active = reads->queued;
    reads->queued = empty;
    reads->round++;
    reads->ask++;
    reads->sent_at = now;
    reads->acks_n = 0;
}

bool read_index_acked(const struct read_index *reads, uint64_t id)
{
    for (size_t i = 0; i < reads->acks_n; i++) {
        if (reads->acks[i] == id)
            return true;
    }
    return false;
}

void read_index_ack(struct read_index *reads, uint64_t id)
{
    if (!read_index_acked(reads, id) && reads->acks_n < CONSENSUS_MEMBERS_MAX)
        reads->acks[reads->acks_n++] = id;
}

enum qk_err read_index_confirm(struct read_index *reads, struct read read)
{
    return list_add(&reads->confirmed, read);
}
