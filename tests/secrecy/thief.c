/* What somebody can open who has copies of disks and stores, and master keys from memory, of
 * different times.
 *
 *     thief [--disk DIR]... [--keys DIR]... [--store DIR]... [--mk FILE]... [--mk-out FILE]
 *
 * --disk: node.sec and store.mdb of DIR; --keys: the same, but only keys are taken from the store,
 * its documents are not counted; --store: store.mdb alone, which is what a backup holds and more.
 * All D and P of all generations are tried on all slots of all deal records found; shares that open
 * are combined; a master key, however it came to hand, opens what it can of every keyring, further
 * D and P among it, and all is tried again until nothing new opens. Then every document and catalog
 * record of every store is tried with every key. A --mk FILE holds the 32 bytes and their version
 * (u32), --mk-out writes one so: the newest.
 *
 * One JSON object: master keys and key versions at hand, documents and catalog records (all,
 * opened); documents whose id begins with "new" apart. Exit 0 if a master key was rebuilt from
 * disks, 1 if not, 2 on an error. What is given must not be in use: give it copies. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "doc/record.h"
#include "keys/keyring.h"
#include "seal/deal_record.h"
#include "seal/node_sec.h"
#include "store/store.h"
#include "wire/records.h"

#define STORES_MAX 16
#define HALVES_MAX 512
#define MKS_MAX 32
#define KEYRINGS_MAX (MKS_MAX * STORES_MAX)

struct half {
    struct secret *d, *p;
};

struct known_mk {
    struct secret *mk;
    uint32_t version;
    bool rebuilt; /* from shares: not given */
};

struct tally {
    uint64_t all_n, opened_n;
};

static struct {
    uint8_t cluster[CLUSTER_ID_BYTES];
    bool counted[STORES_MAX];
    struct store *stores[STORES_MAX];
    size_t stores_n;
    struct deal_record *deals[STORES_MAX];
    bool deal_open[STORES_MAX];
    size_t deals_n;
    struct half halves[HALVES_MAX];
    size_t halves_n;
    struct known_mk mks[MKS_MAX];
    size_t mks_n;
    struct keyring *keyrings[KEYRINGS_MAX];
    size_t keyrings_n;
    uint64_t tried, slots;
    struct tally documents, fresh, catalog;
    uv_loop_t loop;
} thief;

static void die(const char *what, enum qk_err err)
{
    fprintf(stderr, "thief: %s: %s\n", what, qk_err_text(err));
    exit(2);
}

/* --- what is given --------------------------------------------------------------------------- */

static void half_add(struct secret *d, struct secret *p)
{
    for (size_t i = 0; i < thief.halves_n; i++)
        if (secret_equal(thief.halves[i].d, d) && secret_equal(thief.halves[i].p, p)) {
            secret_free(d);
            secret_free(p);
            return;
        }
    if (thief.halves_n == HALVES_MAX)
        die("too many generations", QK_ERR_TOO_BIG);
    thief.halves[thief.halves_n++] = (struct half){d, p};
}

static bool mk_add(struct secret *mk, uint32_t version, bool rebuilt)
{
    for (size_t i = 0; i < thief.mks_n; i++)
        if (secret_equal(thief.mks[i].mk, mk) && thief.mks[i].version == version) {
            thief.mks[i].rebuilt = thief.mks[i].rebuilt || rebuilt;
            secret_free(mk);
            return false;
        }
    if (thief.mks_n == MKS_MAX)
        die("too many master keys", QK_ERR_TOO_BIG);
    thief.mks[thief.mks_n++] = (struct known_mk){mk, version, rebuilt};
    return true;
}

static void node_sec_take(const char *dir)
{
    struct node_sec_fault fault;
    struct node_sec *sec;
    struct secret *d, *p;
    char path[512];
    enum qk_err err;

    snprintf(path, sizeof path, "%s/node.sec", dir);
    err = node_sec_load(path, &sec, &fault);
    if (err != QK_OK)
        die(path, err);
    memcpy(thief.cluster, sec->cluster_id, CLUSTER_ID_BYTES);
    for (size_t g = 0; g < sec->gens_n; g++) {
        if (secret_new_clone(sec->gens[g].d, &d) != QK_OK ||
            secret_new_clone(sec->gens[g].p, &p) != QK_OK)
            die("memory", QK_ERR_NOMEM);
        half_add(d, p);
    }
    node_sec_free(sec);
}

