/* What is known of a secret besides its values, and the settings of all: pure.
 *
 * A secret's versions are numbered from 1 on. Those from the oldest kept to the current one are
 * listed; a version may be deleted (and undeleted), may delete itself at a time, or be destroyed,
 * which its value does not survive. Bodies are JSON objects, as those of documents are; members
 * that a newer version adds are passed over. */
#ifndef SERVICE_SECRETS_KV_META_H
#define SERVICE_SECRETS_KV_META_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/limits.h"

#define KV_PATH_BYTES_MAX 1024
#define KV_PATH_PARTS_MAX 28         /* with what stands before it, REQUEST_SEGMENTS_MAX */
#define KV_VALUE_BYTES_MAX (1 * MIB) /* of one version's value, as compact JSON */
#define KV_VERSIONS_MAX 1000         /* kept of one secret */
#define KV_VERSIONS_DEFAULT 10
#define KV_LIST_MAX 100000 /* names in one folder's list */
/* Vault's own limits of custom metadata. */
#define KV_CUSTOM_MAX 64
#define KV_CUSTOM_NAME_BYTES_MAX 128
#define KV_CUSTOM_VALUE_BYTES_MAX 512
#define KV_BODY_BYTES_MAX (256 * KIB) /* of metadata, as stored */
/* Of a duration, a thousand years, and of a time, in seconds: a time and a duration are a time. */
#define KV_DURATION_S_MAX ((uint64_t)366 * 24 * 3600 * 1000)
#define KV_SECONDS_MAX ((uint64_t)INT64_MAX / 4)

struct kv_version {
    uint64_t created_s;
    uint64_t deletion_s; /* when it was deleted, or deletes itself; 0: neither */
    bool deleted;        /* by somebody, whatever the time is */
    bool destroyed;
};

struct kv_meta {
    uint64_t current; /* the newest version; 0: there is none yet */
    uint64_t oldest;  /* Vault's: 0 until a version had to go */
    uint64_t created_s, updated_s;
    uint64_t max_versions; /* 0: as the settings of all say */
    bool cas_required;
    uint64_t delete_after_s; /* 0: as the settings of all say */
    json_t *custom;          /* texts by name; NULL: none were ever given */
    struct kv_version *versions;
    size_t versions_n; /* the last one is `current` */
};

/* The settings of all secrets. */
struct kv_config {
    uint64_t max_versions; /* 0: KV_VERSIONS_DEFAULT */
    bool cas_required;
    bool delete_after_off; /* no version deletes itself */
    uint64_t delete_after_s;
};

void kv_meta_fini(struct kv_meta *meta);
/* NULL if that version is not listed. */
struct kv_version *kv_meta_version(const struct kv_meta *meta, uint64_t number);
/* Its value is not to be had. */
bool kv_version_is_gone(const struct kv_version *version, uint64_t now_s);
/* Adds the next version. Those that are too many now leave the list: `ret_gone_from` and
 * `ret_gone_n` say which. QK_ERR_NOMEM. */
MUST_USE enum qk_err kv_meta_add(struct kv_meta *meta, const struct kv_config *config,
                                 uint64_t now_s, uint64_t *ret_gone_from, uint64_t *ret_gone_n);
/* When a version made or brought back at `now_s` deletes itself; 0: never. */
uint64_t kv_deletion_s(const struct kv_meta *meta, const struct kv_config *config, uint64_t now_s);

/* Each appends a body. `path` is the whole path, so that a record is known to be this one's. */
MUST_USE enum qk_err kv_meta_encode(const struct kv_meta *meta, struct bytes path, struct buf *out);
MUST_USE enum qk_err kv_config_encode(const struct kv_config *config, struct buf *out);
/* A folder (its path ends in '/'), and how many names are in it. */
MUST_USE enum qk_err kv_folder_encode(struct bytes path, uint64_t names_n, struct buf *out);
/* QK_ERR_CORRUPT for anything else, and for a body of another path. The caller ends with
 * kv_meta_fini in any case. */
MUST_USE enum qk_err kv_meta_decode(struct bytes in, struct bytes path, struct kv_meta *ret_meta);
MUST_USE enum qk_err kv_config_decode(struct bytes in, struct kv_config *ret_config);
MUST_USE enum qk_err kv_folder_decode(struct bytes in, struct bytes path, uint64_t *ret_names_n);
/* Appends the path of a secret's or a folder's body. */
MUST_USE enum qk_err kv_path_decode(struct bytes in, struct buf *out);

/* --- as JSON, in Vault's shapes; NULL without memory --- */

/* {"created_time", "custom_metadata", "deletion_time", "destroyed", "version"}; without the custom
 * metadata if the reader may not see it. */
json_t *kv_version_json(const struct kv_meta *meta, uint64_t number, bool with_custom);
json_t *kv_meta_json(const struct kv_meta *meta);
json_t *kv_config_json(const struct kv_config *config);

/* --- durations, as Go writes them --- */

/* "90m", "1h30m", "1.5h" or whole seconds "5400"; a minus in front is allowed. Fractions of a
 * second are cut. QK_ERR_INVALID. */
MUST_USE enum qk_err duration_parse(struct bytes text, int64_t *ret_seconds);
#define DURATION_TEXT_BYTES 48
/* "1h30m0s", "0s". */
void duration_format(int64_t seconds, char ret_text[static DURATION_TEXT_BYTES]);

#endif
