/* What consensus_uv.c and requests_uv.c share. */
#ifndef CONSENSUS_CONSENSUS_PRIVATE_H
#define CONSENSUS_CONSENSUS_PRIVATE_H

#include "consensus/consensus.h"
#include "consensus/disk_uv.h"
#include "consensus/engine.h"
#include "consensus/messages.h"

/* A command that was accepted. */
struct submission {
    consensus_submit_cb cb;
    void *arg;
    struct submission *next;
    size_t len;
    uint8_t command[];
};

struct submission_list {
    struct submission *first, **tail;
};

/* An entry that was proposed, with the commands in it. */
struct proposal {
    uint64_t index;
    uint64_t term;
    struct submission_list submissions;
    struct proposal *next;
};

struct read_wait {
    uint64_t cookie;
    uint64_t deadline;
    consensus_read_cb cb;
    void *arg;
    struct read_wait *next, **link;
};

enum request_state { REQUEST_NONE, REQUEST_WANTED, REQUEST_RUNNING };

struct change_request {
    enum request_state state;
    enum change_kind kind;
    uint64_t id;
    char address[CONSENSUS_ADDRESS_BYTES_MAX + 1];
    consensus_change_cb cb;
    void *arg;
};

struct transfer_request {
    enum request_state state;
    uint64_t id;
    bool for_removal; /* of the leader itself: answered with QK_ERR_NOT_LEADER */
    consensus_change_cb cb;
    void *arg;
};

/* A message that came while another event was being handled. */
struct late_message {
    uint64_t peer;
    size_t len;
    struct late_message *next;
    uint8_t data[];
};

struct peer_state {
    uint64_t id; /* 0: unused */
    uint64_t heard_at;
    struct fragments fragments;
};

#define PEERS_MAX (2 * CONSENSUS_MEMBERS_MAX)

struct consensus {
    struct consensus_config config;
    char *dir;
    struct engine *engine; /* NULL before the start */
    struct disk *disk;
    struct disk_state found; /* between open and start */
    uint64_t together_at;    /* when a majority was last in contact, as seen every TOGETHER_MS */
    bool together;           /* it ever was */
    bool bootstrapped;
    uv_timer_t timer;
    uv_prepare_t prepare;
    unsigned handles_open;
    bool driving, failed, closing, closed;
    bool state_dirty;
    uint64_t timer_due; /* what the timer was set to */
    bool tick_waited;   /* a late tick has let the loop poll once */
    void (*close_cb)(void *arg);
    void *close_arg;
    struct submission_list queued;
    struct proposal *proposals, **proposals_tail;
    uint64_t led_term; /* proposals belong to it */
    size_t inflight_bytes;
    struct read_wait *reads, **reads_tail;
    struct read_wait *reads_unasked; /* the first that the engine does not know of */
    uint64_t reads_due;              /* the earliest deadline, or sooner */
    uint64_t read_cookie;
    struct change_request change;
    struct transfer_request transfer;
    struct late_message *late, **late_tail;
    struct buf install_token;
    uint64_t install_applied;
    struct peer_state peers[PEERS_MAX];
    uint64_t fragment_number;
    struct buf result;
    struct consensus_stats stats;
    uint64_t synced_seen;
    enum consensus_role role_seen;
};

uint64_t consensus_now(const struct consensus *c);
/* Remembers when a majority was last in contact. */
void consensus_note_contact(struct consensus *c);
/* Ends everything: `what` names the reason. */
void consensus_fail(struct consensus *c, const char *what);
/* Performs all that the engine wants. `err` is what the event returned. */
void consensus_drive(struct consensus *c, enum qk_err err);

/* requests_uv.c */
void requests_init(struct consensus *c);
/* Hands to the engine what callers queued. */
void requests_run(struct consensus *c);
/* The role or term may have changed. */
void requests_role_changed(struct consensus *c);
enum qk_err requests_apply(struct consensus *c, const struct engine_apply *apply);
void requests_read_done(struct consensus *c, uint64_t cookie, uint64_t index);
void requests_change_done(struct consensus *c, enum qk_err err);
/* Timeouts; returns when the next one is due, UINT64_MAX if none. */
uint64_t requests_tick(struct consensus *c);
void requests_fail_all(struct consensus *c, enum qk_err err);

#endif