static void mk_take(const char *path)
{
    uint8_t bytes[KEY_BYTES + 4];
    struct secret *mk;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || read(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes ||
        secret_new_copy(bytes, KEY_BYTES, &mk) != QK_OK)
        die(path, QK_ERR_IO);
    (void)close(fd);
    (void)mk_add(mk, get_u32(bytes + KEY_BYTES), false);
}

static void mk_out(const char *path)
{
    uint8_t bytes[KEY_BYTES + 4];
    const struct known_mk *newest = NULL;
    int fd;

    for (size_t i = 0; i < thief.mks_n; i++)
        if (newest == NULL || thief.mks[i].version > newest->version)
            newest = &thief.mks[i];
    if (newest == NULL)
        die("--mk-out: there is no master key", QK_ERR_NOT_FOUND);
    memcpy(bytes, secret_borrow(newest->mk), KEY_BYTES);
    secret_return(newest->mk);
    put_u32(bytes + KEY_BYTES, newest->version);
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, bytes, sizeof bytes) != (ssize_t)sizeof bytes)
        die(path, QK_ERR_IO);
    (void)close(fd);
}

static void store_fatal(void *arg, enum qk_err err, const char *what)
{
    (void)arg;
    die(what, err);
}

static void store_take(const char *dir, bool counted)
{
    struct store_callbacks callbacks = {.fatal = store_fatal};
    struct record_key key = record_system(RECORD_SYS, RECORD_DEAL);
    struct record record;
    char path[512], what[256] = "";
    struct store *store;

    if (thief.stores_n == STORES_MAX)
        die("too many stores", QK_ERR_TOO_BIG);
    snprintf(path, sizeof path, "%s/store.mdb", dir);
    if (store_open(&thief.loop, path, NULL, &callbacks, &store, what, sizeof what) != QK_OK)
        die(what, QK_ERR_IO);
    thief.counted[thief.stores_n] = counted;
    thief.stores[thief.stores_n++] = store;
    if (store_get(store, record_key_bytes(&key), &record) != QK_OK)
        return;
    if (deal_record_parse(record.value, &thief.deals[thief.deals_n]) != QK_OK)
        die("a deal record", QK_ERR_CORRUPT);
    memcpy(thief.cluster, thief.deals[thief.deals_n++]->cluster, CLUSTER_ID_BYTES);
}

/* --- shares ---------------------------------------------------------------------------------- */

struct found_shares {
    struct secret *shares[NODES_MAX];
    uint32_t x[NODES_MAX];
    size_t n;
};

/* Takes over `share`. */
static void share_keep(struct found_shares *found, uint32_t x, struct secret *share)
{
    for (size_t k = 0; k < found->n; k++)
        if (found->x[k] == x) {
            secret_free(share);
            return;
        }
    found->x[found->n] = x;
    found->shares[found->n++] = share;
}

/* Every D and every P at hand on one slot. */
static void slot_try(const struct deal_record *deal, size_t i, size_t j, struct found_shares *found)
{
    for (size_t b = 0; b < thief.halves_n; b++) {
        struct secret *release = NULL;

        if (deal_release(deal, thief.halves[b].p, i, j, &release) != QK_OK)
            continue;
        for (size_t a = 0; a < thief.halves_n; a++) {
            struct secret *share = NULL;

            thief.tried++;
            if (deal_open_slot(deal, thief.halves[a].d, release, i, j, &share) != QK_OK)
                continue;
            thief.slots++;
            share_keep(found, deal->members[i].x, share);
        }
        secret_free(release);
    }
}

static bool deal_try(size_t at)
{
    const struct deal_record *deal = thief.deals[at];
    struct found_shares found = {.n = 0};
    struct secret *s = NULL, *mk = NULL;
    struct share_bad bad;
    bool more = false;

    for (size_t i = 0; i < deal->n; i++)
        for (size_t j = 0; j < deal->n; j++)
            if (i != j)
                slot_try(deal, i, j, &found);
    if (found.n >= deal->t) {
        if (deal_combine(deal, (const struct secret *const *)found.shares, found.x, found.n, &s,
                         &bad) != QK_OK ||
            deal_check_mac(deal, s) != QK_OK || deal_open_mk(deal, s, &mk) != QK_OK)
            die("the shares opened but do not combine", QK_ERR_CORRUPT);
        more = mk_add(mk, deal->mk_version, true);
        thief.deal_open[at] = true;
        secret_free(s);
    }
    for (size_t k = 0; k < found.n; k++)
        secret_free(found.shares[k]);
    return more;
}

