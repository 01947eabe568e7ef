/* Each rule alone, both ways: all facts good but one. */
#include "seal/release.h"

#include <criterion/criterion.h>
#include <string.h>

static struct release_facts good(void)
{
    return (struct release_facts){.member = true,
                                  .in_record = true,
                                  .fresh = true,
                                  .same_deal = true,
                                  .same_gen = true,
                                  .view_n = 2,
                                  .quorum = 2,
                                  .hold = RELEASE_PASS,
                                  .suspended = RELEASE_PASS,
                                  .watermark = RELEASE_PASS,
                                  .attestation = RELEASE_PASS};
}

static enum release_rule decide(const struct release_facts *facts)
{
    struct release_rate rate = {0};

    return release_decide(facts, &rate, 1000).rule;
}

Test(release, all_good_is_allowed)
{
    struct release_facts facts = good();
    struct release_rate rate = {0};
    struct release_decision decision = release_decide(&facts, &rate, 1000);

    cr_assert_eq(decision.rule, RELEASE_ALLOWED);
    cr_assert_eq(decision.absent, 0);
}

#define DENIES(name_, field_, value_, rule_)                                                       \
    Test(release, name_)                                                                           \
    {                                                                                              \
        struct release_facts facts = good();                                                       \
                                                                                                   \
        cr_assert_eq(decide(&facts), RELEASE_ALLOWED);                                             \
        facts.field_ = value_;                                                                     \
        cr_assert_eq(decide(&facts), rule_);                                                       \
    }

DENIES(a_node_sealed_by_its_operator_releases_nothing, closed, true, RELEASE_CLOSED)
DENIES(hold_denies, hold, RELEASE_FAIL, RELEASE_HOLD)
DENIES(a_node_outside_the_configuration_is_denied, member, false, RELEASE_MEMBER)
DENIES(a_node_outside_the_record_is_denied, in_record, false, RELEASE_RECORD)
DENIES(a_suspended_node_is_denied, suspended, RELEASE_FAIL, RELEASE_SUSPENDED)
DENIES(a_clone_is_denied, clone, true, RELEASE_ONE_BOOT)
DENIES(a_stale_answer_is_denied, fresh, false, RELEASE_FRESH)
DENIES(a_newer_deal_in_the_view_denies, newer, true, RELEASE_NEWER)
DENIES(another_deal_is_denied, same_deal, false, RELEASE_DEAL)
DENIES(another_generation_is_denied, same_gen, false, RELEASE_GENERATION)
DENIES(fewer_than_the_unseal_quorum_deny, view_n, 1, RELEASE_QUORUM)
DENIES(a_greater_quorum_denies_two, quorum, 3, RELEASE_QUORUM)
DENIES(a_disk_below_the_watermark_is_denied, watermark, RELEASE_FAIL, RELEASE_WATERMARK)
DENIES(an_audit_log_that_takes_no_line_denies, unrecorded, true, RELEASE_UNRECORDED)
DENIES(the_attestation_hook_denies, attestation, RELEASE_FAIL, RELEASE_ATTESTATION)

Test(release, the_quorum_is_as_set_or_a_majority_of_those_who_have_a_say)
{
    static const unsigned majorities[] = {2, 2, 2, 2, 3, 3, 4, 4}; /* of 0 to 7 */

    for (unsigned n = 0; n < 8; n++) {
        cr_assert_eq(release_quorum(0, n), majorities[n]);
        cr_assert_eq(release_quorum(2, n), 2);
        cr_assert_eq(release_quorum(4, n), n < 2 ? 2 : n < 4 ? n : 4);
    }
}

Test(release, an_absent_rule_does_not_deny_and_is_named)
{
    struct release_facts facts = good();
    struct release_rate rate = {0};
    struct release_decision decision;

    facts.hold = facts.suspended = facts.watermark = facts.attestation = RELEASE_ABSENT;
    decision = release_decide(&facts, &rate, 1000);
    cr_assert_eq(decision.rule, RELEASE_ALLOWED);
    cr_assert_eq(decision.absent, 1u << RELEASE_HOLD | 1u << RELEASE_SUSPENDED |
                                      1u << RELEASE_WATERMARK | 1u << RELEASE_ATTESTATION);
}

Test(release, the_twentieth_release_in_ten_minutes_is_free_and_the_next_brings_a_delay)
{
    struct release_facts facts = good();
    struct release_rate rate = {0};
    uint64_t now_ms = 5000;

    for (unsigned i = 0; i < 20; i++) {
        cr_assert_eq(release_decide(&facts, &rate, now_ms).rule, RELEASE_ALLOWED);
        cr_assert_not(release_count(&rate, 20, now_ms));
        now_ms += 10;
    }
    cr_assert(release_count(&rate, 20, now_ms), "the alarm");
    cr_assert_eq(release_decide(&facts, &rate, now_ms).rule, RELEASE_RATE);
    cr_assert_eq(release_decide(&facts, &rate, now_ms).retry_ms, 1000);
    cr_assert_eq(release_decide(&facts, &rate, now_ms + 1000).rule, RELEASE_ALLOWED);
}

Test(release, the_delay_doubles_to_thirty_seconds_and_never_refuses)
{
    struct release_rate rate = {0};
    uint64_t now_ms = 5000;
    static const uint32_t expected[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};

    for (unsigned i = 0; i < 20; i++)
        (void)release_count(&rate, 20, now_ms);
    for (unsigned i = 0; i < 7; i++) {
        cr_assert(release_count(&rate, 20, now_ms));
        cr_assert_eq(rate.next_ms - now_ms, expected[i], "the %u. beyond", i + 1);
        now_ms = rate.next_ms;
    }
}

Test(release, after_ten_quiet_minutes_all_is_as_before)
{
    struct release_facts facts = good();
    struct release_rate rate = {0};

    for (unsigned i = 0; i < 40; i++)
        (void)release_count(&rate, 20, 5000);
    cr_assert_not(release_count(&rate, 20, 5000 + RELEASE_WINDOW_MS));
    cr_assert_eq(release_decide(&facts, &rate, 35000 + RELEASE_WINDOW_MS).rule, RELEASE_ALLOWED);
}

Test(release, every_rule_has_its_words)
{
    for (unsigned rule = 0; rule < RELEASE_RULES_N; rule++)
        cr_assert_gt(strlen(release_rule_text((enum release_rule)rule)), 0);
    cr_assert_str_eq(release_rule_text((enum release_rule)99), "unknown rule");
}
