/* One machine: every event in every state, and each rule; in one file over 500 lines because all of
 * it shares the bench. What must hold whatever happens: no move outside the table, no release or
 * share from a state that may not give one, and the exact next states below. */
#include "seal/machine.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t self_id[NODE_ID_BYTES] = {1};
static const uint8_t peer_id[NODE_ID_BYTES] = {2};
static const uint8_t third_id[NODE_ID_BYTES] = {3};

struct bench {
    struct seal_machine m;
    struct seal_effects out;
    uint64_t now_ms;
    uint8_t random[SEAL_RANDOM_BYTES];
    struct seal_deal deal;
    struct seal_deal newer;
    struct seal_config config;
};

static void step(struct bench *b, const struct seal_event *event)
{
    b->random[0]++;
    seal_step(&b->m, b->now_ms, b->random, event, &b->out);
}

static void kind(struct bench *b, enum seal_event_kind what)
{
    struct seal_event event = {.kind = what};

    step(b, &event);
}

static struct seal_deal deal_of(uint64_t epoch, uint32_t mk_version)
{
    struct seal_deal deal = {.epoch = epoch, .mk_version = mk_version, .threshold = 2};

    deal.id[0] = (uint8_t)epoch;
    deal.members_n = 2;
    memcpy(deal.members[0].node_id, self_id, NODE_ID_BYTES);
    memcpy(deal.members[1].node_id, peer_id, NODE_ID_BYTES);
    deal.members[0].x = 1;
    deal.members[1].x = 2;
    deal.members[0].gen = deal.members[1].gen = epoch;
    return deal;
}

static void link_up(struct bench *b)
{
    struct seal_event event = {.kind = SEAL_EV_LINK_UP, .known = true};

    memcpy(event.node_id, peer_id, NODE_ID_BYTES);
    step(b, &event);
}

static const struct seal_peer *peer(struct bench *b)
{
    const struct seal_peer *found = seal_peer_find(&b->m, peer_id);

    cr_assert_not_null(found);
    return found;
}

/* A HELLO of the peer that echoes the newest nonce. */
static struct peer_message hello(struct bench *b, uint64_t epoch)
{
    struct peer_message message = {.kind = PEER_HELLO};

    memcpy(message.as.hello.node_id, peer_id, NODE_ID_BYTES);
    message.as.hello.boot_id[0] = 7;
    message.as.hello.nonce[0] = 9;
    if (seal_peer_find(&b->m, peer_id) != NULL)
        memcpy(message.as.hello.echo, peer(b)->nonce, PEER_NONCE_BYTES);
    message.as.hello.deal_id[0] = (uint8_t)epoch;
    message.as.hello.epoch = epoch;
    message.as.hello.gen = epoch;
    return message;
}

static void from_peer(struct bench *b, enum seal_event_kind what,
                      const struct peer_message *message)
{
    struct seal_event event = {.kind = what, .message = message};

    memcpy(event.node_id, peer_id, NODE_ID_BYTES);
    step(b, &event);
}

static struct peer_message want(struct bench *b)
{
    struct peer_message message = {.kind = PEER_WANT};

    memcpy(message.as.want.deal_id, b->deal.id, DEAL_ID_BYTES);
    message.as.want.epoch = b->deal.epoch;
    message.as.want.x = 2;
    message.as.want.gen = b->deal.epoch;
    message.as.want.what = PEER_WANT_RELEASE | PEER_WANT_SHARE;
    if (seal_peer_find(&b->m, peer_id) != NULL)
        memcpy(message.as.want.echo, peer(b)->nonce, PEER_NONCE_BYTES);
    return message;
}

static const uint8_t key[64];

static struct peer_message release(struct bench *b)
{
    struct peer_message message = {.kind = PEER_RELEASE};

    memcpy(message.as.release.deal_id, b->deal.id, DEAL_ID_BYTES);
    message.as.release.x = 2;
    message.as.release.gen = b->deal.epoch;
    message.as.release.key = bytes_of(key, 32);
    if (seal_peer_find(&b->m, peer_id) != NULL)
        memcpy(message.as.release.echo, peer(b)->nonce, PEER_NONCE_BYTES);
    return message;
}

static struct peer_message share(struct bench *b)
{
    struct peer_message message = {.kind = PEER_SHARE};

    memcpy(message.as.share.deal_id, b->deal.id, DEAL_ID_BYTES);
    message.as.share.x = 2;
    message.as.share.share = bytes_of(key, 64);
    if (seal_peer_find(&b->m, peer_id) != NULL)
        memcpy(message.as.share.echo, peer(b)->nonce, PEER_NONCE_BYTES);
    return message;
}

static void opened(struct bench *b, bool ok)
{
    struct seal_event event = {.kind = SEAL_EV_OPENED, .ok = ok};

    memcpy(event.node_id, peer_id, NODE_ID_BYTES);
    memcpy(event.deal_id, b->deal.id, DEAL_ID_BYTES);
    step(b, &event);
}

static void combined(struct bench *b, bool ok)
{
    struct seal_event event = {.kind = SEAL_EV_COMBINED, .ok = ok};

    step(b, &event);
}

static void recovered(struct bench *b, uint32_t mk_version)
{
    struct seal_event event = {.kind = SEAL_EV_RECOVERED, .mk_version = mk_version};

    step(b, &event);
}

