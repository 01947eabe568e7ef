/* What a thief can do with whole data directories, and where the keys lie in a live process.
 *
 *     offline DIR... [[--key NAME/VERSION] --search PID]
 *
 * Pools every key of every node.sec given (D and P of every generation), tries each combination on
 * every slot of the deal record found in the stores, combines the shares that open and opens the
 * master key, the keyring included. Prints one JSON object. With --search the memory of process PID
 * is then read for MK, S, the shares, and every data key; `found_unlocked` counts the places that
 * are not in a mapping flagged locked and dump-proof (smaps: lo, dd). With --key that version of
 * that data key is searched for, and nothing else. Exit 0 when MK was rebuilt, 1
 * when not, 2 on an error. The directories must not be in use: give it copies. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

#include "keys/keyring.h"
#include "seal/deal_record.h"
#include "seal/node_sec.h"
#include "store/store.h"
#include "wire/records.h"

#define DIRS_MAX 8
#define NEEDLES_MAX (NODES_MAX + 16)
#define NEEDLE_BYTES 32
#define CHUNK_BYTES (1 << 20)

struct thief {
    struct node_sec *secs[DIRS_MAX];
    size_t secs_n;
    struct deal_record *deal;
    uint8_t cluster[CLUSTER_ID_BYTES];
    struct secret *shares[NODES_MAX];
    uint32_t x[NODES_MAX];
    size_t shares_n;
    uint64_t tried, opened;
    struct secret *mk;
    uint8_t needles[NEEDLES_MAX][NEEDLE_BYTES];
    size_t needles_n;
    const char *only; /* NAME/VERSION */
    uint64_t found, unlocked, searched;
};

static void die(const char *what, enum qk_err err)
{
    fprintf(stderr, "offline: %s: %s\n", what, qk_err_text(err));
    exit(2);
}

static void needle_add(struct thief *thief, const struct secret *key, size_t at)
{
    const uint8_t *raw;

    if (key == NULL || thief->needles_n == NEEDLES_MAX)
        return;
    raw = secret_borrow(key);
    memcpy(thief->needles[thief->needles_n++], raw + at, NEEDLE_BYTES);
    secret_return(key);
}

static void store_fatal(void *arg, enum qk_err err, const char *what)
{
    (void)arg;
    die(what, err);
}

static void store_closed(void *arg)
{
    *(bool *)arg = true;
}

static void key_only(struct thief *thief, const struct keyring *keyring)
{
    size_t len = strcspn(thief->only, "/");
    uint8_t key_id[KEY_ID_BYTES];
    const struct secret *key;

    if (thief->only[len] != '/' ||
        keyring_id_of(keyring, bytes_of(thief->only, len), key_id) != QK_OK)
        die(thief->only, QK_ERR_NOT_FOUND);
    key = keyring_data_key(keyring, key_id, (uint32_t)strtoul(thief->only + len + 1, NULL, 10));
    if (key == NULL)
        die(thief->only, QK_ERR_NOT_FOUND);
    thief->needles_n = 0;
    needle_add(thief, key, 0);
}

static void keyring_take(struct thief *thief, struct store *store)
{
    struct record_key prefix = {.len = DATABASE_ID_BYTES, .data = {0}};
    struct store_cursor *cursor;
    struct store_row row;
    struct keyring *keyring;
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;

    if (thief->mk == NULL ||
        keyring_open(thief->cluster, thief->mk, thief->deal->mk_version, &keyring) != QK_OK)
        return;
    record_space_id(RECORD_KEYRING, prefix.data);
    if (store_cursor_open_prefix(store, record_key_bytes(&prefix), false, &cursor) != QK_OK)
        die("keyring", QK_ERR_IO);
    while (store_cursor_next(cursor, &row) == QK_OK) {
        enum qk_err err = keyring_add(keyring, record_key_name(row.key), row.record.value);

        if (err != QK_OK)
            die("keyring record", err);
    }
    store_cursor_close(cursor);
    if (keyring_default(keyring, key_id, &version) != QK_OK)
        die("no default key", QK_ERR_NOT_FOUND);
    needle_add(thief, keyring_data_key(keyring, key_id, version), 0);
    needle_add(thief, keyring_catalog_key(keyring, &version), 0);
    needle_add(thief, keyring_integrity_key(keyring), 0);
    if (thief->only != NULL)
        key_only(thief, keyring);
    keyring_close(keyring);
}

