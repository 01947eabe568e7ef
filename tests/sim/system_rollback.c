/* A disk that is put back to an older copy: node.sec, log, store and node-local facts together, as
 * the restored image of a whole machine. Peers that remember more of it must give it nothing
 * (seal/watermark.h); what they remember is noted here from the HELLOs that they heard. */
#include "system.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct image {
    uint8_t node_sec[NODE_SEC_FILE_BYTES];
    uint8_t node_id[NODE_ID_BYTES];

    uint64_t made;
    struct node *raft;
    struct disk disk;
    struct table table;
    struct local locals[SYSTEM_LOCALS_MAX];
};

static int node_sec_open(const struct machine *m, int flags)
{
    char path[SYSTEM_PATH_BYTES + 16];

    snprintf(path, sizeof(path), "%s/node.sec", m->dir);
    return open(path, flags | O_CLOEXEC);
}

/* Also where only one half was ever written: the rest is zeros. */
static bool node_sec_get(const struct machine *m, uint8_t *ret_bytes)
{
    int fd = node_sec_open(m, O_RDONLY);
    bool good;

    if (fd < 0)
        return false;
    memset(ret_bytes, 0, NODE_SEC_FILE_BYTES);
    good = pread(fd, ret_bytes, NODE_SEC_FILE_BYTES, 0) >= 0;
    (void)close(fd);
    return good;
}

static void node_sec_put(const struct machine *m, const uint8_t *bytes)
{
    struct machine *before = system_current;
    int fd = node_sec_open(m, O_WRONLY);

    system_current = NULL;
    if (fd < 0 || pwrite(fd, bytes, NODE_SEC_FILE_BYTES, 0) != (ssize_t)NODE_SEC_FILE_BYTES)
        abort();
    (void)close(fd);
    system_current = before;
}

static void disk_copy(const struct disk *from, struct disk *to)
{
    *to = *from;
    entry_log_init(&to->log, from->log.first);
    for (uint64_t i = from->log.first; i <= entry_log_last(&from->log); i++) {
        const struct log_entry *entry = entry_log_get(&from->log, i);

        if (entry_log_append(&to->log, entry->term, entry->type,
                             bytes_of(entry->data, entry->len)) != QK_OK)
            abort();
    }
}

static void locals_put(const struct local *from, struct local *to)
{
    for (unsigned i = 0; i < SYSTEM_LOCALS_MAX; i++) {
        blob_drop(to[i].mem);
        blob_drop(to[i].disk);
        to[i] = from[i];
        to[i].mem = NULL;
        if (to[i].disk != NULL)
            (void)blob_hold(to[i].disk);
    }
}

void rollback_forget(struct machine *m)
{
    if (m->image == NULL)
        return;
    entry_log_fini(&m->image->disk.log);
    table_fini(&m->image->table);
    for (unsigned i = 0; i < SYSTEM_LOCALS_MAX; i++)
        blob_drop(m->image->locals[i].disk);
    free(m->image);
    m->image = NULL;
}

/* A copy of the disk as it is now, whether the process runs or not. */
void rollback_copy(struct machine *m)
{
    struct image *image;

    if (m->raft == NULL || !m->alive || m->dying || m->service.node_sec == NULL)
        return;
    rollback_forget(m);
    image = calloc(1, sizeof(*image));
    assert(image != NULL);
    if (!node_sec_get(m, image->node_sec)) {
        free(image);
        return;
    }
    memcpy(image->node_id, m->service.node_id, NODE_ID_BYTES);
    image->made = m->service.node_sec->gen_last;
    image->raft = m->raft;
    disk_copy(&m->raft->disk, &image->disk);
    table_copy(&m->disk, &image->table);
    locals_put(m->locals, image->locals);
    m->image = image;
    system_say(m, "a copy of its disk is made");
}

/* Peers hear of each other every five seconds, and at each deal, and note it then: what happened
 * since is known to nobody, so that an image from just before a fall is not told from the disk.
 * Here each of the others has heard of something that the image lacks. */