static unsigned count(const struct bench *b, enum seal_effect_kind what)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->out.n; i++)
        n += b->out.list[i].kind == what;
    return n;
}

static unsigned sent(const struct bench *b, enum peer_kind what)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->out.n; i++)
        n += b->out.list[i].kind == SEAL_DO_SEND && b->out.list[i].message_kind == what;
    return n;
}

static void set_config(struct bench *b)
{
    struct seal_event event = {.kind = SEAL_EV_CONFIG, .config = &b->config};

    step(b, &event);
}

static struct bench *bench_new(void)
{
    static const uint8_t boot[BOOT_ID_BYTES] = {5};
    struct bench *b = calloc(1, sizeof(*b));

    cr_assert_not_null(b);
    b->now_ms = 1000;
    seal_init(&b->m, self_id, boot, 1, 1);
    b->deal = deal_of(1, 1);
    b->newer = deal_of(2, 1);
    b->config = (struct seal_config){.members_n = 2, .unseal_quorum = 2, .release_limit = 20};
    memcpy(b->config.members[0].node_id, self_id, NODE_ID_BYTES);
    memcpy(b->config.members[1].node_id, peer_id, NODE_ID_BYTES);
    return b;
}

/* A bench in that state, with a live peer of the same deal. */
static struct bench *bench_in(enum seal_state state)
{
    struct bench *b = bench_new();
    struct seal_event deal = {.kind = SEAL_EV_DEAL, .deal = &b->deal};
    struct peer_message message;

    if (state == SEAL_UNINITIALISED)
        return b;
    kind(b, SEAL_EV_STARTED);
    set_config(b);
    step(b, &deal);
    link_up(b);
    message = hello(b, 1);
    from_peer(b, SEAL_EV_HELLO, &message);
    if (state == SEAL_UNSEALING || state == SEAL_UNSEALED || state == SEAL_SEALING) {
        message = release(b);
        from_peer(b, SEAL_EV_RELEASE, &message);
        opened(b, true);
    }
    if (state == SEAL_UNSEALED || state == SEAL_SEALING) {
        message = share(b);
        from_peer(b, SEAL_EV_SHARE, &message);
        combined(b, true);
    }
    if (state == SEAL_SEALING)
        kind(b, SEAL_EV_SEAL);
    if (state == SEAL_HELD) {
        b->config.hold = RELEASE_FAIL;
        set_config(b);
        kind(b, SEAL_EV_WIPED);
    }
    cr_assert_eq(b->m.state, state, "%s", seal_state_text(state));
    return b;
}

static void apply(struct bench *b, enum seal_event_kind what)
{
    struct seal_event event = {.kind = what, .known = true};
    struct peer_message message = hello(b, 1);

    memcpy(event.node_id, peer_id, NODE_ID_BYTES);
    event.config = &b->config;
    event.deal = &b->newer;
    event.message = &message;
    event.ok = true;
    memcpy(event.deal_id, b->deal.id, DEAL_ID_BYTES);
    event.boot_id[0] = 7;
    event.attested = SEAL_ATTEST_ALLOW;
    event.until_ms = UINT64_MAX;
    if (what == SEAL_EV_WANT)
        message = want(b);
    else if (what == SEAL_EV_RELEASE)
        message = release(b);
    else if (what == SEAL_EV_SHARE)
        message = share(b);
    else if (what == SEAL_EV_DENY)
        message = (struct peer_message){.kind = PEER_DENY, .as.deny = {.rule = RELEASE_DEAL}};
    else if (what == SEAL_EV_RECORD_WANT)
        message = (struct peer_message){.kind = PEER_RECORD_WANT};
    step(b, &event);
}

#define SAME SEAL_STATES_N

/* The state after each event in each state; SAME: none. CONFIG here carries the hold that the
 * bench has; OPENED and COMBINED arrive without having been asked for, and so change nothing. */
static const enum seal_state next[SEAL_STATES_N][SEAL_EVENTS_N] = {
    [SEAL_UNINITIALISED] = {[SEAL_EV_STARTED] = SEAL_SEALED, [SEAL_EV_CREATED] = SEAL_UNSEALED},
    [SEAL_SEALED] = {[SEAL_EV_SEAL] = SEAL_SEALING, [SEAL_EV_RECOVERED] = SEAL_UNSEALED},
    [SEAL_UNSEALING] = {[SEAL_EV_SEAL] = SEAL_SEALING,
                        [SEAL_EV_DEAL] = SEAL_SEALED,
                        [SEAL_EV_RECOVERED] = SEAL_UNSEALED},
    [SEAL_UNSEALED] = {[SEAL_EV_SEAL] = SEAL_SEALING},
    [SEAL_SEALING] = {[SEAL_EV_WIPED] = SEAL_SEALED},
    [SEAL_HELD] = {[SEAL_EV_STARTED] = SAME},
};

static enum seal_state expected(enum seal_state state, enum seal_event_kind what)
{
    enum seal_state to = next[state][what];

    /* An entry that is not written reads as 0, which no event leads to. */
    return to == SEAL_UNINITIALISED || to == SAME ? state : to;
}

Test(machine, every_event_in_every_state_leads_where_it_should)
{
    for (enum seal_state state = 0; state < SEAL_STATES_N; state++)
        for (enum seal_event_kind what = 0; what < SEAL_EVENTS_N; what++) {
            struct bench *b = bench_in(state);

            apply(b, what);
            cr_assert_eq(b->m.state, expected(state, what), "%s, event %d: %s",
                         seal_state_text(state), (int)what, seal_state_text(b->m.state));
            free(b);
        }
}

