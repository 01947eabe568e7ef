/* The node's end of the launcher: sends it the questions of the attestation hook and hands back its
 * replies. Every question gets one answer: a launcher that ended, fell silent or said what it may
 * not say answers by failing, which is no. */
#ifndef NODE_ATTESTER_UV_H
#define NODE_ATTESTER_UV_H

#include <uv.h>

#include "node/launcher.h"

#define ATTESTER_ASKS_MAX NODES_MAX
#define ATTESTER_GRACE_MS 1000 /* beyond a run's own limit, for the launcher to say so */

struct attester;

struct attester_config {
    uv_loop_t *loop;
    struct launcher_process *launcher; /* outlives the attester */
    unsigned timeout_ms;
    void *arg;
    void (*answered)(void *arg, uint32_t id, const struct attest_result *result);
    /* The launcher has ended, or was ended: said once. */
    void (*lost)(void *arg, const char *why);
};

MUST_USE enum qk_err attester_new(const struct attester_config *config,
                                  struct attester **ret_attester);
/* QK_ERR_CLOSED: the launcher is gone; QK_ERR_BUSY: too much is asked at once. */
MUST_USE enum qk_err attester_ask(struct attester *attester, uint32_t id, struct bytes input);
/* No callback comes after it; freed from the loop. NULL is fine. */
void attester_free(struct attester *attester);

#endif
