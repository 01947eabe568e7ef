#include "seal/machine.h"

#include <assert.h>
#include <string.h>

#include "seal/machine_step.h"

static const char *const state_texts[SEAL_STATES_N] = {
    [SEAL_UNINITIALISED] = "uninitialised",
    [SEAL_SEALED] = "sealed",
    [SEAL_UNSEALING] = "unsealing",
    [SEAL_UNSEALED] = "unsealed",
    [SEAL_SEALING] = "sealing",
    [SEAL_HELD] = "held",
};

const char *seal_state_text(enum seal_state state)
{
    return (unsigned)state < SEAL_STATES_N ? state_texts[state] : "unknown";
}

void seal_init(struct seal_machine *machine, const uint8_t node_id[static NODE_ID_BYTES],
               const uint8_t boot_id[static BOOT_ID_BYTES], uint64_t boot_counter, uint64_t raft_id)
{
    assert(machine != NULL);

    memset(machine, 0, sizeof(*machine));
    memcpy(machine->node_id, node_id, NODE_ID_BYTES);
    memcpy(machine->boot_id, boot_id, BOOT_ID_BYTES);
    machine->boot_counter = boot_counter;
    machine->raft_id = raft_id;
    machine->config.unseal_quorum = 2;
    machine->config.release_limit = RELEASE_LIMIT_DEFAULT;
}

void seal_position(struct seal_machine *machine, uint64_t term, uint64_t index, uint64_t stored,
                   uint64_t made)
{
    assert(index <= stored);

    machine->term = term;
    machine->index = index;
    machine->stored = stored;
    machine->made = made;
}

void seal_unrecorded(struct seal_machine *machine, bool unrecorded)
{
    machine->unrecorded = unrecorded;
}

/* --- what the files of the machine share --------------------------------------------------- */

struct seal_effect *step_emit(struct seal_step_ctx *ctx, enum seal_effect_kind kind)
{
    struct seal_effect *effect;

    assert(ctx->out->n < SEAL_EFFECTS_MAX);
    effect = &ctx->out->list[ctx->out->n++];
    memset(effect, 0, sizeof(*effect));
    effect->kind = kind;
    return effect;
}

struct seal_effect *step_send(struct seal_step_ctx *ctx, const struct seal_peer *peer,
                              enum peer_kind kind)
{
    struct seal_effect *effect = step_emit(ctx, SEAL_DO_SEND);

    memcpy(effect->node_id, peer->node_id, NODE_ID_BYTES);
    effect->message_kind = kind;
    effect->by_record = peer->by_record;
    return effect;
}

void step_audit(struct seal_step_ctx *ctx, enum seal_audit audit, const uint8_t *node_id,
                enum release_rule rule)
{
    struct seal_effect *effect = step_emit(ctx, SEAL_DO_AUDIT);

    effect->audit = audit;
    effect->rule = rule;
    memcpy(effect->deal_id, ctx->m->deal.id, DEAL_ID_BYTES);
    if (node_id != NULL)
        memcpy(effect->node_id, node_id, NODE_ID_BYTES);
}

