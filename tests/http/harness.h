/* A server on a real loop with a few routes, and clients that are plain sockets in the same thread:
 * every wait runs the loop. */
#ifndef TESTS_HTTP_HARNESS_H
#define TESTS_HTTP_HARNESS_H

#include <uv.h>

#include "base/bytes.h"
#include "http/http.h"
#include "service/exchange.h"

#define WAIT_MS 200000 /* bounds a test that hangs, under slow tools too */
#define HELD_MAX 16

/* What the hooks and handlers of one node do and have seen. */
struct node_state {
    bool open, can_login, leader;
    struct node_state *peer; /* where `send` delivers; also the leader, unless this node is */
    bool peer_known;         /* is_member */
    bool peer_suspended;     /* may_forward says no */
    bool link_up;
    bool hold_messages; /* sent messages wait */
    unsigned busy_n;    /* so many sends are refused with QK_ERR_BUSY */
    uint64_t credential_version;
    unsigned logins_n, handled_n, closed_n;
    bool hold_logins;
    unsigned catch_ups_n;     /* asked for */
    enum qk_err catch_up_err; /* what comes of it; QK_OK: "late-token" is known from then on */
    bool behind;              /* it leads, and does not know yet all that was committed before */
    struct exchange *held[HELD_MAX]; /* GET /held: answered by the test */
    unsigned held_n;
    struct principal who; /* of the last request handled */
    bool forwarded;
    size_t queued_max; /* of a stream */
    /* POST /upload: what was taken of a streamed body, and the most that waited for it. */
    uint64_t uploaded;
    size_t waited_max;
    unsigned pieces_n;
    bool hold_upload;   /* the handler takes nothing more */
    bool refuse_upload; /* it answers 409 without taking anything */
    uint8_t id[NODE_ID_BYTES];
    struct http *http;
    struct buf messages; /* on their way to the peer: len32 each */
    char control[128];
};

extern uv_loop_t loop;
extern struct node_state nodes[2];

/* harness_login.c: "good-token" is one, "late-token" after a catch-up, "gone-token" never. */
enum qk_err harness_login(void *arg, struct bytes name, struct bytes password, const char *from,
                          http_login_cb cb, void *cb_arg);
enum qk_err harness_login_token(void *arg, struct bytes text, struct principal *ret_who);
enum qk_err harness_catch_up(void *arg, void (*cb)(void *arg, enum qk_err err), void *cb_arg);
bool harness_leads(void *arg);

/* Starts node `i` with the given limits (others default), on a free port and a control socket. */
void node_open(unsigned i, const struct http_timing *timing, unsigned connections_max);
struct http_config node_config(unsigned i);
/* From now on both nodes soon give up whom they hear nothing from. Before, a slow machine could be
 * taken for such a one. */
void harness_hurry(void);
/* Closes all that is open and runs the loop to its end; for .fini. */
void harness_close(void);
void harness_open(void);
/* One turn of the loop, and delivery of messages. */
void turn(void);
/* Delivers to the other node all it was sent. */
void deliver(struct node_state *from);
/* The link breaks: messages under way are lost, both are told. */
void break_link(void);

int client_tcp(unsigned node);
int client_control(unsigned node);
void client_send(int fd, struct bytes bytes);
void client_send_text(int fd, const char *text);
/* Reads until `out` ends in `end` (NULL: until the server closes). */
void client_read(int fd, const char *end, struct buf *out);
/* One request, its reply as a terminated string in a static buffer; on a new connection. */
const char *ask(unsigned node, const char *text);
const char *ask_control(unsigned node, const char *text);
bool contains(const char *reply, const char *part);
int status_of_reply(const char *reply);
const char *body_of_reply(const char *reply);

#endif
