/* A thief who has copied a member's disk and runs it elsewhere: with its key, its generations and
 * the newest record that it held, saying whatever may help. While the true one answers, its peers
 * see two processes of one node (the link closes the newcomer and tells them): neither is given
 * anything then. While the true one does not answer, it is a reboot to everybody: design section 1,
 * stated limits. Once the removal is done the disk is worthless: what is given to a removed node,
 * a stranger, a suspended one or on hold is judged where it is given (system_check.c). */
#include "system.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "link/link.h"
#include "wire/version.h"

struct loot {
    unsigned from; /* the machine */
    uint8_t node_id[NODE_ID_BYTES], pk[LINK_PK_BYTES], cluster_id[CLUSTER_ID_BYTES];
    uint64_t boot_counter, raft_id, gens[NODE_SEC_GENERATIONS_MAX], made;
    size_t gens_n;
    uint32_t x;
    struct buf record; /* of a deal */
};

void thief_free(struct system *sys)
{
    if (sys->loot == NULL)
        return;
    buf_fini(&sys->loot->record);
    free(sys->loot);
    sys->loot = NULL;
}

static void steal(struct machine *m)
{
    const struct node_sec *sec = m->service.node_sec;
    struct loot *loot;

    if (!m->alive || m->dying || sec == NULL || !m->cluster->booted || m->cluster->record == NULL)
        return;
    thief_free(m->sys);
    loot = m->sys->loot = calloc(1, sizeof(*loot));
    assert(loot != NULL);
    loot->from = m->at;
    memcpy(loot->node_id, sec->node_id, NODE_ID_BYTES);
    memcpy(loot->pk, sec->noise_pk, LINK_PK_BYTES);
    memcpy(loot->cluster_id, sec->cluster_id, CLUSTER_ID_BYTES);
    loot->boot_counter = sec->boot_counter;
    loot->raft_id = sec->raft_id;
    loot->x = sec->x;
    loot->made = sec->gen_last;
    loot->gens_n = sec->gens_n;
    for (size_t i = 0; i < sec->gens_n; i++)
        loot->gens[i] = sec->gens[i].gen;
    loot->record = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    buf_put_bytes(&loot->record, deal_record_bytes(m->cluster->record));
    system_say(m, "its disk is copied by a thief");
}

/* --- what it says ---------------------------------------------------------------------------- */

static void say(struct machine *m, const uint8_t *id, const struct peer_message *message)
{
    struct buf out = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);

    if (m->alive && !m->dying && m->cluster->booted && peer_encode(message, &out) == QK_OK)
        cluster_link_message(m->cluster, id, buf_bytes(&out));
    buf_fini(&out);
}

/* As a reboot, or as one that has seen more than it has. */
static void hello(struct machine *m, const struct loot *loot, const uint8_t *id,
                  struct peer_message *message)
{
    const struct seal_peer *peer = seal_peer_find(&m->cluster->seal, id);
    struct peer_hello *hello = &message->as.hello;
    bool lies = sim_chance(m->sys->w, 500);

    memset(message, 0, sizeof(*message));
    message->kind = PEER_HELLO;
    memcpy(hello->node_id, sim_chance(m->sys->w, 800) ? loot->node_id : id, NODE_ID_BYTES);
    if (peer != NULL)
        memcpy(hello->echo, peer->nonce, PEER_NONCE_BYTES);
    hello->nonce[0] = hello->boot_id[0] = (uint8_t)(1 + sim_below(m->sys->w, 250));
    hello->boot_counter = loot->boot_counter + 1 + (lies ? 5 : 0);
    hello->raft_id = loot->raft_id;
    hello->made = loot->made + (lies ? 5 : 0);
    hello->term = m->raft != NULL ? m->raft->disk.term + lies : 1;
    hello->index = hello->stored = lies ? m->mem.index + 1 : m->mem.index;
    hello->control = m->cluster->control_version;
    hello->version = (uint16_t)wire_version();
    hello->state = SEAL_SEALED;
    if (m->cluster->record != NULL) {
        hello->epoch = m->cluster->record->epoch;
        memcpy(hello->deal_id, m->cluster->record->deal, DEAL_ID_BYTES);
    }
    say(m, id, message);
}

/* Its key and share of the deal in force, or of the one that it holds. */
static void want(struct machine *m, const struct loot *loot, const uint8_t *id,
                 struct peer_message *message)
{
    const struct seal_peer *peer = seal_peer_find(&m->cluster->seal, id);
    const struct deal_record *record = m->cluster->record;
    struct deal_record *own = NULL;
    struct peer_want *want = &message->as.want;

