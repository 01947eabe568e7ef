/* How much re-encryption does at a time, and how long it rests then.
 *
 * Alone it keeps several commands under way, so that records are sealed while disks and followers
 * have those before. While others write it takes turns of less than half a millisecond, has one
 * command under way, which shares its entry and sync with theirs, and rests between two: as long as
 * it was under way, and as much again for each of their writes that waits, since both say that a
 * processor or a disk is what all wait for. A fixed share would take as much of a loaded machine as
 * of an idle one. */
#include "service/keys/reencrypt_private.h"

#include "consensus/consensus.h"
#include "service/submit.h"

#define SHARED_MS 1000 /* somebody who wrote within that time is likely to write again */
#define REST_MS_MAX 100
#define PENDING_BYTES_HIGH (16 * MIB) /* of the store: writes of others need the rest */

static const struct reencrypt_pace alone = {4000, REENCRYPT_UNIT_RECORDS, REENCRYPT_COMMANDS_MAX};
static const struct reencrypt_pace beside = {400, 24, 1};

/* Somebody else's writes: this node has begun more commands than the job itself. What the job
 * submitted just now is not among those begun yet, so of what is found the most is right. */
static bool is_shared(struct reencrypt *job)
{
    uint64_t now_ms = timer_now_ms(job->service->loop);
    int64_t others_n;
    size_t writes_n = submit_writes_n(job->service->submitter);
    struct consensus_stats stats;

    consensus_stats(job->service->consensus, &stats);
    others_n = (int64_t)(stats.commands_n - job->own_commands_n);
    if (others_n > job->others_n || writes_n > 0)
        job->shared_until_ms = now_ms + SHARED_MS;
    if (others_n > job->others_n)
        job->others_n = others_n;
    return now_ms < job->shared_until_ms;
}

const struct reencrypt_pace *reencrypt_pace(struct reencrypt *job)
{
    return is_shared(job) ? &beside : &alone;
}

void reencrypt_pace_took(struct reencrypt *job, uint64_t worked_us, uint64_t took_us)
{
    size_t writes_n = submit_writes_n(job->service->submitter);

    job->worked_us = worked_us;
    /* Smoothed over some eight commands: each alone says little. */
    job->took_us = (7 * job->took_us + took_us) / 8;
    job->waiting = (7 * job->waiting + (double)writes_n) / 8;
}

uint64_t reencrypt_pace_rest_ms(struct reencrypt *job)
{
    double us = (double)job->worked_us + (double)job->took_us * (1 + job->waiting);

    if (store_pending_bytes(job->service->store) > PENDING_BYTES_HIGH)
        return REST_MS_MAX;
    if (!is_shared(job))
        return 0;
    return us >= REST_MS_MAX * 1000.0 ? REST_MS_MAX : (uint64_t)(us / 1000) + 1;
}
