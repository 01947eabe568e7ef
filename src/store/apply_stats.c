/* What a put or a deletion changes in the statistics of its database. */
#include "store/internal.h"

#include "wire/records.h"

static size_t row_bytes(struct bytes key, const struct format_record *record)
{
    return key.len + record->value.len;
}

static void stats_remove(struct store_stats *stats, struct bytes key,
                         const struct format_record *before)
{
    if ((before->flags & WIRE_DELETED) != 0)
        stats->del_count--;
    else
        stats->doc_count--;
    stats->bytes -= row_bytes(key, before);
}

static void stats_add(struct store_stats *stats, const struct wire_op *op)
{
    if ((op->flags & WIRE_DELETED) != 0)
        stats->del_count++;
    else
        stats->doc_count++;
    stats->bytes += op->key.len + op->value.len;
    if ((op->flags & WIRE_SAME_SEQ) == 0)
        stats->seq++;
}

/* Chunks of attachments count in its size alone. A file from before they did has fewer bytes
 * counted than it holds. */
static void stats_chunk(struct store_stats *stats, const struct wire_op *op,
                        const struct format_record *before)
{
    size_t gone = before == NULL ? 0 : row_bytes(op->key, before);

    if (op->type == WIRE_PUT)
        stats->bytes += op->key.len + op->value.len;
    stats->bytes -= gone < stats->bytes ? gone : stats->bytes;
}

static bool is_chunk(struct bytes key)
{
    uint8_t id[ATTACHMENT_ID_BYTES];
    uint32_t chunk;

    return record_key_chunk(key, id, &chunk);
}

enum qk_err apply_stats(struct store *store, const struct wire_op *op,
                        const struct format_record *before, struct pending_entry *entry)
{
    bool is_doc = op->type == WIRE_PUT && (op->flags & WIRE_DOC) != 0;
    bool was_doc = before != NULL && (before->flags & WIRE_DOC) != 0;
    struct space *space;

    if (!is_doc && !was_doc && !is_chunk(op->key))
        return QK_OK;
    if (spaces_make(&store->spaces, op->key.data, &space) != QK_OK)
        return QK_ERR_NOMEM;
    space->dirty = true;
    if (!is_doc && !was_doc) {
        stats_chunk(&space->stats, op, before);
        return QK_OK;
    }
    if (was_doc) {
        stats_remove(&space->stats, op->key, before);
        entry->seq_before = before->seq;
    }
    if (is_doc) {
        stats_add(&space->stats, op);
        entry->seq = (op->flags & WIRE_SAME_SEQ) != 0 ? before->seq : space->stats.seq;
    }
    return QK_OK;
}