const struct seal_deal_member *step_deal_member(const struct seal_deal *deal,
                                                const uint8_t *node_id)
{
    for (unsigned i = 0; i < deal->members_n; i++)
        if (memcmp(deal->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return &deal->members[i];
    return NULL;
}

/* --- moves ----------------------------------------------------------------------------------- */

/* The only moves there are; anything else is a fault of this file. */
static const bool may_move[SEAL_STATES_N][SEAL_STATES_N] = {
    [SEAL_UNINITIALISED] = {[SEAL_SEALED] = true, [SEAL_UNSEALED] = true},
    [SEAL_SEALED] = {[SEAL_UNSEALING] = true, [SEAL_UNSEALED] = true, [SEAL_SEALING] = true},
    [SEAL_UNSEALING] = {[SEAL_SEALED] = true, [SEAL_UNSEALED] = true, [SEAL_SEALING] = true},
    [SEAL_UNSEALED] = {[SEAL_SEALING] = true},
    [SEAL_SEALING] = {[SEAL_SEALED] = true, [SEAL_HELD] = true},
    [SEAL_HELD] = {[SEAL_SEALED] = true},
};

static void move(struct seal_step_ctx *ctx, enum seal_state state)
{
    assert(may_move[ctx->m->state][state]);

    ctx->m->state = state;
    step_emit(ctx, SEAL_DO_STATE)->state = state;
}

static void shares_forget(struct seal_step_ctx *ctx)
{
    struct seal_machine *m = ctx->m;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_deal_member *member;
        struct seal_peer *peer = &m->peers[i];

        if (!peer->used || !peer->has_share)
            continue;
        peer->has_share = false;
        member = step_deal_member(&m->deal, peer->node_id);
        if (member != NULL)
            step_emit(ctx, SEAL_DO_DROP_SHARE)->x = member->x;
    }
}

static void deal_set(struct seal_step_ctx *ctx, const struct seal_deal *deal)
{
    struct seal_machine *m = ctx->m;

    shares_forget(ctx);
    m->deal = *deal;
    m->own_share = false;
    m->opening = false;
    m->combining = false;
    m->combine_next_ms = 0;
    m->founder_waits = false;
    for (unsigned i = 0; i < NODES_MAX; i++) {
        m->peers[i].bad_share = false;
        m->peers[i].bad_slot = false;
        m->peers[i].wants_share = false;
    }
    if (m->candidate.epoch <= m->deal.epoch)
        memset(&m->candidate, 0, sizeof(m->candidate));
    ask_reset(ctx);
}

static void wipe(struct seal_step_ctx *ctx)
{
    struct seal_machine *m = ctx->m;

    move(ctx, SEAL_SEALING);
    m->own_share = false;
    m->opening = false;
    m->combining = false;
    m->mk_version = 0;
    memset(&m->candidate, 0, sizeof(m->candidate));
    for (unsigned i = 0; i < NODES_MAX; i++) {
        m->peers[i].has_share = false;
        m->peers[i].wants_share = false;
    }
    step_emit(ctx, SEAL_DO_WIPE);
}

static bool has_secrets(enum seal_state state)
{
    return state == SEAL_SEALED || state == SEAL_UNSEALING || state == SEAL_UNSEALED;
}

/* --- hold ------------------------------------------------------------------------------------ */

/* Whatever state the order meets. A founder whose key no deal has yet would lose it for ever. */
static void hold_obey(struct seal_step_ctx *ctx)
{
    struct seal_machine *m = ctx->m;

    if (hold_is_on(m) && has_secrets(m->state) && (!m->founder_waits || m->config.recoverable)) {
        m->founder_waits = false;
        wipe(ctx);
    } else if (!hold_is_on(m) && m->state == SEAL_HELD)
        move(ctx, SEAL_SEALED);
}

/* --- events ---------------------------------------------------------------------------------- */

static void on_started(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    (void)event;
    if (ctx->m->state == SEAL_UNINITIALISED)
        move(ctx, SEAL_SEALED);
    hold_obey(ctx);
}

static void on_created(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    (void)event;
    if (ctx->m->state != SEAL_UNINITIALISED)
        return;
    ctx->m->founder_waits = true;
    ctx->m->mk_version = 1;
    move(ctx, SEAL_UNSEALED);
}

static void on_config(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    const struct seal_config *config = event->config;
    struct seal_machine *m = ctx->m;
    bool moved;

    assert(config != NULL && config->members_n <= NODES_MAX);
    moved = m->config.control != config->control;
    m->config = *config;
    hold_take_over(m);
    hold_obey(ctx);
    ask_reset(ctx);
    if (moved) /* peers that know less must not release meanwhile */
        session_announce(ctx);
}

/* A record of the own committed log. Epochs only rise. One that leaves this node out, which the one
 * before named, is its removal: it keeps nothing. */
static void on_deal(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    const struct seal_deal *deal = event->deal;
    struct seal_machine *m = ctx->m;
    bool left_out;

    assert(deal != NULL && deal->members_n <= NODES_MAX);
    if (deal->epoch <= m->deal.epoch)
        return;
    left_out = step_deal_member(&m->deal, m->node_id) != NULL &&
               step_deal_member(deal, m->node_id) == NULL;
    deal_set(ctx, deal);
    if (left_out && has_secrets(m->state))
        wipe(ctx);
    else if (m->state == SEAL_UNSEALING)
        move(ctx, SEAL_SEALED);
    hold_obey(ctx);
    session_announce(ctx);
}

static void on_adopted(struct seal_step_ctx *ctx, const uint8_t *from)
{
    struct seal_deal deal = ctx->m->candidate;
    struct seal_effect *effect;

    deal_set(ctx, &deal);
    memset(&ctx->m->candidate, 0, sizeof(ctx->m->candidate));
    effect = step_emit(ctx, SEAL_DO_ADOPT);
    memcpy(effect->deal_id, deal.id, DEAL_ID_BYTES);
    memcpy(effect->node_id, from, NODE_ID_BYTES);
}

static void slot_bad(struct seal_step_ctx *ctx, const uint8_t *from, bool candidate)
{
    struct seal_peer *peer = session_find(ctx->m, from);

    step_audit(ctx, SEAL_AUDIT_BAD_SLOT, from, RELEASE_ALLOWED);
    if (peer != NULL && candidate)
        peer->bad_record = true;
    else if (peer != NULL)
        peer->bad_slot = true;
    if (candidate)
        memset(&ctx->m->candidate, 0, sizeof(ctx->m->candidate));
}

/* The outcome of OPEN_SHARE. One for a deal that is no longer of interest changes nothing. */
static void on_opened(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_machine *m = ctx->m;
    bool candidate =
        m->candidate.epoch > 0 && memcmp(event->deal_id, m->candidate.id, DEAL_ID_BYTES) == 0;

    if (!m->opening || !has_secrets(m->state) || m->deal.epoch + m->candidate.epoch == 0)
        return;
    if (!candidate && memcmp(event->deal_id, m->deal.id, DEAL_ID_BYTES) != 0)
        return;
    m->opening = false;
    if (!event->ok) {
        slot_bad(ctx, event->node_id, candidate);
        return;
    }
    if (candidate)
        on_adopted(ctx, event->node_id);
    m->own_share = true;
    memcpy(step_emit(ctx, SEAL_DO_ACK)->deal_id, m->deal.id, DEAL_ID_BYTES);
    if (m->state == SEAL_SEALED)
        move(ctx, SEAL_UNSEALING);
    answer_waiting(ctx);
    session_announce(ctx);
}

static void share_bad(struct seal_step_ctx *ctx, uint32_t x)
{
    struct seal_machine *m = ctx->m;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_deal_member *member;
        struct seal_peer *peer = &m->peers[i];

        if (!peer->used || !peer->has_share)
            continue;
        member = step_deal_member(&m->deal, peer->node_id);
        if (member == NULL || member->x != x)
            continue;
        peer->has_share = false;
        peer->bad_share = true;
        step_emit(ctx, SEAL_DO_DROP_SHARE)->x = x;
        step_audit(ctx, SEAL_AUDIT_BAD_SHARE, peer->node_id, RELEASE_ALLOWED);
    }
}

