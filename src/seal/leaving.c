/* The leader's machine, as far as members leave and the master key changes: see dealing.h.
 *
 * The order of a removal is that of docs/design.md, section 5: the deal without the leaving member
 * comes first, its FINAL says that all who stay have it, and only then is the member removed from
 * Raft and its record deleted. It could be removed from Raft as soon as the DEAL is committed: but
 * while an ack is awaited, the member whose ack it is is away, and the one who leaves may be the
 * vote that makes the majority. It votes on ciphertext, and every rule of release denies it.
 *
 * Done means more than FINAL (docs/models/removal.pml): everybody who stays stands in the deal in
 * force with a generation that was made after MK was, and holds no older one. */
#include "seal/dealing_step.h"

#include <string.h>

#define CLOCK_AHEAD_S (24u * 3600) /* clocks that are set by hand differ by hours */

static bool erased(const struct dealing *d, const uint8_t *node_id)
{
    return memcmp(d->erased_deal, d->facts.deal_id, DEAL_ID_BYTES) == 0 &&
           dealing_listed((const uint8_t(*)[NODE_ID_BYTES])d->erased, d->erased_n, node_id);
}

static bool acked(const struct dealing *d, const uint8_t *node_id)
{
    return memcmp(d->deal_id, d->facts.deal_id, DEAL_ID_BYTES) == 0 &&
           dealing_listed((const uint8_t(*)[NODE_ID_BYTES])d->acks, d->acks_n, node_id);
}

bool leaving_in_deal(const struct dealing_facts *facts)
{
    for (unsigned i = 0; i < facts->members_n; i++)
        if (facts->members[i].role == DEALING_LEAVING && facts->members[i].in_deal)
            return true;
    return false;
}

static bool somebody_leaves(const struct dealing_facts *facts)
{
    for (unsigned i = 0; i < facts->members_n; i++)
        if (facts->members[i].role == DEALING_LEAVING)
            return true;
    return false;
}

bool leaving_self(const struct dealing_facts *facts)
{
    for (unsigned i = 0; i < facts->members_n; i++)
        if (facts->members[i].self)
            return facts->members[i].role == DEALING_LEAVING;
    return false;
}

static unsigned staying_online(const struct dealing_facts *facts)
{
    unsigned n = 0;

    for (unsigned i = 0; i < facts->members_n; i++) {
        const struct dealing_member *member = &facts->members[i];

        n += member->role == DEALING_MEMBER && (member->online || member->self);
    }
    return n;
}

bool leaving_enough(const struct dealing_facts *facts)
{
    unsigned n = staying_online(facts);

    return n >= 2 && n >= facts->fresh_min;
}

/* --- those who leave ------------------------------------------------------------------------- */

static bool transfer(struct dealing_ctx *ctx)
{
    const struct dealing_facts *facts = &ctx->d->facts;

    for (unsigned i = 0; i < facts->members_n; i++) {
        const struct dealing_member *member = &facts->members[i];
        struct dealing_effect *effect;

        if (member->self || member->role != DEALING_MEMBER || !member->voter || !member->open)
            continue;
        effect = dealing_start(ctx, DEALING_TRANSFER, DEALING_DO_TRANSFER);
        memcpy(effect->node_id, member->node_id, NODE_ID_BYTES);
        effect->raft_id = member->raft_id;
        return true;
    }
    return false;
}

/* It is in no deal any more, and that is final. */
static bool let_go(struct dealing_ctx *ctx, const struct dealing_member *member)
{
    struct dealing_effect *effect;

    if (member->in_raft && ctx->d->facts.changing)
        return false;
    if (member->in_raft)
        effect = dealing_start(ctx, DEALING_REMOVE, DEALING_DO_REMOVE);
    else
        effect = dealing_start(ctx, DEALING_FORGET, DEALING_DO_FORGET);
    memcpy(effect->node_id, member->node_id, NODE_ID_BYTES);
    effect->raft_id = member->raft_id;
    return true;
}

bool leaving_work(struct dealing_ctx *ctx)
{
    const struct dealing_facts *facts = &ctx->d->facts;

    if (leaving_self(facts)) { /* nothing else is this leader's to do */
        if (!transfer(ctx))
            ctx->d->state = DEALING_IDLE;
        return true;
    }
    if (leaving_in_deal(facts)) {
        if (!leaving_enough(facts) || !dealing_may_again(ctx))
            return false;
        dealing_start(ctx, DEALING_BEGIN, DEALING_DO_BEGIN);
        return true;
    }
    if (facts->dealt && !facts->final)
        return false;
    for (unsigned i = 0; i < facts->members_n; i++)
        if (facts->members[i].role == DEALING_LEAVING && let_go(ctx, &facts->members[i]))
            return true;
    return false;
}

/* --- further deals --------------------------------------------------------------------------- */

