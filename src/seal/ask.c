/* What this node asks of others, and what it does with the answers. Every question is repeated, 50
 * ms doubling to 1 s, until it is answered or no longer needed. */
#include "seal/machine_step.h"

#include <string.h>

bool step_needs_release(const struct seal_machine *m)
{
    return m->deal.epoch > 0 && !m->closed && !m->own_share &&
           (m->state == SEAL_SEALED || m->state == SEAL_UNSEALING || m->state == SEAL_UNSEALED) &&
           step_deal_member(&m->deal, m->node_id) != NULL;
}

/* Sealed, or open with a master key that the current deal has replaced. */
bool step_needs_shares(const struct seal_machine *m)
{
    if (m->deal.epoch == 0 || m->closed)
        return false;
    if (m->state == SEAL_UNSEALED)
        return m->mk_version != m->deal.mk_version;
    return m->state == SEAL_SEALED || m->state == SEAL_UNSEALING;
}

unsigned step_shares_have(const struct seal_machine *m)
{
    unsigned n = m->own_share ? 1 : 0;

    for (unsigned i = 0; i < NODES_MAX; i++)
        if (m->peers[i].used && m->peers[i].has_share)
            n++;
    return n;
}

static bool same_deal(const struct seal_machine *m, const struct seal_peer *peer)
{
    return peer->hello.epoch == m->deal.epoch &&
           memcmp(peer->hello.deal_id, m->deal.id, DEAL_ID_BYTES) == 0;
}

static bool from_candidate(const struct seal_machine *m, const struct seal_peer *peer)
{
    return m->candidate.epoch > 0 && memcmp(m->candidate_from, peer->node_id, NODE_ID_BYTES) == 0;
}

/* PEER_WANT_* bits to ask of this peer now. */
static unsigned wants_of(const struct seal_machine *m, const struct seal_peer *peer)
{
    unsigned what = 0;

    if (!peer->used || !peer->connected || !peer->greeted || m->closed)
        return 0;
    if (from_candidate(m, peer))
        return m->opening ? 0 : PEER_WANT_RELEASE;
    if (!peer->known || !same_deal(m, peer) || step_deal_member(&m->deal, peer->node_id) == NULL)
        return 0;
    if (step_needs_release(m) && !m->opening && !peer->bad_slot)
        what |= PEER_WANT_RELEASE;
    if (step_needs_shares(m) && !m->combining && !peer->has_share && !peer->bad_share &&
        step_shares_have(m) < m->deal.threshold)
        what |= PEER_WANT_SHARE;
    return what;
}

/* An open node has the log and needs no record of its members. A stranger's it needs all the same:
 * that may be the leader, which it does not know and so cannot hear. */
static bool wants_record(const struct seal_machine *m, const struct seal_peer *peer)
{
    bool state = m->state == SEAL_SEALED || m->state == SEAL_UNSEALING ||
                 (m->state == SEAL_UNSEALED && !peer->known && m->deal.epoch > 0);

    return peer->used && peer->connected && peer->greeted && !peer->bad_record && !m->closed &&
           state && peer->hello.epoch > m->deal.epoch && peer->hello.epoch > m->candidate.epoch;
}

void ask_reset_peer(struct seal_peer *peer, uint64_t now_ms)
{
    peer->want_next_ms = now_ms;
    peer->want_wait_ms = SEAL_RETRY_MS_MIN;
    peer->record_next_ms = now_ms;
    peer->record_wait_ms = SEAL_RETRY_MS_MIN;
}

void ask_reset(struct seal_step_ctx *ctx)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (ctx->m->peers[i].used)
            ask_reset_peer(&ctx->m->peers[i], ctx->now_ms);
}

static void ask_again_later(uint64_t now_ms, uint64_t *next_ms, uint32_t *wait_ms)
{
    *next_ms = now_ms + *wait_ms;
    *wait_ms = *wait_ms * 2 > SEAL_RETRY_MS_MAX ? SEAL_RETRY_MS_MAX : *wait_ms * 2;
}

static void ask_want(struct seal_step_ctx *ctx, struct seal_peer *peer, unsigned what)
{
    const struct seal_machine *m = ctx->m;
    const struct seal_deal *deal = from_candidate(m, peer) ? &m->candidate : &m->deal;
    const struct seal_deal_member *self = step_deal_member(deal, m->node_id);
    struct peer_want *want;

    if (self == NULL)
        return;
    want = &step_send(ctx, peer, PEER_WANT)->as.want;
    memcpy(want->deal_id, deal->id, DEAL_ID_BYTES);
    want->epoch = deal->epoch;
    want->x = self->x;
    want->gen = self->gen;
    memcpy(want->echo, peer->hello.nonce, PEER_NONCE_BYTES);
    want->what = (uint8_t)what;
}

/* A record whose sender does not release for it is dropped, else it could keep a true one out. */
static void candidate_expire(struct seal_step_ctx *ctx)
{
    struct seal_machine *m = ctx->m;
    struct seal_peer *peer;

    if (m->candidate.epoch == 0 || m->opening || ctx->now_ms < m->candidate_until_ms)
        return;
    peer = session_find(m, m->candidate_from);
    if (peer != NULL)
        peer->bad_record = true;
    memset(&m->candidate, 0, sizeof(m->candidate));
}

