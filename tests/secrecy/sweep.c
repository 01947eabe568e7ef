/* Whether anything secret of a cluster stands where it must not: every key that can be rebuilt from
 * whole data directories, and every text given, in every file below a folder and in the memory of
 * processes.
 *
 *     sweep [--keys DIR]... [--memory PID]... [--except PATH]... [--most MIB] [FOLDER]...
 *
 * On standard input a line for each text: NAME, a tab, TEXT; so they are in no process list. --keys
 * names a data directory that is not in use; one that is damaged or whose node was removed gives
 * what it has. The keys are MK, S, the shares, every version of every data key and the keys of the
 * system, and of each node.sec D, P, the identity and the PSK, which only a file "node.sec" may
 * have: they have to be found there, or the search is none. Prints one JSON object; what was found
 * has the name of the needle and the place, never the bytes. Exit 0; 2 on an error. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "needles.h"
#include "pool.h"

#define FOUND_MAX 1000
#define DEPTH_MAX 16
#define CHUNK_BYTES ((size_t)1 << 20)

/* One needle in one file, or in one kind of memory of one process. */
struct found {
    const struct needle *needle;
    char where[1024];
    uint64_t at; /* the first place */
    uint64_t n;
};

struct sweep {
    struct pool pool;
    struct needles needles;
    const char *except[16];
    size_t except_n;
    char where[1024];
    uint64_t base;
    bool may_own;
    struct found found[FOUND_MAX];
    size_t found_n;
    uint64_t own, files, bytes, cut;
    size_t most;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "sweep: %s: %s\n", what, why);
    exit(2);
}

static void json_text(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            putchar('\\');
        putchar((unsigned char)*text < ' ' ? '?' : *text);
    }
}

static void found_cb(void *arg, const struct needle *needle, size_t at)
{
    struct sweep *sweep = arg;
    struct found *one = sweep->found;

    if (needle->own && sweep->may_own) {
        sweep->own++;
        return;
    }
    while (one < sweep->found + sweep->found_n &&
           (one->needle != needle || strcmp(one->where, sweep->where) != 0))
        one++;
    if (one == sweep->found + FOUND_MAX)
        return;
    if (one == sweep->found + sweep->found_n) {
        *one = (struct found){.needle = needle, .at = sweep->base + at};
        snprintf(one->where, sizeof one->where, "%s", sweep->where);
        sweep->found_n++;
    }
    one->n++;
}

static void found_print(const struct sweep *sweep)
{
    size_t i;

    for (i = 0; i < sweep->found_n; i++) {
        const struct found *one = &sweep->found[i];

        printf("%s{\"what\": \"", i > 0 ? ", " : "");
        json_text(one->needle->name);
        printf("\", \"where\": \"");
        json_text(one->where);
        printf("\", \"at\": %" PRIu64 ", \"n\": %" PRIu64 "}", one->at, one->n);
    }
}

static void file_search(struct sweep *sweep, int fd, size_t len)
{
    const char *name = strrchr(sweep->where, '/');
    void *data;

    if (len == 0)
        return;
    data = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED)
        die(sweep->where, strerror(errno));
    sweep->base = 0;
    sweep->may_own = name != NULL && strcmp(name, "/node.sec") == 0;
    if (len / 2 <= sweep->most) {
        needles_search(&sweep->needles, data, len, found_cb, sweep);
        sweep->bytes += len;
    } else {
        needles_search(&sweep->needles, data, sweep->most, found_cb, sweep);
        sweep->base = len - sweep->most;
        needles_search(&sweep->needles, (const uint8_t *)data + sweep->base, sweep->most, found_cb,
                       sweep);
        sweep->bytes += 2 * (uint64_t)sweep->most;
        sweep->cut++;
    }
    munmap(data, len);
    sweep->files++;
}

static bool is_exempt(const struct sweep *sweep, const char *path)
{
    size_t i;

    for (i = 0; i < sweep->except_n; i++) {
        if (strcmp(sweep->except[i], path) == 0)
            return true;
    }
    return false;
}