static bool stale_is_back(const struct dealing_facts *facts)
{
    for (unsigned i = 0; i < facts->members_n; i++) {
        const struct dealing_member *member = &facts->members[i];

        if (member->stale && member->role == DEALING_MEMBER && (member->online || member->self))
            return true;
    }
    return false;
}

bool leaving_deals(struct dealing_ctx *ctx)
{
    const struct dealing_facts *facts = &ctx->d->facts;
    bool rotate = facts->rotate && leaving_enough(facts);
    bool refresh = facts->wanted && staying_online(facts) >= 2;

    /* What nobody can join by must not write a generation everywhere again and again. */
    if (!facts->dealt || !dealing_may_again(ctx) || !(refresh || rotate || stale_is_back(facts)))
        return false;
    dealing_start(ctx, DEALING_BEGIN, DEALING_DO_BEGIN);
    return true;
}

bool dealing_refresh_due(uint64_t now_s, uint64_t made_s, uint64_t interval_s)
{
    if (interval_s == 0 || made_s == 0)
        return false;
    if (made_s > now_s)
        return made_s - now_s > CLOCK_AHEAD_S;
    return now_s - made_s >= interval_s;
}

/* --- the end of a removal -------------------------------------------------------------------- */

static bool erase_is_due(const struct dealing_facts *facts)
{
    if (!facts->removal || somebody_leaves(facts) || (facts->dealt && !facts->final))
        return false;
    for (unsigned i = 0; i < facts->members_n; i++)
        if (facts->members[i].stale)
            return false;
    return true;
}

static bool erase_complete(const struct dealing *d)
{
    for (unsigned i = 0; i < d->facts.members_n; i++)
        if (d->facts.members[i].in_deal && !erased(d, d->facts.members[i].node_id))
            return false;
    return true;
}

static void erase_ask(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    for (unsigned i = 0; i < d->facts.members_n; i++) {
        const struct dealing_member *member = &d->facts.members[i];

        if (member->in_deal && (member->online || member->self) && !erased(d, member->node_id))
            memcpy(dealing_emit(ctx, DEALING_DO_CHECK)->node_id, member->node_id, NODE_ID_BYTES);
    }
    dealing_back_off(ctx);
}

bool leaving_erase_begin(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    if (!erase_is_due(&d->facts))
        return false;
    if (memcmp(d->erased_deal, d->facts.deal_id, DEAL_ID_BYTES) != 0) {
        memcpy(d->erased_deal, d->facts.deal_id, DEAL_ID_BYTES);
        d->erased_n = 0;
    }
    d->state = DEALING_ERASE;
    d->wait_ms = DEALING_RETRY_MS_MIN;
    erase_ask(ctx);
    return true;
}

void leaving_erase_go_on(struct dealing_ctx *ctx)
{
    struct dealing *d = ctx->d;

    if (!erase_is_due(&d->facts) || memcmp(d->erased_deal, d->facts.deal_id, DEAL_ID_BYTES) != 0) {
        d->state = DEALING_IDLE;
        d->wait_ms = DEALING_RETRY_MS_MIN;
    } else if (erase_complete(d))
        dealing_start(ctx, DEALING_DONE, DEALING_DO_END);
    else if (ctx->now_ms >= d->next_ms)
        erase_ask(ctx);
}

/* --- for people ------------------------------------------------------------------------------ */

bool dealing_awaits_ack(const struct dealing *dealing, const uint8_t node_id[NODE_ID_BYTES])
{
    const struct dealing_facts *facts = &dealing->facts;

    if (!facts->leader || !facts->dealt || facts->final || !facts->deal_new_mk)
        return false;
    for (unsigned i = 0; i < facts->members_n; i++)
        if (memcmp(facts->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            return facts->members[i].in_deal && !acked(dealing, node_id);
    return false;
}

bool dealing_awaits_present(const struct dealing *dealing)
{
    const struct dealing_facts *facts = &dealing->facts;

    for (unsigned i = 0; i < facts->members_n; i++) {
        const struct dealing_member *member = &facts->members[i];

        if (member->in_deal && (member->online || member->self) && !acked(dealing, member->node_id))
            return true;
    }
    return false;
}

const char *dealing_awaits(const struct dealing *dealing, const uint8_t node_id[NODE_ID_BYTES])
{
    const struct dealing_facts *facts = &dealing->facts;
    const struct dealing_member *member = NULL;

    for (unsigned i = 0; i < facts->members_n && member == NULL; i++)
        if (memcmp(facts->members[i].node_id, node_id, NODE_ID_BYTES) == 0)
            member = &facts->members[i];
    if (!facts->leader || member == NULL || member->role == DEALING_LEAVING)
        return NULL;
    if (dealing_awaits_ack(dealing, node_id))
        return "to check the new deal";
    if (!facts->removal || !member->in_deal || leaving_in_deal(facts))
        return NULL;
    if (member->stale)
        return "to be given a new generation";
    return facts->final && !erased(dealing, node_id) ? "to erase its older generations" : NULL;
}
