#include "seal/dealing.h"

#include <assert.h>
#include <string.h>

#include "seal/dealing_step.h"

static const char *const state_texts[DEALING_STATES_N] = {
    [DEALING_IDLE] = "idle",
    [DEALING_ADD] = "adding a standby",
    [DEALING_BEGIN] = "beginning a deal",
    [DEALING_COLLECT] = "collecting new generations",
    [DEALING_PROPOSE] = "proposing the deal",
    [DEALING_ACKS] = "waiting for the members to check the deal",
    [DEALING_FINAL] = "finishing the deal",
    [DEALING_PROMOTE] = "waiting for the new member to catch up",
    [DEALING_MARK] = "recording the new member",
    [DEALING_REMOVE] = "removing a member from the log's configuration",
    [DEALING_TRANSFER] = "handing leadership over, to be removed",
    [DEALING_FORGET] = "deleting the record of a removed member",
    [DEALING_ERASE] = "waiting for the members to erase older generations",
    [DEALING_DONE] = "recording that the removal is done",
};

const char *dealing_state_text(enum dealing_state state)
{
    return (unsigned)state < DEALING_STATES_N ? state_texts[state] : "unknown";
}

void dealing_init(struct dealing *dealing)
{
    memset(dealing, 0, sizeof(*dealing));
    dealing->wait_ms = DEALING_RETRY_MS_MIN;
    dealing->again_wait_ms = DEALING_AGAIN_MS_MIN;
}

struct dealing_effect *dealing_emit(struct dealing_ctx *ctx, enum dealing_effect_kind kind)
{
    struct dealing_effect *effect;

    assert(ctx->out->n < DEALING_EFFECTS_MAX);
    effect = &ctx->out->list[ctx->out->n++];
    memset(effect, 0, sizeof(*effect));
    effect->kind = kind;
    effect->attempt = ctx->d->attempt;
    memcpy(effect->deal_id, ctx->d->facts.deal_id, DEAL_ID_BYTES);
    return effect;
}

struct dealing_effect *dealing_start(struct dealing_ctx *ctx, enum dealing_state state,
                                     enum dealing_effect_kind kind)
{
    struct dealing_effect *effect = dealing_emit(ctx, kind);

    ctx->d->state = state;
    effect->ticket = ++ctx->d->ticket;
    return effect;
}

bool dealing_listed(const uint8_t (*list)[NODE_ID_BYTES], unsigned n, const uint8_t *node_id)
{
    for (unsigned i = 0; i < n; i++)
        if (memcmp(list[i], node_id, NODE_ID_BYTES) == 0)
            return true;
    return false;
}

void dealing_list_add(uint8_t (*list)[NODE_ID_BYTES], unsigned *n, const uint8_t *node_id)
{
    if (*n < NODES_MAX && !dealing_listed((const uint8_t(*)[NODE_ID_BYTES])list, *n, node_id))
        memcpy(list[(*n)++], node_id, NODE_ID_BYTES);
}

static bool has_part(const struct dealing *d, const struct dealing_member *member)
{
    return dealing_listed((const uint8_t(*)[NODE_ID_BYTES])d->parts, d->parts_n, member->node_id);
}

static bool has_acked(const struct dealing *d, const struct dealing_member *member)
{
    return dealing_listed((const uint8_t(*)[NODE_ID_BYTES])d->acks, d->acks_n, member->node_id);
}

void dealing_back_off(struct dealing_ctx *ctx)
{
    ctx->d->next_ms = ctx->now_ms + ctx->d->wait_ms;
    ctx->d->wait_ms *= 2;
    if (ctx->d->wait_ms > DEALING_RETRY_MS_MAX)
        ctx->d->wait_ms = DEALING_RETRY_MS_MAX;
}

/* The machine has to look again at whatever else there is meanwhile. */
void dealing_again_later(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    d->again_ms = ctx->now_ms + d->again_wait_ms;
    d->again_wait_ms *= 2;
    if (d->again_wait_ms > DEALING_AGAIN_MS_MAX)
        d->again_wait_ms = DEALING_AGAIN_MS_MAX;
}

bool dealing_may_again(const struct dealing_ctx *ctx)
{
    return ctx->now_ms >= ctx->d->again_ms;
}

/* --- collecting ------------------------------------------------------------------------------ */

static void parts_drop(struct dealing_ctx *ctx)
{
    ctx->d->parts_n = 0;
    dealing_emit(ctx, DEALING_DO_DROP);
}

static bool joins_by(const struct dealing_member *member)
{
    return member->role == DEALING_JOINING && !member->in_deal;
}

