/* Rows of maps in JavaScript: documents are gathered in a batch, sent to a worker, those of one
 * data key in a compartment of their own, and the answers come in their order. A worker that ends
 * has been ended by the document that it was at (too slow, too much memory): that one has no rows,
 * and another worker gets the rest. */
#include <assert.h>

#include "base/log.h"
#include "service/query/views_private.h"

/* batch: id_len u32 ‖ id ‖ key_id ‖ version u32 ‖ seq u64 ‖ json_len u32 ‖ json, one behind the
 * other. */

enum qk_err views_script_add(struct view_group *group, const struct view_source *source)
{
    buf_put_blob(&group->batch, source->id);
    buf_put(&group->batch, source->key_id, KEY_ID_BYTES);
    buf_put_u32(&group->batch, source->key_version);
    buf_put_u64(&group->batch, source->seq);
    buf_put_blob(&group->batch, buf_bytes(&group->text));
    group->batch_n++;
    return buf_error(&group->batch);
}

bool views_script_is_full(const struct view_group *group)
{
    return group->batch.len >= VIEW_BATCH_BYTES || group->batch_n >= VIEW_BATCH_DOCS;
}

struct batch_item {
    struct view_source source;
    struct bytes json;
    size_t end;
};

static struct batch_item item_at(const struct view_group *group, size_t at)
{
    struct reader in = reader_of(bytes_slice(buf_bytes(&group->batch), at, group->batch.len));
    struct batch_item item;

    item.source.id = reader_blob(&in, RECORD_KEY_BYTES_MAX);
    item.source.key_id = reader_bytes(&in, KEY_ID_BYTES).data;
    item.source.key_version = reader_u32(&in);
    item.source.seq = reader_u64(&in);
    item.json = reader_blob(&in, in.in.len);
    item.end = at + in.at;
    assert(reader_error(&in) == QK_OK);
    return item;
}

/* The next of the batch has the rows in group->rows. */
static enum qk_err item_done(struct view_group *group)
{
    struct batch_item item = item_at(group, group->batch_at);
    enum qk_err err = views_put_rows(group, &item.source);

    group->batch_at = item.end;
    group->batch_n--;
    return err;
}

static void batch_clear(struct view_group *group)
{
    buf_reset(&group->batch);
    buf_fini(&group->sends);
    group->batch_at = 0;
    group->batch_n = 0;
    group->script_waits = false;
}

void views_script_stop(struct view_group *group)
{
    script_close(group->script);
    group->script = NULL;
    batch_clear(group);
    buf_fini(&group->batch);
}

static void done(struct view_group *group, enum qk_err err)
{
    if (err == QK_OK && group->batch_n > 0)
        return;
    batch_clear(group);
    views_script_done(group, err);
}

static void on_answered(void *arg, struct bytes answer)
{
    struct view_group *group = arg;
    unsigned errors = 1;
    enum qk_err err = QK_ERR_INVALID;

    view_rows_reset(&group->rows);
    if (group->batch_n == 0) { /* an answer to nothing: it is not what we made */
        script_close(group->script);
        group->script = NULL;
        return;
    }
    if (answer.len > 0)
        err = script_rows(group->design, answer, &group->rows, &errors);
    if (err == QK_ERR_INVALID) {
        view_rows_reset(&group->rows);
        err = QK_OK;
    }
    group->failures += errors > 0 ? 1 : 0;
    if (err == QK_OK)
        err = item_done(group);
    done(group, err);
}

static void on_ended(void *arg)
{
    struct view_group *group = arg;
    enum qk_err err = QK_OK;

    script_close(group->script);
    group->script = NULL;
    if (group->batch_n == 0)
        return;
    log_error("index", "a document ended the process that runs the maps of a design document: too "
                       "slow, or too much memory; it is left out");
    group->failures++;
    view_rows_reset(&group->rows);
    err = item_done(group);
    if (err == QK_OK && ++group->deaths >= VIEW_DEATHS_MAX)
        err = QK_ERR_TIMEOUT;
    if (err == QK_OK && group->batch_n > 0)
        err = views_script_run(group);
    if (err == QK_ERR_BUSY) { /* the timer tries again */
        group->script_waits = false;
        timer_start(group->timer, 50);
        err = QK_OK;
    }
    done(group, err);
}

static const struct script_ops ops = {on_answered, on_ended};

static enum qk_err worker_new(struct view_group *group)
{
    struct buf design = BUF_SECRET_INIT(SCRIPT_FRAME_BYTES_MAX);
    enum qk_err err = script_put_maps(group->design, &design);

    if (err == QK_OK)
        err = script_new(group->service, buf_bytes(&design), &ops, group, &group->script);
    buf_fini(&design);
    return err;
}

enum qk_err views_script_run(struct view_group *group)
{
    struct batch_item item;
    size_t at = group->batch_at;
    unsigned n;
    enum qk_err err = QK_OK;

    assert(group->batch_n > 0);

    if (group->script == NULL)
        err = worker_new(group);
    if (err != QK_OK)
        return err;
    buf_reset(&group->sends);
    for (n = 0; n < group->batch_n; n++) {
        item = item_at(group, at);
        script_put_call(SCRIPT_MAP, item.source.key_id, item.json, &group->sends);
        at = item.end;
    }
    err = buf_error(&group->sends);
    if (err == QK_OK)
        err = script_send(group->script, buf_bytes(&group->sends));
    buf_fini(&group->sends);
    group->script_waits = err == QK_OK;
    return err;
}