/* Every D and every P at hand on one slot. */
static void slot_try(struct thief *thief, size_t i, size_t j, const struct secret *d,
                     const struct secret *p)
{
    struct secret *release = NULL;
    struct secret *share = NULL;
    size_t k;

    thief->tried++;
    if (deal_release(thief->deal, p, i, j, &release) != QK_OK)
        return;
    if (deal_open_slot(thief->deal, d, release, i, j, &share) == QK_OK) {
        thief->opened++;
        for (k = 0; k < thief->shares_n && thief->x[k] != thief->deal->members[i].x; k++)
            continue;
        if (k == thief->shares_n) {
            thief->x[thief->shares_n] = thief->deal->members[i].x;
            thief->shares[thief->shares_n++] = share;
            share = NULL;
        }
    }
    secret_free(share);
    secret_free(release);
}

static void slots_try(struct thief *thief, const struct secret *d, const struct secret *p)
{
    size_t i;
    size_t j;

    for (i = 0; i < thief->deal->n; i++) {
        for (j = 0; j < thief->deal->n; j++) {
            if (i != j)
                slot_try(thief, i, j, d, p);
        }
    }
}

static void keys_try(struct thief *thief)
{
    size_t a;
    size_t b;
    size_t g;
    size_t h;

    for (a = 0; a < thief->secs_n; a++) {
        for (b = 0; b < thief->secs_n; b++) {
            for (g = 0; g < thief->secs[a]->gens_n; g++) {
                for (h = 0; h < thief->secs[b]->gens_n; h++)
                    slots_try(thief, thief->secs[a]->gens[g].d, thief->secs[b]->gens[h].p);
            }
        }
    }
}

static void combine(struct thief *thief)
{
    struct share_bad bad;
    struct secret *s = NULL;
    size_t k;

    if (thief->shares_n < thief->deal->t)
        return;
    if (deal_combine(thief->deal, (const struct secret *const *)thief->shares, thief->x,
                     thief->shares_n, &s, &bad) != QK_OK ||
        deal_check_mac(thief->deal, s) != QK_OK ||
        deal_open_mk(thief->deal, s, &thief->mk) != QK_OK)
        die("the shares opened but do not combine", QK_ERR_CORRUPT);
    needle_add(thief, thief->mk, 0);
    needle_add(thief, s, 0);
    for (k = 0; k < thief->shares_n; k++)
        needle_add(thief, thief->shares[k], 0);
    secret_free(s);
}

static void dir_load(struct thief *thief, const char *dir)
{
    struct node_sec_fault fault;
    char path[512];
    enum qk_err err;

    snprintf(path, sizeof path, "%s/node.sec", dir);
    err = node_sec_load(path, &thief->secs[thief->secs_n], &fault);
    if (err != QK_OK)
        die(path, err);
    memcpy(thief->cluster, thief->secs[thief->secs_n]->cluster_id, CLUSTER_ID_BYTES);
    thief->secs_n++;
}

static void deal_load(struct thief *thief, struct store *store)
{
    struct record_key key = record_system(RECORD_SYS, RECORD_DEAL);
    struct record record;

    if (thief->deal != NULL || store_get(store, record_key_bytes(&key), &record) != QK_OK)
        return;
    if (deal_record_parse(record.value, &thief->deal) != QK_OK)
        die("deal record", QK_ERR_CORRUPT);
}

static void store_visit(struct thief *thief, const char *dir,
                        void (*visit)(struct thief *, struct store *))
{
    struct store_callbacks callbacks = {.fatal = store_fatal};
    struct store *store;
    uv_loop_t loop;
    char path[512];
    char what[256];
    bool closed = false;

    snprintf(path, sizeof path, "%s/store.mdb", dir);
    if (uv_loop_init(&loop) != 0 ||
        store_open(&loop, path, NULL, &callbacks, &store, what, sizeof what) != QK_OK)
        die(path, QK_ERR_IO);
    visit(thief, store);
    store_close(store, store_closed, &closed);
    while (!closed)
        uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
}

