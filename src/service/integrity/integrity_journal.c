/* The journal of what is written, adding it up, and the sum that goes into the file. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity_private.h"

#define DRAIN_N 256 /* elements made at a time */

/* --- the journal ----------------------------------------------------------------------------- */

void integrity_journal_clear(struct integrity_journal *journal)
{
    free(journal->items);
    *journal = (struct integrity_journal){0};
}

static void journal_lose(struct integrity *integrity)
{
    integrity_journal_clear(&integrity->journal);
    integrity->journal.lost = true;
    integrity->expected_known = false;
}

static struct integrity_change *journal_push(struct integrity *integrity)
{
    struct integrity_journal *journal = &integrity->journal;

    if (journal->lost)
        return NULL;
    if (journal->n == journal->cap) {
        size_t cap = journal->cap == 0 ? 64 : 2 * journal->cap;
        struct integrity_change *items = NULL;

        if (cap <= INTEGRITY_JOURNAL_MAX)
            items = reallocarray(journal->items, cap, sizeof(*items));
        if (items == NULL) {
            journal_lose(integrity);
            return NULL;
        }
        journal->items = items;
        journal->cap = cap;
    }
    return &journal->items[journal->n++];
}

static void digest(struct bytes key, const struct record *record, uint8_t *ret_digest)
{
    struct multiset_row row = {record->version, record->seq, record->stamp, record->flags,
                               record->value};

    multiset_digest(key, &row, ret_digest);
}

void integrity_changed(void *arg, uint64_t index, struct bytes key, const struct record *before,
                       const struct record *after)
{
    struct integrity *integrity = arg;
    struct integrity_change *change = journal_push(integrity);

    if (change == NULL) {
        if (integrity->element_key != NULL) {
            integrity_again(integrity, "no memory");
            integrity->journal.lost = false; /* what comes now is added up at once */
        }
        return;
    }
    *change = (struct integrity_change){.index = index,
                                        .bucket = (uint8_t)accumulator_bucket(key),
                                        .drop = before == NULL && after == NULL,
                                        .has_before = before != NULL,
                                        .has_after = after != NULL};
    memcpy(change->space, key.data, DATABASE_ID_BYTES);
    if (before != NULL)
        digest(key, before, change->digests[0]);
    if (after != NULL)
        digest(key, after, change->digests[1]);
    if (integrity->element_key != NULL && integrity->journal.n >= DRAIN_N)
        (void)integrity_drain(integrity);
}

/* A drop before the sums are live takes away what nobody has added up. */
static enum qk_err drain_one(struct integrity *integrity, const struct integrity_change *change,
                             uint8_t elements[2][HASH_BYTES])
{
    struct multiset delta = {{0}};

    if (change->drop) {
        accumulator_drop(&integrity->sums, change->index, change->space);
        integrity_scan_dropped(integrity->scan, change->space);
        integrity->expected_known = false;
        return QK_OK;
    }
    if (change->has_after)
        multiset_add_element(&delta, elements[1]);
    if (change->has_before)
        multiset_take_element(&delta, elements[0]);
    multiset_add(&integrity->expected, &delta);
    return accumulator_change(&integrity->sums, change->index, change->space, change->bucket,
                              &delta);
}

static enum qk_err drain_some(struct integrity *integrity, const struct integrity_change *changes,
                              size_t n)
{
    uint8_t digests[DRAIN_N][2][HASH_BYTES], elements[DRAIN_N][2][HASH_BYTES];
    enum qk_err err;

    for (size_t i = 0; i < n; i++)
        memcpy(digests[i], changes[i].digests, sizeof(digests[i]));
    err = multiset_elements(integrity->element_key, digests[0][0], 2 * n, elements[0][0]);
    for (size_t i = 0; i < n && err == QK_OK; i++)
        err = drain_one(integrity, &changes[i], elements[i]);
    return err;
}

bool integrity_drain(struct integrity *integrity)
{
    struct integrity_journal *journal = &integrity->journal;
    enum qk_err err = QK_OK;

    assert(integrity->element_key != NULL);

    for (size_t at = 0; at < journal->n && err == QK_OK; at += DRAIN_N) {
        size_t left = journal->n - at;

        err = drain_some(integrity, &journal->items[at], left < DRAIN_N ? left : DRAIN_N);
    }
    journal->n = 0;
    if (err != QK_OK)
        integrity_again(integrity, qk_err_text(err));
    return err == QK_OK;
}

/* --- what stands in the file ----------------------------------------------------------------- */

/* Of what the sum that is kept says: before the scan has ended, what was known of its beginning. A
 * record that was found changed must not pass for sound after the next restart. */
enum integrity_standing integrity_standing_now(const struct integrity *integrity)
{
    return integrity->live ? integrity->standing : integrity->base_standing;
}

enum qk_err integrity_root_now(struct integrity *integrity, const struct store_position *at,
                               struct buf *out)
{
    const struct cluster *cluster = integrity->service->cluster;
    struct integrity_root root = {.index = at->index,
                                  .term = at->term,
                                  .stamp = at->stamp,
                                  .standing = integrity_standing_now(integrity),
                                  .sum = integrity->live ? integrity->sums.total
                                                         : integrity->expected};

    if (cluster->record != NULL) {
        root.epoch = cluster->record->epoch;
        memcpy(root.deal, cluster->record->deal, DEAL_ID_BYTES);
    }
    return integrity_root_seal(integrity->root_key, &root, out);
}

void integrity_committing(void *arg, const struct store_position *at, struct buf *out)
{
    struct integrity *integrity = arg;

    if (integrity->element_key == NULL) {
        buf_put_bytes(out, buf_bytes(&integrity->last_root));
        buf_reset(&integrity->last_root);
    } else if (integrity_drain(integrity) && (integrity->live || integrity->expected_known) &&
               integrity_root_now(integrity, at, out) != QK_OK)
        log_error("integrity", "the sum of the records could not be sealed");
}

void integrity_swapped(void *arg)
{
    struct integrity *integrity = arg;

    integrity->base_known = false;
    integrity->attach_stamp = UINT64_MAX; /* the fact was of the file before */
    buf_reset(&integrity->last_root);
    integrity_again(integrity, "a snapshot was taken over");
    journal_lose(integrity);
    if (integrity->element_key != NULL)
        integrity->journal.lost = false; /* what comes now is added up at once */
}

/* The sum that this node itself wrote of the state in which the process found the file. */
void integrity_base_read(struct integrity *integrity)
{
    const struct cluster *cluster = integrity->service->cluster;
    struct integrity_root root;
    struct bytes fact;
    enum qk_err err;

    if (integrity->attach_stamp == 0) { /* an empty store */
        integrity->base_known = true;
        integrity->base_standing = INTEGRITY_SOUND;
        return;
    }
    err = store_local_get(integrity->service->store, INTEGRITY_FACT, &fact);
    if (err == QK_OK)
        err = integrity_root_open(integrity->root_key, fact, &root);
    if (err == QK_ERR_CORRUPT) {
        integrity->root_bad = true;
        log_error("integrity", "store.mdb: the sum of its records does not authenticate");
    }
    if (err != QK_OK)
        return;
    if (root.epoch > cluster->seal.deal.epoch) {
        integrity->root_bad = true;
        log_error("integrity", "store.mdb: the sum of its records is of a later deal than this "
                               "node's");
    } else if (root.stamp == integrity->attach_stamp) {
        integrity->base_known = true;
        integrity->base = root.sum;
        integrity->base_standing = root.standing;
    }
}