void ask_drive(struct seal_step_ctx *ctx)
{
    candidate_expire(ctx);
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct seal_peer *peer = &ctx->m->peers[i];
        unsigned what = wants_of(ctx->m, peer);

        if (what != 0 && peer->want_next_ms <= ctx->now_ms) {
            ask_want(ctx, peer, what);
            ask_again_later(ctx->now_ms, &peer->want_next_ms, &peer->want_wait_ms);
        }
        if (wants_record(ctx->m, peer) && peer->record_next_ms <= ctx->now_ms) {
            step_send(ctx, peer, PEER_RECORD_WANT)->as.record_want.epoch = ctx->m->deal.epoch;
            ask_again_later(ctx->now_ms, &peer->record_next_ms, &peer->record_wait_ms);
        }
    }
}

uint64_t ask_deadline(const struct seal_machine *m, const struct seal_peer *peer)
{
    uint64_t at = UINT64_MAX;

    if (wants_of(m, peer) != 0)
        at = peer->want_next_ms;
    if (wants_record(m, peer) && peer->record_next_ms < at)
        at = peer->record_next_ms;
    return at;
}

/* A release opens the own share of the current deal, or proves the candidate record. */
void ask_release(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_machine *m = ctx->m;
    struct seal_peer *peer = session_find(m, event->node_id);
    const struct peer_release *release = &event->message->as.release;
    const struct seal_deal_member *from;
    struct seal_effect *effect;
    bool candidate;

    if (peer == NULL || !peer->connected || m->opening ||
        (wants_of(m, peer) & PEER_WANT_RELEASE) == 0)
        return;
    if (memcmp(release->echo, peer->nonce, PEER_NONCE_BYTES) != 0)
        return;
    candidate = from_candidate(m, peer);
    from = candidate ? NULL : step_deal_member(&m->deal, peer->node_id);
    if (memcmp(release->deal_id, candidate ? m->candidate.id : m->deal.id, DEAL_ID_BYTES) != 0)
        return;
    if (candidate ? release->x != m->candidate_x
                  : from->x != release->x || from->gen != release->gen)
        return;
    m->opening = true;
    effect = step_emit(ctx, SEAL_DO_OPEN_SHARE);
    memcpy(effect->node_id, peer->node_id, NODE_ID_BYTES);
    memcpy(effect->deal_id, release->deal_id, DEAL_ID_BYTES);
    effect->x = release->x;
    effect->candidate = candidate;
    effect->key = release->key;
}

void ask_share(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_machine *m = ctx->m;
    struct seal_peer *peer = session_find(m, event->node_id);
    const struct peer_share *share = &event->message->as.share;
    const struct seal_deal_member *from;
    struct seal_effect *effect;

    if (peer == NULL || !peer->connected || !peer->known || !step_needs_shares(m) || m->combining ||
        peer->has_share || peer->bad_share)
        return;
    from = step_deal_member(&m->deal, peer->node_id);
    if (from == NULL || from->x != share->x ||
        memcmp(share->deal_id, m->deal.id, DEAL_ID_BYTES) != 0 ||
        memcmp(share->echo, peer->nonce, PEER_NONCE_BYTES) != 0)
        return;
    peer->has_share = true;
    effect = step_emit(ctx, SEAL_DO_KEEP_SHARE);
    memcpy(effect->node_id, peer->node_id, NODE_ID_BYTES);
    memcpy(effect->deal_id, share->deal_id, DEAL_ID_BYTES);
    effect->x = share->x;
    effect->key = share->share;
}

void ask_deny(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_peer *peer = session_find(ctx->m, event->node_id);
    const struct peer_deny *denial = &event->message->as.deny;

    if (peer == NULL || !peer->connected || denial->rule >= RELEASE_RULES_N)
        return;
    peer->denied = (enum release_rule)denial->rule;
    if (peer->denied == RELEASE_WATERMARK && peer->known)
        ctx->m->rolled_back = peer->told_below = true;
    if (denial->retry_ms > SEAL_RETRY_MS_MAX && denial->retry_ms <= RELEASE_DELAY_MS_MAX)
        peer->want_next_ms = ctx->now_ms + denial->retry_ms;
}

/* Kept aside until the own slot in it opens with the sender's release: only a holder of the master
 * key knows this node's D. */
void ask_record(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_machine *m = ctx->m;
    struct seal_peer *peer = session_find(m, event->node_id);

    if (peer == NULL || event->deal == NULL || !wants_record(m, peer) || m->opening)
        return;
    if (event->deal->epoch <= m->deal.epoch || event->deal->epoch <= m->candidate.epoch ||
        step_deal_member(event->deal, m->node_id) == NULL)
        return;
    m->candidate = *event->deal;
    m->candidate_x = event->x;
    m->candidate_until_ms = ctx->now_ms + SEAL_CANDIDATE_MS;
    memcpy(m->candidate_from, peer->node_id, NODE_ID_BYTES);
    ask_reset_peer(peer, ctx->now_ms);
}

unsigned seal_shares_missing(const struct seal_machine *machine)
{
    unsigned live = 1;

    if (machine->state == SEAL_UNINITIALISED ||
        (machine->state == SEAL_UNSEALED &&
         (!machine->founder_waits || machine->config.recoverable)))
        return 0;
    if (machine->deal.epoch == 0)
        return 1;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &machine->peers[i];

        if (peer->used && peer->connected && peer->known && peer->greeted &&
            peer->below == WATERMARK_GOOD &&
            step_deal_member(&machine->deal, peer->node_id) != NULL)
            live++;
    }
    return live >= machine->deal.threshold ? 0 : machine->deal.threshold - live;
}
