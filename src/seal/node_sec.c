#include "seal/node_sec.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seal/node_sec_half.h"

void node_sec_free(struct node_sec *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->gens_n; i++) {
        secret_free(node->gens[i].d);
        secret_free(node->gens[i].p);
    }
    secret_free(node->identity);
    secret_free(node->cluster_psk);
    free(node->path);
    free(node);
}

const struct node_sec_generation *node_sec_find(const struct node_sec *node, uint64_t gen)
{
    for (size_t i = 0; i < node->gens_n; i++)
        if (node->gens[i].gen == gen)
            return &node->gens[i];
    return NULL;
}

/* --- saving --- */

static enum qk_err error_of(int code)
{
    return code == ENOSPC || code == EDQUOT ? QK_ERR_FULL : QK_ERR_IO;
}

static enum qk_err write_half(int fd, char half, uint64_t sequence, const uint8_t *payload,
                              uint8_t *image)
{
    off_t from = half == 'A' ? 0 : NODE_SEC_HALF_BYTES;

    half_encode(half, sequence, payload, image);
    for (size_t at = 0; at < NODE_SEC_HALF_BYTES;) {
        ssize_t put = pwrite(fd, image + at, NODE_SEC_HALF_BYTES - at, from + (off_t)at);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return error_of(errno);
        at += (size_t)put;
    }
    return fsync(fd) == 0 ? QK_OK : error_of(errno);
}

/* A before B, each durable before the next step: see the head of node_sec.h. */
static enum qk_err write_file(int fd, const struct node_sec *node, uint64_t sequence)
{
    struct secret *scratch;
    uint8_t *payload, *image;
    enum qk_err err = secret_new_zero(HALF_PAYLOAD_BYTES + NODE_SEC_HALF_BYTES, &scratch);

    if (err != QK_OK)
        return err;
    payload = secret_borrow_mut(scratch);
    image = payload + HALF_PAYLOAD_BYTES;
    node_sec_encode(node, payload);
    err = write_half(fd, 'A', sequence, payload, image);
    if (err == QK_OK)
        err = write_half(fd, 'B', sequence, payload, image);
    secret_return_mut(scratch);
    secret_free(scratch);
    secret_stack_burn();
    return err;
}

/* After a failed save the file may hold any mixture of this sequence number's sectors: writing
 * other content under the same number could pass for whole. So nothing is saved until a load has
 * looked at the file. */
static enum qk_err save(struct node_sec *node)
{
    enum qk_err err;
    int fd;

    if (node->failed)
        return QK_ERR_IO;
    fd = open(node->path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return error_of(errno);
    err = write_file(fd, node, node->sequence + 1);
    if (close(fd) != 0 && err == QK_OK)
        err = QK_ERR_IO;
    if (err == QK_OK)
        node->sequence++;
    else
        node->failed = true;
    return err;
}

enum qk_err node_sec_count_boot(struct node_sec *node)
{
    enum qk_err err;

    node->boot_counter++;
    err = save(node);
    if (err != QK_OK)
        node->boot_counter--;
    return err;
}

enum qk_err node_sec_set_founded(struct node_sec *node)
{
    bool before = node->founded;
    enum qk_err err;

    node->founded = true;
    err = save(node);
    if (err != QK_OK)
        node->founded = before;
    return err;
}

static enum qk_err generation_init(struct node_sec_generation *gen, uint64_t number)
{
    enum qk_err err = secret_new_random(KEY_BYTES, &gen->d);

    if (err != QK_OK)
        return err;
    err = secret_new_random(KEY_BYTES, &gen->p);
    if (err != QK_OK) {
        secret_free(gen->d);
        return err;
    }
    gen->gen = number;
    return QK_OK;
}

static void generation_fini(struct node_sec_generation *gen)
{
    secret_free(gen->d);
    secret_free(gen->p);
    memset(gen, 0, sizeof *gen);
}

enum qk_err node_sec_add_generation(struct node_sec *node, uint64_t *ret_gen)
{
    struct node_sec_generation *gen;
    enum qk_err err;

