#include "seal/release.h"

#include <assert.h>
#include <string.h>

static const char *const rule_texts[RELEASE_RULES_N] = {
#define RELEASE_RULE_TEXT(code, text) [code] = text,
    RELEASE_RULE_MAP(RELEASE_RULE_TEXT)
#undef RELEASE_RULE_TEXT
};

const char *release_rule_text(enum release_rule rule)
{
    if ((unsigned)rule >= RELEASE_RULES_N)
        return "unknown rule";
    return rule_texts[rule];
}

static uint32_t absent_bit(enum release_answer answer, enum release_rule rule)
{
    return answer == RELEASE_ABSENT ? 1u << (unsigned)rule : 0;
}

/* The first rule that denies, in the order of the table: the operator's will first, then who it
 * is, then whether the two agree on what is to be released. */
static enum release_rule first_failing(const struct release_facts *facts)
{
    if (facts->closed)
        return RELEASE_CLOSED;
    if (facts->hold == RELEASE_FAIL)
        return RELEASE_HOLD;
    if (!facts->member)
        return RELEASE_MEMBER;
    if (facts->newer)
        return RELEASE_NEWER;
    if (!facts->in_record)
        return RELEASE_RECORD;
    if (facts->suspended == RELEASE_FAIL)
        return RELEASE_SUSPENDED;
    if (facts->clone)
        return RELEASE_ONE_BOOT;
    if (facts->watermark == RELEASE_FAIL)
        return RELEASE_WATERMARK;
    if (!facts->fresh)
        return RELEASE_FRESH;
    if (!facts->same_deal)
        return RELEASE_DEAL;
    if (!facts->same_gen)
        return RELEASE_GENERATION;
    if (facts->view_n < facts->quorum)
        return RELEASE_QUORUM;
    if (facts->attestation == RELEASE_FAIL)
        return facts->deferred ? RELEASE_DEFERRED : RELEASE_ATTESTATION;
    if (facts->unrecorded)
        return RELEASE_UNRECORDED;
    return RELEASE_ALLOWED;
}

unsigned release_quorum(unsigned setting, unsigned members_n)
{
    unsigned quorum = setting == 0 ? members_n / 2 + 1 : setting;

    if (quorum > members_n)
        quorum = members_n;
    return quorum < 2 ? 2 : quorum;
}

struct release_decision release_decide(const struct release_facts *facts,
                                       const struct release_rate *rate, uint64_t now_ms)
{
    struct release_decision decision = {RELEASE_ALLOWED, 0, 0};

    assert(facts != NULL);
    assert(rate != NULL);

    decision.absent = absent_bit(facts->hold, RELEASE_HOLD) |
                      absent_bit(facts->suspended, RELEASE_SUSPENDED) |
                      absent_bit(facts->watermark, RELEASE_WATERMARK) |
                      absent_bit(facts->attestation, RELEASE_ATTESTATION);
    decision.rule = first_failing(facts);
    if (decision.rule == RELEASE_UNRECORDED)
        decision.retry_ms = RELEASE_UNRECORDED_MS;
    if (decision.rule == RELEASE_ALLOWED && now_ms < rate->next_ms) {
        decision.rule = RELEASE_RATE;
        decision.retry_ms = (uint32_t)(rate->next_ms - now_ms);
    }
    return decision;
}

/* How many of the remembered releases lie in the window that ends now. */
static unsigned in_window(const struct release_rate *rate, uint64_t now_ms)
{
    unsigned kept = rate->count < RELEASE_LIMIT_MAX ? rate->count : RELEASE_LIMIT_MAX;
    unsigned n = 0;

    for (unsigned i = 0; i < kept; i++)
        if (now_ms - rate->times_ms[i] < RELEASE_WINDOW_MS)
            n++;
    return n;
}

bool release_count(struct release_rate *rate, unsigned limit, uint64_t now_ms)
{
    assert(rate != NULL);
    assert(limit > 0 && limit < RELEASE_LIMIT_MAX);

    rate->times_ms[rate->count % RELEASE_LIMIT_MAX] = now_ms;
    rate->count++;
    if (in_window(rate, now_ms) <= limit) {
        rate->delay_ms = 0;
        return false;
    }
    rate->delay_ms = rate->delay_ms == 0 ? RELEASE_DELAY_MS_MIN : rate->delay_ms * 2;
    if (rate->delay_ms > RELEASE_DELAY_MS_MAX)
        rate->delay_ms = RELEASE_DELAY_MS_MAX;
    rate->next_ms = now_ms + rate->delay_ms;
    return true;
}