static enum release_rule denial(struct bench *b, const struct peer_message *message)
{
    from_peer(b, SEAL_EV_WANT, message);
    cr_assert_eq(sent(b, PEER_RELEASE), 0);
    for (unsigned i = 0; i < b->out.n; i++)
        if (b->out.list[i].kind == SEAL_DO_SEND && b->out.list[i].message_kind == PEER_DENY)
            return (enum release_rule)b->out.list[i].as.deny.rule;
    return RELEASE_ALLOWED;
}

/* The same with a hold, and with the suspension of this very node. */
Test(machine, a_hold_or_the_own_suspension_wipes_from_every_state)
{
    static const enum seal_state held[SEAL_STATES_N] = {
        [SEAL_UNINITIALISED] = SEAL_UNINITIALISED,
        [SEAL_SEALED] = SEAL_SEALING,
        [SEAL_UNSEALING] = SEAL_SEALING,
        [SEAL_UNSEALED] = SEAL_SEALING,
        [SEAL_SEALING] = SEAL_SEALING,
        [SEAL_HELD] = SEAL_HELD,
    };

    for (unsigned suspended = 0; suspended < 2; suspended++)
        for (enum seal_state state = 0; state < SEAL_STATES_N; state++) {
            struct bench *b = bench_in(state);

            b->config.hold = suspended ? RELEASE_PASS : RELEASE_FAIL;
            b->config.members[0].suspended = suspended ? RELEASE_FAIL : RELEASE_PASS;
            b->config.control++;
            set_config(b);
            cr_assert_eq(b->m.state, held[state], "%s: %s", seal_state_text(state),
                         seal_state_text(b->m.state));
            kind(b, SEAL_EV_WIPED);
            if (state == SEAL_UNINITIALISED) { /* the order met it before it began */
                kind(b, SEAL_EV_STARTED);
                cr_assert_eq(b->m.state, SEAL_SEALING);
                kind(b, SEAL_EV_WIPED);
            }
            cr_assert_eq(b->m.state, SEAL_HELD, "%s", seal_state_text(state));
            free(b);
        }
}

/* Every event leaves a held node held, whatever it brings; only a lifted hold moves it. */
Test(machine, nothing_but_lifting_moves_a_held_node)
{
    for (enum seal_event_kind what = 0; what < SEAL_EVENTS_N; what++) {
        struct bench *b = bench_in(SEAL_HELD);

        apply(b, what);
        cr_assert_eq(b->m.state, SEAL_HELD, "event %d", (int)what);
        cr_assert_not(sent(b, PEER_RELEASE) || sent(b, PEER_SHARE) || sent(b, PEER_WANT),
                      "event %d", (int)what);
        b->config.hold = RELEASE_PASS;
        set_config(b);
        cr_assert_eq(b->m.state, SEAL_SEALED, "event %d", (int)what);
        free(b);
    }
}

Test(machine, an_unhold_during_the_wiping_leads_to_sealed)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    b->config.hold = RELEASE_FAIL;
    set_config(b);
    cr_assert_eq(b->m.state, SEAL_SEALING);
    b->config.hold = RELEASE_PASS;
    set_config(b);
    kind(b, SEAL_EV_WIPED);
    cr_assert_eq(b->m.state, SEAL_SEALED);
    free(b);
}

static void seal_for_hold(struct bench *b)
{
    struct seal_event event = {.kind = SEAL_EV_SEAL, .for_hold = true};

    step(b, &event);
    kind(b, SEAL_EV_WIPED);
}

static void control_is(struct bench *b, uint64_t control, enum release_answer hold)
{
    b->config.control = control;
    if (hold == RELEASE_FAIL)
        b->config.hold_number = control;
    b->config.hold = hold;
    set_config(b);
    kind(b, SEAL_EV_WIPED);
}

Test(machine, a_closing_for_a_hold_ends_with_the_hold)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    control_is(b, 4, RELEASE_PASS);
    seal_for_hold(b);
    cr_assert(b->m.closed && b->m.state == SEAL_SEALED);
    control_is(b, 5, RELEASE_PASS); /* another change, and no hold yet: stays closed */
    cr_assert(b->m.closed);
    control_is(b, 6, RELEASE_FAIL);
    cr_assert(!b->m.closed && b->m.state == SEAL_HELD);
    control_is(b, 7, RELEASE_PASS);
    cr_assert(!b->m.closed && b->m.state == SEAL_SEALED);
    free(b);
}

/* The log brings hold and unhold at once to a node that stood still. */
Test(machine, a_closing_for_a_hold_ends_when_the_hold_was_lifted_before_it_was_seen)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    seal_for_hold(b);
    b->config.hold_number = 3;
    control_is(b, 4, RELEASE_PASS);
    cr_assert(!b->m.closed && b->m.state == SEAL_SEALED);
    free(b);
}

Test(machine, an_order_that_comes_after_its_hold_closes_nothing_more)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    control_is(b, 5, RELEASE_FAIL);
    seal_for_hold(b);
    cr_assert(!b->m.closed && b->m.state == SEAL_HELD);
    free(b);
}

