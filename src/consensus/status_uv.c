/* What a member knows of itself and of its peers. */
#include "consensus/consensus_private.h"

#define TOGETHER_MS 50 /* how often contact is looked at */

enum qk_err consensus_token_index(struct bytes token, uint64_t *ret_index, uint64_t *ret_term)
{
    struct snapshot snapshot;
    enum qk_err err = snapshot_decode(token, &snapshot);

    if (err != QK_OK)
        return err;
    *ret_index = snapshot.index;
    *ret_term = snapshot.term;
    return QK_OK;
}

enum consensus_role consensus_role(const struct consensus *c)
{
    return c->engine == NULL ? CONSENSUS_FOLLOWER : engine_role(c->engine);
}

uint64_t consensus_leader(const struct consensus *c)
{
    return c->engine == NULL ? 0 : engine_leader(c->engine);
}

uint64_t consensus_term(const struct consensus *c)
{
    return c->engine == NULL ? c->found.term : engine_term(c->engine);
}

uint64_t consensus_commit(const struct consensus *c)
{
    return c->engine == NULL ? 0 : engine_commit(c->engine);
}

uint64_t consensus_applied(const struct consensus *c)
{
    return c->engine == NULL ? 0 : engine_applied(c->engine);
}

uint64_t consensus_last_index(const struct consensus *c)
{
    return c->engine == NULL ? 0 : entry_log_last(engine_log(c->engine));
}

uint64_t consensus_term_at(const struct consensus *c, uint64_t index)
{
    return c->engine == NULL ? 0 : engine_term_at(c->engine, index);
}

uint64_t consensus_stored(const struct consensus *c)
{
    return c->engine == NULL ? 0 : engine_held_index(c->engine);
}

uint64_t consensus_peer_holds(const struct consensus *c, uint64_t peer)
{
    uint64_t match = c->engine == NULL ? 0 : engine_match(c->engine, peer);

    return match < consensus_commit(c) ? match : consensus_commit(c);
}

bool consensus_is_pair(const struct consensus *c, uint64_t other)
{
    return c->engine != NULL && engine_is_pair(c->engine, other);
}

enum consensus_message consensus_message_kind(struct bytes message)
{
    return message_is_answer(message)        ? CONSENSUS_ANSWER
           : message_is_vote_result(message) ? CONSENSUS_VOTE
                                             : CONSENSUS_REQUEST;
}

size_t consensus_members(const struct consensus *c, struct consensus_member *ret_members,
                         size_t max)
{
    struct members members = {0};

    if (c->engine != NULL)
        engine_members(c->engine, &members);
    for (size_t i = 0; i < members.n && i < max; i++)
        ret_members[i] = members.list[i];
    return members.n < max ? members.n : max;
}

uint64_t consensus_peer_contact_ms(const struct consensus *c, uint64_t peer)
{
    for (size_t i = 0; i < PEERS_MAX; i++) {
        if (c->peers[i].id == peer && peer != 0)
            return consensus_now(c) + 1 - c->peers[i].heard_at;
    }
    return UINT64_MAX;
}

bool consensus_has_majority_contact(const struct consensus *c)
{
    struct members members;
    size_t voters = 0;
    size_t heard = 0;

    if (c->engine == NULL)
        return false;
    if (engine_role(c->engine) != CONSENSUS_LEADER)
        return engine_hears_leader(c->engine, consensus_now(c));
    engine_members(c->engine, &members);
    for (size_t i = 0; i < members.n; i++) {
        const struct consensus_member *member = &members.list[i];
        if (!member->voter)
            continue;
        voters++;
        if (member->id == c->config.id ||
            consensus_peer_contact_ms(c, member->id) <= c->config.election_timeout_ms)
            heard++;
    }
    return heard > voters / 2;
}

/* Contact is lost by definition an election timeout after the last message. */
uint64_t consensus_alone_ms(const struct consensus *c)
{
    if (consensus_has_majority_contact(c))
        return 0;
    return c->together ? consensus_now(c) - c->together_at + c->config.election_timeout_ms
                       : UINT64_MAX;
}

void consensus_note_contact(struct consensus *c)
{
    uint64_t now = consensus_now(c);

    if (c->together && now - c->together_at < TOGETHER_MS)
        return;
    if (!consensus_has_majority_contact(c))
        return;
    c->together = true;
    c->together_at = now;
}

uint64_t consensus_peer_lag(const struct consensus *c, uint64_t peer)
{
    uint64_t match = c->engine == NULL ? 0 : engine_match(c->engine, peer);
    uint64_t last = consensus_last_index(c);

    return match == 0 || match > last ? UINT64_MAX : last - match;
}

void consensus_stats(const struct consensus *c, struct consensus_stats *ret_stats)
{
    *ret_stats = c->stats;
    ret_stats->inflight_bytes = c->inflight_bytes;
    if (c->disk != NULL) {
        ret_stats->syncs_n = disk_syncs_n(c->disk);
        ret_stats->bytes_n = disk_bytes_n(c->disk);
    }
    if (c->engine != NULL) {
        ret_stats->log_bytes = engine_log(c->engine)->bytes;
        ret_stats->log_first = engine_log(c->engine)->first;
    }
}
