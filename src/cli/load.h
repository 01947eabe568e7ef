/* A load generator: connections that each keep requests in flight, and how long each took. One
 * thread and epoll, so that it takes as little as it can of the machine that it shares with what it
 * measures. How requests look is the wire's: HTTP here, others in tests/bench.
 *
 * Without a rate each reply is followed by the next request (a closed loop): that finds the
 * throughput. Its latencies leave out what was not asked while the server stood still. With a rate,
 * requests are due at fixed moments, whatever the server does, and a latency counts from when its
 * request was due: one pause of a second shows as the many late replies that users would see. */
#ifndef CLI_LOAD_H
#define CLI_LOAD_H

#include <signal.h>

#include "cli/load_histogram.h"
#include "client/call.h"

#define LOAD_CONNS_MAX 10000
#define LOAD_SLOTS_MAX 1024
#define LOAD_PIDS_MAX 64
#define LOAD_TEXT_BYTES 256

struct load;

struct load_slot {
    uint64_t due_ns;
    bool busy;
};

/* A connection, as its wire sees it. */
struct load_conn {
    struct load *load;
    size_t number;
    unsigned slots_n;
    struct client_channel channel;
    struct buf out; /* secret: it may hold a password */
    size_t sent;
    bool writable_wanted, dead;
    struct load_slot *slots; /* slots_n */
    void *state;             /* the wire's */
    void *arg;               /* plan->arg */
};

struct load_wire {
    /* What a new connection needs, before any request; may append to conn->out. */
    enum qk_err (*open)(struct load_conn *conn);
    /* Appends the request that `slot` is to make to conn->out. */
    void (*ask)(struct load_conn *conn, unsigned slot);
    /* Takes what has come, and says load_done for each reply. False: it is not of this protocol. */
    bool (*take)(struct load_conn *conn, struct bytes in);
    void (*close)(struct load_conn *conn); /* frees its state, which may be NULL */
};

struct load_plan {
    const struct load_wire *wire;
    void *arg;
    const struct client_target *targets; /* connections go round them */
    size_t targets_n;
    size_t conns_n;
    unsigned slots_n; /* requests in flight on each */
    uint64_t warm_up_ns, measure_ns;
    uint64_t requests_max; /* ends after so many replies; 0: no such end */
    double rate;           /* requests a second; 0: as fast as they are answered */
    const long *pids;      /* whose processor time counts */
    size_t pids_n;
    const volatile sig_atomic_t *stop; /* not 0: ends the run; NULL: none */
};

struct load_result {
    struct load_histogram latency; /* ns, of those that went well */
    uint64_t done, units, failed, unfinished;
    uint64_t bytes_in;
    uint64_t elapsed_ns;
    uint64_t servers_cpu_ns, own_cpu_ns;
    char problem[LOAD_TEXT_BYTES]; /* the first failure; empty: none */
};

/* QK_OK: it ran to its end, though requests may have failed. On errors a sentence is appended to
 * `message`. The result is large: give it static or heap memory. */
MUST_USE enum qk_err load_run(const struct load_plan *plan, struct load_result *ret_result,
                              struct buf *message);

/* For wires: the reply of `slot` is there. `units` is what it counts for (documents of a bulk
 * write); `problem` is NULL where all went well. */
void load_done(struct load_conn *conn, unsigned slot, uint64_t units, const char *problem);

/* The key of the i-th document: 16 hex digits that are in no order, no two alike. */
#define LOAD_KEY_BYTES 17
void load_key(uint64_t i, char ret_key[static LOAD_KEY_BYTES]);
/* A number in no order, the same for the same i. */
uint64_t load_scatter(uint64_t i);

/* load_proc.c: processor time of all threads of a process, 0 if it is gone; of this one; what a
 * process has in memory of its own. */
uint64_t load_cpu_ns(long pid);
uint64_t load_own_cpu_ns(void);
uint64_t load_rss_bytes(long pid);
uint64_t load_now_ns(void);

#endif