Test(machine, a_node_sealed_by_itself_stays_closed_through_a_hold)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    kind(b, SEAL_EV_SEAL);
    kind(b, SEAL_EV_WIPED);
    seal_for_hold(b);
    control_is(b, 1, RELEASE_FAIL);
    control_is(b, 2, RELEASE_PASS);
    cr_assert(b->m.closed && b->m.state == SEAL_SEALED);
    free(b);
}

Test(machine, a_suspended_peer_gets_nothing_and_counts_for_nothing)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct peer_message message = hello(b, 1);

    message.as.hello.control = 99; /* would deny everybody */
    from_peer(b, SEAL_EV_HELLO, &message);
    b->config.members[1].suspended = RELEASE_FAIL;
    set_config(b);
    message = want(b);
    cr_assert_eq(denial(b, &message), RELEASE_SUSPENDED);
    b->config.members[1].suspended = RELEASE_PASS;
    set_config(b);
    cr_assert_eq(denial(b, &message), RELEASE_NEWER);
    free(b);
}

/* Its peers learn at once that this node knows more, so that none releases by an old state. */
Test(machine, a_change_of_control_is_told_to_live_peers)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    b->config.control++;
    set_config(b);
    cr_assert(sent(b, PEER_HELLO));
    set_config(b);
    cr_assert_not(sent(b, PEER_HELLO));
    free(b);
}

Test(machine, keys_leave_only_from_states_that_may_give_them)
{
    for (enum seal_state state = 0; state < SEAL_STATES_N; state++)
        for (enum seal_event_kind what = 0; what < SEAL_EVENTS_N; what++) {
            struct bench *b = bench_in(state);
            bool may_release =
                what == SEAL_EV_WANT &&
                (state == SEAL_SEALED || state == SEAL_UNSEALING || state == SEAL_UNSEALED);
            bool may_share =
                what == SEAL_EV_WANT && (state == SEAL_UNSEALING || state == SEAL_UNSEALED);

            apply(b, what);
            cr_assert_eq(sent(b, PEER_RELEASE), may_release, "%s, event %d", seal_state_text(state),
                         (int)what);
            cr_assert_eq(sent(b, PEER_SHARE), may_share, "%s, event %d", seal_state_text(state),
                         (int)what);
            free(b);
        }
}

Test(machine, the_same_events_give_the_same_effects)
{
    struct bench *a = bench_in(SEAL_UNSEALING), *b = bench_in(SEAL_UNSEALING);

    apply(a, SEAL_EV_WANT);
    apply(b, SEAL_EV_WANT);
    cr_assert_eq(a->out.n, b->out.n);
    cr_assert_eq(memcmp(a->out.list, b->out.list, a->out.n * sizeof(a->out.list[0])), 0);
    free(a);
    free(b);
}

Test(machine, a_release_opens_the_own_share_once)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct peer_message message = release(b);

    from_peer(b, SEAL_EV_RELEASE, &message);
    cr_assert_eq(count(b, SEAL_DO_OPEN_SHARE), 1);
    from_peer(b, SEAL_EV_RELEASE, &message);
    cr_assert_eq(count(b, SEAL_DO_OPEN_SHARE), 0, "one at a time");
    opened(b, true);
    cr_assert_eq(b->m.state, SEAL_UNSEALING);
    cr_assert_eq(count(b, SEAL_DO_ACK), 1);
    from_peer(b, SEAL_EV_RELEASE, &message);
    cr_assert_eq(count(b, SEAL_DO_OPEN_SHARE), 0, "it is open");
    free(b);
}

Test(machine, a_release_of_another_deal_generation_or_nonce_is_ignored)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct peer_message message = release(b);

    message.as.release.deal_id[0] ^= 1;
    from_peer(b, SEAL_EV_RELEASE, &message);
    cr_assert_eq(count(b, SEAL_DO_OPEN_SHARE), 0);
    message = release(b);
    message.as.release.gen++;
    from_peer(b, SEAL_EV_RELEASE, &message);
    cr_assert_eq(count(b, SEAL_DO_OPEN_SHARE), 0);
    message = release(b);
    message.as.release.echo[0] ^= 1;
    from_peer(b, SEAL_EV_RELEASE, &message);
    cr_assert_eq(count(b, SEAL_DO_OPEN_SHARE), 0);
    message = release(b);
    message.as.release.x = 3;
    from_peer(b, SEAL_EV_RELEASE, &message);
    cr_assert_eq(count(b, SEAL_DO_OPEN_SHARE), 0);
    free(b);
}

Test(machine, a_share_asked_for_too_early_follows_when_it_is_open)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct peer_message message = want(b);

    from_peer(b, SEAL_EV_WANT, &message);
    cr_assert_eq(sent(b, PEER_RELEASE), 1);
    cr_assert_eq(sent(b, PEER_SHARE), 0);
    message = release(b);
    from_peer(b, SEAL_EV_RELEASE, &message);
    opened(b, true);
    cr_assert_eq(sent(b, PEER_SHARE), 1);
    free(b);
}

static unsigned audited(const struct bench *b, enum seal_audit audit)
{
    unsigned n = 0;

    for (unsigned i = 0; i < b->out.n; i++)
        n += b->out.list[i].kind == SEAL_DO_AUDIT && b->out.list[i].audit == audit;
    return n;
}

