/* Links on one real loop and loopback ports, and what their callbacks were told. */
#ifndef TESTS_LINK_HARNESS_H
#define TESTS_LINK_HARNESS_H

#include <criterion/criterion.h>
#include <uv.h>

#include "link/link.h"
#include "secret/secret.h"

#define HARNESS_DEADLINE_MS 120000 /* a hang is what it is for, under slow tools too */

struct node {
    struct link *link;
    struct link_config config;
    struct secret *identity;
    char address[32]; /* where it listens */
    unsigned ups, downs, messages, drains, clones, refused, joins, joins_closed, closed;
    bool known; /* of the last on_up */
    uint8_t last_id[NODE_ID_BYTES];
    enum link_channel last_channel;
    struct buf last; /* the last message */
    struct buf log;  /* first byte of each message */
    uint64_t join_id;
    uint8_t join_token[LINK_TOKEN_ID_BYTES];
    enum qk_err refused_err;
    bool refused_with_token;
    /* what on_join_token answers at once, unless `join_later` */
    bool join_later;
    enum qk_err join_answer;
    struct secret *join_psk;
};

extern uv_loop_t harness_loop;
extern struct secret *harness_psk;
extern bool harness_expired;

void harness_open(void);
/* Checks that nothing is left: handles, secrets. */
void harness_close(void);
/* Fills the node's configuration: `number` makes its id (higher number, higher id). */
void node_init(struct node *node, uint8_t number);
void node_start(struct node *node);
void node_stop(struct node *node); /* closes the link and waits for it; start again if wished */
void node_fini(struct node *node);
/* `node` is told of these peers (itself is skipped). */
void node_peers(struct node *node, struct node *const *peers, size_t n);
enum qk_err node_send(struct node *from, const struct node *to, enum link_channel channel,
                      const char *text);
/* Until each has one connection and none is half-open (dials from both sides may have crossed);
 * counts of ups and downs then begin at one and none. */
void nodes_settle(struct node *a, struct node *b);
bool node_is_up(const struct node *from, const struct node *to);

void deadline_begin(uint64_t ms);
void deadline_end(void);

/* Turns the loop until `cond` holds; fails the test after two minutes. */
#define RUN_UNTIL(cond)                                                                            \
    do {                                                                                           \
        deadline_begin(HARNESS_DEADLINE_MS);                                                       \
        while (!(cond) && !harness_expired)                                                        \
            (void)uv_run(&harness_loop, UV_RUN_ONCE);                                              \
        deadline_end();                                                                            \
        cr_assert(cond, "not within the deadline");                                                \
    } while (0)

/* Turns the loop for a bounded while in which `cond` must not come true. */
#define RUN_WITHOUT(cond, ms)                                                                      \
    do {                                                                                           \
        deadline_begin(ms);                                                                        \
        while (!(cond) && !harness_expired)                                                        \
            (void)uv_run(&harness_loop, UV_RUN_ONCE);                                              \
        deadline_end();                                                                            \
        cr_assert(!(cond));                                                                        \
    } while (0)

#endif