/* --- keyrings -------------------------------------------------------------------------------- */

static struct store_cursor *scan(struct store *store, struct bytes prefix)
{
    struct store_cursor *cursor;

    if (store_cursor_open_prefix(store, prefix, false, &cursor) != QK_OK)
        die("reading a store", QK_ERR_IO);
    return cursor;
}

/* Whatever of a store's keyring the master key opens; D and P join what is at hand. */
static void keyring_take(const struct known_mk *known, struct store *store)
{
    uint8_t space[DATABASE_ID_BYTES];
    struct store_cursor *cursor;
    struct store_row row;
    struct keyring *keyring;
    struct secret *d, *p;

    if (thief.keyrings_n == KEYRINGS_MAX ||
        keyring_open(thief.cluster, known->mk, known->version, &keyring) != QK_OK)
        die("a keyring", QK_ERR_NOMEM);
    record_space_id(RECORD_KEYRING, space);
    cursor = scan(store, bytes_of(space, sizeof space));
    while (store_cursor_next(cursor, &row) == QK_OK) {
        struct bytes name = record_key_name(row.key);

        if (keyring_open_halves(keyring, name, row.record.value, &d, &p) == QK_OK)
            half_add(d, p);
        else if (keyring_add(keyring, name, row.record.value) != QK_OK)
            continue; /* of another time: tried with another master key */
    }
    store_cursor_close(cursor);
    thief.keyrings[thief.keyrings_n++] = keyring;
}

/* Until there is nothing new: a master key may open D and P that open another deal. */
static void open_all(void)
{
    size_t mks_done = 0, halves_n;

    do {
        halves_n = thief.halves_n;
        for (size_t i = 0; i < thief.deals_n; i++)
            (void)deal_try(i);
        for (; mks_done < thief.mks_n; mks_done++)
            for (size_t i = 0; i < thief.stores_n; i++)
                keyring_take(&thief.mks[mks_done], thief.stores[i]);
    } while (thief.halves_n > halves_n || mks_done < thief.mks_n);
}

/* --- records --------------------------------------------------------------------------------- */

static bool envelope_opens(const struct envelope_aad *aad, struct bytes envelope)
{
    struct buf plain = BUF_SECRET_INIT(RECORD_VALUE_BYTES_MAX);
    bool opened = false;

    for (size_t i = 0; i < thief.keyrings_n && !opened; i++) {
        plain.len = 0;
        opened = keyring_open_envelope(thief.keyrings[i], aad, envelope, &plain) == QK_OK;
    }
    buf_fini(&plain);
    return opened;
}

/* The clear part is read with any integrity key that fits; without one nothing opens anyway. */
static bool document_opens(struct bytes key, const struct record *record)
{
    struct bytes id = record_key_name(key);
    struct doc_place place = {thief.cluster, key.data, id, record->version};
    bool opened = false;

    for (size_t i = 0; i < thief.keyrings_n && !opened; i++) {
        const struct secret *integrity = keyring_integrity_key(thief.keyrings[i]);
        struct envelope_aad aad = {.document_id = id, .record_kind = ENVELOPE_DOCUMENT};
        uint8_t revision[REVISION_BYTES];
        struct doc_leaf leaf;
        unsigned leaves_n;

        if (integrity == NULL ||
            doc_record_decode_winner(integrity, &place, record->value, &leaf, &leaves_n) != QK_OK)
            continue;
        aad.record_version = leaf.sealed_at;
        aad.deleted = leaf.deleted;
        revision_encode(&leaf.revision, revision);
        aad.revision = bytes_of(revision, sizeof revision);
        memcpy(aad.cluster, thief.cluster, CLUSTER_ID_BYTES);
        memcpy(aad.database, key.data, DATABASE_ID_BYTES);
        opened = envelope_opens(&aad, leaf.envelope);
    }
    return opened;
}

static bool catalog_opens(struct bytes key, const struct record *record)
{
    struct envelope_aad aad = {.document_id = record_key_name(key),
                               .record_version = record->version,
                               .record_kind = ENVELOPE_CATALOG};

    memcpy(aad.cluster, thief.cluster, CLUSTER_ID_BYTES);
    memcpy(aad.database, key.data, DATABASE_ID_BYTES);
    return envelope_opens(&aad, record->value);
}

