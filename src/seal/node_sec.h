/* node.sec: the one file of a node that holds keys. Local, never replicated, never backed up, 0600.
 *
 * Two halves, A and B, of 4096 bytes, each of eight 512-byte sectors; every sector carries the
 * sequence number of its save and its own checksum. A save writes A, fsyncs, writes B, fsyncs, and
 * only then reports success, in place. Hence:
 *   - whatever a successful save wrote stands in both halves, and what it erased stands in neither;
 *   - a power cut leaves at most one half in which whole sectors of two consecutive saves mix
 * (disks write sectors whole), while the other half is whole and at least as new as the last
 * successful save. That is a torn write: the whole half is used and the other rewritten;
 *   - anything else (a sector whose checksum fails, halves further apart than one save, B newer
 * than A, equal sequence with unequal content) is damage or a swapped half: an error that names the
 *     half, never a silent use of the other one.
 * The plaintext of the file is only ever held in the locked arena. Calls block on the disk; use a
 * struct node_sec from one thread at a time. */
#ifndef SEAL_NODE_SEC_H
#define SEAL_NODE_SEC_H

#include "secret/crypto.h"

#define NODE_SEC_HALF_BYTES 4096
#define NODE_SEC_FILE_BYTES ((size_t)2 * NODE_SEC_HALF_BYTES)
#define NODE_SEC_GENERATIONS_MAX 16
#define NODE_SEC_PATH_BYTES_MAX 4096

/* D is half of what opens the node's own share, P is what its releases derive from. */
struct node_sec_generation {
    uint64_t gen; /* 1, 2, ... never reused */
    struct secret *d, *p;
};

struct node_sec {
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t node_id[NODE_ID_BYTES];
    uint64_t raft_id;
    uint32_t x;
    uint64_t boot_counter;
    bool founded;            /* a founder that is a cluster by itself: recovery shares open it */
    struct secret *identity; /* X25519 secret key */
    uint8_t noise_pk[X25519_BYTES];
    struct secret *cluster_psk;                                /* KEY_BYTES */
    struct node_sec_generation gens[NODE_SEC_GENERATIONS_MAX]; /* ascending */
    size_t gens_n;
    uint64_t gen_last; /* the highest ever made, dropped ones included */
    uint64_t sequence;
    char *path;  /* private */
    bool failed; /* private: a save failed, only a load tells what the file holds */
};

/* What is wrong, for the person who reads it; all static text. */
struct node_sec_fault {
    char half;        /* 'A' or 'B', 0 when it is the file as a whole */
    const char *what; /* "sector 3 is damaged", "is older than the other half", ... */
};

/* Creates the file with no generations (QK_ERR_EXISTS if there is one). `identity` and
 * `cluster_psk` are copied. The caller frees with node_sec_free. */
MUST_USE enum qk_err node_sec_create(const char *path,
                                     const uint8_t cluster_id[static CLUSTER_ID_BYTES],
                                     const uint8_t node_id[static NODE_ID_BYTES], uint64_t raft_id,
                                     uint32_t x, const struct secret *identity,
                                     const struct secret *cluster_psk, struct node_sec **ret_node);
/* Reads and, after a torn write, repairs it. QK_ERR_NOT_FOUND no file · QK_ERR_DENIED not a regular
 * file, not ours or readable by others · QK_ERR_CORRUPT damage, named in `ret_fault` ·
 * QK_ERR_UNSUPPORTED written by a newer version. `ret_fault` (may be NULL) is always written. */
MUST_USE enum qk_err node_sec_load(const char *path, struct node_sec **ret_node,
                                   struct node_sec_fault *ret_fault);
/* Wipes and frees; NULL is fine. The file stays. */
void node_sec_free(struct node_sec *node);

/* Each of these saves before it returns. On an error nothing changed in memory, the file may hold
 * either state, and every later save is QK_ERR_IO until the file has been loaded again. */
MUST_USE enum qk_err node_sec_count_boot(struct node_sec *node);
/* `founded` from now on. */
MUST_USE enum qk_err node_sec_set_founded(struct node_sec *node);
/* A new generation with fresh random D and P; `ret_gen` its number. QK_ERR_FULL when
 * NODE_SEC_GENERATIONS_MAX are held.
 */
MUST_USE enum qk_err node_sec_add_generation(struct node_sec *node, uint64_t *ret_gen);
/* Erases, from both halves, all generations below `gen`. */
MUST_USE enum qk_err node_sec_erase_older(struct node_sec *node, uint64_t gen);
/* Erases one generation, of an attempt that a newer one has replaced. QK_ERR_NOT_FOUND. */
MUST_USE enum qk_err node_sec_erase_generation(struct node_sec *node, uint64_t gen);
/* NULL if not held. */
const struct node_sec_generation *node_sec_find(const struct node_sec *node, uint64_t gen);

/* Takes the file away under the name `path`.void and overwrites it with zeros: for a node that
 * never became part of a deal. What it leaves says, also after a crash, that the rest of the
 * directory is void and is to be removed, and then node_sec_forget called. May be repeated.
 * QK_ERR_NOT_FOUND, QK_ERR_IO. */
MUST_USE enum qk_err node_sec_destroy(const char *path);
bool node_sec_is_destroyed(const char *path);
MUST_USE enum qk_err node_sec_forget(const char *path);

#endif