/* Nobody joins by the deal that leaves somebody out: its FINAL waits for all. */
static bool may_be_party(const struct dealing *d, const struct dealing_member *member)
{
    if (member->role == DEALING_LEAVING || (joins_by(member) && leaving_in_deal(&d->facts)))
        return false;
    return member->role == DEALING_MEMBER || member->in_raft;
}

static void collect_ask(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    for (unsigned i = 0; i < d->facts.members_n; i++) {
        const struct dealing_member *member = &d->facts.members[i];

        if (may_be_party(d, member) && (member->online || member->self) && !has_part(d, member))
            memcpy(dealing_emit(ctx, DEALING_DO_COLLECT)->node_id, member->node_id, NODE_ID_BYTES);
    }
    dealing_back_off(ctx);
}

static bool collect_complete(const struct dealing *d)
{
    for (unsigned i = 0; i < d->facts.members_n; i++) {
        const struct dealing_member *member = &d->facts.members[i];

        if (may_be_party(d, member) && (member->online || member->self) && !has_part(d, member))
            return false;
    }
    return true;
}

/* A rotation waits while somebody joins. */
static bool is_fresh(const struct dealing *d)
{
    if (leaving_in_deal(&d->facts))
        return true;
    for (unsigned i = 0; i < d->facts.members_n; i++)
        if (joins_by(&d->facts.members[i]) && has_part(d, &d->facts.members[i]))
            return false;
    return d->facts.rotate;
}

/* Enough has come to be worth a deal: this node's part, somebody else's, and a reason. With a new
 * MK, so many that they can open it among themselves: nobody may be left with the old MK alone,
 * and nobody who is away is needed. */
static bool collect_useful(const struct dealing *d)
{
    bool fresh = is_fresh(d), self = false, reason = d->facts.wanted || fresh;
    unsigned n = 0;

    for (unsigned i = 0; i < d->facts.members_n; i++) {
        const struct dealing_member *member = &d->facts.members[i];

        if (!has_part(d, member) || !may_be_party(d, member))
            continue;
        n++;
        self = self || member->self;
        reason = reason || joins_by(member) || member->stale;
    }
    return self && reason && n >= 2 && (!fresh || n >= d->facts.fresh_min);
}

static void collect_begin(struct dealing_ctx *ctx)
{
    ctx->d->state = DEALING_COLLECT;
    ctx->d->attempt = ctx->d->facts.begin_attempt;
    ctx->d->began_ms = ctx->now_ms;
    ctx->d->wait_ms = DEALING_RETRY_MS_MIN;
    collect_ask(ctx);
}

static void collect_go_on(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;
    bool late = ctx->now_ms - d->began_ms >= DEALING_COLLECT_MS;

    if (d->facts.begin_attempt != d->attempt || leaving_self(&d->facts) ||
        (late && !collect_useful(d))) {
        parts_drop(ctx);
        d->state = DEALING_IDLE;
        d->first++; /* one that is connected and never gives must not keep others waiting */
        dealing_back_off(ctx);
        dealing_again_later(ctx);
        return;
    }
    if ((late || collect_complete(d)) && collect_useful(d)) {
        dealing_start(ctx, DEALING_PROPOSE, DEALING_DO_PROPOSE)->fresh = is_fresh(d);
        return;
    }
    if (ctx->now_ms >= d->next_ms)
        collect_ask(ctx);
}

/* --- acks ------------------------------------------------------------------------------------ */

static void acks_ask(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    for (unsigned i = 0; i < d->facts.members_n; i++) {
        const struct dealing_member *member = &d->facts.members[i];

        if (member->in_deal && (member->online || member->self) && !has_acked(d, member))
            memcpy(dealing_emit(ctx, DEALING_DO_CHECK)->node_id, member->node_id, NODE_ID_BYTES);
    }
    dealing_back_off(ctx);
}

/* All who gave a new generation have said that their slots open; those who went away since then
 * are waived after a time. A threshold of acks is always required: fewer could not open it. */
static bool acks_complete(const struct dealing_ctx *ctx)
{
    const struct dealing *d = ctx->d;
    bool waive = ctx->now_ms - d->began_ms >= DEALING_WAIVE_MS && !d->facts.deal_new_mk;
    unsigned acks_n = 0;

    /* Whoever is not in the deal, or no member any more, can't have opened a share of it. */
    for (unsigned i = 0; i < d->facts.members_n; i++)
        acks_n += d->facts.members[i].in_deal && has_acked(d, &d->facts.members[i]);
    if (acks_n < d->facts.threshold)
        return false;
    for (unsigned i = 0; i < d->facts.members_n; i++) {
        const struct dealing_member *member = &d->facts.members[i];

        if (!member->in_deal || !(member->part || d->facts.deal_new_mk) || has_acked(d, member))
            continue;
        if (!waive || member->online || member->self)
            return false;
    }
    return true;
}