Test(machine, a_share_that_follows_later_is_audited_unless_its_key_was)
{
    for (unsigned both = 0; both < 2; both++) {
        struct bench *b = bench_in(SEAL_SEALED);
        struct peer_message message = want(b);

        message.as.want.what = PEER_WANT_SHARE | (both ? PEER_WANT_RELEASE : 0);
        from_peer(b, SEAL_EV_WANT, &message);
        cr_assert_eq(audited(b, SEAL_AUDIT_RELEASE), both);
        message = release(b);
        from_peer(b, SEAL_EV_RELEASE, &message);
        opened(b, true);
        cr_assert_eq(sent(b, PEER_SHARE), 1);
        cr_assert_eq(audited(b, SEAL_AUDIT_RELEASE), 1 - both);
        free(b);
    }
}

Test(machine, a_share_that_waits_is_not_given_once_its_asker_is_no_member)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct peer_message message = want(b);

    from_peer(b, SEAL_EV_WANT, &message);
    b->config.members_n = 1;
    set_config(b);
    message = release(b);
    from_peer(b, SEAL_EV_RELEASE, &message);
    opened(b, true);
    cr_assert_eq(sent(b, PEER_SHARE), 0);
    free(b);
}

/* A new session of a boot of the peer whose log ends there. */
static void says(struct bench *b, uint64_t boot, uint64_t index)
{
    struct seal_event down = {.kind = SEAL_EV_LINK_DOWN};
    struct peer_message message;

    memcpy(down.node_id, peer_id, NODE_ID_BYTES);
    step(b, &down);
    link_up(b);
    message = hello(b, b->deal.epoch);
    message.as.hello.boot_id[1] = (uint8_t)boot;
    message.as.hello.boot_counter = boot;
    message.as.hello.index = message.as.hello.stored = index;
    from_peer(b, SEAL_EV_HELLO, &message);
}

Test(machine, each_rule_denies_with_its_name)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct peer_message message = want(b);

    message.as.want.echo[0] ^= 1;
    cr_assert_eq(denial(b, &message), RELEASE_FRESH);
    message = want(b);
    message.as.want.x = 5;
    cr_assert_eq(denial(b, &message), RELEASE_RECORD);
    message = want(b);
    message.as.want.deal_id[0] ^= 1;
    cr_assert_eq(denial(b, &message), RELEASE_DEAL);
    message = want(b);
    message.as.want.gen++;
    cr_assert_eq(denial(b, &message), RELEASE_GENERATION);
    b->config.members[1].suspended = RELEASE_FAIL;
    set_config(b);
    message = want(b);
    cr_assert_eq(denial(b, &message), RELEASE_SUSPENDED);
    b->config.members[1].suspended = RELEASE_PASS;
    set_config(b);
    says(b, 1, 10);
    says(b, 1, 9);
    message = want(b);
    cr_assert_eq(denial(b, &message), RELEASE_WATERMARK);
    says(b, 2, 10);
    message = want(b);
    b->config.members_n = 1;
    set_config(b);
    cr_assert_eq(denial(b, &message), RELEASE_MEMBER);
    free(b);
}

/* The copy of a lone voter's disk elects itself and commits at each start, so that every count of
 * it grows past what is remembered. */
Test(machine, a_peer_that_has_committed_something_else_gets_nothing)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct peer_message message = hello(b, b->deal.epoch);
    struct seal_event event = {.kind = SEAL_EV_HELLO, .message = &message, .forked = true};

    memcpy(event.node_id, peer_id, NODE_ID_BYTES);
    step(b, &event);
    cr_assert_gt(sent(b, PEER_DENY), 0, "it is told at once");
    message = want(b);
    cr_assert_eq(denial(b, &message), RELEASE_WATERMARK);
    says(b, 9, 99);
    message = want(b);
    cr_assert_eq(sent(b, PEER_DENY), 0, "the next start is judged anew, by the hub");
    free(b);
}

Test(machine, a_peer_that_knows_a_newer_deal_gets_nothing)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct peer_message message = hello(b, 2);

    from_peer(b, SEAL_EV_HELLO, &message);
    cr_assert_eq(sent(b, PEER_RECORD_WANT), 1);
    message = want(b);
    cr_assert_eq(denial(b, &message), RELEASE_NEWER);
    free(b);
}

Test(machine, an_answer_older_than_fifteen_seconds_does_not_count)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct peer_message message = want(b);

    b->now_ms += SEAL_FRESH_MS + 1;
    memcpy(message.as.want.echo, peer(b)->nonce, PEER_NONCE_BYTES);
    cr_assert_eq(denial(b, &message), RELEASE_FRESH);
    free(b);
}

Test(machine, the_clone_report_of_the_link_denies_for_ten_minutes)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct peer_message message;
    struct seal_event event = {.kind = SEAL_EV_CLONE};

    memcpy(event.node_id, peer_id, NODE_ID_BYTES);
    step(b, &event);
    cr_assert_eq(count(b, SEAL_DO_AUDIT), 1);
    message = want(b);
    cr_assert_eq(denial(b, &message), RELEASE_ONE_BOOT);
    b->now_ms += SEAL_CLONE_MS;
    link_up(b);
    message = hello(b, 1);
    from_peer(b, SEAL_EV_HELLO, &message);
    message = want(b);
    from_peer(b, SEAL_EV_WANT, &message);
    cr_assert_eq(sent(b, PEER_RELEASE), 1);
    free(b);
}

