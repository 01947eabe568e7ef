/* One session a connection: both sides send a HELLO with a nonce; whoever hears a new nonce, or
 * is asked again, answers with a HELLO that echoes it. A peer that echoed is live. Every
 * SEAL_HELLO_MS a new nonce asks again, so that a silent peer stops to count after SEAL_FRESH_MS.
 *
 * Clones: the link itself challenges a second connection of one key and reports SEAL_EV_CLONE. What
 * it cannot see, a boot id that comes back after another had taken its place, is seen here: a
 * process cannot return from its successor, so two of them live. */
#include "seal/machine_step.h"

#include <assert.h>
#include <string.h>

#include "secret/crypto.h"
#include "wire/version.h"

struct seal_peer *session_find(struct seal_machine *m, const uint8_t *node_id)
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (m->peers[i].used && memcmp(m->peers[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &m->peers[i];
    return NULL;
}

const struct seal_peer *seal_peer_find(const struct seal_machine *machine,
                                       const uint8_t node_id[static NODE_ID_BYTES])
{
    for (unsigned i = 0; i < NODES_MAX; i++)
        if (machine->peers[i].used &&
            memcmp(machine->peers[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &machine->peers[i];
    return NULL;
}

bool seal_peer_live(const struct seal_peer *peer, uint64_t now_ms)
{
    return peer->connected && peer->greeted && peer->echoed &&
           now_ms - peer->echoed_ms <= SEAL_FRESH_MS;
}

bool seal_peer_counts(const struct seal_peer *peer, uint64_t now_ms)
{
    return seal_peer_live(peer, now_ms) && peer->below == WATERMARK_GOOD;
}

/* A free place, or that of somebody who is gone and was no member. */
static struct seal_peer *session_make(struct seal_machine *m, const uint8_t *node_id)
{
    struct seal_peer *place = NULL;

    for (unsigned i = 0; i < NODES_MAX && place == NULL; i++)
        if (!m->peers[i].used)
            place = &m->peers[i];
    for (unsigned i = 0; i < NODES_MAX && place == NULL; i++)
        if (!m->peers[i].connected && !m->peers[i].known)
            place = &m->peers[i];
    if (place == NULL)
        return NULL;
    memset(place, 0, sizeof(*place));
    place->used = true;
    memcpy(place->node_id, node_id, NODE_ID_BYTES);
    return place;
}

/* Nonces of one step differ by a counter that is added to the step's random bytes. */
static void nonce_make(struct seal_step_ctx *ctx, uint8_t ret_nonce[static PEER_NONCE_BYTES])
{
    uint64_t low;

    memcpy(ret_nonce, ctx->random, PEER_NONCE_BYTES);
    low = get_u64(ret_nonce + 8) + ctx->nonces_n++;
    put_u64(ret_nonce + 8, low);
}

static void hello_fill(const struct seal_machine *m, const struct seal_peer *peer,
                       struct peer_hello *hello)
{
    const struct seal_deal_member *self = step_deal_member(&m->deal, m->node_id);

    memcpy(hello->node_id, m->node_id, NODE_ID_BYTES);
    memcpy(hello->boot_id, m->boot_id, BOOT_ID_BYTES);
    hello->boot_counter = m->boot_counter;
    memcpy(hello->nonce, peer->nonce, PEER_NONCE_BYTES);
    if (peer->greeted)
        memcpy(hello->echo, peer->hello.nonce, PEER_NONCE_BYTES);
    memcpy(hello->deal_id, m->deal.id, DEAL_ID_BYTES);
    hello->epoch = m->deal.epoch;
    hello->gen = self != NULL ? self->gen : 0;
    hello->control = m->config.control;
    hello->raft_id = m->raft_id;
    hello->term = m->term;
    hello->index = m->index;
    hello->state = (uint8_t)m->state;
    hello->share = m->own_share;
    hello->by_record = !peer->known;
    hello->ask = !peer->answered;
    hello->version = (uint16_t)wire_version();
    hello->aes = aead_has_aes256gcm();
    hello->stored = m->stored;
    hello->made = m->made;
}

void session_greet(struct seal_step_ctx *ctx, struct seal_peer *peer)
{
    struct seal_effect *effect = step_send(ctx, peer, PEER_HELLO);

    hello_fill(ctx->m, peer, &effect->as.hello);
}

/* Asks for a sign of life: a HELLO with a new nonce, sent again until it is echoed. */
static void session_challenge(struct seal_step_ctx *ctx, struct seal_peer *peer)
{
    nonce_make(ctx, peer->nonce);
    peer->answered = false;
    peer->hello_wait_ms = SEAL_RETRY_MS_MIN;
    peer->hello_next_ms = ctx->now_ms + peer->hello_wait_ms;
    session_greet(ctx, peer);
}

void session_announce(struct seal_step_ctx *ctx)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct seal_peer *peer = &ctx->m->peers[i];

        if (peer->used && peer->connected && peer->greeted)
            session_greet(ctx, peer);
    }
}

void session_up(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_peer *peer = session_find(ctx->m, event->node_id);

    if (peer == NULL)
        peer = session_make(ctx->m, event->node_id);
    if (peer == NULL)
        return;
    peer->connected = true;
    peer->known = event->known;
    peer->by_record = !event->known;
    peer->told_below = false;
    marks_begin(ctx->m, peer);
    peer->echoed = false;
    peer->greeted = false;
    peer->wants_share = false;
    peer->bad_slot = false;
    peer->bad_record = false;
    ask_reset_peer(peer, ctx->now_ms);
    session_challenge(ctx, peer);
}

void session_down(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_peer *peer = session_find(ctx->m, event->node_id);

    if (peer == NULL)
        return;
    peer->connected = false;
    peer->echoed = false;
    peer->greeted = false;
    peer->wants_share = false;
    peer->attestation.waits = false;
    if (!peer->known)
        peer->used = false;
}

static void clone_alarm(struct seal_step_ctx *ctx, struct seal_peer *peer)
{
    if (peer->clone_until_ms <= ctx->now_ms)
        step_audit(ctx, SEAL_AUDIT_CLONE, peer->node_id, RELEASE_ONE_BOOT);
    peer->clone_until_ms = ctx->now_ms + SEAL_CLONE_MS;
}

void session_clone(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_peer *peer = session_find(ctx->m, event->node_id);

    if (peer != NULL)
        clone_alarm(ctx, peer);
}

static void boot_note(struct seal_step_ctx *ctx, struct seal_peer *peer, const uint8_t *boot_id)
{
    if (peer->booted && memcmp(peer->boot_id, boot_id, BOOT_ID_BYTES) == 0)
        return;
    if (peer->replaced && memcmp(peer->old_boot_id, boot_id, BOOT_ID_BYTES) == 0)
        clone_alarm(ctx, peer);
    peer->replaced = peer->booted;
    memcpy(peer->old_boot_id, peer->boot_id, BOOT_ID_BYTES);
    memcpy(peer->boot_id, boot_id, BOOT_ID_BYTES);
    peer->booted = true;
}

/* It stands elsewhere than in its last HELLO, so that asking it may now help. */
static bool hello_moved(const struct seal_peer *peer, const struct peer_hello *hello)
{
    return !peer->greeted || peer->hello.epoch != hello->epoch ||
           memcmp(peer->hello.nonce, hello->nonce, PEER_NONCE_BYTES) != 0 ||
           memcmp(peer->hello.deal_id, hello->deal_id, DEAL_ID_BYTES) != 0 ||
           peer->hello.share != hello->share || peer->hello.state != hello->state ||
           peer->hello.control != hello->control;
}

void session_hello(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_peer *peer = session_find(ctx->m, event->node_id);
    const struct peer_hello *hello = &event->message->as.hello;
    bool fresh_nonce, moved;

    if (peer == NULL || !peer->connected)
        return;
    if (peer->known && memcmp(hello->node_id, peer->node_id, NODE_ID_BYTES) != 0)
        return;
    if (peer->known)
        peer->by_record = hello->by_record;
    fresh_nonce = !peer->greeted || memcmp(peer->hello.nonce, hello->nonce, PEER_NONCE_BYTES) != 0;
    moved = hello_moved(peer, hello);
    if (memcmp(hello->echo, peer->nonce, PEER_NONCE_BYTES) == 0) {
        boot_note(ctx, peer, hello->boot_id);
        if (peer->known)
            marks_hear(ctx, peer, hello, event->forked);
        peer->echoed = true;
        peer->echoed_ms = ctx->now_ms;
        peer->answered = true;
        peer->hello_next_ms = ctx->now_ms + SEAL_HELLO_MS;
    }
    peer->hello = *hello;
    peer->greeted = true;
    peer->seen = true;
    peer->seen_ms = ctx->now_ms;
    if (fresh_nonce || hello->ask)
        session_greet(ctx, peer);
    if (moved)
        ask_reset_peer(peer, ctx->now_ms);
}

void session_drive(struct seal_step_ctx *ctx)
{
    for (unsigned i = 0; i < NODES_MAX; i++) {
        struct seal_peer *peer = &ctx->m->peers[i];

        if (!peer->used || !peer->connected || peer->hello_next_ms > ctx->now_ms)
            continue;
        if (peer->answered) {
            session_challenge(ctx, peer);
            continue;
        }
        if (peer->hello_wait_ms < SEAL_RETRY_MS_MAX)
            peer->hello_wait_ms *= 2;
        peer->hello_next_ms = ctx->now_ms + peer->hello_wait_ms;
        session_greet(ctx, peer);
    }
}

uint64_t session_deadline(const struct seal_peer *peer)
{
    return peer->connected ? peer->hello_next_ms : UINT64_MAX;
}