    if (node->gens_n == NODE_SEC_GENERATIONS_MAX)
        return QK_ERR_FULL;
    gen = &node->gens[node->gens_n];
    err = generation_init(gen, node->gen_last + 1);
    if (err != QK_OK)
        return err;
    node->gens_n++;
    node->gen_last++;
    err = save(node);
    if (err != QK_OK) {
        node->gens_n--;
        node->gen_last--;
        generation_fini(gen);
        return err;
    }
    *ret_gen = gen->gen;
    return QK_OK;
}

/* Drops the generations [from, to) of the list: first from the file, then from memory. */
static enum qk_err erase(struct node_sec *node, size_t from, size_t to)
{
    struct node_sec_generation kept[NODE_SEC_GENERATIONS_MAX], all[NODE_SEC_GENERATIONS_MAX];
    size_t n = 0, all_n = node->gens_n;
    enum qk_err err;

    if (from == to)
        return QK_OK;
    memset(kept, 0, sizeof kept);
    memcpy(all, node->gens, sizeof all);
    for (size_t i = 0; i < all_n; i++)
        if (i < from || i >= to)
            kept[n++] = all[i];
    memcpy(node->gens, kept, sizeof kept);
    node->gens_n = n;
    err = save(node);
    if (err != QK_OK) {
        memcpy(node->gens, all, sizeof all);
        node->gens_n = all_n;
        return err;
    }
    for (size_t i = from; i < to; i++)
        generation_fini(&all[i]);
    return QK_OK;
}

enum qk_err node_sec_erase_older(struct node_sec *node, uint64_t gen)
{
    size_t to = 0;

    while (to < node->gens_n && node->gens[to].gen < gen)
        to++;
    return erase(node, 0, to);
}

enum qk_err node_sec_erase_generation(struct node_sec *node, uint64_t gen)
{
    for (size_t i = 0; i < node->gens_n; i++)
        if (node->gens[i].gen == gen)
            return erase(node, i, i + 1);
    return QK_ERR_NOT_FOUND;
}

/* --- creating --- */

static enum qk_err sync_directory(const char *path)
{
    char dir[NODE_SEC_PATH_BYTES_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);
    enum qk_err err;
    int fd;

    if (len >= sizeof dir)
        return QK_ERR_TOO_BIG;
    memcpy(dir, path, len);
    dir[len] = 0;
    fd = open(slash == NULL ? "." : len == 0 ? "/" : dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return QK_ERR_IO;
    err = fsync(fd) == 0 ? QK_OK : QK_ERR_IO;
    (void)close(fd);
    return err;
}

/* Written under another name and linked into place, so that the name never shows half a file; link
 * fails if the name is taken. */
static enum qk_err create_file(const struct node_sec *node)
{
    char temporary[NODE_SEC_PATH_BYTES_MAX];
    int len = snprintf(temporary, sizeof temporary, "%s.new", node->path);
    enum qk_err err;
    int fd;

