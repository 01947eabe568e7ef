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

#include "pool.h"

#define NEEDLES_MAX (NODES_MAX + 16)
#define NEEDLE_BYTES 32
#define CHUNK_BYTES (1 << 20)

struct thief {
    struct pool pool;
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

static void must(const char *what, enum qk_err err)
{
    if (err != QK_OK)
        die(what, err);
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

static void keys_take(struct thief *thief, const char *dir)
{
    const struct pool *pool = &thief->pool;
    struct keyring *keyring;
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    size_t k;

    if (pool->mk == NULL)
        return;
    needle_add(thief, pool->mk, 0);
    needle_add(thief, pool->s, 0);
    for (k = 0; k < pool->shares_n; k++)
        needle_add(thief, pool->shares[k], 0);
    must("keyring", pool_keyring(&thief->pool, dir, &keyring));
    must("no default key", keyring_default(keyring, key_id, &version));
    needle_add(thief, keyring_data_key(keyring, key_id, version), 0);
    needle_add(thief, keyring_catalog_key(keyring, &version), 0);
    needle_add(thief, keyring_integrity_key(keyring), 0);
    if (thief->only != NULL)
        key_only(thief, keyring);
    keyring_close(keyring);
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

int main(int argc, char **argv)
{
    static struct thief thief;
    struct pool *pool = &thief.pool;
    const char *pid = NULL;
    enum qk_err err;
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
    if (dirs < 2 || secret_arena_init(SECRET_ARENA_AUTO, SECRET_ARENA_BYTES_DEFAULT) != QK_OK)
        die("usage: offline DIR... [[--key NAME/VERSION] --search PID]", QK_ERR_INVALID);
    for (i = 1; i < dirs; i++)
        must(argv[i], pool_add_keys(pool, argv[i]));
    for (i = 1; i < dirs; i++) {
        err = pool_add_deal(pool, argv[i], false);
        if (err != QK_ERR_NOT_FOUND)
            must(argv[i], err);
    }
    if (pool->deal == NULL)
        die("no deal record in any store", QK_ERR_NOT_FOUND);
    must("the shares", pool_open(pool));
    keys_take(&thief, argv[1]);
    if (pid != NULL && pool->mk != NULL)
        process_search(&thief, pid);
    printf("{\"tried\": %" PRIu64 ", \"opened\": %" PRIu64
           ", \"mk\": %s, \"needles\": %zu, \"found\": %" PRIu64 ", \"found_unlocked\": %" PRIu64
           ", \"searched_kib\": %" PRIu64 "}\n",
           pool->tried, pool->opened, pool->mk != NULL ? "true" : "false", thief.needles_n,
           thief.found, thief.unlocked, thief.searched / 1024);
    i = pool->mk != NULL ? 0 : 1;
    pool_fini(pool);
    secret_arena_fini();
    return i;
}