/* NOLINTNEXTLINE(misc-no-recursion): folders are DEPTH_MAX deep at most. */
static void folder_search(struct sweep *sweep, const char *path, int depth)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    char below[1024];
    struct stat stat;

    if (dir == NULL || depth > DEPTH_MAX)
        die(path, "cannot be listed");
    while ((entry = readdir(dir)) != NULL) {
        int fd;

        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        if (snprintf(below, sizeof below, "%s/%s", path, entry->d_name) >= (int)sizeof below)
            die(path, "is too long");
        if (is_exempt(sweep, below) || lstat(below, &stat) != 0)
            continue;
        if (S_ISDIR(stat.st_mode)) {
            folder_search(sweep, below, depth + 1);
            continue;
        }
        if (!S_ISREG(stat.st_mode))
            continue;
        fd = open(below, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            die(below, strerror(errno));
        snprintf(sweep->where, sizeof sweep->where, "%s", below);
        file_search(sweep, fd, (size_t)stat.st_size);
        close(fd);
    }
    closedir(dir);
}

static void region_search(struct sweep *sweep, int mem, uint64_t from, uint64_t to)
{
    static uint8_t data[CHUNK_BYTES + NEEDLE_BYTES_MAX];

    while (from < to) {
        size_t want = to - from < sizeof data ? (size_t)(to - from) : sizeof data;
        ssize_t got = pread(mem, data, want, (off_t)from);

        if (got <= 0)
            return; /* memfd_secret and the like: unreadable by design */
        sweep->base = from;
        needles_search(&sweep->needles, data, (size_t)got, found_cb, sweep);
        sweep->bytes += (uint64_t)got;
        if (from + (uint64_t)got >= to || got <= NEEDLE_BYTES_MAX)
            return;
        from += (uint64_t)got - NEEDLE_BYTES_MAX + 1;
    }
}

/* Mappings that are locked and dump-proof are the place of keys, and are named so. */
static void process_search(struct sweep *sweep, const char *pid)
{
    char path[64];
    char line[4096];
    uint64_t from = 0;
    uint64_t to = 0;
    FILE *smaps;
    int mem;

    snprintf(path, sizeof path, "/proc/%s/mem", pid);
    mem = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%s/smaps", pid);
    smaps = fopen(path, "re");
    if (mem < 0 || smaps == NULL)
        die(path, strerror(errno));
    sweep->may_own = false;
    while (fgets(line, sizeof line, smaps) != NULL) {
        uint64_t a;
        uint64_t b;

        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &a, &b) == 2) {
            from = a;
            to = b;
        } else if (strncmp(line, "VmFlags:", 8) == 0) {
            bool locked = strstr(line, " lo") != NULL && strstr(line, " dd") != NULL;

            snprintf(sweep->where, sizeof sweep->where, "%s of %s",
                     locked ? "locked memory" : "memory", pid);
            region_search(sweep, mem, from, to);
        }
    }
    fclose(smaps);
    close(mem);
}

static void own_keys_take(struct sweep *sweep)
{
    struct needles *needles = &sweep->needles;
    size_t i;
    size_t g;

    for (i = 0; i < sweep->pool.secs_n; i++) {
        const struct node_sec *sec = sweep->pool.secs[i];

        needles_add_key(needles, "a node's identity", sec->identity, true);
        needles_add_key(needles, "the cluster's PSK", sec->cluster_psk, true);
        for (g = 0; g < sec->gens_n; g++) {
            needles_add_key(needles, "a node's D", sec->gens[g].d, true);
            needles_add_key(needles, "a node's P", sec->gens[g].p, true);
        }
    }
}

static void data_keys_take(struct sweep *sweep, const struct keyring *keyring,
                           const struct keyring_info *info)
{
    char name[96];
    size_t v;

    for (v = 0; v < info->versions_n; v++) {
        struct key_version_info version = keyring_version_at(keyring, info, v);

        snprintf(name, sizeof name, "data key %.*s/%" PRIu32, (int)info->name.len,
                 (const char *)info->name.data, version.version);
        needles_add_key(&sweep->needles, name,
                        keyring_data_key(keyring, info->key_id, version.version), false);
    }
}