Test(machine, a_hello_in_the_name_of_another_is_ignored)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct peer_message message = hello(b, 2);

    memcpy(message.as.hello.node_id, third_id, NODE_ID_BYTES);
    from_peer(b, SEAL_EV_HELLO, &message);
    cr_assert_eq(peer(b)->hello.epoch, 1);
    free(b);
}

Test(machine, a_founder_without_a_deal_cannot_be_sealed)
{
    struct bench *b = bench_new();

    kind(b, SEAL_EV_CREATED);
    kind(b, SEAL_EV_SEAL);
    cr_assert_eq(b->m.state, SEAL_UNSEALED);
    cr_assert_eq(count(b, SEAL_DO_WIPE), 0);
    free(b);
}

Test(machine, a_founder_that_shares_can_recover_can_be_sealed)
{
    struct bench *b = bench_new();

    kind(b, SEAL_EV_CREATED);
    b->config.recoverable = true;
    b->config.members_n = 1;
    set_config(b);
    cr_assert_eq(seal_shares_missing(&b->m), 0);
    kind(b, SEAL_EV_SEAL);
    kind(b, SEAL_EV_WIPED);
    cr_assert_eq(b->m.state, SEAL_SEALED);
    kind(b, SEAL_EV_UNSEAL);
    cr_assert_eq(b->m.state, SEAL_SEALED, "there is no deal that could open it");
    recovered(b, 1);
    cr_assert_eq(b->m.state, SEAL_UNSEALED);
    kind(b, SEAL_EV_SEAL);
    cr_assert_eq(b->m.state, SEAL_SEALING);
    free(b);
}

Test(machine, a_recovered_node_gives_no_share_that_it_has_not_opened)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct peer_message message;

    recovered(b, 1);
    cr_assert_eq(b->m.state, SEAL_UNSEALED);
    cr_assert_not(b->m.own_share);
    cr_assert_eq(sent(b, PEER_WANT), 1, "it still asks for a release");
    message = want(b);
    from_peer(b, SEAL_EV_WANT, &message);
    cr_assert_eq(sent(b, PEER_RELEASE), 1);
    cr_assert_eq(sent(b, PEER_SHARE), 0);
    message = release(b);
    from_peer(b, SEAL_EV_RELEASE, &message);
    cr_assert_eq(count(b, SEAL_DO_OPEN_SHARE), 1);
    opened(b, true);
    cr_assert_eq(b->m.state, SEAL_UNSEALED);
    cr_assert_eq(sent(b, PEER_SHARE), 1, "the one that was waited for");
    free(b);
}

Test(machine, a_recovered_node_of_an_older_master_key_takes_the_newer_from_peers)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct seal_event deal = {.kind = SEAL_EV_DEAL, .deal = &b->newer};
    struct peer_message message;

    recovered(b, 1);
    b->newer.mk_version = 2;
    step(b, &deal);
    b->deal = b->newer;
    cr_assert_eq(b->m.state, SEAL_UNSEALED);
    message = hello(b, 2);
    from_peer(b, SEAL_EV_HELLO, &message);
    cr_assert_eq(sent(b, PEER_WANT), 1);
    message = release(b);
    from_peer(b, SEAL_EV_RELEASE, &message);
    opened(b, true);
    message = share(b);
    from_peer(b, SEAL_EV_SHARE, &message);
    cr_assert_eq(count(b, SEAL_DO_COMBINE), 1);
    combined(b, true);
    cr_assert_eq(b->m.mk_version, 2);
    cr_assert_eq(b->m.state, SEAL_UNSEALED);
    free(b);
}

Test(machine, shares_open_a_node_that_an_operator_closed_but_none_on_hold)
{
    struct bench *b = bench_in(SEAL_SEALING), *held = bench_in(SEAL_HELD);

    kind(b, SEAL_EV_WIPED);
    cr_assert(b->m.closed);
    recovered(b, 1);
    cr_assert_eq(b->m.state, SEAL_UNSEALED);
    cr_assert_not(b->m.closed);
    recovered(held, 1);
    cr_assert_eq(held->m.state, SEAL_HELD);
    free(b);
    free(held);
}

Test(machine, an_open_node_whose_deal_has_a_new_master_key_combines_again)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct seal_event event = {.kind = SEAL_EV_DEAL, .deal = &b->newer};
    struct peer_message message;

    b->newer.mk_version = 2;
    step(b, &event);
    cr_assert_eq(b->m.state, SEAL_UNSEALED);
    message = hello(b, 2);
    b->deal = b->newer;
    from_peer(b, SEAL_EV_HELLO, &message);
    cr_assert_eq(sent(b, PEER_WANT), 1);
    message = release(b);
    from_peer(b, SEAL_EV_RELEASE, &message);
    opened(b, true);
    message = share(b);
    from_peer(b, SEAL_EV_SHARE, &message);
    cr_assert_eq(count(b, SEAL_DO_COMBINE), 1);
    combined(b, true);
    cr_assert_eq(b->m.mk_version, 2);
    free(b);
}