    if (deal_record_parse(buf_bytes(&loot->record), &own) != QK_OK)
        abort();
    if (record == NULL || sim_chance(m->sys->w, 300))
        record = own;
    memset(message, 0, sizeof(*message));
    message->kind = PEER_WANT;
    memcpy(want->deal_id, record->deal, DEAL_ID_BYTES);
    if (peer != NULL)
        memcpy(want->echo, peer->nonce, PEER_NONCE_BYTES);
    want->epoch = record->epoch;
    want->x = loot->x;
    want->gen = loot->gens_n > 0 ? loot->gens[sim_below(m->sys->w, (unsigned)loot->gens_n)] : 1;
    want->what = PEER_WANT_RELEASE | PEER_WANT_SHARE;
    deal_record_free(own);
    say(m, id, message);
}

/* A new generation of the listener would be its D and P. */
static void collect(struct machine *m, const uint8_t *id, struct peer_message *message)
{
    memset(message, 0, sizeof(*message));
    message->kind = PEER_COLLECT;
    message->as.collect.attempt = m->cluster->begin_version;
    say(m, id, message);
}

static void show(struct machine *m, const struct loot *loot, const uint8_t *id,
                 struct peer_message *message)
{
    memset(message, 0, sizeof(*message));
    message->kind = PEER_RECORD;
    message->as.record.record = buf_bytes(&loot->record);
    say(m, id, message);
}

/* --- where it says it ------------------------------------------------------------------------ */

static const struct link_peer *known_as(const struct machine *m, const struct loot *loot)
{
    for (unsigned i = 0; i < m->peers_n; i++)
        if (memcmp(m->peers[i].pk, loot->pk, LINK_PK_BYTES) == 0)
            return &m->peers[i];
    return NULL;
}

/* Both stay out, for ten minutes. */
static void meet(struct machine *m, const struct loot *loot)
{
    m->sys->clones_n++;
    memcpy(m->clone_id, loot->node_id, NODE_ID_BYTES);
    m->clone_ms = m->sys->w->now;
    m->clone_life = m->life;
    system_say(m, "two processes of m%u speak to it", loot->from);
    cluster_link_clone(m->cluster, loot->node_id, "there", "elsewhere");
}

static void speak(struct machine *m, const struct loot *loot, const uint8_t *id, bool known)
{
    struct peer_message *message = calloc(1, sizeof(*message));

    assert(message != NULL);
    cluster_link_up(m->cluster, id, known);
    hello(m, loot, id, message);
    want(m, loot, id, message);
    if (known)
        collect(m, id, message);
    show(m, loot, id, message);
    want(m, loot, id, message);
    if (m->alive)
        cluster_link_down(m->cluster, id);
    free(message);
}

static void visit(struct machine *m, const struct loot *loot)
{
    const struct link_peer *peer = known_as(m, loot);
    const struct side *side = &m->sides[loot->from];
    uint8_t id[NODE_ID_BYTES];

    if (m->at == loot->from && memcmp(m->service.node_id, loot->node_id, NODE_ID_BYTES) == 0)
        return;
    if (peer == NULL)
        link_stranger_id(loot->pk, id);
    else
        memcpy(id, peer->node_id, NODE_ID_BYTES);
    if (peer != NULL && side->session != 0 && memcmp(side->id, id, NODE_ID_BYTES) == 0) {
        if (link_sim_raft(m, &m->sys->machines[loot->from]))
            meet(m, loot);
        return;
    }
    m->sys->clones_n += peer != NULL;
    system_say(m, "a thief comes with the key of m%u, %s", loot->from,
               peer != NULL ? "known" : "unknown");
    speak(m, loot, id, peer != NULL);
}

void thief_act(struct system *sys)
{
    struct machine *m = &sys->machines[sim_below(sys->w, sys->machines_n)];
    struct machine *before = system_current;

    system_current = m;
    if (sys->loot == NULL || sim_chance(sys->w, 100))
        steal(m);
    else if (m->alive && !m->dying && m->linked && m->cluster->booted &&
             memcmp(m->service.cluster_id, sys->loot->cluster_id, CLUSTER_ID_BYTES) == 0)
        visit(m, sys->loot);
    if (m->alive && m->dying)
        system_crash(m);
    system_current = before;
}

/* `from` gives something to that node. */
void thief_check_given(const struct machine *from, const uint8_t *node_id)
{
    if (from->clone_ms > 0 && from->clone_life == from->life &&
        memcmp(from->clone_id, node_id, NODE_ID_BYTES) == 0 &&
        from->sys->w->now - from->clone_ms < SEAL_CLONE_MS)
        sim_fail(from->sys->w, "m%u gives to one that is there twice", from->at);
}