static void on_combined(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_machine *m = ctx->m;

    if (!m->combining || !has_secrets(m->state))
        return;
    m->combining = false;
    if (!event->ok) {
        if (event->x != 0)
            share_bad(ctx, event->x);
        else
            m->combine_next_ms = ctx->now_ms + SEAL_RETRY_MS_MAX;
        return;
    }
    shares_forget(ctx);
    m->mk_version = m->deal.mk_version;
    if (m->state != SEAL_UNSEALED)
        move(ctx, SEAL_UNSEALED);
    session_announce(ctx);
}

/* People have brought MK. The own share stays closed, so that nothing of a deal is given away that
 * this node has not opened itself; where the deal is of another MK than the one recovered, the
 * shares of peers bring that as soon as they are there. */
static void on_recovered(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_machine *m = ctx->m;

    if (m->state != SEAL_SEALED && m->state != SEAL_UNSEALING)
        return;
    m->closed = false;
    m->closed_for_hold = false;
    m->founder_waits = m->deal.epoch == 0;
    m->mk_version = event->mk_version;
    shares_forget(ctx);
    move(ctx, SEAL_UNSEALED);
    ask_reset(ctx);
    session_announce(ctx);
}

static void on_seal(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    struct seal_machine *m = ctx->m;

    if (m->state == SEAL_UNINITIALISED || (m->founder_waits && !m->config.recoverable))
        return;
    if (!hold_close(m, event->for_hold))
        return;
    m->founder_waits = false;
    if (has_secrets(m->state))
        wipe(ctx);
}

