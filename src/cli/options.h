/* The command line of `quorumkeep`: GROUP VERB arguments and options, options anywhere. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <stdbool.h>

#include "base/bytes.h"

#define OPTIONS_ARGS_MAX 32 /* a chain of backups */

struct options {
    /* for every verb */
    const char *addr, *data, *user, *password_file, *ca, *cert, *cert_key;
    bool json, help, insecure_http;
    /* for those that name them */
    const char *name, *ttl, *wait, *token_file, *file, *rev, *since, *limit, *start, *end, *base;
    const char *key_file, *threshold, *unseal_quorum;
    bool all, hold;
    const char *recovery_shares, *recovery_threshold, *share_file, *nonce;
    bool watch, pause, resume, no_wait, no_reencrypt, new_cluster;
    const char *replace, *label;
    const char *until, *event, *node, *match; /* audit show */
    bool follow;
    bool wipe;
    bool yes, keep_revs, include_docs, new_keys, recovery, live;
    const char *suite, *key_id;
    bool reencrypt, shred, clear, encrypted, hidden_ids;
    const char *field, *cas, *version, *versions, *max_versions, *delete_after, *cas_required;
    bool object, merge; /* secret put */
    const char *clients, *seconds, *warm_up, *rate, *size, *docs, *batch, *nodes, *pids, *database;
    /* what stands without dashes, group and verb left out */
    const char *args[OPTIONS_ARGS_MAX];
    unsigned args_n;
};

struct option_spec {
    const char *name;  /* "--addr" */
    const char *value; /* "ADDR"; NULL: none is taken */
    size_t at;         /* of the field in struct options */
    bool global;       /* every verb takes it */
    const char *help;
};

#define OPTION_SPECS_N 76
extern const struct option_spec option_specs[OPTION_SPECS_N];

/* Does the list of names without dashes, "ttl wait", hold that of `spec`? */
bool option_listed(const char *list, const struct option_spec *spec);

/* Parses what follows group and verb. `permitted` lists the verb's own options. QK_ERR_INVALID with
 * a sentence appended to `message`. */
MUST_USE enum qk_err options_parse(int argc, char **argv, const char *permitted,
                                   struct options *ret_options, struct buf *message);

#endif
