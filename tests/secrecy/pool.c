#include "pool.h"

#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "wire/records.h"

/* Every D and every P at hand on one slot. */
static void slot_try(struct pool *pool, size_t i, size_t j, const struct secret *d,
                     const struct secret *p)
{
    struct secret *release = NULL;
    struct secret *share = NULL;
    size_t k;

    pool->tried++;
    if (deal_release(pool->deal, p, i, j, &release) != QK_OK)
        return;
    if (deal_open_slot(pool->deal, d, release, i, j, &share) == QK_OK) {
        pool->opened++;
        for (k = 0; k < pool->shares_n && pool->x[k] != pool->deal->members[i].x; k++)
            continue;
        if (k == pool->shares_n) {
            pool->x[pool->shares_n] = pool->deal->members[i].x;
            pool->shares[pool->shares_n++] = share;
            share = NULL;
        }
    }
    secret_free(share);
    secret_free(release);
}

static void slots_try(struct pool *pool, const struct secret *d, const struct secret *p)
{
    size_t i;
    size_t j;

    for (i = 0; i < pool->deal->n; i++) {
        for (j = 0; j < pool->deal->n; j++) {
            if (i != j)
                slot_try(pool, i, j, d, p);
        }
    }
}

static void keys_try(struct pool *pool)
{
    size_t a;
    size_t b;
    size_t g;
    size_t h;

    for (a = 0; a < pool->secs_n; a++) {
        for (b = 0; b < pool->secs_n; b++) {
            for (g = 0; g < pool->secs[a]->gens_n; g++) {
                for (h = 0; h < pool->secs[b]->gens_n; h++)
                    slots_try(pool, pool->secs[a]->gens[g].d, pool->secs[b]->gens[h].p);
            }
        }
    }
}

enum qk_err pool_open(struct pool *pool)
{
    struct share_bad bad;

    keys_try(pool);
    if (pool->shares_n < pool->deal->t)
        return QK_OK;
    if (deal_combine(pool->deal, (const struct secret *const *)pool->shares, pool->x,
                     pool->shares_n, &pool->s, &bad) != QK_OK ||
        deal_check_mac(pool->deal, pool->s) != QK_OK ||
        deal_open_mk(pool->deal, pool->s, &pool->mk) != QK_OK)
        return QK_ERR_CORRUPT;
    return QK_OK;
}

enum qk_err pool_add_keys(struct pool *pool, const char *dir)
{
    struct node_sec_fault fault;
    char path[512];
    enum qk_err err;

    if (pool->secs_n == POOL_DIRS_MAX)
        return QK_ERR_FULL;
    snprintf(path, sizeof path, "%s/node.sec", dir);
    err = node_sec_load(path, &pool->secs[pool->secs_n], &fault);
    if (err != QK_OK)
        return err;
    memcpy(pool->cluster, pool->secs[pool->secs_n]->cluster_id, CLUSTER_ID_BYTES);
    pool->secs_n++;
    return QK_OK;
}

static void store_fatal(void *arg, enum qk_err err, const char *what)
{
    (void)arg;
    fprintf(stderr, "%s: %s\n", what, qk_err_text(err));
}

static void store_closed(void *arg)
{
    *(bool *)arg = true;
}

static enum qk_err store_visit(const char *dir, enum qk_err (*visit)(void *, struct store *),
                               void *arg)
{
    struct store_callbacks callbacks = {.fatal = store_fatal};
    struct store *store;
    uv_loop_t loop;
    char path[512];
    char what[256];
    bool closed = false;
    enum qk_err err;

    snprintf(path, sizeof path, "%s/store.mdb", dir);
    if (uv_loop_init(&loop) != 0)
        return QK_ERR_NOMEM;
    err = store_open(&loop, path, NULL, &callbacks, &store, what, sizeof what);
    if (err == QK_OK) {
        err = visit(arg, store);
        store_close(store, store_closed, &closed);
        while (!closed)
            uv_run(&loop, UV_RUN_ONCE);
    }
    uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    return err;
}

struct deal_visit {
    struct pool *pool;
    const char *dir;
    bool newest;
};

static enum qk_err deal_take(void *arg, struct store *store)
{
    struct deal_visit *visit = arg;
    struct pool *pool = visit->pool;
    struct record_key key = record_system(RECORD_SYS, RECORD_DEAL);
    struct record record;
    struct deal_record *deal;
    enum qk_err err = store_get(store, record_key_bytes(&key), &record);

    if (err != QK_OK)
        return err;
    err = deal_record_parse(record.value, &deal);
    if (err != QK_OK)
        return err;
    if (pool->deal != NULL && (!visit->newest || deal->epoch <= pool->deal->epoch)) {
        deal_record_free(deal);
        return QK_OK;
    }
    deal_record_free(pool->deal);
    pool->deal = deal;
    snprintf(pool->deal_dir, sizeof pool->deal_dir, "%s", visit->dir);
    return QK_OK;
}

enum qk_err pool_add_deal(struct pool *pool, const char *dir, bool newest)
{
    struct deal_visit visit = {pool, dir, newest};

    return store_visit(dir, deal_take, &visit);
}

static enum qk_err keyring_take(void *arg, struct store *store)
{
    struct keyring *keyring = arg;
    struct record_key prefix = {.len = DATABASE_ID_BYTES, .data = {0}};
    struct store_cursor *cursor;
    struct store_row row;
    enum qk_err err;

    record_space_id(RECORD_KEYRING, prefix.data);
    err = store_cursor_open_prefix(store, record_key_bytes(&prefix), false, &cursor);
    if (err != QK_OK)
        return err;
    while (err == QK_OK && store_cursor_next(cursor, &row) == QK_OK)
        err = keyring_add(keyring, record_key_name(row.key), row.record.value);
    store_cursor_close(cursor);
    return err;
}

enum qk_err pool_keyring(struct pool *pool, const char *dir, struct keyring **ret_keyring)
{
    struct keyring *keyring;
    enum qk_err err = keyring_open(pool->cluster, pool->mk, pool->deal->mk_version, &keyring);

    if (err != QK_OK)
        return err;
    err = store_visit(dir, keyring_take, keyring);
    if (err == QK_OK)
        *ret_keyring = keyring;
    else
        keyring_close(keyring);
    return err;
}

void pool_fini(struct pool *pool)
{
    size_t k;

    for (k = 0; k < pool->shares_n; k++)
        secret_free(pool->shares[k]);
    for (k = 0; k < pool->secs_n; k++)
        node_sec_free(pool->secs[k]);
    deal_record_free(pool->deal);
    secret_free(pool->s);
    secret_free(pool->mk);
}
