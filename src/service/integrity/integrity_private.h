/* Inside of the integrity of the store, for integrity*.c and verify*.c. */
#ifndef SERVICE_INTEGRITY_INTEGRITY_PRIVATE_H
#define SERVICE_INTEGRITY_INTEGRITY_PRIVATE_H

#include "service/integrity/accumulator.h"
#include "service/integrity/integrity.h"
#include "service/integrity/integrity_root.h"
#include "service/integrity/integrity_rows.h"
#include "service/timer_uv.h"
#include "store/store.h"
#include "wire/peer.h"
#include "wire/records.h"

#define INTEGRITY_FACT "integrity"
#define INTEGRITY_JOURNAL_MAX 65536 /* writes, while there is no key */
#define INTEGRITY_FINDINGS_MAX 100  /* told; more are counted */
#define INTEGRITY_PLACES_MAX 64     /* databases looked into for one peer */
#define INTEGRITY_DOUBTS_MAX 64
#define INTEGRITY_TEXT_BYTES 1400

/* A write that is not added up yet. */
struct integrity_change {
    uint64_t index;
    uint8_t space[DATABASE_ID_BYTES];
    uint8_t bucket;
    bool drop, has_before, has_after;
    uint8_t digests[2][HASH_BYTES]; /* before, after */
};

struct integrity_journal {
    struct integrity_change *items;
    size_t n, cap;
    bool lost; /* something is missing in it */
};

/* A record that a peer holds otherwise. A version of 0: absent. */
struct integrity_finding {
    struct record_key key;
    uint8_t peer[NODE_ID_BYTES];
    struct integrity_row here, there; /* without their names */
};

/* Where to look: the buckets of a database. */
struct integrity_place {
    uint8_t space[DATABASE_ID_BYTES];
    uint32_t buckets;
};

enum integrity_answer { INTEGRITY_SILENT, INTEGRITY_EQUAL, INTEGRITY_DIFFERS };

struct integrity_peer {
    uint8_t node_id[NODE_ID_BYTES];
    enum integrity_answer answer;
    enum integrity_standing standing; /* its own */
    uint64_t index;
};

/* A row of the peer's that is not here any more. */
struct integrity_doubt {
    struct record_key key;
    struct integrity_row there;
    uint64_t index; /* had been applied here when it was looked for */
};

enum integrity_stage {
    INTEGRITY_IDLE,
    INTEGRITY_TOTAL,
    INTEGRITY_SPACES,
    INTEGRITY_BUCKETS,
    INTEGRITY_WALK,
    INTEGRITY_DOUBT
};

/* One peer after the other: integrity_peers.c. */
struct integrity_round {
    enum integrity_stage stage;
    struct integrity_peer peers[NODES_MAX];
    unsigned peers_n, at;
    uint32_t request;
    uint64_t deadline_ms, again_ms; /* again_ms: the same question once more then; 0: no */
    uint64_t begun_ms;
    struct integrity_place places[INTEGRITY_PLACES_MAX];
    unsigned places_n, place_at;
    uint8_t from[RECORD_KEY_BYTES_MAX + 1]; /* of names */
    size_t from_len;
    struct integrity_doubt doubts[INTEGRITY_DOUBTS_MAX];
    unsigned doubts_n;
    struct integrity_finding findings[INTEGRITY_FINDINGS_MAX];
    unsigned findings_n;
    uint64_t findings_all_n;
};

struct integrity_scan;
struct verify;

struct integrity {
    struct service *service;
    struct integrity_settings settings;
    struct timer *timer;
    bool stopped, attached;
    struct secret *element_key, *root_key; /* NULL: there is no keyring */
    struct integrity_journal journal;
    uint64_t attach_stamp; /* of the store as the process found it; UINT64_MAX: no use any more */

    /* What is known of the state before the journal. */
    bool base_known;
    enum integrity_standing base_standing; /* and how well */
    struct multiset base;
    struct buf last_root; /* of the moment of closing, until it is in the file */

    /* While there are keys. */
    struct accumulator sums; /* not live: of the changes only */
    bool live;               /* the sums are those of all records */
    bool expected_known;     /* before that: what they must come to */
    struct multiset expected;
    bool root_bad; /* the fact did not authenticate */

    /* Scans. */
    struct integrity_scan *scan;
    uint64_t scan_next_ms;
    uint64_t held_until_ms;
    void (*idle)(void *arg);
    void *idle_arg;
    uint64_t scanned_n, scanned_s;
    struct integrity_place
        places[INTEGRITY_PLACES_MAX]; /* where the file is not what was applied */
    unsigned places_n;
    uint64_t changes_wrong_n; /* rows of feeds */
    char changes_text[INTEGRITY_TEXT_BYTES];
    bool changes_scanned;  /* since verify began */
    struct verify *verify; /* NULL: none was ever begun */
    uint64_t scrub_next_ms;

