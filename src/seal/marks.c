/* The marks of the peers in the machine: heard, judged, raised. */
#include "seal/machine_step.h"

#include <assert.h>
#include <string.h>

static struct watermark *mark_of(struct seal_machine *m, const uint8_t *node_id)
{
    for (unsigned i = 0; i < m->marks_n; i++)
        if (memcmp(m->marks[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &m->marks[i];
    return NULL;
}

const struct watermark *seal_mark_find(const struct seal_machine *machine,
                                       const uint8_t node_id[static NODE_ID_BYTES])
{
    for (unsigned i = 0; i < machine->marks_n; i++)
        if (memcmp(machine->marks[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &machine->marks[i];
    return NULL;
}

static bool is_member(const struct seal_machine *m, const uint8_t *node_id)
{
    for (unsigned i = 0; i < m->config.members_n; i++)
        if (memcmp(m->config.members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

/* A new mark, in the place of one who is no member any more if need be; there are never more
 * members than marks. */
static struct watermark *mark_make(struct seal_machine *m, const uint8_t *node_id)
{
    struct watermark *mark = NULL;

    if (m->marks_n < NODES_MAX)
        mark = &m->marks[m->marks_n++];
    for (unsigned i = 0; i < m->marks_n && mark == NULL; i++)
        if (!is_member(m, m->marks[i].node_id))
            mark = &m->marks[i];
    if (mark == NULL)
        return NULL;
    memset(mark, 0, sizeof(*mark));
    memcpy(mark->node_id, node_id, NODE_ID_BYTES);
    return mark;
}

static struct watermark_claim claim_of(const struct peer_hello *hello)
{
    struct watermark_claim claim = {.boot_counter = hello->boot_counter,
                                    .made = hello->made,
                                    .term = hello->term,
                                    .index = hello->index,
                                    .stored = hello->stored};

    memcpy(claim.boot_id, hello->boot_id, BOOT_ID_BYTES);
    return claim;
}

/* It is told at once, whether it asks for anything or not: it could not know by itself. */
static void tell(struct seal_step_ctx *ctx, const struct seal_peer *peer)
{
    struct seal_effect *effect = step_send(ctx, peer, PEER_DENY);

    memcpy(effect->as.deny.deal_id, ctx->m->deal.id, DEAL_ID_BYTES);
    effect->as.deny.rule = RELEASE_WATERMARK;
}

void marks_begin(struct seal_machine *m, struct seal_peer *peer)
{
    const struct watermark *mark = mark_of(m, peer->node_id);

    peer->below = WATERMARK_GOOD;
    peer->marked = mark != NULL;
    if (mark != NULL)
        peer->mark = *mark;
}

/* Messages may overtake each other, so what this session itself has told is no measure: a process
 * that goes back, as from a snapshot of a virtual machine, loses its sessions. One that was sent
 * before this session cannot echo its nonce, and is not judged. */
static enum watermark_answer judge(const struct seal_peer *peer,
                                   const struct watermark_claim *claim)
{
    if (!peer->marked || peer->below != WATERMARK_GOOD)
        return peer->below;
    return watermark_judge(&peer->mark, claim);
}

static bool hear_good(struct seal_machine *m, const struct seal_peer *peer,
                      const struct watermark_claim *claim)
{
    struct watermark *mark = mark_of(m, peer->node_id);

    if (mark == NULL)
        mark = mark_make(m, peer->node_id);
    return mark != NULL && watermark_raise(mark, claim);
}

static bool hear_below(struct seal_step_ctx *ctx, const struct seal_peer *peer,
                       const struct watermark_claim *claim)
{
    struct watermark *mark = mark_of(ctx->m, peer->node_id);
    bool news = mark != NULL && watermark_refuse(mark, claim);

    if (news)
        step_audit(ctx, SEAL_AUDIT_ROLLED_BACK, peer->node_id, RELEASE_WATERMARK);
    tell(ctx, peer);
    return news;
}

void marks_hear(struct seal_step_ctx *ctx, struct seal_peer *peer, const struct peer_hello *hello,
                bool forked)
{
    struct watermark_claim claim = claim_of(hello);
    bool news;

    peer->below = judge(peer, &claim);
    if (peer->below == WATERMARK_GOOD && forked)
        peer->below = WATERMARK_FORK;
    if (peer->below == WATERMARK_GOOD)
        news = hear_good(ctx->m, peer, &claim);
    else
        news = hear_below(ctx, peer, &claim);
    if (news)
        step_emit(ctx, SEAL_DO_REMEMBER);
}

void seal_marks_set(struct seal_machine *machine, const struct watermark *marks, unsigned marks_n)
{
    assert(marks_n <= NODES_MAX);

    memcpy(machine->marks, marks, marks_n * sizeof(marks[0]));
    machine->marks_n = marks_n;
}

bool seal_mark_matched(struct seal_machine *machine, const uint8_t node_id[static NODE_ID_BYTES],
                       uint64_t index)
{
    struct watermark *mark = mark_of(machine, node_id);
    const struct seal_peer *peer = seal_peer_find(machine, node_id);

    if (mark == NULL || index <= mark->index || (peer != NULL && peer->below != WATERMARK_GOOD))
        return false;
    mark->index = index;
    return true;
}

bool seal_is_rolled_back(const struct seal_machine *machine)
{
    return machine->rolled_back;
}

struct watermark_raft_facts seal_raft_facts(const struct seal_machine *machine,
                                            const uint8_t node_id[static NODE_ID_BYTES], bool pair)
{
    const struct seal_peer *peer = seal_peer_find(machine, node_id);
    struct watermark_raft_facts facts = {.pair = pair, .told = seal_is_rolled_back(machine)};

    if (peer == NULL || !peer->connected || !peer->known)
        return facts;
    facts.judged = peer->echoed;
    facts.below = peer->below != WATERMARK_GOOD;
    facts.told_by_it = peer->told_below;
    return facts;
}
