/* Recovery shares combined in this process, for what needs their secret and no node: what they
 * rebuild leaves it in no form. Needs the arena (secret_arena_init). */
#ifndef CLI_SHARES_H
#define CLI_SHARES_H

#include "cli/cli.h"
#include "keyslot/recovery.h"

/* Asks for shares of `set` (--share-file or standard input, a prompt on a terminal) until there are
 * enough; each wrong one is said. `ret_secret` is the caller's. */
MUST_USE enum cli_exit shares_secret(struct cli *cli, const struct recovery_set *set,
                                     const uint8_t cluster[static CLUSTER_ID_BYTES],
                                     struct secret **ret_secret);
/* The live set, as the node tells it. */
MUST_USE enum cli_exit shares_set(struct cli *cli, struct recovery_set *ret_set,
                                  uint8_t ret_cluster[static CLUSTER_ID_BYTES]);
/* The Ed25519 key that shares of the node's live set derive: it may lift a hold. */
MUST_USE enum cli_exit shares_sign_key(struct cli *cli, struct secret **ret_key);

#endif
