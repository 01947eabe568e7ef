/* What the files of the leader's dealing machine share: one step in progress. Not for other
 * modules. */
#ifndef SEAL_DEALING_STEP_H
#define SEAL_DEALING_STEP_H

#include "seal/dealing.h"

struct dealing_ctx {
    struct dealing *d;
    uint64_t now_ms;
    struct dealing_effects *out;
};

struct dealing_effect *dealing_emit(struct dealing_ctx *ctx, enum dealing_effect_kind kind);
/* An operation that ends with DONE of this ticket; one of an earlier ticket is ignored. */
struct dealing_effect *dealing_start(struct dealing_ctx *ctx, enum dealing_state state,
                                     enum dealing_effect_kind kind);
bool dealing_listed(const uint8_t (*list)[NODE_ID_BYTES], unsigned n, const uint8_t *node_id);
void dealing_list_add(uint8_t (*list)[NODE_ID_BYTES], unsigned *n, const uint8_t *node_id);
void dealing_back_off(struct dealing_ctx *ctx);
/* A deal failed that nobody joins by: not again too soon. */
void dealing_again_later(struct dealing_ctx *ctx);
bool dealing_may_again(const struct dealing_ctx *ctx);

/* leaving.c */

/* Somebody who leaves stands in the deal in force: the next deal must have a new MK. */
bool leaving_in_deal(const struct dealing_facts *facts);
/* This leader is one of them. */
bool leaving_self(const struct dealing_facts *facts);
/* So many of those who stay are there that a deal with a new MK can be made, and opened by them. */
bool leaving_enough(const struct dealing_facts *facts);
/* The one thing to do about members that leave, if any: before all else. */
bool leaving_work(struct dealing_ctx *ctx);
/* Further deals that no join asks for: of those who came back after a new MK, rotation, refresh. */
bool leaving_deals(struct dealing_ctx *ctx);
/* The end of a removal: after all else. */
bool leaving_erase_begin(struct dealing_ctx *ctx);
void leaving_erase_go_on(struct dealing_ctx *ctx);

#endif