static void count(struct tally *tally, bool opened)
{
    tally->all_n++;
    tally->opened_n += opened;
}

static void records_try(struct store *store)
{
    struct store_cursor *cursor = scan(store, BYTES_NONE);
    enum record_space space;
    struct store_row row;

    while (store_cursor_next(cursor, &row) == QK_OK) {
        if (record_key_space(row.key, &space)) {
            if (space == RECORD_CATALOG)
                count(&thief.catalog, catalog_opens(row.key, &row.record));
        } else if ((row.record.flags & WIRE_DOC) != 0) {
            bool fresh = bytes_starts_with(record_key_name(row.key), bytes_str("new"));

            count(fresh ? &thief.fresh : &thief.documents, document_opens(row.key, &row.record));
        }
    }
    store_cursor_close(cursor);
}

/* --- main ------------------------------------------------------------------------------------ */

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static void let_go(void)
{
    for (size_t i = 0; i < thief.stores_n; i++) {
        bool closed = false;

        store_close(thief.stores[i], on_closed, &closed);
        while (!closed)
            (void)uv_run(&thief.loop, UV_RUN_ONCE);
    }
    (void)uv_run(&thief.loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&thief.loop);
    for (size_t i = 0; i < thief.keyrings_n; i++)
        keyring_close(thief.keyrings[i]);
    for (size_t i = 0; i < thief.halves_n; i++) {
        secret_free(thief.halves[i].d);
        secret_free(thief.halves[i].p);
    }
    for (size_t i = 0; i < thief.deals_n; i++)
        deal_record_free(thief.deals[i]);
    for (size_t i = 0; i < thief.mks_n; i++)
        secret_free(thief.mks[i].mk);
    secret_arena_fini();
}

static void argument_take(const char *name, const char *value, const char **out)
{
    if (strcmp(name, "--disk") == 0 || strcmp(name, "--keys") == 0) {
        node_sec_take(value);
        store_take(value, strcmp(name, "--disk") == 0);
    } else if (strcmp(name, "--store") == 0) {
        store_take(value, true);
    } else if (strcmp(name, "--mk") == 0) {
        mk_take(value);
    } else if (strcmp(name, "--mk-out") == 0) {
        *out = value;
    } else {
        die(name, QK_ERR_INVALID);
    }
}

static void print(void)
{
    unsigned rebuilt = 0, deals = 0;

    for (size_t i = 0; i < thief.mks_n; i++)
        rebuilt += thief.mks[i].rebuilt;
    for (size_t i = 0; i < thief.deals_n; i++)
        deals += thief.deal_open[i];
    printf("{\"tried\": %" PRIu64 ", \"slots\": %" PRIu64 ", \"deals\": %zu, \"deals_open\": %u, "
           "\"mks\": %zu, \"mks_rebuilt\": %u, \"old\": %" PRIu64 ", \"old_opened\": %" PRIu64
           ", \"new\": %" PRIu64 ", \"new_opened\": %" PRIu64 ", \"catalog\": %" PRIu64
           ", \"catalog_opened\": %" PRIu64 "}\n",
           thief.tried, thief.slots, thief.deals_n, deals, thief.mks_n, rebuilt,
           thief.documents.all_n, thief.documents.opened_n, thief.fresh.all_n, thief.fresh.opened_n,
           thief.catalog.all_n, thief.catalog.opened_n);
}

int main(int argc, char **argv)
{
    const char *out = NULL;
    bool rebuilt = false;

    if (argc < 3 || argc % 2 == 0 || uv_loop_init(&thief.loop) != 0 ||
        secret_arena_init(SECRET_ARENA_AUTO, SECRET_ARENA_BYTES_DEFAULT) != QK_OK)
        die("usage: thief [--disk DIR | --keys DIR | --store DIR | --mk FILE | --mk-out FILE]...",
            QK_ERR_INVALID);
    for (int i = 1; i + 1 < argc; i += 2)
        argument_take(argv[i], argv[i + 1], &out);
    open_all();
    for (size_t i = 0; i < thief.stores_n; i++)
        if (thief.counted[i])
            records_try(thief.stores[i]);
    if (out != NULL)
        mk_out(out);
    print();
    for (size_t i = 0; i < thief.mks_n; i++)
        rebuilt = rebuilt || thief.mks[i].rebuilt;
    let_go();
    return rebuilt ? 0 : 1;
}