    if (len < 0 || (size_t)len >= sizeof temporary)
        return QK_ERR_TOO_BIG;
    if (access(node->path, F_OK) == 0)
        return QK_ERR_EXISTS;
    (void)unlink(temporary);
    fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return error_of(errno);
    err = write_file(fd, node, node->sequence);
    if (close(fd) != 0 && err == QK_OK)
        err = QK_ERR_IO;
    if (err == QK_OK && link(temporary, node->path) != 0)
        err = errno == EEXIST ? QK_ERR_EXISTS : error_of(errno);
    (void)unlink(temporary);
    return err == QK_OK ? sync_directory(node->path) : err;
}

enum qk_err node_sec_create(const char *path, const uint8_t cluster_id[static CLUSTER_ID_BYTES],
                            const uint8_t node_id[static NODE_ID_BYTES], uint64_t raft_id,
                            uint32_t x, const struct secret *identity,
                            const struct secret *cluster_psk, struct node_sec **ret_node)
{
    struct node_sec *node = calloc(1, sizeof *node);
    enum qk_err err = QK_ERR_NOMEM;

    assert(secret_len(identity) == X25519_BYTES && secret_len(cluster_psk) == KEY_BYTES);
    if (node == NULL)
        return QK_ERR_NOMEM;
    memcpy(node->cluster_id, cluster_id, sizeof node->cluster_id);
    memcpy(node->node_id, node_id, sizeof node->node_id);
    node->raft_id = raft_id;
    node->x = x;
    node->sequence = 1;
    node->path = strdup(path);
    if (node->path != NULL)
        err = secret_new_clone(identity, &node->identity);
    if (err == QK_OK)
        err = secret_new_clone(cluster_psk, &node->cluster_psk);
    if (err == QK_OK)
        err = x25519_public(identity, node->noise_pk);
    if (err == QK_OK)
        err = create_file(node);
    if (err != QK_OK) {
        node_sec_free(node);
        return err;
    }
    *ret_node = node;
    return QK_OK;
}

/* --- loading --- */

static enum qk_err fail(struct node_sec_fault *fault, char half, const char *what, enum qk_err err)
{
    fault->half = half;
    fault->what = what;
    return err;
}

static enum qk_err open_checked(const char *path, int *ret_fd, struct node_sec_fault *fault)
{
    struct stat stat;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    enum qk_err err = QK_OK;

    if (fd < 0 && errno == ENOENT)
        return fail(fault, 0, "is missing", QK_ERR_NOT_FOUND);
    if (fd < 0)
        return fail(fault, 0, "cannot be opened", errno == EIO ? QK_ERR_IO : QK_ERR_DENIED);
    if (fstat(fd, &stat) != 0)
        err = fail(fault, 0, "cannot be examined", QK_ERR_IO);
    else if (!S_ISREG(stat.st_mode))
        err = fail(fault, 0, "is not a regular file", QK_ERR_DENIED);
    else if (stat.st_uid != geteuid())
        err = fail(fault, 0, "belongs to another user", QK_ERR_DENIED);
    else if ((stat.st_mode & 077) != 0)
        err = fail(fault, 0, "is accessible to others (chmod 600)", QK_ERR_DENIED);
    else if (stat.st_size != (off_t)NODE_SEC_FILE_BYTES)
        err = fail(fault, 0, "has the wrong size", QK_ERR_CORRUPT);
    if (err != QK_OK)
        (void)close(fd);
    else
        *ret_fd = fd;
    return err;
}

static enum qk_err read_file(int fd, uint8_t *ret_image, struct node_sec_fault *fault)
{
    for (size_t at = 0; at < NODE_SEC_FILE_BYTES;) {
        ssize_t got = pread(fd, ret_image + at, NODE_SEC_FILE_BYTES - at, (off_t)at);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail(fault, at < NODE_SEC_HALF_BYTES ? 'A' : 'B', "cannot be read", QK_ERR_IO);
        at += (size_t)got;
    }
    return QK_OK;
}

/* Chooses the half to use and, after a torn write, brings the other one up to it. `image` has room
 * for a half behind the file's bytes. */
static enum qk_err load_image(int fd, uint8_t *image, struct node_sec *node,
                              struct node_sec_fault *fault)
{
    uint8_t *spare = image + NODE_SEC_FILE_BYTES, *payload = spare + NODE_SEC_HALF_BYTES;
    struct half_choice choice;
    enum qk_err err = read_file(fd, image, fault);

