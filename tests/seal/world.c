#include "world.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

void world_node_id(unsigned i, uint8_t ret_id[static NODE_ID_BYTES])
{
    memset(ret_id, 0, NODE_ID_BYTES);
    ret_id[0] = (uint8_t)(i + 1);
}

static unsigned index_of(const uint8_t *node_id)
{
    return (unsigned)node_id[0] - 1;
}

struct world *world_new(unsigned nodes_n)
{
    struct world *world = calloc(1, sizeof(*world));

    cr_assert(world != NULL && nodes_n <= WORLD_NODES_MAX);
    world->nodes_n = nodes_n;
    world->now_ms = 1000;
    world->random = 88172645463325252ull;
    world->queue = calloc(WORLD_QUEUE_MAX, sizeof(*world->queue));
    for (unsigned i = 0; i < nodes_n; i++) {
        world->nodes[i].m = calloc(1, sizeof(struct seal_machine));
        world->nodes[i].effects = calloc(1, sizeof(struct seal_effects));
    }
    return world;
}

void world_free(struct world *world)
{
    for (unsigned i = 0; i < world->nodes_n; i++) {
        free(world->nodes[i].m);
        free(world->nodes[i].effects);
    }
    free(world->queue);
    free(world);
}

static uint64_t next_random(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

struct seal_deal world_deal(const struct world *world, uint64_t epoch, unsigned t)
{
    struct seal_deal deal = {.epoch = epoch, .mk_version = 1, .threshold = t};

    deal.id[0] = (uint8_t)epoch;
    deal.id[1] = 0xdd;
    deal.members_n = world->nodes_n;
    for (unsigned i = 0; i < world->nodes_n; i++) {
        world_node_id(i, deal.members[i].node_id);
        deal.members[i].x = i + 1;
        deal.members[i].gen = epoch;
    }
    return deal;
}

/* --- network --------------------------------------------------------------------------------- */

static void send_fill(const struct world *world, unsigned from, const struct seal_effect *effect,
                      struct world_message *slot)
{
    if (effect->message_kind == PEER_HELLO)
        slot->message.as.hello = effect->as.hello;
    else if (effect->message_kind == PEER_WANT)
        slot->message.as.want = effect->as.want;
    else if (effect->message_kind == PEER_DENY)
        slot->message.as.deny = effect->as.deny;
    else if (effect->message_kind == PEER_RECORD_WANT)
        slot->message.as.record_want = effect->as.record_want;
    else if (effect->message_kind == PEER_RELEASE) {
        slot->message.as.release = effect->as.release;
        slot->key[0] = (uint8_t)effect->as.release.x;
        slot->key[1] = (uint8_t)effect->x;
        slot->key[2] = effect->deal_id[0];
        slot->key[3] = world->nodes[from].corrupt_slot;
    } else if (effect->message_kind == PEER_SHARE) {
        slot->message.as.share = effect->as.share;
        slot->key[0] = (uint8_t)effect->as.share.x;
        slot->key[1] = world->nodes[from].corrupt_share;
    }
}

static void send(struct world *world, unsigned from, const struct seal_effect *effect)
{
    unsigned to = index_of(effect->node_id);
    struct world_message *slot;

    if (!world->linked[from][to] || world->cut[from][to])
        return;
    world->sent_n++;
    if (world->drop_one_in > 0 && next_random(world) % world->drop_one_in == 0)
        return;
    /* A node that does not know the other hears it on the record channel only. */
    if (world->strangers[to][from] && !effect->by_record)
        return;
    cr_assert(world->queue_n < WORLD_QUEUE_MAX);
    slot = &world->queue[world->queue_n++];
    memset(slot, 0, sizeof(*slot));
    slot->from = from;
    slot->to = to;
    slot->at_ms = world->now_ms + 1;
    slot->message.kind = effect->message_kind;
    send_fill(world, from, effect, slot);
}

/* --- effects --------------------------------------------------------------------------------- */

static void opened(struct world *world, unsigned i, const struct seal_effect *effect)
{
    struct seal_event event = {.kind = SEAL_EV_OPENED};
    const struct seal_deal *deal =
        effect->candidate ? &world->nodes[i].m->candidate : &world->nodes[i].m->deal;

    memcpy(event.node_id, effect->node_id, NODE_ID_BYTES);
    memcpy(event.deal_id, effect->deal_id, DEAL_ID_BYTES);
    event.ok = effect->key.data[0] == effect->x && effect->key.data[1] == i + 1 &&
               effect->key.data[2] == deal->id[0] && effect->key.data[3] == 0;
    world_step(world, i, &event);
}

static void combine(struct world *world, unsigned i)
{
    struct world_node *node = &world->nodes[i];
    struct seal_event event = {.kind = SEAL_EV_COMBINED};
    unsigned good = node->m->own_share ? 1 : 0;

    for (unsigned k = 0; k < node->shares_n; k++) {
        if (node->shares_bad[k] && event.x == 0)
            event.x = node->shares[k];
        good += !node->shares_bad[k];
    }
    event.ok = good >= node->m->deal.threshold;
    if (event.ok)
        event.x = 0;
    node->mk = node->mk || event.ok;
    world_step(world, i, &event);
}

static void drop_share(struct world_node *node, uint32_t x)
{
    for (unsigned k = 0; k < node->shares_n; k++)
        if (node->shares[k] == x) {
            node->shares_n--;
            node->shares[k] = node->shares[node->shares_n];
            node->shares_bad[k] = node->shares_bad[node->shares_n];
            return;
        }
    cr_assert_fail("a share that was not kept is dropped");
}

static void keep_share(struct world_node *node, const struct seal_effect *effect)
{
    cr_assert(node->shares_n < WORLD_SHARES_MAX);
    cr_assert_eq(effect->key.data[0], effect->x);
    node->shares[node->shares_n] = effect->x;
    node->shares_bad[node->shares_n++] = effect->key.data[1] != 0;
}

static void note(struct world_node *node, const struct seal_effect *effect)
{
    node->releases_n += effect->audit == SEAL_AUDIT_RELEASE;
    node->denials_n += effect->audit == SEAL_AUDIT_DENIAL;
    node->clones_n += effect->audit == SEAL_AUDIT_CLONE;
    node->rates_n += effect->audit == SEAL_AUDIT_RATE;
    node->bad_shares_n += effect->audit == SEAL_AUDIT_BAD_SHARE;
    node->bad_slots_n += effect->audit == SEAL_AUDIT_BAD_SLOT;
    if (effect->audit == SEAL_AUDIT_DENIAL)
        node->last_denial = effect->rule;
}

static void wiped(struct world *world, unsigned i)
{
    struct world_node *node = &world->nodes[i];

    node->mk = false;
    node->shares_n = 0;
    node->wipes_n++;
    world_kind(world, i, SEAL_EV_WIPED);
}

static void perform(struct world *world, unsigned i, const struct seal_effect *effect)
{
    struct world_node *node = &world->nodes[i];

    switch (effect->kind) {
    case SEAL_DO_SEND:
        send(world, i, effect);
        break;
    case SEAL_DO_OPEN_SHARE:
        opened(world, i, effect);
        break;
    case SEAL_DO_KEEP_SHARE:
        keep_share(node, effect);
        break;
    case SEAL_DO_DROP_SHARE:
        drop_share(node, effect->x);
        break;
    case SEAL_DO_COMBINE:
        combine(world, i);
        break;
    case SEAL_DO_WIPE:
        wiped(world, i);
        break;
    case SEAL_DO_ACK:
        node->acks_n++;
        break;
    case SEAL_DO_AUDIT:
        note(node, effect);
        break;
    case SEAL_DO_REMEMBER:
        memcpy(node->marks, node->m->marks, sizeof(node->marks));
        node->marks_n = node->m->marks_n;
        break;
    case SEAL_DO_ADOPT:
    case SEAL_DO_STATE:
    case SEAL_DO_ATTEST:
        break;
    }
}

/* Effects of one step are copied, since carrying one out may step again. */
void world_step(struct world *world, unsigned i, const struct seal_event *event)
{
    struct world_node *node = &world->nodes[i];
    uint8_t random[SEAL_RANDOM_BYTES];
    struct seal_effects *effects = malloc(sizeof(*effects));

    for (size_t k = 0; k < sizeof(random); k++)
        random[k] = (uint8_t)next_random(world);
    seal_step(node->m, world->now_ms, random, event, node->effects);
    effects->n = node->effects->n;
    memcpy(effects->list, node->effects->list, effects->n * sizeof(effects->list[0]));
    for (unsigned k = 0; k < effects->n; k++)
        perform(world, i, &effects->list[k]);
    free(effects);
}

void world_kind(struct world *world, unsigned i, enum seal_event_kind kind)
{
    struct seal_event event = {.kind = kind};

    world_step(world, i, &event);
}

void world_give_deal(struct world *world, unsigned i, const struct seal_deal *deal)
{
    struct seal_event event = {.kind = SEAL_EV_DEAL, .deal = deal};

    world->nodes[i].deal = *deal;
    world_step(world, i, &event);
}

void world_config(struct world *world, unsigned i, enum release_answer hold)
{
    struct seal_config config = {.unseal_quorum = 2, .release_limit = 20, .hold = hold};
    struct seal_event event = {.kind = SEAL_EV_CONFIG, .config = &config};

    config.members_n = world->nodes_n;
    for (unsigned k = 0; k < world->nodes_n; k++)
        world_node_id(k, config.members[k].node_id);
    for (unsigned k = 0; k < config.members_n; k++)
        if (world->strangers[i][k])
            config.members[k] = config.members[--config.members_n];
    world_step(world, i, &event);
}

void world_at(struct world *world, unsigned i)
{
    const struct world_node *node = &world->nodes[i];

    seal_position(world->nodes[i].m, node->term, node->index, node->stored, node->made);
}

static void link_event(struct world *world, unsigned i, unsigned k, enum seal_event_kind kind)
{
    struct seal_event event = {.kind = kind, .known = !world->strangers[i][k]};

    world_node_id(k, event.node_id);
    world->linked[i][k] = kind == SEAL_EV_LINK_UP;
    world_step(world, i, &event);
}

void world_start(struct world *world, unsigned i, const struct seal_deal *deal)
{
    struct world_node *node = &world->nodes[i];
    uint8_t node_id[NODE_ID_BYTES], boot_id[BOOT_ID_BYTES] = {0};

    world_node_id(i, node_id);
    boot_id[0] = (uint8_t)(i + 1);
    boot_id[1] = ++node->boot;
    boot_id[2] = node->process;
    seal_init(node->m, node_id, boot_id, node->boot, i + 1);
    seal_marks_set(node->m, node->marks, node->marks_n);
    node->up = true;
    node->mk = false;
    node->shares_n = 0;
    world_kind(world, i, SEAL_EV_STARTED);
    world_at(world, i);
    world_config(world, i, RELEASE_ABSENT);
    if (deal != NULL)
        world_give_deal(world, i, deal);
    for (unsigned k = 0; k < world->nodes_n; k++)
        if (k != i && world->nodes[k].up) {
            world->linked[i][k] = world->linked[k][i] = true;
            link_event(world, i, k, SEAL_EV_LINK_UP);
            link_event(world, k, i, SEAL_EV_LINK_UP);
        }
}

void world_kill(struct world *world, unsigned i)
{
    world->nodes[i].up = false;
    for (unsigned k = 0; k < world->nodes_n; k++)
        if (k != i && world->nodes[k].up && world->linked[k][i]) {
            world->linked[i][k] = false;
            link_event(world, k, i, SEAL_EV_LINK_DOWN);
        }
    for (unsigned q = 0; q < world->queue_n; q++)
        if (world->queue[q].to == i || world->queue[q].from == i)
            world->queue[q].to = WORLD_NODES_MAX;
}

static const enum seal_event_kind kinds[] = {
    [PEER_HELLO] = SEAL_EV_HELLO,     [PEER_WANT] = SEAL_EV_WANT,
    [PEER_RELEASE] = SEAL_EV_RELEASE, [PEER_SHARE] = SEAL_EV_SHARE,
    [PEER_DENY] = SEAL_EV_DENY,       [PEER_RECORD_WANT] = SEAL_EV_RECORD_WANT,
    [PEER_RECORD] = SEAL_EV_RECORD,
};

static void deliver(struct world *world, struct world_message *m)
{
    struct seal_event event = {.kind = kinds[m->message.kind], .message = &m->message};

    world_node_id(m->from, event.node_id);
    m->message.as.release.key = m->message.kind == PEER_RELEASE ? bytes_of(m->key, PEER_KEY_BYTES)
                                                                : m->message.as.release.key;
    if (m->message.kind == PEER_SHARE)
        m->message.as.share.share = bytes_of(m->key, PEER_SHARE_BYTES);
    if (m->message.kind == PEER_RECORD) {
        world->nodes[m->to].candidate = world->nodes[m->from].deal;
        event.deal = &world->nodes[m->to].candidate;
        event.x = m->from + 1;
    }
    world_step(world, m->to, &event);
}

static bool deliver_due(struct world *world)
{
    for (unsigned q = 0; q < world->queue_n; q++) {
        struct world_message m = world->queue[q];

        if (m.to < WORLD_NODES_MAX && m.at_ms > world->now_ms)
            continue;
        world->queue_n--;
        memmove(&world->queue[q], &world->queue[q + 1],
                (world->queue_n - q) * sizeof(world->queue[0]));
        if (m.to < WORLD_NODES_MAX && world->nodes[m.to].up)
            deliver(world, &m);
        return true;
    }
    return false;
}

static void one_ms(struct world *world)
{
    while (deliver_due(world))
        continue;
    for (unsigned i = 0; i < world->nodes_n; i++)
        if (world->nodes[i].up && seal_deadline(world->nodes[i].m, world->now_ms) <= world->now_ms)
            world_kind(world, i, SEAL_EV_TICK);
    world->now_ms++;
}

bool world_run(struct world *world, uint64_t ms)
{
    uint64_t end_ms = world->now_ms + ms;

    while (world->now_ms < end_ms)
        one_ms(world);
    return true;
}

bool world_run_until(struct world *world, unsigned i, enum seal_state state, uint64_t ms)
{
    uint64_t end_ms = world->now_ms + ms;

    while (world->now_ms < end_ms && world->nodes[i].m->state != state)
        one_ms(world);
    return world->nodes[i].m->state == state;
}
