/* What a member remembers of another, so that a disk restored from an older copy is known when its
 * node comes back: how often it had started, how many generations it had made, its Raft term, and
 * up to where its log held what was committed. Pure: the machine hears, the hub keeps the marks as
 * node-local facts of the store.
 *
 * Each comparison is one that an honest node cannot fail, whatever crashed when:
 *   boot counter  is raised in node.sec before anything is said: equal only within one boot
 *   generations   their count lies in the same file, saved before a generation is given
 *   term          is synced before a message of that term leaves
 *   log           what is both committed and stored is neither truncated nor forgotten; a log that
 *                 is trimmed or replaced by a snapshot still ends at or past it. A lost store
 *                 changes nothing here, and a node whose log is lost does not start at all.
 *   fork          what is committed at one index is the same entry everywhere. The copy of a lone
 *                 voter elects itself and commits at each start, so that all of the above grow on
 *                 it; only this tells it then. Judged by the hub, which has the log.
 * What a HELLO says is its speaker's own word: this finds restored backups, not a forger, who has
 * the keys of that disk anyway. */
#ifndef SEAL_WATERMARK_H
#define SEAL_WATERMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

/* Bytes of a whole list, encoded. */
#define WATERMARK_LIST_BYTES_MAX (NODES_MAX * 128 + 16)

/* What a node says of itself. */
struct watermark_claim {
    uint8_t boot_id[BOOT_ID_BYTES];
    uint64_t boot_counter;
    uint64_t made; /* generations, ever */
    uint64_t term;
    uint64_t index;  /* committed, and in its log on its disk */
    uint64_t stored; /* where that log ends */
};

/* What is remembered of it. */
struct watermark {
    uint8_t node_id[NODE_ID_BYTES];
    uint8_t boot_id[BOOT_ID_BYTES]; /* that counter's */
    uint64_t boot_counter;
    uint64_t made;
    uint64_t term;
    uint64_t index;
    bool refused; /* refused_boot_id is valid: that boot stays refused */
    uint8_t refused_boot_id[BOOT_ID_BYTES];
};

/* The text is what a person reads after "its disk is older than what is remembered: ". */
#define WATERMARK_ANSWER_MAP(X)                                                                    \
    X(WATERMARK_GOOD, "as it should be")                                                           \
    X(WATERMARK_BOOT, "it had started more often")                                                 \
    X(WATERMARK_TWIN, "that start was another one's")                                              \
    X(WATERMARK_GENERATION, "it had made more generations")                                        \
    X(WATERMARK_TERM, "it had been in a later term")                                               \
    X(WATERMARK_LOG, "its log had reached further")                                                \
    X(WATERMARK_FORK, "what it has committed is not what is committed here")                       \
    X(WATERMARK_AGAIN, "it was refused before, in the same start")

enum watermark_answer {
#define WATERMARK_ANSWER_ENUM(code, text) code,
    WATERMARK_ANSWER_MAP(WATERMARK_ANSWER_ENUM)
#undef WATERMARK_ANSWER_ENUM
        WATERMARK_ANSWERS_N
};

const char *watermark_answer_text(enum watermark_answer answer);
enum watermark_answer watermark_judge(const struct watermark *mark,
                                      const struct watermark_claim *claim);
/* After WATERMARK_GOOD: raises the mark. True if anything is new. */
bool watermark_raise(struct watermark *mark, const struct watermark_claim *claim);
/* After any other answer. True if that is new. */
bool watermark_refuse(struct watermark *mark, const struct watermark_claim *claim);

/* --- Raft ------------------------------------------------------------------------------------- */

/* A node whose disk went back has forgotten votes that it gave and entries that it acknowledged. It
 * must not help to elect anybody, so its peers close Raft to it; and since only some of them may
 * remember enough, it keeps back its votes itself once one of them has told it. The exception is a
 * pair: with two voters nothing was ever committed without the other one, so that one may lead it
 * (and take in its replacement), never the other way round. To elect it, whoever else is in the
 * configuration must be there and hold no more: it may vote by an entry that the other one lacks.
 */
enum watermark_raft {
    WATERMARK_RAFT_REQUEST, /* of a candidate or leader */
    WATERMARK_RAFT_VOTE,    /* the answer to a candidate */
    WATERMARK_RAFT_ANSWER,  /* other answers to a leader */
};

struct watermark_raft_facts {
    bool judged;     /* the peer has answered a HELLO in this session */
    bool below;      /* the peer is below its mark here */
    bool pair;       /* self and the peer are the only voters, now and by what is committed */
    bool told;       /* some peer has said that this node is below its mark there */
    bool told_by_it; /* and this peer is one that does */
};

bool watermark_may_send(const struct watermark_raft_facts *facts, enum watermark_raft what);
bool watermark_may_receive(const struct watermark_raft_facts *facts, enum watermark_raft what);

/* --- at rest ---------------------------------------------------------------------------------- */

void watermark_list_encode(const struct watermark *marks, unsigned marks_n, struct buf *out);
/* At most NODES_MAX into `ret_marks`. QK_ERR_INVALID; QK_ERR_UNSUPPORTED: of a newer version. */
MUST_USE enum qk_err watermark_list_decode(struct bytes in, struct watermark *ret_marks,
                                           unsigned *ret_marks_n);

#endif
