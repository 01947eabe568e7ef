/* What is remembered of the peers, so that a disk restored from an older copy is known: the marks
 * live in the seal machine and are kept as one node-local fact of the store. A store that was lost
 * has lost them, too; then they are learned anew, and the other members still have theirs.
 *
 * They are on the disk within the store's commit time (50 ms, as all that is no document) of a
 * HELLO, so that a power loss of all nodes costs at most the last HELLO's news. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "consensus/consensus.h"
#include "service/cluster/hub.h"
#include "store/store.h"

#define LOCAL_NAME "watermarks"

void hub_marks_load(struct cluster *cluster)
{
    struct watermark *marks = calloc(NODES_MAX, sizeof(*marks));
    struct bytes value = BYTES_NONE;
    unsigned n = 0;
    enum qk_err err = QK_ERR_NOMEM;

    if (marks != NULL)
        err = store_local_get(cluster->service->store, LOCAL_NAME, &value);
    if (err == QK_OK)
        err = watermark_list_decode(value, marks, &n);
    if (err == QK_OK)
        seal_marks_set(&cluster->seal, marks, n);
    else if (err != QK_ERR_NOT_FOUND)
        log_error("seal",
                  "what was remembered of the peers cannot be read (%s): a disk restored from an "
                  "older copy would not be known here",
                  qk_err_text(err));
    free(marks);
}

void hub_marks_save(struct cluster *cluster)
{
    struct buf out = BUF_INIT(WATERMARK_LIST_BYTES_MAX);
    enum qk_err err;

    if (cluster->service->store == NULL)
        return;
    watermark_list_encode(cluster->seal.marks, cluster->seal.marks_n, &out);
    err = buf_error(&out);
    if (err == QK_OK)
        err = store_local_put(cluster->service->store, LOCAL_NAME, buf_bytes(&out), NULL, NULL);
    if (err != QK_OK)
        log_warn("seal", "what is remembered of the peers was not kept: %s", qk_err_text(err));
    buf_fini(&out);
}

void hub_marks_lost(struct cluster *cluster, const uint8_t *node_id)
{
    uint64_t raft_id;

    if (cluster->stopped || !cluster->booted || !cluster_is_leader(cluster) ||
        cluster_raft_of_node(cluster, node_id, &raft_id) != QK_OK)
        return;
    if (seal_mark_matched(&cluster->seal, node_id,
                          consensus_peer_holds(cluster->service->consensus, raft_id)))
        hub_marks_save(cluster);
}

bool hub_is_rolled_back(const struct cluster *cluster, struct buf *names)
{
    bool some = false;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &cluster->seal.peers[i];
        char name[NODE_NAME_BYTES_MAX + 1];

        if (!peer->used || !peer->connected || !peer->known || !peer->told_below)
            continue;
        hub_node_text(cluster, peer->node_id, name, sizeof(name));
        if (some)
            buf_put_str(names, ", ");
        buf_put_str(names, name);
        some = true;
    }
    if (!some && seal_is_rolled_back(&cluster->seal))
        buf_put_str(names, "other members, away now,");
    return some || seal_is_rolled_back(&cluster->seal);
}

/* Right after a start nothing is known to be committed but what the store has applied; and only if
 * the log goes with the store, which it does not after a fall within an install. */
static uint64_t committed(const struct cluster *cluster)
{
    const struct consensus *consensus = cluster->service->consensus;
    uint64_t commit = consensus_commit(consensus);
    uint64_t applied = store_applied(cluster->service->store);

    return applied > commit && consensus_term_at(consensus, applied) ==
                                   store_applied_term(cluster->service->store)
               ? applied
               : commit;
}

void hub_fork_tell(const struct cluster *cluster, const uint8_t *node_id, struct peer_hello *hello)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, node_id);

    if (cluster->service->consensus == NULL || cluster->service->store == NULL)
        return;
    hello->known = hello->at = committed(cluster);
    if (peer != NULL && peer->greeted && peer->hello.known > 0 && peer->hello.known < hello->at)
        hello->at = peer->hello.known;
    hello->at_term = consensus_term_at(cluster->service->consensus, hello->at);
}

/* A HELLO that counts, since it echoes a nonce, answers one that said how much is known here. */
bool hub_is_forked(const struct cluster *cluster, const struct peer_hello *hello)
{
    uint64_t here;

    if (cluster->service->consensus == NULL || cluster->service->store == NULL || hello->at == 0 ||
        hello->at_term == 0 || hello->at > committed(cluster))
        return false;
    here = consensus_term_at(cluster->service->consensus, hello->at);
    return here != 0 && here != hello->at_term;
}

/* --- Raft ------------------------------------------------------------------------------------ */

static bool is_pair(const struct cluster *cluster, const uint8_t *node_id)
{
    uint64_t other;

    return cluster->service->consensus != NULL &&
           cluster_raft_of_node(cluster, node_id, &other) == QK_OK &&
           consensus_is_pair(cluster->service->consensus, other);
}

/* Whoever else is in the configuration is there and has no longer log than this node. A member that
 * does not vote here may have been given its vote by an entry that this node does not hold: then
 * the pair is no pair any more, and that member holds that entry. */
static bool nobody_holds_more(const struct cluster *cluster, const uint8_t *node_id)
{
    const struct consensus *consensus = cluster->service->consensus;
    struct consensus_member raft[CONSENSUS_MEMBERS_MAX];
    size_t raft_n = consensus_members(consensus, raft, CONSENSUS_MEMBERS_MAX);

    for (size_t i = 0; i < raft_n; i++) {
        const struct seal_peer *peer;
        uint8_t id[NODE_ID_BYTES];

        if (cluster_node_of_raft(cluster, raft[i].id, id) != QK_OK)
            return false;
        if (memcmp(id, node_id, NODE_ID_BYTES) == 0 || hub_is_self(cluster, id))
            continue;
        peer = seal_peer_find(&cluster->seal, id);
        if (peer == NULL || !peer->connected || !peer->echoed || !peer->greeted ||
            peer->hello.stored > consensus_stored(consensus))
            return false;
    }
    return true;
}

static struct watermark_raft_facts raft_facts(const struct cluster *cluster, const uint8_t *node_id)
{
    struct watermark_raft_facts facts = seal_raft_facts(&cluster->seal, node_id, false);

    facts.pair = facts.below && is_pair(cluster, node_id);
    return facts;
}

static enum watermark_raft what_of(struct bytes message)
{
    switch (consensus_message_kind(message)) {
    case CONSENSUS_VOTE:
        return WATERMARK_RAFT_VOTE;
    case CONSENSUS_ANSWER:
        return WATERMARK_RAFT_ANSWER;
    case CONSENSUS_REQUEST:
        break;
    }
    return WATERMARK_RAFT_REQUEST;
}

bool cluster_raft_may_send(const struct cluster *cluster,
                           const uint8_t node_id[static NODE_ID_BYTES], struct bytes message)
{
    struct watermark_raft_facts facts = raft_facts(cluster, node_id);

    return watermark_may_send(&facts, what_of(message));
}

bool cluster_raft_may_receive(const struct cluster *cluster,
                              const uint8_t node_id[static NODE_ID_BYTES], struct bytes message)
{
    struct watermark_raft_facts facts = raft_facts(cluster, node_id);
    enum watermark_raft what = what_of(message);

    if (what == WATERMARK_RAFT_VOTE && facts.pair)
        facts.pair = nobody_holds_more(cluster, node_id);
    return watermark_may_receive(&facts, what);
}