static bool is_known(const struct machine *m)
{
    const struct image *image = m->image;

    for (unsigned i = 0; i < m->sys->machines_n; i++) {
        const struct machine *other = &m->sys->machines[i];
        const struct noted *noted = &other->noted_disk[m->at];

        if (other == m || !other->last_sec)
            continue;
        if (memcmp(noted->node_id, image->node_id, NODE_ID_BYTES) != 0 ||
            (noted->made <= image->made && noted->term <= image->disk.term &&
             noted->index <= entry_log_last(&image->disk.log)))
            return false;
    }
    return true;
}

bool rollback_restore(struct machine *m)
{
    struct image *image = m->image;

    if (image == NULL || !is_known(m) || !m->alive || m->service.node_sec == NULL ||
        m->raft != image->raft || memcmp(m->service.node_id, image->node_id, NODE_ID_BYTES) != 0)
        return false;
    system_crash(m);
    system_say(m, "its disk is put back to an older copy");
    node_sec_put(m, image->node_sec);
    entry_log_fini(&image->raft->disk.log);
    disk_copy(&image->disk, &image->raft->disk);
    table_copy(&image->table, &m->disk);
    locals_put(image->locals, m->locals);
    m->rolled = image->raft->rolled_back = true;
    m->sys->rollbacks_n++;
    return true;
}

/* --- what is remembered of whom -------------------------------------------------------------- */

static void raise(uint64_t *value, uint64_t to)
{
    if (to > *value)
        *value = to;
}

void rollback_heard(struct machine *m, const struct machine *from, const struct peer_hello *hello)
{
    const struct seal_peer *peer = seal_peer_find(&m->cluster->seal, m->sides[from->at].id);
    struct noted *noted = &m->noted[from->at];

    if (peer == NULL || !peer->known || memcmp(hello->echo, peer->nonce, PEER_NONCE_BYTES) != 0 ||
        memcmp(peer->node_id, hello->node_id, NODE_ID_BYTES) != 0)
        return;
    if (memcmp(noted->node_id, hello->node_id, NODE_ID_BYTES) != 0)
        memset(noted, 0, sizeof(*noted));
    if (noted->boot_counter > hello->boot_counter ||
        (noted->boot_counter == hello->boot_counter && noted->boot_counter != 0 &&
         memcmp(noted->boot_id, hello->boot_id, BOOT_ID_BYTES) != 0))
        return;
    memcpy(noted->node_id, hello->node_id, NODE_ID_BYTES);
    memcpy(noted->boot_id, hello->boot_id, BOOT_ID_BYTES);
    noted->boot_counter = hello->boot_counter;
    raise(&noted->made, hello->made);
    raise(&noted->term, hello->term);
    raise(&noted->index, hello->index < hello->stored ? hello->index : hello->stored);
}

void rollback_durable(struct machine *m)
{
    memcpy(m->noted_disk, m->noted, sizeof(m->noted_disk));
}

void rollback_started(struct machine *m)
{
    memcpy(m->noted, m->noted_disk, sizeof(m->noted));
}

/* A key of `from` has arrived at `m`. */
void rollback_check(const struct machine *m, const struct machine *from)
{
    const struct noted *noted = &from->noted[m->at];

    if (!m->rolled || m->service.node_sec == NULL ||
        memcmp(noted->node_id, m->service.node_id, NODE_ID_BYTES) != 0)
        return;
    if (m->service.node_sec->boot_counter < noted->boot_counter ||
        (m->service.node_sec->boot_counter == noted->boot_counter &&
         memcmp(m->cluster->boot_id, noted->boot_id, BOOT_ID_BYTES) != 0))
        sim_fail(m->sys->w, "m%u gives to m%u, whose disk was put back: start %llu, heard %llu",
                 from->at, m->at, (unsigned long long)m->service.node_sec->boot_counter,
                 (unsigned long long)noted->boot_counter);
}
