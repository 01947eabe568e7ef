/* Are the records of this node those that the cluster wrote? Authenticated one by one they are, but
 * whoever can write to one disk can put an older one in the place of a newer, take one away, or put
 * back one that was deleted. So each unsealed node keeps a keyed sum of all its records
 * (keys/multiset.h), a function of the replicated state, beside a store that knows no key:
 *
 *   - it follows each write (store_observe), and what it comes to goes into the file with the very
 *     state that it is of, sealed under the integrity key with index, term, count of writes, and
 * deal;
 *   - after each unseal all records are read and added up: the sum must be the one of the file plus
 *     what was applied since, sealed or not;
 *   - and it must be that of every other unsealed member at the same index. Where it is not, the
 * two narrow it down, database, bucket, row, to the records that differ.
 *
 * While sealed there is no key: the public digests of what is written are remembered (65,536 of
 * them) and added up later. A stretch that is longer, that a restart or a snapshot interrupts, or
 * in which a database is dropped, is *unverified* until a peer has the same sum. */
#ifndef SERVICE_INTEGRITY_INTEGRITY_H
#define SERVICE_INTEGRITY_INTEGRITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "service/service.h"

struct integrity;
struct json_t;
struct peer_message;

enum integrity_standing { INTEGRITY_UNVERIFIED = 0, INTEGRITY_SOUND = 1, INTEGRITY_DAMAGED = 2 };
const char *integrity_standing_text(enum integrity_standing standing);

struct integrity_settings {
    uint64_t scrub_s; /* from one walk over all records to the next, by itself; 0: never */
};

/* Made once a process, before the cluster boots; freed with the loop's timers still running. All of
 * these take NULL for `integrity`. */
MUST_USE enum qk_err integrity_new(struct service *service,
                                   const struct integrity_settings *settings,
                                   struct integrity **ret_integrity);
void integrity_free(struct integrity *integrity);
/* service->store was opened, nothing has been applied yet; and it is about to be closed. */
void integrity_attach(struct integrity *integrity);
void integrity_detach(struct integrity *integrity);
/* There is a keyring, the first or another; and it is about to be wiped: no key stays. */
void integrity_open(struct integrity *integrity);
void integrity_close(struct integrity *integrity);
/* Lets go of the store for a while: true when nothing holds it any more, else `idle` (may be NULL)
 * is called once, from the loop, when that is so. */
bool integrity_let_go(struct integrity *integrity, void (*idle)(void *arg), void *arg);
/* PEER_SUMS_WANT and those behind it. */
void integrity_message(struct integrity *integrity, const uint8_t *node_id,
                       const struct peer_message *message);

struct integrity_figures {
    enum integrity_standing standing;
    bool live;           /* the sum is known */
    uint64_t findings_n; /* records that differ, here or on a peer */
    uint64_t scanned_n;  /* records of the last whole scan */
    uint64_t scanned_s;  /* when that ended, Unix time; 0: not in this process */
    uint64_t compared_s; /* when a peer last had the same sum */
};
void integrity_figures(const struct integrity *integrity, struct integrity_figures *ret_figures);
struct json_t *integrity_json(const struct integrity *integrity);
/* A sentence if something is wrong; nothing if not. */
void integrity_alarm(const struct integrity *integrity, struct buf *out);

#endif
