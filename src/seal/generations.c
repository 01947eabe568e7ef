/* The member's side of dealing: what may happen to the generations in node.sec. */
#include "seal/dealing.h"

#include <assert.h>
#include <stddef.h>

/* A generation of unknown attempt was made before this process began, so for an attempt that is
 * not newer than the first one asked for now. Taking that one as its attempt keeps it at least as
 * long as the truth would. */
static void gens_bound(struct dealing_gen *gens, unsigned gens_n, uint64_t attempt)
{
    for (unsigned i = 0; i < gens_n; i++)
        if (gens[i].attempt == 0)
            gens[i].attempt = attempt;
}

enum dealing_answer dealing_collect_answer(uint64_t attempt, uint64_t begin_attempt,
                                           struct dealing_gen *gens, unsigned gens_n,
                                           unsigned gens_max, uint64_t *ret_gen)
{
    assert(gens != NULL || gens_n == 0);
    assert(ret_gen != NULL);

    /* Number 0 is no attempt: nothing has begun here, whatever a leader says. */
    if (attempt > begin_attempt || begin_attempt == 0)
        return DEALING_NOT_YET;
    if (attempt < begin_attempt)
        return DEALING_PAST;
    gens_bound(gens, gens_n, attempt);
    for (unsigned i = 0; i < gens_n; i++)
        if (gens[i].exact && gens[i].attempt == attempt) {
            *ret_gen = gens[i].gen;
            return DEALING_KEEP;
        }
    return gens_n >= gens_max ? DEALING_FULL : DEALING_MAKE;
}

bool dealing_may_erase(const struct dealing_gen *gen, const struct dealing_durable *durable)
{
    assert(gen != NULL && durable != NULL);

    if (gen->gen == durable->record_gen)
        return false;
    if (gen->gen < durable->record_gen)
        return durable->final;
    return gen->attempt != 0 && gen->attempt < durable->begin_attempt;
}
