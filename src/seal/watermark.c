#include "seal/watermark.h"

#include <assert.h>
#include <string.h>

#include "wire/pack.h"

#define LIST_VERSION 1
#define MARK_FIELDS_N 7

static const char *const answer_texts[WATERMARK_ANSWERS_N] = {
#define WATERMARK_ANSWER_TEXT(code, text) [code] = text,
    WATERMARK_ANSWER_MAP(WATERMARK_ANSWER_TEXT)
#undef WATERMARK_ANSWER_TEXT
};

const char *watermark_answer_text(enum watermark_answer answer)
{
    return (unsigned)answer < WATERMARK_ANSWERS_N ? answer_texts[answer] : "unknown";
}

enum watermark_answer watermark_judge(const struct watermark *mark,
                                      const struct watermark_claim *claim)
{
    assert(mark != NULL && claim != NULL);

    if (mark->refused && memcmp(mark->refused_boot_id, claim->boot_id, BOOT_ID_BYTES) == 0)
        return WATERMARK_AGAIN;
    if (claim->boot_counter < mark->boot_counter)
        return WATERMARK_BOOT;
    if (claim->boot_counter == mark->boot_counter &&
        memcmp(claim->boot_id, mark->boot_id, BOOT_ID_BYTES) != 0)
        return WATERMARK_TWIN;
    if (claim->made < mark->made)
        return WATERMARK_GENERATION;
    if (claim->term < mark->term)
        return WATERMARK_TERM;
    if (claim->stored < mark->index)
        return WATERMARK_LOG;
    return WATERMARK_GOOD;
}

static bool raise(uint64_t *value, uint64_t to)
{
    if (to <= *value)
        return false;
    *value = to;
    return true;
}

bool watermark_raise(struct watermark *mark, const struct watermark_claim *claim)
{
    bool moved = memcmp(mark->boot_id, claim->boot_id, BOOT_ID_BYTES) != 0;

    if (claim->boot_counter < mark->boot_counter)
        return false; /* of a session that was superseded */
    memcpy(mark->boot_id, claim->boot_id, BOOT_ID_BYTES);
    moved = raise(&mark->boot_counter, claim->boot_counter) || moved;
    moved = raise(&mark->made, claim->made) || moved;
    moved = raise(&mark->term, claim->term) || moved;
    /* A leader may apply what a majority of others holds before its own disk does. */
    return raise(&mark->index, claim->index < claim->stored ? claim->index : claim->stored) ||
           moved;
}

bool watermark_refuse(struct watermark *mark, const struct watermark_claim *claim)
{
    if (mark->refused && memcmp(mark->refused_boot_id, claim->boot_id, BOOT_ID_BYTES) == 0)
        return false;
    mark->refused = true;
    memcpy(mark->refused_boot_id, claim->boot_id, BOOT_ID_BYTES);
    return true;
}

/* --- Raft ------------------------------------------------------------------------------------- */

bool watermark_may_send(const struct watermark_raft_facts *facts, enum watermark_raft what)
{
    if (facts->below && !(facts->pair && what == WATERMARK_RAFT_REQUEST))
        return false;
    if (!facts->told)
        return true;
    return what == WATERMARK_RAFT_ANSWER || (what == WATERMARK_RAFT_VOTE && facts->told_by_it);
}

bool watermark_may_receive(const struct watermark_raft_facts *facts, enum watermark_raft what)
{
    if (!facts->judged)
        return false;
    return !facts->below || (facts->pair && what != WATERMARK_RAFT_REQUEST);
}

/* --- at rest ---------------------------------------------------------------------------------- */

static void mark_encode(const struct watermark *mark, struct buf *out)
{
    pack_array(out, MARK_FIELDS_N);
    pack_bin(out, bytes_of(mark->node_id, NODE_ID_BYTES));
    pack_bin(out, bytes_of(mark->boot_id, BOOT_ID_BYTES));
    pack_u64(out, mark->boot_counter);
    pack_u64(out, mark->made);
    pack_u64(out, mark->term);
    pack_u64(out, mark->index);
    pack_bin(out, bytes_of(mark->refused_boot_id, mark->refused ? BOOT_ID_BYTES : 0));
}

void watermark_list_encode(const struct watermark *marks, unsigned marks_n, struct buf *out)
{
    assert(marks_n <= NODES_MAX);

    pack_array(out, 2);
    pack_u64(out, LIST_VERSION);
    pack_array(out, marks_n);
    for (unsigned i = 0; i < marks_n; i++)
        mark_encode(&marks[i], out);
}

static void mark_decode(struct unpack *in, struct watermark *mark)
{
    struct bytes refused;

    memset(mark, 0, sizeof(*mark));
    unpack_array_of(in, MARK_FIELDS_N);
    unpack_bin_copy(in, mark->node_id, NODE_ID_BYTES);
    unpack_bin_copy(in, mark->boot_id, BOOT_ID_BYTES);
    mark->boot_counter = unpack_u64(in);
    mark->made = unpack_u64(in);
    mark->term = unpack_u64(in);
    mark->index = unpack_u64(in);
    refused = unpack_bin(in, BOOT_ID_BYTES);
    if (refused.len != 0 && refused.len != BOOT_ID_BYTES)
        in->failed = QK_ERR_INVALID;
    mark->refused = refused.len == BOOT_ID_BYTES;
    if (mark->refused)
        memcpy(mark->refused_boot_id, refused.data, BOOT_ID_BYTES);
}

enum qk_err watermark_list_decode(struct bytes in, struct watermark *ret_marks,
                                  unsigned *ret_marks_n)
{
    struct unpack unpack = unpack_of(in);
    struct watermark marks[NODES_MAX];
    uint64_t version;
    uint32_t n;

    unpack_array_of(&unpack, 2);
    version = unpack_u64(&unpack);
    if (unpack_error(&unpack) == QK_OK && version != LIST_VERSION)
        return QK_ERR_UNSUPPORTED;
    n = unpack_array(&unpack, NODES_MAX);
    for (uint32_t i = 0; i < n && unpack_error(&unpack) == QK_OK; i++)
        mark_decode(&unpack, &marks[i]);
    if (unpack_end(&unpack) != QK_OK)
        return QK_ERR_INVALID;
    memcpy(ret_marks, marks, n * sizeof(marks[0]));
    *ret_marks_n = n;
    return QK_OK;
}