Test(machine, a_failed_opening_is_tried_again_a_second_later)
{
    struct bench *b = bench_in(SEAL_UNSEALING);
    struct peer_message message = share(b);

    from_peer(b, SEAL_EV_SHARE, &message);
    cr_assert_eq(count(b, SEAL_DO_COMBINE), 1);
    combined(b, false);
    cr_assert_eq(count(b, SEAL_DO_COMBINE), 0);
    cr_assert_leq(seal_deadline(&b->m, b->now_ms), b->now_ms + SEAL_RETRY_MS_MAX);
    b->now_ms += SEAL_RETRY_MS_MAX;
    kind(b, SEAL_EV_TICK);
    cr_assert_eq(count(b, SEAL_DO_COMBINE), 1);
    free(b);
}

Test(machine, strangers_never_crowd_members_out)
{
    struct bench *b = bench_in(SEAL_SEALED);

    for (unsigned i = 0; i < 2 * NODES_MAX; i++) {
        struct seal_event event = {.kind = SEAL_EV_LINK_UP, .known = false};

        memset(event.node_id, 0xee, NODE_ID_BYTES);
        event.node_id[0] = (uint8_t)i;
        step(b, &event);
        event.kind = SEAL_EV_LINK_DOWN;
        step(b, &event);
    }
    cr_assert(seal_peer_live(peer(b), b->now_ms));
    free(b);
}

/* --- attestation ----------------------------------------------------------------------------- */

static void attest_on(struct bench *b)
{
    b->config.attest = true;
    set_config(b);
}

static void attested(struct bench *b, uint8_t boot, enum seal_attested answer, uint64_t until_ms)
{
    struct seal_event event = {
        .kind = SEAL_EV_ATTESTED, .attested = answer, .until_ms = until_ms, .boot_id = {boot}};

    memcpy(event.node_id, peer_id, NODE_ID_BYTES);
    step(b, &event);
}

static void wants(struct bench *b)
{
    struct peer_message message = want(b);

    from_peer(b, SEAL_EV_WANT, &message);
}

static enum release_rule denied(const struct bench *b)
{
    for (unsigned i = 0; i < b->out.n; i++)
        if (b->out.list[i].kind == SEAL_DO_SEND && b->out.list[i].message_kind == PEER_DENY)
            return (enum release_rule)b->out.list[i].as.deny.rule;
    return RELEASE_ALLOWED;
}

Test(machine, with_a_hook_nothing_is_released_before_it_allowed_in_any_state)
{
    for (enum seal_state state = 0; state < SEAL_STATES_N; state++) {
        struct bench *b = bench_in(state);
        bool may = state == SEAL_SEALED || state == SEAL_UNSEALING || state == SEAL_UNSEALED;

        b->config.attest = true;
        set_config(b);
        wants(b);
        cr_assert_eq(count(b, SEAL_DO_ATTEST), may, "%s", seal_state_text(state));
        cr_assert_eq(sent(b, PEER_RELEASE) + sent(b, PEER_SHARE), 0, "%s", seal_state_text(state));
        for (enum seal_event_kind what = 0; what < SEAL_EVENTS_N; what++)
            if (what != SEAL_EV_ATTESTED && what != SEAL_EV_DEAL && may) {
                struct bench *copy = bench_in(state);

                attest_on(copy);
                wants(copy);
                apply(copy, what);
                cr_assert_eq(sent(copy, PEER_RELEASE) + sent(copy, PEER_SHARE), 0, "%s, event %d",
                             seal_state_text(state), (int)what);
                free(copy);
            }
        attested(b, 7, SEAL_ATTEST_ALLOW, b->now_ms + 1000);
        cr_assert_eq(sent(b, PEER_RELEASE), may, "%s", seal_state_text(state));
        free(b);
    }
}

Test(machine, the_effect_says_whom_in_which_boot_and_what_it_wants)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    attest_on(b);
    wants(b);
    for (unsigned i = 0; i < b->out.n; i++) {
        const struct seal_effect *effect = &b->out.list[i];

        if (effect->kind != SEAL_DO_ATTEST)
            continue;
        cr_assert_eq(memcmp(effect->node_id, peer_id, NODE_ID_BYTES), 0);
        cr_assert_eq(effect->boot_id[0], 7);
        cr_assert_eq(memcmp(effect->deal_id, b->deal.id, DEAL_ID_BYTES), 0);
        cr_assert_eq(effect->x, 2);
        cr_assert_eq(effect->gen, 1);
        cr_assert_eq(effect->as.want.what, PEER_WANT_RELEASE | PEER_WANT_SHARE);
    }
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 1);
    free(b);
}

Test(machine, one_question_at_a_time_answers_the_newest_want)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    attest_on(b);
    wants(b);
    wants(b);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 0, "it is being asked");
    cr_assert_eq(sent(b, PEER_DENY), 0, "silence until it has spoken");
    attested(b, 7, SEAL_ATTEST_ALLOW, b->now_ms + 1000);
    cr_assert_eq(sent(b, PEER_RELEASE), 1);
    cr_assert_eq(sent(b, PEER_SHARE), 1);
    attested(b, 7, SEAL_ATTEST_ALLOW, b->now_ms + 1000);
    cr_assert_eq(sent(b, PEER_RELEASE), 0, "answered once");
    free(b);
}

