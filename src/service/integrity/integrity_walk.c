/* The last steps of a round: the rows of a peer, a page at a time, held against those here. */
#include <string.h>

#include "service/cluster/hub.h"
#include "service/integrity/integrity_private.h"

/* --- rows ------------------------------------------------------------------------------------ */

static bool row_here(struct integrity *integrity, struct bytes key, struct integrity_row *ret_row)
{
    struct store_row row = {.key = key};

    if (store_get(integrity->service->store, key, &row.record) != QK_OK)
        return false;
    integrity_row_of(&row, ret_row);
    return true;
}

static void doubt_add(struct integrity *integrity, struct bytes key,
                      const struct integrity_row *there)
{
    struct integrity_round *round = integrity->round;
    struct integrity_doubt *doubt;

    if (round->doubts_n == INTEGRITY_DOUBTS_MAX)
        return;
    doubt = &round->doubts[round->doubts_n++];
    doubt->key.len = (uint16_t)key.len;
    memcpy(doubt->key.data, key.data, key.len);
    doubt->there = *there;
    doubt->there.name = BYTES_NONE;
    doubt->index = store_applied(integrity->service->store);
}

static void row_judge(struct integrity *integrity, struct bytes key,
                      const struct integrity_row *there, uint64_t stamp)
{
    struct integrity_row here;
    bool is_here = row_here(integrity, key, &here);

    switch (integrity_judge(is_here ? &here : NULL, there, stamp)) {
    case INTEGRITY_SAME:
    case INTEGRITY_NEWER:
        break;
    case INTEGRITY_ABSENT:
        doubt_add(integrity, key, there);
        break;
    case INTEGRITY_DIFFERENT:
        integrity_found(integrity->round, key, &here, there);
        break;
    }
}

/* A row of this file that the peer's page does not have, though it covers the name: what stands
 * there was written before the peer's stamp, so the peer would have to have it. */
static void row_extra(struct integrity *integrity, const struct store_row *row, uint64_t stamp)
{
    struct integrity_row here;

    if (row->record.stamp <= stamp && row_here(integrity, row->key, &here) &&
        here.stamp == row->record.stamp)
        integrity_found(integrity->round, row->key, &here, NULL);
}

/* The page as it is being walked beside the own rows. */
struct page {
    const struct peer_rows *rows;
    const struct integrity_place *place;
    struct reader reader;
    struct integrity_row there;
    bool more; /* `there` is the next one */
};

static bool page_next(struct page *page)
{
    page->more = integrity_row_read(&page->reader, &page->there) == QK_OK;
    return page->more;
}

static void page_judge(struct integrity *integrity, const struct page *page)
{
    struct record_key key = record_document(page->place->space, page->there.name);

    row_judge(integrity, record_key_bytes(&key), &page->there, page->rows->stamp);
}

/* True while the own row is within the page. */
static bool page_covers(const struct page *page, struct bytes key)
{
    if (memcmp(key.data, page->place->space, DATABASE_ID_BYTES) != 0)
        return false;
    return page->rows->end || bytes_compare(record_key_name(key), page->rows->next) <= 0;
}

static void page_own(struct integrity *integrity, struct page *page, const struct store_row *row)
{
    struct bytes name = record_key_name(row->key);

    while (page->more && bytes_compare(page->there.name, name) < 0) {
        page_judge(integrity, page);
        (void)page_next(page);
    }
    if (page->more && bytes_equal(page->there.name, name)) {
        page_judge(integrity, page);
        (void)page_next(page);
    } else if ((page->place->buckets & 1u << accumulator_bucket(row->key)) != 0)
        row_extra(integrity, row, page->rows->stamp);
}

static enum qk_err page_walk(struct integrity *integrity, struct page *page)
{
    struct integrity_round *round = integrity->round;
    struct bytes last = bytes_of(round->from, round->from_len);
    struct record_key from = record_document(page->place->space, last);
    struct store_cursor *cursor;
    struct store_row row;
    enum qk_err err = store_cursor_open(integrity->service->store, record_key_bytes(&from),
                                        BYTES_NONE, false, &cursor);

