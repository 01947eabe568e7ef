/* What others ask of this node, under the release rules, each time. */
#include "seal/machine_step.h"

#include <assert.h>
#include <string.h>

static const struct seal_config_member *config_member(const struct seal_config *config,
                                                      const uint8_t *node_id)
{
    for (unsigned i = 0; i < config->members_n; i++)
        if (memcmp(config->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &config->members[i];
    return NULL;
}

/* From the moment at which its removal is ordered, a member has no say any more. */
static bool counts(const struct seal_config_member *member)
{
    return member != NULL && !member->leaving;
}

/* Those who have a say stand in the deal in use and stay. One that joins stands in none yet, and
 * may never come back: a majority that counted it would be one that nobody can be. */
static unsigned say_n(const struct seal_machine *m)
{
    unsigned n = 0;

    for (unsigned i = 0; i < m->config.members_n; i++)
        n += counts(&m->config.members[i]) &&
             step_deal_member(&m->deal, m->config.members[i].node_id) != NULL;
    return n;
}

/* Live members that have a say, self included and those below their mark not, and whether anybody
 * live knows more. What a suspended one says counts for nothing: it may be in the hands of a
 * thief. */
static void view_look(const struct seal_machine *m, uint64_t now_ms, unsigned *ret_n,
                      bool *ret_newer)
{
    *ret_n = 1;
    *ret_newer = false;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &m->peers[i];
        const struct seal_config_member *member = config_member(&m->config, peer->node_id);

        if (!peer->used || !peer->known || !seal_peer_counts(peer, now_ms) || !counts(member))
            continue;
        if (member->suspended == RELEASE_FAIL)
            continue;
        *ret_n += step_deal_member(&m->deal, peer->node_id) != NULL;
        if (peer->hello.epoch > m->deal.epoch || peer->hello.control > m->config.control)
            *ret_newer = true;
    }
}

static bool may_answer(const struct seal_machine *m)
{
    return !m->closed &&
           (m->state == SEAL_SEALED || m->state == SEAL_UNSEALING || m->state == SEAL_UNSEALED);
}

static struct release_facts facts_of(const struct seal_machine *m, uint64_t now_ms,
                                     const struct seal_peer *peer, const struct peer_want *want)
{
    const struct seal_config_member *member = config_member(&m->config, peer->node_id);
    const struct seal_deal_member *dealt = step_deal_member(&m->deal, peer->node_id);
    struct release_facts facts = {0};

    /* Held without a hold: this node itself is suspended. */
    facts.closed = !may_answer(m) && (m->state != SEAL_HELD || m->config.hold != RELEASE_FAIL);
    facts.hold = m->config.hold;
    facts.member = peer->known && counts(member);
    if (member != NULL)
        facts.suspended = member->suspended;
    facts.watermark = peer->below == WATERMARK_GOOD ? RELEASE_PASS : RELEASE_FAIL;
    facts.in_record = dealt != NULL && dealt->x == want->x;
    facts.same_gen = dealt != NULL && dealt->gen == want->gen;
    facts.same_deal = m->deal.epoch > 0 && want->epoch == m->deal.epoch &&
                      memcmp(want->deal_id, m->deal.id, DEAL_ID_BYTES) == 0;
    facts.fresh =
        seal_peer_live(peer, now_ms) && memcmp(want->echo, peer->nonce, PEER_NONCE_BYTES) == 0;
    facts.clone = peer->clone_until_ms > now_ms;
    if (m->config.attest) {
        enum seal_attested attested = attest_state(peer, now_ms);

        facts.attestation = attested == SEAL_ATTEST_ALLOW ? RELEASE_PASS : RELEASE_FAIL;
        facts.deferred = attested != SEAL_ATTEST_DENY;
    }
    facts.unrecorded = m->unrecorded;
    facts.quorum = release_quorum(m->config.unseal_quorum, say_n(m));
    view_look(m, now_ms, &facts.view_n, &facts.newer);
    return facts;
}

struct release_decision seal_release_check(const struct seal_machine *machine, uint64_t now_ms,
                                           const uint8_t node_id[static NODE_ID_BYTES],
                                           const struct peer_want *want)
{
    static const struct seal_peer nobody;
    const struct seal_peer *peer = seal_peer_find(machine, node_id);
    struct release_decision decision;
    struct release_facts facts;

    if (peer == NULL)
        peer = &nobody;
    facts = facts_of(machine, now_ms, peer, want);
    decision = release_decide(&facts, &peer->rate, now_ms);
    if (decision.rule == RELEASE_ATTESTATION || decision.rule == RELEASE_DEFERRED)
        decision.retry_ms = attest_retry_ms(peer, now_ms);
    return decision;
}

/* One audit line a minute for the same denial of the same peer. */
static void deny(struct seal_step_ctx *ctx, struct seal_peer *peer, const struct peer_want *want,
                 struct release_decision decision)
{
    struct seal_effect *effect = step_send(ctx, peer, PEER_DENY);

    memcpy(effect->as.deny.deal_id, want->deal_id, DEAL_ID_BYTES);
    effect->as.deny.rule = (uint8_t)decision.rule;
    effect->as.deny.retry_ms = decision.retry_ms;
    if (peer->audited != decision.rule || ctx->now_ms - peer->audited_ms >= 60000)
        step_audit(ctx, SEAL_AUDIT_DENIAL, peer->node_id, decision.rule);
    else
        return;
    peer->audited = decision.rule;
    peer->audited_ms = ctx->now_ms;
}

static void send_release(struct seal_step_ctx *ctx, struct seal_peer *peer)
{
    const struct seal_machine *m = ctx->m;
    const struct seal_deal_member *self = step_deal_member(&m->deal, m->node_id);
    const struct seal_deal_member *other = step_deal_member(&m->deal, peer->node_id);
    struct seal_effect *effect;

    assert(self != NULL && other != NULL);
    effect = step_send(ctx, peer, PEER_RELEASE);
    memcpy(effect->deal_id, m->deal.id, DEAL_ID_BYTES);
    effect->x = other->x;
    effect->gen = self->gen;
    memcpy(effect->as.release.deal_id, m->deal.id, DEAL_ID_BYTES);
    effect->as.release.x = self->x;
    effect->as.release.gen = self->gen;
    memcpy(effect->as.release.echo, peer->hello.nonce, PEER_NONCE_BYTES);
}

static void send_share(struct seal_step_ctx *ctx, struct seal_peer *peer)
{
    const struct seal_machine *m = ctx->m;
    const struct seal_deal_member *self = step_deal_member(&m->deal, m->node_id);
    struct seal_effect *effect;

    assert(self != NULL && m->own_share);
    peer->wants_share = false;
    effect = step_send(ctx, peer, PEER_SHARE);
    memcpy(effect->deal_id, m->deal.id, DEAL_ID_BYTES);
    memcpy(effect->as.share.deal_id, m->deal.id, DEAL_ID_BYTES);
    effect->as.share.x = self->x;
    memcpy(effect->as.share.echo, peer->hello.nonce, PEER_NONCE_BYTES);
}

static void count(struct seal_step_ctx *ctx, struct seal_peer *peer)
{
    unsigned limit = ctx->m->config.release_limit;

    if (limit == 0 || limit >= RELEASE_LIMIT_MAX)
        limit = RELEASE_LIMIT_DEFAULT;
    step_audit(ctx, SEAL_AUDIT_RELEASE, peer->node_id, RELEASE_ALLOWED);
    if (release_count(&peer->rate, limit, ctx->now_ms))
        step_audit(ctx, SEAL_AUDIT_RATE, peer->node_id, RELEASE_RATE);
}

/* The audit line comes before what it tells of: who performs the effects sends nothing that could
 * not be recorded. One WANT answered counts as one release, whether by key, by share or by both. A
 * share that follows later, when it is open, belongs to its WANT: counted then unless the key was
 * already. */
static void grant(struct seal_step_ctx *ctx, struct seal_peer *peer, const struct peer_want *want)
{
    bool key = (want->what & PEER_WANT_RELEASE) != 0;
    bool share = (want->what & PEER_WANT_SHARE) != 0;

    if (key || (share && ctx->m->own_share))
        count(ctx, peer);
    if (key)
        send_release(ctx, peer);
    if (share && ctx->m->own_share)
        send_share(ctx, peer);
    else if (share) {
        peer->wants_share = true;
        peer->want = *want;
    }
}

void answer_give(struct seal_step_ctx *ctx, struct seal_peer *peer, const struct peer_want *want,
                 bool may_attest)
{
    struct release_decision decision = seal_release_check(ctx->m, ctx->now_ms, peer->node_id, want);

    if (decision.rule == RELEASE_ALLOWED &&
        step_deal_member(&ctx->m->deal, ctx->m->node_id) == NULL)
        decision.rule = RELEASE_RECORD;
    if (decision.rule == RELEASE_ALLOWED) {
        peer->audited = RELEASE_ALLOWED;
        grant(ctx, peer, want);
        return;
    }
    if (decision.rule == RELEASE_DEFERRED && may_attest && attest_ask(ctx, peer, want))
        return;
    deny(ctx, peer, want, decision);
    /* It may not have heard the newest nonce or the newest deal. */
    if (decision.rule == RELEASE_FRESH || decision.rule == RELEASE_DEAL)
        session_greet(ctx, peer);
}

void answer_want(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_peer *peer = session_find(ctx->m, event->node_id);

    if (peer != NULL && peer->connected && peer->greeted)
        answer_give(ctx, peer, &event->message->as.want, true);
}

void answer_waiting(struct seal_step_ctx *ctx)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct seal_peer *peer = &ctx->m->peers[i];
        struct release_decision decision;
        bool counted;

        if (!peer->used || !peer->wants_share)
            continue;
        peer->wants_share = false;
        decision = seal_release_check(ctx->m, ctx->now_ms, peer->node_id, &peer->want);
        counted = (peer->want.what & PEER_WANT_RELEASE) != 0;
        if (decision.rule == RELEASE_ALLOWED || (decision.rule == RELEASE_RATE && counted)) {
            if (!counted)
                count(ctx, peer);
            send_share(ctx, peer);
        }
    }
}

/* The record is public data and ciphertext, but only members are told of it. A stranger to this
 * node is never answered; the case that matters is the other way round, where the asker does not
 * know this node. */
void answer_record_want(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    const struct seal_machine *m = ctx->m;
    struct seal_peer *peer = session_find(ctx->m, event->node_id);
    struct seal_effect *effect;

    if (peer == NULL || !peer->connected || !peer->known ||
        config_member(&m->config, peer->node_id) == NULL)
        return;
    if (m->deal.epoch <= event->message->as.record_want.epoch)
        return;
    effect = step_send(ctx, peer, PEER_RECORD);
    memcpy(effect->deal_id, m->deal.id, DEAL_ID_BYTES);
}