static void chunk_search(struct thief *thief, const uint8_t *data, size_t len, bool locked)
{
    size_t k;

    for (k = 0; k < thief->needles_n; k++) {
        const uint8_t *at = data;

        while ((at = memmem(at, len - (size_t)(at - data), thief->needles[k], NEEDLE_BYTES)) !=
               NULL) {
            thief->found++;
            thief->unlocked += locked ? 0 : 1;
            at++;
        }
    }
}

static void region_search(struct thief *thief, int mem, uint64_t from, uint64_t to, bool locked)
{
    static uint8_t data[CHUNK_BYTES + NEEDLE_BYTES];

    while (from < to) {
        size_t want = to - from < sizeof data ? (size_t)(to - from) : sizeof data;
        ssize_t got = pread(mem, data, want, (off_t)from);

        if (got <= 0)
            return; /* vvar, memfd_secret: unreadable by design */
        chunk_search(thief, data, (size_t)got, locked);
        thief->searched += (uint64_t)got;
        if (from + (uint64_t)got >= to)
            return;
        from += (uint64_t)got > NEEDLE_BYTES ? (uint64_t)got - NEEDLE_BYTES + 1 : (uint64_t)got;
    }
}

static void process_search(struct thief *thief, const char *pid)
{
    char path[64];
    char line[1024];
    uint64_t from = 0;
    uint64_t to = 0;
    FILE *smaps;
    int mem;

    snprintf(path, sizeof path, "/proc/%s/mem", pid);
    mem = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%s/smaps", pid);
    smaps = fopen(path, "re");
    if (mem < 0 || smaps == NULL)
        die("/proc of the process", QK_ERR_IO);
    while (fgets(line, sizeof line, smaps) != NULL) {
        uint64_t a;
        uint64_t b;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &a, &b) == 2) {
            from = a;
            to = b;
        } else if (strncmp(line, "VmFlags:", 8) == 0) {
            region_search(thief, mem, from, to,
                          strstr(line, " lo") != NULL && strstr(line, " dd") != NULL);
        }
    }
    fclose(smaps);
    close(mem);
}

static void thief_fini(struct thief *thief)
{
    size_t k;

    for (k = 0; k < thief->shares_n; k++)
        secret_free(thief->shares[k]);
    for (k = 0; k < thief->secs_n; k++)
        node_sec_free(thief->secs[k]);
    deal_record_free(thief->deal);
    secret_free(thief->mk);
    secret_arena_fini();
}

int main(int argc, char **argv)
{
    static struct thief thief;
    const char *pid = NULL;
    int dirs = argc;
    int i;

    if (argc > 3 && strcmp(argv[argc - 2], "--search") == 0) {
        pid = argv[argc - 1];
        dirs = argc - 2;
    }
    if (dirs > 3 && strcmp(argv[dirs - 2], "--key") == 0) {
        thief.only = argv[dirs - 1];
        dirs -= 2;
    }
    if (dirs < 2 || dirs > DIRS_MAX + 1 ||
        secret_arena_init(SECRET_ARENA_AUTO, SECRET_ARENA_BYTES_DEFAULT) != QK_OK)
        die("usage: offline DIR... [[--key NAME/VERSION] --search PID]", QK_ERR_INVALID);
    for (i = 1; i < dirs; i++)
        dir_load(&thief, argv[i]);
    for (i = 1; i < dirs; i++)
        store_visit(&thief, argv[i], deal_load);
    if (thief.deal == NULL)
        die("no deal record in any store", QK_ERR_NOT_FOUND);
    keys_try(&thief);
    combine(&thief);
    store_visit(&thief, argv[1], keyring_take);
    if (pid != NULL && thief.mk != NULL)
        process_search(&thief, pid);
    printf("{\"tried\": %" PRIu64 ", \"opened\": %" PRIu64
           ", \"mk\": %s, \"needles\": %zu, \"found\": %" PRIu64 ", \"found_unlocked\": %" PRIu64
           ", \"searched_kib\": %" PRIu64 "}\n",
           thief.tried, thief.opened, thief.mk != NULL ? "true" : "false", thief.needles_n,
           thief.found, thief.unlocked, thief.searched / 1024);
    i = thief.mk != NULL ? 0 : 1;
    thief_fini(&thief);
    return i;
}