/* A deal whose participants are gone before enough of them have checked it, for instance the only
 * joiner of the first one, must not keep others out: it is dealt anew with whoever joins next.
 * Nothing was erased for it, since that waits for FINAL. A deal with a new MK is awaited. */
static bool redeal(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    for (unsigned i = 0; i < d->facts.members_n && !d->facts.deal_new_mk; i++) {
        const struct dealing_member *member = &d->facts.members[i];
        struct dealing_effect *effect;

        if (member->role != DEALING_JOINING || member->in_deal)
            continue;
        if (!member->in_raft && !d->facts.changing)
            effect = dealing_start(ctx, DEALING_ADD, DEALING_DO_ADD);
        else if (member->in_raft && member->online)
            effect = dealing_start(ctx, DEALING_BEGIN, DEALING_DO_BEGIN);
        else
            continue;
        memcpy(effect->node_id, member->node_id, NODE_ID_BYTES);
        effect->raft_id = member->raft_id;
        return true;
    }
    return false;
}

static void acks_begin(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    if (memcmp(d->deal_id, d->facts.deal_id, DEAL_ID_BYTES) != 0) {
        memcpy(d->deal_id, d->facts.deal_id, DEAL_ID_BYTES);
        d->acks_n = 0;
        d->acks_late = false;
    }
    d->state = DEALING_ACKS;
    d->began_ms = ctx->now_ms;
    d->wait_ms = DEALING_RETRY_MS_MIN;
    acks_ask(ctx);
}

static void acks_go_on(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    if (!d->facts.dealt || d->facts.final ||
        memcmp(d->deal_id, d->facts.deal_id, DEAL_ID_BYTES) != 0) {
        d->state = DEALING_IDLE;
        d->wait_ms = DEALING_RETRY_MS_MIN;
        return;
    }
    if (leaving_work(ctx)) /* also of those whose acks are awaited: they are left out, too */
        return;
    if (acks_complete(ctx)) {
        dealing_start(ctx, DEALING_FINAL, DEALING_DO_FINAL);
        return;
    }
    d->acks_late = d->acks_late || ctx->now_ms - d->began_ms >= DEALING_WAIVE_MS;
    if (d->acks_late && ctx->now_ms >= d->next_ms && redeal(ctx))
        return;
    if (ctx->now_ms >= d->next_ms)
        acks_ask(ctx);
}

/* --- looking for work ------------------------------------------------------------------------ */

static bool full_of_voters(const struct dealing_facts *facts)
{
    return facts->voters_n >= VOTERS_MAX;
}

/* The one thing to do for this joining member now, if any. */
static bool work_for(struct dealing_ctx *ctx, const struct dealing_member *member)
{
    const struct dealing_facts *facts = &ctx->d->facts;
    struct dealing_effect *effect;

    if (member->role != DEALING_JOINING)
        return false;
    if (!member->in_raft && !facts->changing)
        effect = dealing_start(ctx, DEALING_ADD, DEALING_DO_ADD);
    else if (!member->in_raft)
        return false;
    else if (!member->in_deal) {
        if (!member->online)
            return false;
        effect = dealing_start(ctx, DEALING_BEGIN, DEALING_DO_BEGIN);
    } else if (member->voter || full_of_voters(facts))
        effect = dealing_start(ctx, DEALING_MARK, DEALING_DO_MARK);
    else if (member->online && !facts->changing)
        effect = dealing_start(ctx, DEALING_PROMOTE, DEALING_DO_PROMOTE);
    else
        return false;
    memcpy(effect->node_id, member->node_id, NODE_ID_BYTES);
    effect->raft_id = member->raft_id;
    return true;
}

static bool look_for_work(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;
    const struct dealing_facts *facts = &d->facts;

    if (leaving_work(ctx))
        return true;
    if (facts->dealt && !facts->final) {
        acks_begin(ctx);
        return true;
    }
    /* A change of the configuration may fail for long, say while a majority of the voters lags far
     * behind: no deal waits for that, nor the end of a removal. */
    if (d->change_failed &&
        (leaving_deals(ctx) || (d->state == DEALING_IDLE && leaving_erase_begin(ctx))))
        return true;
    for (unsigned i = 0; i < facts->members_n; i++)
        if (work_for(ctx, &facts->members[(d->first + i) % facts->members_n]))
            return true;
    if (leaving_deals(ctx))
        return true;
    if (facts->stray != 0 && !facts->changing) {
        dealing_start(ctx, DEALING_REMOVE, DEALING_DO_REMOVE)->raft_id = facts->stray;
        return true;
    }
    return d->state == DEALING_IDLE && leaving_erase_begin(ctx);
}