    /* Peers. */
    struct integrity_round *round;
    uint64_t round_next_ms;
    void (*round_cb)(void *arg);
    void *round_cb_arg;
    uint32_t requests;
    uint64_t compared_s;

    /* What came of it. */
    enum integrity_standing standing;
    bool base_failed; /* the scan found another sum than this node itself had written */
    struct integrity_peer peers[NODES_MAX];
    unsigned peers_n;
    struct integrity_finding findings[INTEGRITY_FINDINGS_MAX];
    unsigned findings_n;
    uint64_t findings_all_n;
    uint8_t blamed[NODE_ID_BYTES]; /* whose records are wrong; zeros: nobody, or not known */
    bool told;                     /* in log and audit */
};

/* --- integrity.c --- */
/* Adds up what is in the journal; needs the keys. False: the sums are lost, and a scan comes. */
bool integrity_drain(struct integrity *integrity);
void integrity_tick_soon(struct integrity *integrity, uint64_t ms);
/* Nothing here is known of the records any more: all is read again. */
void integrity_again(struct integrity *integrity, const char *why);
void integrity_stand(struct integrity *integrity, enum integrity_standing standing);

/* --- integrity_journal.c --- */
void integrity_journal_clear(struct integrity_journal *journal);
void integrity_changed(void *arg, uint64_t index, struct bytes key, const struct record *before,
                       const struct record *after);
void integrity_committing(void *arg, const struct store_position *at, struct buf *out);
void integrity_swapped(void *arg);
/* From the file, of the state in which the process found it. */
void integrity_base_read(struct integrity *integrity);
enum integrity_standing integrity_standing_now(const struct integrity *integrity);
MUST_USE enum qk_err integrity_root_now(struct integrity *integrity,
                                        const struct store_position *at, struct buf *out);

/* --- integrity_scan_uv.c --- */
/* Begins to read all records; `slow`: with rests. Not OK: nothing was begun. */
MUST_USE enum qk_err integrity_scan_begin(struct integrity *integrity, bool slow, bool changes);
/* Its key is wiped before this returns; it ends soon. Takes NULL. */
void integrity_scan_stop(struct integrity_scan *scan);
void integrity_scan_dropped(struct integrity_scan *scan, const uint8_t *space);
uint64_t integrity_scan_done_n(const struct integrity_scan *scan);
/* --- integrity_scanned.c --- */
/* What a scan calls at its end; if it was whole: `sums` of all records at `index`, `base`
 * those of integrity->sums then. */
struct integrity_scanned {
    struct accumulator sums, base;
    uint64_t index, rows_n;
    uint8_t (*dropped)[DATABASE_ID_BYTES]; /* since then */
    size_t dropped_n;
    bool changes; /* the feeds were looked at, too */
    uint64_t changes_wrong_n;
    char changes_text[INTEGRITY_TEXT_BYTES];
};
void integrity_scan_ended(struct integrity *integrity, enum qk_err err,
                          const struct integrity_scanned *scanned, const char *what);

/* --- integrity_peers.c --- */
void integrity_round_begin(struct integrity *integrity);
void integrity_round_tick(struct integrity *integrity);
void integrity_round_stop(struct integrity *integrity);
void integrity_ask(struct integrity *integrity);
void integrity_ask_again(struct integrity *integrity);
void integrity_go(struct integrity *integrity, enum integrity_stage stage);
void integrity_next_peer(struct integrity *integrity);
/* One of both may be NULL: absent. */
void integrity_found(struct integrity_round *round, struct bytes key,
                     const struct integrity_row *here, const struct integrity_row *there);
/* --- integrity_walk.c --- */
void integrity_rows(struct integrity *integrity, const struct peer_rows *rows);
/* --- integrity_answer.c --- */
void integrity_answer_sums(struct integrity *integrity, const uint8_t *node_id,
                           const struct peer_sums_want *want);
void integrity_answer_rows(struct integrity *integrity, const uint8_t *node_id,
                           const struct peer_rows_want *want);
void integrity_row_of(const struct store_row *row, struct integrity_row *ret_row);
/* --- integrity_view.c --- */
void integrity_key_text(const struct integrity *integrity, struct bytes key, char *ret_text,
                        size_t size);
struct json_t *integrity_findings_json(const struct integrity *integrity);

/* --- verify.c --- */
/* QK_ERR_SEALED, QK_ERR_NOMEM; fine if one is under way. */
MUST_USE enum qk_err integrity_verify_begin(struct integrity *integrity, bool slow);
void integrity_verify_stop(struct integrity *integrity, const char *why);
void integrity_verify_free(struct integrity *integrity);

#endif
