/* What a replication is to do: the body of _replicate, or a document of _replicator, in two parts.
 * What may be shown, and the credentials, which are kept apart and never shown.
 *
 *     public   the object without "auth", "headers" and the user part of URLs
 *     secret   {"source":{"user","password","headers":{}},"target":{...}}, members only where given
 *
 * Both are needed to make a spec again. Pure. */
#ifndef DOC_REPLICATION_SPEC_H
#define DOC_REPLICATION_SPEC_H

#include "doc/json.h"

#define REPLICATION_URL_BYTES_MAX 2048
#define REPLICATION_FIELDS_MAX 8
#define REPLICATION_FIELD_BYTES_MAX 4096

struct replication_side {
    bool local;     /* a database of this cluster, by its name */
    char *name;     /* local: the database; else the URL without user and final slash */
    char *user;     /* NULL: none */
    char *password; /* the same */
    char *fields[REPLICATION_FIELDS_MAX]; /* "Name: value" */
    unsigned fields_n;
};

struct replication_spec {
    struct replication_side source, target;
    bool continuous, create_target, cancel, winning_revs_only;
    bool no_checkpoints;
    json_t *doc_ids, *selector, *query_params; /* NULL: none */
    json_t *since_seq;
    char *filter;
};

/* Takes the credentials out of `object`, which is left public; the caller owns `ret_secret`.
 * QK_ERR_INVALID with the problem, QK_ERR_NOMEM. */
MUST_USE enum qk_err replication_split(json_t *object, struct doc_problem *ret_problem,
                                       json_t **ret_secret);
/* The caller ends with replication_spec_fini, on errors too. */
MUST_USE enum qk_err replication_spec_read(const json_t *public, const json_t *secret,
                                           struct replication_spec *ret_spec,
                                           struct doc_problem *ret_problem);
void replication_spec_fini(struct replication_spec *spec);
/* Appends what tells this replication from others: no credential but the users' names. */
void replication_spec_identity(const struct replication_spec *spec, struct buf *out);

#endif