    if (err != QK_OK)
        return err;
    while ((err = store_cursor_next(cursor, &row)) == QK_OK && page_covers(page, row.key))
        if (last.len == 0 || !bytes_equal(row.key, record_key_bytes(&from)))
            page_own(integrity, page, &row);
    store_cursor_close(cursor);
    for (; page->more; (void)page_next(page))
        page_judge(integrity, page);
    return err == QK_ERR_NOT_FOUND ? QK_OK : err;
}

static void doubts_go(struct integrity *integrity);

static void on_page(struct integrity *integrity, const struct peer_rows *rows)
{
    struct integrity_round *round = integrity->round;
    struct page page = {
        .rows = rows, .place = &round->places[round->place_at], .reader = reader_of(rows->rows)};

    (void)page_next(&page);
    if (page_walk(integrity, &page) != QK_OK) {
        integrity_next_peer(integrity);
        return;
    }
    if (!rows->end) {
        memcpy(round->from, rows->next.data, rows->next.len);
        round->from_len = rows->next.len;
        integrity_ask(integrity);
    } else if (++round->place_at < round->places_n)
        integrity_go(integrity, INTEGRITY_WALK);
    else
        doubts_go(integrity);
}

/* The last one of them, at the name before it: its own name without the last byte, which sorts
 * before. */
static void doubts_go(struct integrity *integrity)
{
    struct integrity_round *round = integrity->round;
    const struct integrity_doubt *doubt;
    struct bytes key;

    if (round->doubts_n == 0) {
        integrity_next_peer(integrity);
        return;
    }
    doubt = &round->doubts[round->doubts_n - 1];
    key = record_key_bytes(&doubt->key);
    round->stage = INTEGRITY_DOUBT;
    round->place_at = 0;
    round->places_n = 1;
    memcpy(round->places[0].space, key.data, DATABASE_ID_BYTES);
    round->places[0].buckets = 1u << accumulator_bucket(key);
    round->from_len = key.len - DATABASE_ID_BYTES - (key.len > DATABASE_ID_BYTES ? 1 : 0);
    memcpy(round->from, key.data + DATABASE_ID_BYTES, round->from_len);
    integrity_ask(integrity);
}

/* Still there, the same: it was taken away here. */
static void on_doubt(struct integrity *integrity, const struct peer_rows *rows)
{
    struct integrity_round *round = integrity->round;
    struct integrity_doubt *doubt = &round->doubts[round->doubts_n - 1];
    struct bytes key = record_key_bytes(&doubt->key);
    struct reader reader = reader_of(rows->rows);
    struct integrity_row there, here;

    if (rows->index < doubt->index) {
        integrity_ask_again(integrity);
        return;
    }
    while (integrity_row_read(&reader, &there) == QK_OK)
        if (bytes_equal(there.name, record_key_name(key)) && there.stamp == doubt->there.stamp &&
            !row_here(integrity, key, &here))
            integrity_found(round, key, NULL, &doubt->there);
    if (!rows->end && bytes_compare(rows->next, record_key_name(key)) < 0) {
        memcpy(round->from, rows->next.data, rows->next.len);
        round->from_len = rows->next.len;
        integrity_ask(integrity);
        return;
    }
    round->doubts_n--;
    doubts_go(integrity);
}

void integrity_rows(struct integrity *integrity, const struct peer_rows *rows)
{
    if (rows->index == 0)
        integrity_next_peer(integrity);
    else if (rows->index > store_applied(integrity->service->store))
        integrity_ask_again(integrity); /* it is ahead */
    else if (integrity->round->stage == INTEGRITY_WALK)
        on_page(integrity, rows);
    else
        on_doubt(integrity, rows);
}
