/* What a request wants written of secrets: its body, taken apart. Pure.
 *
 * Numbers, booleans and durations may come as texts, as Vault's own clients send some of them. */
#ifndef SERVICE_SECRETS_KV_WISH_H
#define SERVICE_SECRETS_KV_WISH_H

#include "doc/problem.h"
#include "service/secrets/kv_meta.h"

enum kv_verb {
    KV_PUT,             /* a new version */
    KV_PATCH,           /* the same, merged into the present one */
    KV_DELETE,          /* the present version */
    KV_DELETE_VERSIONS, /* those named */
    KV_UNDELETE,
    KV_DESTROY,
    KV_META_PUT,
    KV_META_PATCH,
    KV_META_DELETE, /* with every version */
    KV_CONFIG_PUT
};

struct kv_wish {
    enum kv_verb verb;
    json_t *data; /* KV_PUT, KV_PATCH: an object */
    bool has_cas;
    uint64_t cas;
    uint64_t *versions;
    size_t versions_n;
    bool has_max_versions, has_cas_required, has_delete_after, has_custom;
    uint64_t max_versions;
    bool cas_required;
    int64_t delete_after_s;
    json_t *custom; /* an object of texts; when patched, null removes */
};

/* QK_ERR_INVALID with the problem in Vault's words (`status`, `reason`), QK_ERR_NOMEM. An empty
 * body is an empty object. The caller ends with kv_wish_fini in any case. */
MUST_USE enum qk_err kv_wish_parse(enum kv_verb verb, struct bytes body, struct kv_wish *ret_wish,
                                   struct doc_problem *ret_problem);
void kv_wish_fini(struct kv_wish *wish);
/* RFC 7396, of objects: what is null goes, objects are merged, the rest is replaced. */
MUST_USE enum qk_err kv_merge(json_t *into, const json_t *patch);
/* What the custom metadata is after a merge: at most KV_CUSTOM_MAX. */
MUST_USE enum qk_err kv_custom_check(const json_t *custom, struct doc_problem *ret_problem);

#endif
