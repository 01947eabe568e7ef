/* The attestation hook of the operator, as the machine sees it: a WANT that every other rule allows
 * is kept while the hook is asked (SEAL_DO_ATTEST), and answered when it has spoken
 * (SEAL_EV_ATTESTED), under all rules again. An answer holds for one boot of the peer until its
 * time is over; the next WANT after that asks anew. No answer is no release. */
#include "seal/machine_step.h"

#include <string.h>

enum seal_attested attest_state(const struct seal_peer *peer, uint64_t now_ms)
{
    const struct seal_attestation *known = &peer->attestation;

    if (!peer->booted || memcmp(known->boot_id, peer->boot_id, BOOT_ID_BYTES) != 0 ||
        known->until_ms < now_ms)
        return SEAL_ATTEST_UNKNOWN;
    return known->state;
}

bool attest_ask(struct seal_step_ctx *ctx, struct seal_peer *peer, const struct peer_want *want)
{
    enum seal_attested state = attest_state(peer, ctx->now_ms);
    struct seal_attestation *known = &peer->attestation;
    struct seal_effect *effect;

    if (state == SEAL_ATTEST_DEFER || !peer->booted)
        return false;
    known->waits = true;
    known->want = *want;
    if (state == SEAL_ATTEST_ASKED)
        return true;
    known->state = SEAL_ATTEST_ASKED;
    known->until_ms = ctx->now_ms + SEAL_ATTEST_MS;
    memcpy(known->boot_id, peer->boot_id, BOOT_ID_BYTES);
    effect = step_emit(ctx, SEAL_DO_ATTEST);
    memcpy(effect->node_id, peer->node_id, NODE_ID_BYTES);
    memcpy(effect->boot_id, peer->boot_id, BOOT_ID_BYTES);
    memcpy(effect->deal_id, want->deal_id, DEAL_ID_BYTES);
    effect->x = want->x;
    effect->gen = want->gen;
    effect->as.want = *want;
    return true;
}

/* One for a boot that is over, or that was not asked for, changes nothing. */
void attest_answered(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_peer *peer = session_find(ctx->m, event->node_id);
    struct seal_attestation *known;

    if (peer == NULL || peer->attestation.state != SEAL_ATTEST_ASKED ||
        memcmp(peer->attestation.boot_id, event->boot_id, BOOT_ID_BYTES) != 0)
        return;
    known = &peer->attestation;
    known->state = event->attested == SEAL_ATTEST_ALLOW || event->attested == SEAL_ATTEST_DEFER
                       ? event->attested
                       : SEAL_ATTEST_DENY;
    /* At least for this step, so that the WANT that waits is judged by this answer. */
    known->until_ms = event->until_ms > ctx->now_ms ? event->until_ms : ctx->now_ms;
    if (!known->waits)
        return;
    known->waits = false;
    if (peer->connected && peer->greeted)
        answer_give(ctx, peer, &known->want, false);
}

uint32_t attest_retry_ms(const struct seal_peer *peer, uint64_t now_ms)
{
    uint64_t until_ms = peer->attestation.until_ms;
    uint64_t wait_ms = until_ms > now_ms ? until_ms - now_ms : 0;

    if (attest_state(peer, now_ms) < SEAL_ATTEST_ALLOW)
        return 0;
    return wait_ms < RELEASE_DELAY_MS_MAX ? (uint32_t)wait_ms : RELEASE_DELAY_MS_MAX;
}
