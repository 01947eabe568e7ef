/* What is told of a data key without any key: its versions and its limits, the clear part of the
 * record key/<key id> (keyring.h); authentic only together with the sealed part, which holds its
 * hash.
 *
 *     format u8 (2) ‖ active u32 ‖ records u64 ‖ bytes u64 ‖ age_s u64 ‖ n u16 ‖ version ...
 * version version = number u32 ‖ state u8 ‖ suite u8 ‖ created u64
 *
 * Numbers ascend and none is used twice. `active` is one of state active, the only one, or 0: the
 * key is destroyed and nothing is sealed under it any more. A limit of 0 is the default. */
#ifndef KEYS_KEY_INFO_H
#define KEYS_KEY_INFO_H

#include "base/bytes.h"
#include "base/limits.h"

#define KEY_INFO_FORMAT 2
#define KEY_VERSIONS_MAX 1024 /* of one key that are listed */
#define KEY_INFO_HEAD_BYTES 31
#define KEY_INFO_VERSION_BYTES 14
#define KEY_INFO_BYTES_MAX (KEY_INFO_HEAD_BYTES + KEY_VERSIONS_MAX * KEY_INFO_VERSION_BYTES)

/* The cryptoperiod (docs/design.md, section 8): nine tenths of 2^32 sealings, the bound for random
 * values of NIST SP 800-38D, which a salt of 24 bytes would not need. */
#define KEY_LIMIT_RECORDS_DEFAULT 3865470566u
#define KEY_LIMIT_BYTES_DEFAULT (1024ull * GIB)
#define KEY_LIMIT_AGE_S_DEFAULT (90ull * 24 * 3600)

/* The least that may be set: one document has at most 1,000 revisions that are sealed anew at once,
 * and a value of its own size must fit; a key has KEY_VERSIONS_MAX periods. */
#define KEY_LIMIT_RECORDS_MIN 1000u
#define KEY_LIMIT_BYTES_MIN (64 * MIB)
#define KEY_LIMIT_AGE_S_MIN 60u

enum key_state { KEY_ACTIVE = 1, KEY_DECRYPT_ONLY = 2, KEY_DESTROYED = 3 };

struct key_limits {
    uint64_t records, bytes, age_s; /* of one version, until the next takes its place */
};

struct key_version_info {
    uint32_t version;
    uint8_t state;      /* enum key_state */
    uint8_t suite;      /* enum envelope_suite, what is sealed under it from now on */
    uint64_t created_s; /* cluster time */
};

struct key_info {
    uint32_t active;
    struct key_limits limits;
    struct bytes versions; /* encoded, borrowed from what was decoded */
    size_t versions_n;
};

/* The defaults in place of zeros. */
struct key_limits key_limits_in_force(const struct key_limits *limits);

/* Each is zero or not below the least. */
bool key_limits_are_good(const struct key_limits *limits);

/* The head, then key_info_put_version for each of the `versions_n`. */
void key_info_put(const struct key_info *info, struct buf *out);
void key_info_put_version(const struct key_version_info *version, struct buf *out);

/* Reads as much of `reader` as the info is long. QK_ERR_UNSUPPORTED: another format;
 * QK_ERR_CORRUPT: not what key_info_put writes. */
MUST_USE enum qk_err key_info_read(struct reader *reader, struct key_info *ret_info);
/* at < info->versions_n. */
struct key_version_info key_info_version(const struct key_info *info, size_t at);

#endif