static void on_unseal(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    (void)event;
    ctx->m->closed = false;
    ctx->m->closed_for_hold = false;
    ask_reset(ctx);
}

static void on_wiped(struct seal_step_ctx *ctx, const struct seal_event *event)
{
    (void)event;
    if (ctx->m->state != SEAL_SEALING)
        return;
    move(ctx, hold_is_on(ctx->m) ? SEAL_HELD : SEAL_SEALED);
    session_announce(ctx);
}

/* --- the step -------------------------------------------------------------------------------- */

typedef void (*event_handler)(struct seal_step_ctx *ctx, const struct seal_event *event);

/* TICK has none: what is due is done after every event. */
static const event_handler handlers[SEAL_EVENTS_N] = {
    [SEAL_EV_STARTED] = on_started,
    [SEAL_EV_CREATED] = on_created,
    [SEAL_EV_CONFIG] = on_config,
    [SEAL_EV_DEAL] = on_deal,
    [SEAL_EV_LINK_UP] = session_up,
    [SEAL_EV_LINK_DOWN] = session_down,
    [SEAL_EV_CLONE] = session_clone,
    [SEAL_EV_HELLO] = session_hello,
    [SEAL_EV_WANT] = answer_want,
    [SEAL_EV_RELEASE] = ask_release,
    [SEAL_EV_SHARE] = ask_share,
    [SEAL_EV_DENY] = ask_deny,
    [SEAL_EV_RECORD_WANT] = answer_record_want,
    [SEAL_EV_RECORD] = ask_record,
    [SEAL_EV_OPENED] = on_opened,
    [SEAL_EV_COMBINED] = on_combined,
    [SEAL_EV_RECOVERED] = on_recovered,
    [SEAL_EV_ATTESTED] = attest_answered,
    [SEAL_EV_SEAL] = on_seal,
    [SEAL_EV_UNSEAL] = on_unseal,
    [SEAL_EV_WIPED] = on_wiped,
};

static bool may_combine(const struct seal_machine *m)
{
    return !m->combining && step_needs_shares(m) && m->deal.threshold > 0 &&
           step_shares_have(m) >= m->deal.threshold;
}

void seal_step(struct seal_machine *machine, uint64_t now_ms,
               const uint8_t random[static SEAL_RANDOM_BYTES], const struct seal_event *event,
               struct seal_effects *effects)
{
    struct seal_step_ctx ctx = {machine, now_ms, random, 0, effects};

    assert(machine != NULL && event != NULL && effects != NULL);
    assert(event->kind < SEAL_EVENTS_N);

    effects->n = 0;
    if (handlers[event->kind] != NULL)
        handlers[event->kind](&ctx, event);
    if (may_combine(machine) && machine->combine_next_ms <= now_ms) {
        machine->combining = true;
        step_emit(&ctx, SEAL_DO_COMBINE);
    }
    session_drive(&ctx);
    ask_drive(&ctx);
}

uint64_t seal_deadline(const struct seal_machine *machine, uint64_t now_ms)
{
    uint64_t at = UINT64_MAX;

    for (unsigned i = 0; i < NODES_MAX; i++) {
        const struct seal_peer *peer = &machine->peers[i];
        uint64_t hello_at, ask_at;

        if (!peer->used)
            continue;
        hello_at = session_deadline(peer);
        ask_at = ask_deadline(machine, peer);
        at = hello_at < at ? hello_at : at;
        at = ask_at < at ? ask_at : at;
    }
    if (may_combine(machine) && machine->combine_next_ms < at)
        at = machine->combine_next_ms;
    if (machine->candidate.epoch > 0 && machine->candidate_until_ms < at)
        at = machine->candidate_until_ms;
    return at < now_ms ? now_ms : at;
}
