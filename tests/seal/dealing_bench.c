#include "dealing_bench.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

void bench_id(unsigned i, uint8_t ret_id[static NODE_ID_BYTES])
{
    memset(ret_id, 0, NODE_ID_BYTES);
    ret_id[0] = (uint8_t)(i + 1);
}

static struct dealing_member *member_of(struct bench *b, const uint8_t *id)
{
    for (unsigned i = 0; i < b->records.members_n; i++)
        if (memcmp(b->records.members[i].node_id, id, NODE_ID_BYTES) == 0)
            return &b->records.members[i];
    cr_assert_fail("no such member");
    return NULL;
}

struct dealing_member *bench_member(struct bench *b, unsigned n)
{
    uint8_t id[NODE_ID_BYTES] = {(uint8_t)n};

    return member_of(b, id);
}

void bench_add(struct bench *b, enum dealing_role role)
{
    struct dealing_member *member = &b->records.members[b->records.members_n];

    memset(member, 0, sizeof(*member));
    bench_id(b->records.members_n, member->node_id);
    member->raft_id = member->x = ++b->records.members_n;
    member->role = role;
    member->online = member->open = true;
    member->in_raft = member->voter = role == DEALING_MEMBER;
}

struct bench *bench_new(void)
{
    struct bench *b = calloc(1, sizeof(*b));

    cr_assert_not_null(b);
    dealing_init(&b->d);
    b->now_ms = 1000;
    b->records.leader = b->records.unsealed = true;
    b->records.threshold = b->records.fresh_min = 2;
    bench_add(b, DEALING_MEMBER);
    b->records.members[0].self = true;
    return b;
}

void bench_event(struct bench *b, enum dealing_event_kind kind)
{
    struct dealing_event event = {.kind = kind};

    bench_step(b, &event);
}

static void begin(struct bench *b)
{
    b->records.begin_attempt++;
    b->begins_n++;
}

static void propose(struct bench *b, const struct dealing_effect *effect)
{
    cr_assert_eq(effect->attempt, b->records.begin_attempt);
    b->records.dealt = true;
    b->records.final = false;
    b->records.deal_id[0] = (uint8_t)++b->deals_n;
    b->records.deal_new_mk = effect->fresh;
    b->fresh_n += effect->fresh;
    if (effect->fresh)
        b->records.rotate = false;
    else
        b->records.wanted = false;
    for (unsigned i = 0; i < b->records.members_n; i++) {
        struct dealing_member *member = &b->records.members[i];
        bool part = false;

        for (unsigned k = 0; k < b->d.parts_n; k++)
            part = part || memcmp(b->d.parts[k], member->node_id, NODE_ID_BYTES) == 0;
        cr_assert(effect->fresh || member->role != DEALING_LEAVING || !member->in_deal,
                  "who leaves is left out with a new MK only");
        if (effect->fresh && member->role == DEALING_JOINING && !member->in_deal)
            part = false; /* as the builder does */
        member->part = part && member->role != DEALING_LEAVING;
        member->in_deal = member->role != DEALING_LEAVING &&
                          (part || (member->in_deal && member->role == DEALING_MEMBER));
        member->stale = member->in_deal && !member->part && (effect->fresh || member->stale);
        b->erased[member->node_id[0]] = false;
    }
}

static void member_forget(struct bench *b, const uint8_t *id)
{
    struct dealing_member *member = member_of(b, id);

    cr_assert(!member->in_raft && !member->in_deal && member->role == DEALING_LEAVING);
    *member = b->records.members[--b->records.members_n];
}

static void removal_ends(struct bench *b)
{
    cr_assert(b->records.final && b->records.removal);
    for (unsigned i = 0; i < b->records.members_n; i++) {
        const struct dealing_member *member = &b->records.members[i];

        cr_assert_neq(member->role, DEALING_LEAVING);
        cr_assert_not(member->stale);
        cr_assert(!member->in_deal || b->erased[member->node_id[0]], "n%u", member->node_id[0]);
    }
    b->records.removal = false;
}

