#include "consensus/log.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define RING_CAP_MIN 64

static size_t entry_bytes(const struct log_entry *entry)
{
    return sizeof(*entry) + entry->len;
}

static struct log_entry *entry_at(const struct entry_log *log, size_t i)
{
    assert(i < log->n);
    return &log->ring[(log->head + i) & (log->cap - 1)];
}

void entry_log_init(struct entry_log *log, uint64_t first)
{
    assert(first > 0);
    memset(log, 0, sizeof(*log));
    log->first = first;
}

void entry_log_fini(struct entry_log *log)
{
    entry_log_reset(log, 1);
    free(log->ring);
    memset(log, 0, sizeof(*log));
}

static enum qk_err grow(struct entry_log *log)
{
    size_t cap = log->cap == 0 ? RING_CAP_MIN : log->cap * 2;
    struct log_entry *ring;

    if (cap > SIZE_MAX / sizeof(*ring) / 2)
        return QK_ERR_NOMEM;
    ring = malloc(cap * sizeof(*ring));
    if (ring == NULL)
        return QK_ERR_NOMEM;
    for (size_t i = 0; i < log->n; i++)
        ring[i] = *entry_at(log, i);
    free(log->ring);
    log->ring = ring;
    log->cap = cap;
    log->head = 0;
    return QK_OK;
}

enum qk_err entry_log_append(struct entry_log *log, uint64_t term, uint8_t type, struct bytes data)
{
    struct log_entry entry = {.term = term, .type = type, .len = data.len, .data = NULL};
    enum qk_err err;

    assert(term > 0);
    if (log->n == log->cap) {
        err = grow(log);
        if (err != QK_OK)
            return err;
    }
    if (data.len > 0) {
        entry.data = malloc(data.len);
        if (entry.data == NULL)
            return QK_ERR_NOMEM;
        memcpy(entry.data, data.data, data.len);
    }
    log->n++;
    *entry_at(log, log->n - 1) = entry;
    log->bytes += entry_bytes(&entry);
    return QK_OK;
}

static void release(struct entry_log *log, struct log_entry *entry)
{
    assert(log->bytes >= entry_bytes(entry));
    log->bytes -= entry_bytes(entry);
    free(entry->data);
    entry->data = NULL;
}

void entry_log_truncate(struct entry_log *log, uint64_t index)
{
    assert(index >= log->first);
    while (log->n > 0 && entry_log_last(log) >= index) {
        release(log, entry_at(log, log->n - 1));
        log->n--;
    }
}

void entry_log_trim(struct entry_log *log, uint64_t index)
{
    while (log->n > 0 && log->first <= index) {
        release(log, entry_at(log, 0));
        log->head = (log->head + 1) & (log->cap - 1);
        log->first++;
        log->n--;
    }
}

void entry_log_reset(struct entry_log *log, uint64_t first)
{
    assert(first > 0);
    if (log->n > 0)
        entry_log_trim(log, entry_log_last(log));
    log->first = first;
    assert(log->bytes == 0);
}

uint64_t entry_log_last(const struct entry_log *log)
{
    return log->first + log->n - 1;
}

const struct log_entry *entry_log_get(const struct entry_log *log, uint64_t index)
{
    if (index < log->first || index > entry_log_last(log))
        return NULL;
    return entry_at(log, (size_t)(index - log->first));
}

uint64_t entry_log_term(const struct entry_log *log, uint64_t index)
{
    const struct log_entry *entry = entry_log_get(log, index);

    return entry == NULL ? 0 : entry->term;
}

uint64_t entry_log_excess(const struct entry_log *log, size_t keep_bytes)
{
    size_t bytes = log->bytes;
    size_t i = 0;

    while (i < log->n && bytes - entry_bytes(entry_at(log, i)) >= keep_bytes) {
        bytes -= entry_bytes(entry_at(log, i));
        i++;
    }
    return i == 0 ? 0 : log->first + i - 1;
}