/* --- the step -------------------------------------------------------------------------------- */

static void on_done(struct dealing_ctx *ctx, const struct dealing_event *event)
{
    struct dealing *d = ctx->d;
    enum dealing_state was = d->state;

    if (event->ticket != d->ticket || was == DEALING_IDLE || was == DEALING_COLLECT ||
        was == DEALING_ACKS || was == DEALING_ERASE)
        return;
    d->state = DEALING_IDLE;
    if (was == DEALING_PROPOSE)
        parts_drop(ctx);
    if (was == DEALING_PROPOSE && event->err == QK_OK)
        d->again_wait_ms = DEALING_AGAIN_MS_MIN;
    d->change_failed = event->err != QK_OK && (was == DEALING_ADD || was == DEALING_PROMOTE);
    if (event->err != QK_OK) {
        if (was == DEALING_PROPOSE)
            dealing_again_later(ctx);
        d->first++;
        dealing_back_off(ctx);
        return;
    }
    d->next_ms = ctx->now_ms;
    d->wait_ms = DEALING_RETRY_MS_MIN;
    if (was == DEALING_BEGIN)
        collect_begin(ctx);
}

static void on_event(struct dealing_ctx *ctx, const struct dealing_event *event)
{
    struct dealing *d = ctx->d;

    switch (event->kind) {
    case DEALING_EV_PART:
        if (d->state == DEALING_COLLECT && event->attempt == d->attempt)
            dealing_list_add(d->parts, &d->parts_n, event->node_id);
        break;
    case DEALING_EV_ACK:
        if (d->state == DEALING_ACKS && memcmp(event->deal_id, d->deal_id, DEAL_ID_BYTES) == 0)
            dealing_list_add(d->acks, &d->acks_n, event->node_id);
        break;
    case DEALING_EV_ERASED:
        if (d->state == DEALING_ERASE && memcmp(event->deal_id, d->erased_deal, DEAL_ID_BYTES) == 0)
            dealing_list_add(d->erased, &d->erased_n, event->node_id);
        break;
    case DEALING_EV_DONE:
        on_done(ctx, event);
        break;
    case DEALING_EV_FACTS:
    case DEALING_EV_TICK:
    case DEALING_EVENTS_N:
        break;
    }
}

static void go_on(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    if (d->state == DEALING_COLLECT)
        collect_go_on(ctx);
    else if (d->state == DEALING_ACKS)
        acks_go_on(ctx);
    else if (d->state == DEALING_ERASE &&
             ((d->change_failed && ctx->now_ms < d->next_ms) || !look_for_work(ctx)))
        leaving_erase_go_on(
            ctx); /* who was asked has time to answer before the change's next try */
    if (d->state == DEALING_IDLE && ctx->now_ms >= d->next_ms && !look_for_work(ctx))
        d->wait_ms = DEALING_RETRY_MS_MIN;
}

void dealing_step(struct dealing *dealing, uint64_t now_ms, const struct dealing_event *event,
                  struct dealing_effects *effects)
{
    struct dealing_ctx ctx = {dealing, now_ms, effects};

    assert(dealing != NULL && effects != NULL);
    assert(event != NULL && event->facts != NULL && event->facts->members_n <= NODES_MAX);

    effects->n = 0;
    dealing->facts = *event->facts;
    if (!dealing->facts.leader || !dealing->facts.unsealed) {
        if (dealing->state != DEALING_IDLE) {
            dealing->state = DEALING_IDLE;
            dealing->ticket++;
            parts_drop(&ctx);
        }
        dealing->next_ms = now_ms;
        return;
    }
    on_event(&ctx, event);
    go_on(&ctx);
}

uint64_t dealing_deadline(const struct dealing *dealing, uint64_t now_ms)
{
    if (!dealing->facts.leader || !dealing->facts.unsealed)
        return UINT64_MAX;
    if (dealing->state == DEALING_COLLECT || dealing->state == DEALING_ACKS ||
        dealing->state == DEALING_ERASE)
        return dealing->next_ms;
    if (dealing->state != DEALING_IDLE)
        return UINT64_MAX;
    if (dealing->next_ms > now_ms)
        return dealing->next_ms;
    return dealing->again_ms > now_ms ? dealing->again_ms : UINT64_MAX;
}