static void take_effect(struct bench *b, const struct dealing_effect *effect)
{
    switch (effect->kind) {
    case DEALING_DO_ADD:
        cr_assert_not(member_of(b, effect->node_id)->in_raft);
        member_of(b, effect->node_id)->in_raft = true;
        break;
    case DEALING_DO_BEGIN:
        begin(b);
        break;
    case DEALING_DO_PROPOSE:
        propose(b, effect);
        break;
    case DEALING_DO_FINAL:
        cr_assert_eq(memcmp(effect->deal_id, b->records.deal_id, DEAL_ID_BYTES), 0);
        b->records.final = true;
        b->finals_n++;
        break;
    case DEALING_DO_PROMOTE:
        cr_assert(b->records.final, "no vote before the deal is final");
        cr_assert(member_of(b, effect->node_id)->in_deal);
        member_of(b, effect->node_id)->voter = true;
        break;
    case DEALING_DO_MARK:
        member_of(b, effect->node_id)->role = DEALING_MEMBER;
        break;
    case DEALING_DO_REMOVE:
        if (effect->raft_id == b->records.stray) {
            b->records.stray = 0;
            break;
        }
        cr_assert(b->records.final && !member_of(b, effect->node_id)->in_deal &&
                  member_of(b, effect->node_id)->role == DEALING_LEAVING);
        member_of(b, effect->node_id)->in_raft = member_of(b, effect->node_id)->voter = false;
        break;
    case DEALING_DO_TRANSFER:
        cr_assert(member_of(b, effect->node_id)->open);
        for (unsigned i = 0; i < b->records.members_n; i++)
            b->records.members[i].self = false;
        member_of(b, effect->node_id)->self = true;
        b->crash_at = b->ops_n; /* another leader: it knows the records only */
        b->crash_effects = true;
        b->transfers_n++;
        break;
    case DEALING_DO_FORGET:
        member_forget(b, effect->node_id);
        break;
    case DEALING_DO_END:
        removal_ends(b);
        break;
    case DEALING_DO_COLLECT:
    case DEALING_DO_CHECK:
    case DEALING_DO_DROP:
        break;
    }
}

/* A new leader: it knows the records and nothing else. */
static void crash(struct bench *b)
{
    dealing_init(&b->d);
    b->crash_at = 0;
}

static void operate(struct bench *b, const struct dealing_effect *effect)
{
    struct dealing_event event = {.kind = DEALING_EV_DONE, .ticket = effect->ticket};
    bool crashes = ++b->ops_n == b->crash_at;

    if (effect->kind == DEALING_DO_PROPOSE && b->fail_proposals)
        event.err = QK_ERR_INVALID;
    else if (effect->kind == DEALING_DO_PROMOTE && b->fail_changes)
        event.err = QK_ERR_BUSY;
    else if (!crashes || b->crash_effects)
        take_effect(b, effect);
    crashes = crashes || (b->ops_n == b->crash_at);
    if (crashes) {
        crash(b);
        return;
    }
    bench_step(b, &event);
}

static void collect(struct bench *b, const struct dealing_effect *effect)
{
    struct dealing_event event = {.kind = DEALING_EV_PART, .attempt = effect->attempt};

    if (b->silent[effect->node_id[0] - 1])
        return;
    memcpy(event.node_id, effect->node_id, NODE_ID_BYTES);
    bench_step(b, &event);
}

static void check(struct bench *b, const struct dealing_effect *effect)
{
    struct dealing_event event = {.kind = DEALING_EV_ACK};

    if (b->silent[effect->node_id[0] - 1] || !member_of(b, effect->node_id)->online)
        return;
    memcpy(event.node_id, effect->node_id, NODE_ID_BYTES);
    memcpy(event.deal_id, effect->deal_id, DEAL_ID_BYTES);
    bench_step(b, &event);
    if (!b->records.final || b->keeps[effect->node_id[0]])
        return;
    b->erased[effect->node_id[0]] = true;
    event.kind = DEALING_EV_ERASED;
    bench_step(b, &event);
}

void bench_step(struct bench *b, struct dealing_event *event)
{
    struct dealing_effects *out = malloc(sizeof(*out));

    b->records.voters_n = 0;
    for (unsigned i = 0; i < b->records.members_n; i++)
        b->records.voters_n += b->records.members[i].voter;
    event->facts = &b->records;
    dealing_step(&b->d, b->now_ms, event, out);
    for (unsigned i = 0; i < out->n; i++) {
        if (out->list[i].kind == DEALING_DO_COLLECT)
            collect(b, &out->list[i]);
        else if (out->list[i].kind == DEALING_DO_CHECK)
            check(b, &out->list[i]);
        else if (out->list[i].kind == DEALING_DO_DROP)
            b->drops_n++;
        else
            operate(b, &out->list[i]);
    }
    free(out);
}

void bench_run(struct bench *b, uint64_t ms)
{
    uint64_t end_ms = b->now_ms + ms;

    bench_event(b, DEALING_EV_FACTS);
    while (b->now_ms < end_ms) {
        b->now_ms += 10;
        if (dealing_deadline(&b->d, b->now_ms) <= b->now_ms)
            bench_event(b, DEALING_EV_TICK);
        else if (b->now_ms % 500 == 0)
            bench_event(b, DEALING_EV_FACTS);
    }
}

bool bench_is_whole(const struct bench *b)
{
    for (unsigned i = 0; i < b->records.members_n; i++)
        if (b->records.members[i].role != DEALING_MEMBER || !b->records.members[i].in_deal)
            return false;
    return b->records.dealt && b->records.final;
}