static void keyring_take(struct sweep *sweep, const struct keyring *keyring)
{
    struct keyring_info info;
    size_t at;

    needles_add_key(&sweep->needles, "the index key", keyring_index_key(keyring), false);
    needles_add_key(&sweep->needles, "the audit key", keyring_audit_key(keyring), false);
    needles_add_key(&sweep->needles, "the integrity key", keyring_integrity_key(keyring), false);
    needles_add_key(&sweep->needles, "the revision key", keyring_revision_key(keyring), false);
    if (keyring_info_of(keyring, keyring_catalog_id, &info) == QK_OK)
        data_keys_take(sweep, keyring, &info);
    for (at = 0; keyring_info_at(keyring, at, &info) == QK_OK; at++)
        data_keys_take(sweep, keyring, &info);
}

static void keys_take(struct sweep *sweep)
{
    struct pool *pool = &sweep->pool;
    struct keyring *keyring;
    size_t k;

    own_keys_take(sweep);
    if (pool->deal == NULL || pool_open(pool) != QK_OK || pool->mk == NULL)
        return;
    needles_add_key(&sweep->needles, "the master key", pool->mk, false);
    needles_add_key(&sweep->needles, "the unseal secret", pool->s, false);
    for (k = 0; k < pool->shares_n; k++)
        needles_add_key(&sweep->needles, "a share", pool->shares[k], false);
    if (pool_keyring(pool, pool->deal_dir, &keyring) != QK_OK)
        return;
    keyring_take(sweep, keyring);
    keyring_close(keyring);
}

static size_t texts_take(struct sweep *sweep)
{
    char line[2 * NEEDLE_BYTES_MAX];
    size_t before = sweep->needles.n;

    while (fgets(line, sizeof line, stdin) != NULL) {
        char *tab = strchr(line, '\t');

        line[strcspn(line, "\n")] = '\0';
        if (tab == NULL)
            die("standard input", "a line is NAME, tab, TEXT");
        *tab = '\0';
        needles_add(&sweep->needles, line, tab + 1, strlen(tab + 1), false);
    }
    return sweep->needles.n - before;
}

static void arguments_take(struct sweep *sweep, int argc, char **argv)
{
    enum qk_err err;
    int i;

    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--keys") == 0 && ++i < argc) {
            /* A directory with half of it gives that half. */
            err = pool_add_keys(&sweep->pool, argv[i]);
            if (err != QK_ERR_NOT_FOUND)
                err = pool_add_deal(&sweep->pool, argv[i], true);
        } else if (strcmp(argv[i], "--except") == 0 && i + 1 < argc && sweep->except_n < 16) {
            sweep->except[sweep->except_n++] = argv[++i];
        } else if (strcmp(argv[i], "--most") == 0 && i + 1 < argc) {
            sweep->most = (size_t)strtoul(argv[++i], NULL, 10) << 20;
        } else if (strcmp(argv[i], "--memory") == 0 && i + 1 < argc) {
            i++;
        } else if (argv[i][0] == '-') {
            die(argv[i], "see the head of tests/secrecy/sweep.c");
        }
    }
}

int main(int argc, char **argv)
{
    static struct sweep sweep;
    size_t texts_n;
    int i;

    if (secret_arena_init(SECRET_ARENA_AUTO, SECRET_ARENA_BYTES_DEFAULT) != QK_OK)
        die("memory", "cannot be locked");
    needles_init(&sweep.needles);
    sweep.most = SIZE_MAX;
    arguments_take(&sweep, argc, argv);
    keys_take(&sweep);
    texts_n = texts_take(&sweep);
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--memory") == 0)
            process_search(&sweep, argv[++i]);
        else if (argv[i][0] == '-')
            i++;
        else
            folder_search(&sweep, argv[i], 0);
    }
    printf("{\"found\": [");
    found_print(&sweep);
    printf("], \"mk\": %s, \"keys\": %zu, \"texts\": %zu, \"own\": %" PRIu64 ", \"files\": %" PRIu64
           ", \"kib\": %" PRIu64 ", \"cut\": %" PRIu64 "}\n",
           sweep.pool.mk != NULL ? "true" : "false", sweep.needles.keys_n, texts_n, sweep.own,
           sweep.files, sweep.bytes / 1024, sweep.cut);
    pool_fini(&sweep.pool);
    needles_fini(&sweep.needles);
    secret_arena_fini();
    return 0;
}
