/* What the files of the seal machine share: one step in progress. Not for other modules. */
#ifndef SEAL_MACHINE_STEP_H
#define SEAL_MACHINE_STEP_H

#include "seal/machine.h"

struct seal_step_ctx {
    struct seal_machine *m;
    uint64_t now_ms;
    const uint8_t *random;
    uint32_t nonces_n; /* made from `random` in this step */
    struct seal_effects *out;
};

struct seal_effect *step_emit(struct seal_step_ctx *ctx, enum seal_effect_kind kind);
void step_audit(struct seal_step_ctx *ctx, enum seal_audit audit, const uint8_t *node_id,
                enum release_rule rule);
const struct seal_deal_member *step_deal_member(const struct seal_deal *deal,
                                                const uint8_t *node_id);
/* The effect of one message to `peer`, to be filled by the caller. */
struct seal_effect *step_send(struct seal_step_ctx *ctx, const struct seal_peer *peer,
                              enum peer_kind kind);

/* What this node still needs of the current deal. */
bool step_needs_release(const struct seal_machine *m);
bool step_needs_shares(const struct seal_machine *m);
unsigned step_shares_have(const struct seal_machine *m);

/* hold.c: by a hold of the cluster, or by the suspension of this very node. */
bool hold_is_on(const struct seal_machine *m);
void hold_take_over(struct seal_machine *m);
bool hold_close(struct seal_machine *m, bool for_hold);

/* session.c: links, HELLOs, liveness. */
struct seal_peer *session_find(struct seal_machine *m, const uint8_t *node_id);
void session_up(struct seal_step_ctx *ctx, const struct seal_event *event);
void session_down(struct seal_step_ctx *ctx, const struct seal_event *event);
void session_clone(struct seal_step_ctx *ctx, const struct seal_event *event);
void session_hello(struct seal_step_ctx *ctx, const struct seal_event *event);
/* Tells every live peer where this node stands now. */
void session_announce(struct seal_step_ctx *ctx);
/* A HELLO with the nonce as it is. */
void session_greet(struct seal_step_ctx *ctx, struct seal_peer *peer);
/* HELLOs that are due. */
void session_drive(struct seal_step_ctx *ctx);
uint64_t session_deadline(const struct seal_peer *peer);

/* marks.c: what is remembered of the peers. A member's HELLO that echoes the newest nonce is judged
 * by what was known as its session began, and raises its mark. */
void marks_begin(struct seal_machine *m, struct seal_peer *peer);
void marks_hear(struct seal_step_ctx *ctx, struct seal_peer *peer, const struct peer_hello *hello,
                bool forked);

/* answer.c: what others ask of this node. */
void answer_want(struct seal_step_ctx *ctx, const struct seal_event *event);
void answer_record_want(struct seal_step_ctx *ctx, const struct seal_event *event);
/* The own share is open: those who wait for it get it, if the rules still allow. */
void answer_waiting(struct seal_step_ctx *ctx);

/* A WANT under the rules, now; `may_attest`: the hook may be asked first. */
void answer_give(struct seal_step_ctx *ctx, struct seal_peer *peer, const struct peer_want *want,
                 bool may_attest);

/* attest.c: what the attestation hook says of a peer. */
enum seal_attested attest_state(const struct seal_peer *peer, uint64_t now_ms);
/* True: the hook has been asked, and `want` is answered when it has spoken. */
bool attest_ask(struct seal_step_ctx *ctx, struct seal_peer *peer, const struct peer_want *want);
void attest_answered(struct seal_step_ctx *ctx, const struct seal_event *event);
/* When asking again may help, as told to the peer. */
uint32_t attest_retry_ms(const struct seal_peer *peer, uint64_t now_ms);

/* ask.c: what this node asks of others, and their answers. */
void ask_release(struct seal_step_ctx *ctx, const struct seal_event *event);
void ask_share(struct seal_step_ctx *ctx, const struct seal_event *event);
void ask_deny(struct seal_step_ctx *ctx, const struct seal_event *event);
void ask_record(struct seal_step_ctx *ctx, const struct seal_event *event);
/* Every question may be asked again at once. */
void ask_reset(struct seal_step_ctx *ctx);
void ask_reset_peer(struct seal_peer *peer, uint64_t now_ms);
/* Questions that are due. */
void ask_drive(struct seal_step_ctx *ctx);
uint64_t ask_deadline(const struct seal_machine *m, const struct seal_peer *peer);

#endif
