/* Cluster time: one clock for the whole cluster, by which tokens end and keys grow old. The SYS
 * record "time" holds it, MessagePack `[1, Unix seconds]`; the leader writes it anew (WIRE_TICK)
 * when its term begins and every CLOCK_TICK_MS. It never goes back: a leader whose own clock is
 * behind goes on from the record at the pace of its monotonic clock; one whose clock is far ahead
 * of a time that it has followed lets that go twice as fast, so that one wrong clock ends no tokens
 * and ages no keys at once. Only where nobody has followed it, after a stop of all, is a leader's
 * clock believed. Between two ticks each node goes on at that pace too, so two nodes differ by
 * little, and a node's own clock moves nothing. */
#ifndef SERVICE_CLOCK_H
#define SERVICE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define SYSTEM_TIME "time"
#define CLOCK_TICK_MS 10000u
#define CLOCK_TIME_S_MAX ((uint64_t)INT64_MAX / 1000) /* so that sums with it never overflow */
#define CLOCK_AHEAD_S 60u      /* more is no clock that was set right by a little */
#define CLOCK_FOLLOWS_MS 5000u /* longer than the log takes to be applied again at a start */
#define CLOCK_LOOK_MS 500u     /* how soon a new leader ticks */

struct service;
struct timer;

struct service_clock {
    uint64_t version;         /* of the record as it was read last; 0: there is none */
    uint64_t base_s;          /* cluster time when it was read... */
    uint64_t base_ms;         /* ...and the monotonic clock then */
    uint64_t term, ticked_ms; /* of the last tick that this node proposed */
    uint64_t first_ms;        /* when it was read first in this process */
    bool follows;             /* and it has changed since, for longer than a start takes */
    bool ticking;             /* one is on its way */
    struct timer *timer;      /* the cluster's: its callback is clock_tick */
};

/* Cluster time in Unix seconds; never less than before in this process. Before the first tick of a
 * cluster's life it is this node's own clock. */
uint64_t service_time_s(const struct service *service);

/* The hub's side. The record may have changed; time to look whether a tick is due; this node is no
 * member any more. */
void clock_read(struct service *service);
void clock_tick(void *service);
void clock_forget(struct service *service);

/* What the next tick says; `going_s`: what the record has come to. */
uint64_t clock_next(const struct service_clock *clock, uint64_t going_s, uint64_t wall_s);
void clock_record_encode(uint64_t time_s, struct buf *out);
MUST_USE enum qk_err clock_record_decode(struct bytes in, uint64_t *ret_time_s);

#endif