    if (err == QK_OK)
        err = half_choose(image, &choice, fault);
    if (err != QK_OK)
        return err;
    half_payload(image + (choice.use == 'A' ? 0 : NODE_SEC_HALF_BYTES), payload);
    node->sequence = choice.sequence;
    err = node_sec_decode(bytes_of(payload, HALF_PAYLOAD_BYTES), node);
    if (err == QK_ERR_CORRUPT || err == QK_ERR_UNSUPPORTED)
        return fail(
            fault, choice.use,
            err == QK_ERR_CORRUPT ? "holds no valid state" : "was written by another version", err);
    if (err == QK_OK && choice.repair != 0) {
        err = write_half(fd, choice.repair, choice.sequence, payload, spare);
        if (err != QK_OK)
            (void)fail(fault, choice.repair, "was torn and cannot be repaired", err);
    }
    return err;
}

enum qk_err node_sec_load(const char *path, struct node_sec **ret_node,
                          struct node_sec_fault *ret_fault)
{
    struct node_sec_fault fault = {0, "cannot be held in memory"}, *at = ret_fault;
    struct node_sec *node = NULL;
    struct secret *image = NULL;
    int fd = -1;
    enum qk_err err;

    if (at == NULL)
        at = &fault;
    *at = fault;
    err = open_checked(path, &fd, at);
    if (err == QK_OK)
        err =
            secret_new_zero(NODE_SEC_FILE_BYTES + NODE_SEC_HALF_BYTES + HALF_PAYLOAD_BYTES, &image);
    if (err != QK_OK)
        goto out;
    node = calloc(1, sizeof *node);
    if (node != NULL)
        node->path = strdup(path);
    err = node == NULL || node->path == NULL ? QK_ERR_NOMEM : QK_OK;
    if (err == QK_OK) {
        err = load_image(fd, secret_borrow_mut(image), node, at);
        secret_return_mut(image);
        secret_stack_burn();
    }
    if (err != QK_OK) {
        node_sec_free(node);
        goto out;
    }
    *at = (struct node_sec_fault){0, ""};
    *ret_node = node;

out:
    secret_free(image);
    if (fd >= 0)
        (void)close(fd);
    return err;
}

/* --- destroying --- */

static enum qk_err void_path(const char *path, char ret_path[static NODE_SEC_PATH_BYTES_MAX])
{
    int len = snprintf(ret_path, NODE_SEC_PATH_BYTES_MAX, "%s.void", path);

    return len < 0 || (size_t)len >= NODE_SEC_PATH_BYTES_MAX ? QK_ERR_TOO_BIG : QK_OK;
}

static enum qk_err overwrite(const char *path)
{
    static const uint8_t zeros[NODE_SEC_FILE_BYTES];
    int fd = open(path, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    enum qk_err err = QK_OK;

    if (fd < 0)
        return QK_ERR_IO;
    for (size_t at = 0; at < sizeof zeros && err == QK_OK;) {
        ssize_t put = pwrite(fd, zeros + at, sizeof zeros - at, (off_t)at);

        if (put > 0)
            at += (size_t)put;
        else if (put == 0 || errno != EINTR)
            err = QK_ERR_IO;
    }
    if (err == QK_OK && fsync(fd) != 0)
        err = QK_ERR_IO;
    (void)close(fd);
    return err;
}

/* The name goes first, so that no crash leaves half a node.sec, which would look like damage. */
enum qk_err node_sec_destroy(const char *path)
{
    char gone[NODE_SEC_PATH_BYTES_MAX];
    enum qk_err err = void_path(path, gone);

    if (err != QK_OK)
        return err;
    if (rename(path, gone) != 0 && (errno != ENOENT || access(gone, F_OK) != 0))
        return errno == ENOENT ? QK_ERR_NOT_FOUND : QK_ERR_IO;
    err = sync_directory(path);
    return err == QK_OK ? overwrite(gone) : err;
}

bool node_sec_is_destroyed(const char *path)
{
    char gone[NODE_SEC_PATH_BYTES_MAX];

    return void_path(path, gone) == QK_OK && access(gone, F_OK) == 0;
}

enum qk_err node_sec_forget(const char *path)
{
    char gone[NODE_SEC_PATH_BYTES_MAX];
    enum qk_err err = void_path(path, gone);

    if (err != QK_OK)
        return err;
    if (unlink(gone) != 0 && errno != ENOENT)
        return QK_ERR_IO;
    return sync_directory(path);
}