Test(machine, an_answer_holds_until_its_time_and_is_asked_for_anew_after_it)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    attest_on(b);
    wants(b);
    attested(b, 7, SEAL_ATTEST_ALLOW, b->now_ms + 1000);
    b->now_ms += 1000;
    wants(b);
    cr_assert_eq(sent(b, PEER_RELEASE), 1);
    b->now_ms++;
    wants(b);
    cr_assert_eq(sent(b, PEER_RELEASE), 0);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 1);
    attested(b, 7, SEAL_ATTEST_DENY, b->now_ms + 1000);
    cr_assert_eq(denied(b), RELEASE_ATTESTATION);
    free(b);
}

Test(machine, a_denial_by_the_hook_is_told_with_its_time_and_audited)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    attest_on(b);
    wants(b);
    attested(b, 7, SEAL_ATTEST_DENY, b->now_ms + 7000);
    cr_assert_eq(denied(b), RELEASE_ATTESTATION);
    cr_assert_eq(b->out.list[0].as.deny.retry_ms, 7000);
    cr_assert_eq(count(b, SEAL_DO_AUDIT), 1);
    wants(b);
    cr_assert_eq(denied(b), RELEASE_ATTESTATION);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 0);
    cr_assert_eq(count(b, SEAL_DO_AUDIT), 0, "one line a minute");
    free(b);
}

Test(machine, deferred_is_denied_now_and_asked_again_later)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    attest_on(b);
    wants(b);
    attested(b, 7, SEAL_ATTEST_DEFER, b->now_ms + 2000);
    cr_assert_eq(denied(b), RELEASE_DEFERRED);
    wants(b);
    cr_assert_eq(denied(b), RELEASE_DEFERRED);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 0);
    b->now_ms += 2001;
    wants(b);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 1);
    attested(b, 7, SEAL_ATTEST_ALLOW, b->now_ms);
    cr_assert_eq(sent(b, PEER_RELEASE), 1, "an answer without any time holds for its own want");
    free(b);
}

Test(machine, what_is_no_answer_is_a_denial)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    attest_on(b);
    wants(b);
    attested(b, 7, SEAL_ATTEST_UNKNOWN, b->now_ms + 2000);
    cr_assert_eq(denied(b), RELEASE_ATTESTATION);
    free(b);
}

Test(machine, an_answer_for_another_boot_or_to_no_question_changes_nothing)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct peer_message message;

    attest_on(b);
    attested(b, 7, SEAL_ATTEST_ALLOW, UINT64_MAX);
    wants(b);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 1, "it was not asked");
    attested(b, 8, SEAL_ATTEST_ALLOW, UINT64_MAX);
    cr_assert_eq(sent(b, PEER_RELEASE), 0);
    attested(b, 7, SEAL_ATTEST_ALLOW, UINT64_MAX);
    cr_assert_eq(sent(b, PEER_RELEASE), 1);
    message = hello(b, 1);
    message.as.hello.boot_id[0] = 9;
    from_peer(b, SEAL_EV_HELLO, &message);
    wants(b);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 1, "a member that restarted is attested anew");
    cr_assert_eq(sent(b, PEER_RELEASE), 0);
    free(b);
}

Test(machine, an_answer_that_comes_late_is_judged_by_all_rules_again)
{
    struct bench *b = bench_in(SEAL_UNSEALED);

    attest_on(b);
    wants(b);
    b->config.members[1].suspended = RELEASE_FAIL;
    set_config(b);
    attested(b, 7, SEAL_ATTEST_ALLOW, UINT64_MAX);
    cr_assert_eq(denied(b), RELEASE_SUSPENDED);
    free(b);
}

Test(machine, an_answer_after_the_link_went_down_is_kept_but_gives_nothing)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct seal_event down = {.kind = SEAL_EV_LINK_DOWN};
    struct peer_message message;

    attest_on(b);
    wants(b);
    memcpy(down.node_id, peer_id, NODE_ID_BYTES);
    step(b, &down);
    attested(b, 7, SEAL_ATTEST_ALLOW, UINT64_MAX);
    cr_assert_eq(sent(b, PEER_RELEASE) + sent(b, PEER_DENY), 0);
    link_up(b);
    message = hello(b, 1);
    from_peer(b, SEAL_EV_HELLO, &message);
    wants(b);
    cr_assert_eq(sent(b, PEER_RELEASE), 1);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 0);
    free(b);
}

Test(machine, an_answer_that_never_comes_is_asked_for_again)
{
    struct bench *b = bench_in(SEAL_UNSEALED);
    struct peer_message message;

    attest_on(b);
    wants(b);
    b->now_ms += SEAL_ATTEST_MS + 1;
    message = hello(b, 1);
    from_peer(b, SEAL_EV_HELLO, &message);
    wants(b);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 1);
    free(b);
}

Test(machine, a_share_that_opens_after_the_answer_ran_out_is_not_sent)
{
    struct bench *b = bench_in(SEAL_SEALED);
    struct peer_message message;

    attest_on(b);
    wants(b);
    attested(b, 7, SEAL_ATTEST_ALLOW, b->now_ms + 100);
    cr_assert_eq(sent(b, PEER_RELEASE), 1);
    b->now_ms += 101;
    message = release(b);
    from_peer(b, SEAL_EV_RELEASE, &message);
    opened(b, true);
    cr_assert_eq(sent(b, PEER_SHARE), 0);
    wants(b);
    cr_assert_eq(count(b, SEAL_DO_ATTEST), 1);
    attested(b, 7, SEAL_ATTEST_ALLOW, b->now_ms + 100);
    cr_assert_eq(sent(b, PEER_SHARE), 1);
    free(b);
}
