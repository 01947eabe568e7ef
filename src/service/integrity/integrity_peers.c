/* A round: one member after the other is asked for the sum of all records.
 *
 *     TOTAL --equal--> next          --differs--> SPACES -> BUCKETS (of each database that differs)
 *       -> WALK (the rows of those buckets, a page at a time) -> DOUBT (what was gone here: asked
 *          once more) -> next
 *
 * Both nodes go on applying meanwhile. Sums are compared at one index: the other one tells what
 * they were at ours, or at its own, and we look back. A row of its file is judged by its stamp,
 * which is of one write and the same on every node, against what is here when all that it had is
 * applied here. Silence ends with the next member; what is found until then counts. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity_private.h"

#define ANSWER_MS 3000u
#define AGAIN_MS 60u
#define ROUND_MS 120000u

static uint64_t now_ms(const struct integrity *integrity)
{
    return timer_now_ms(integrity->service->loop);
}

static struct integrity_peer *peer_now(struct integrity_round *round)
{
    return &round->peers[round->at];
}

/* --- asking ---------------------------------------------------------------------------------- */

void integrity_ask(struct integrity *integrity)
{
    struct integrity_round *round = integrity->round;
    struct peer_message message = {.kind = PEER_SUMS_WANT};
    const struct integrity_place *place = &round->places[round->place_at];

    round->request = ++integrity->requests;
    round->deadline_ms = now_ms(integrity) + ANSWER_MS;
    round->again_ms = 0;
    if (round->stage == INTEGRITY_WALK || round->stage == INTEGRITY_DOUBT) {
        message.kind = PEER_ROWS_WANT;
        message.as.rows_want.request = round->request;
        message.as.rows_want.buckets = place->buckets;
        memcpy(message.as.rows_want.database, place->space, DATABASE_ID_BYTES);
        message.as.rows_want.from = bytes_of(round->from, round->from_len);
    } else {
        message.as.sums_want.request = round->request;
        message.as.sums_want.detail = (uint8_t)(round->stage - INTEGRITY_TOTAL);
        message.as.sums_want.index = store_applied(integrity->service->store);
        if (round->stage == INTEGRITY_BUCKETS)
            memcpy(message.as.sums_want.database, place->space, DATABASE_ID_BYTES);
    }
    hub_send(integrity->service->cluster, peer_now(round)->node_id, false, &message);
}

void integrity_ask_again(struct integrity *integrity)
{
    integrity->round->again_ms = now_ms(integrity) + AGAIN_MS;
    integrity_tick_soon(integrity, AGAIN_MS);
}

void integrity_go(struct integrity *integrity, enum integrity_stage stage)
{
    integrity->round->stage = stage;
    integrity->round->from_len = 0;
    integrity_ask(integrity);
}

/* --- findings -------------------------------------------------------------------------------- */

/* Two peers that hold it alike against this node's are one finding. */
static bool is_found(const struct integrity_round *round, struct bytes key)
{
    for (unsigned i = 0; i < round->findings_n; i++)
        if (bytes_equal(record_key_bytes(&round->findings[i].key), key))
            return true;
    return false;
}

void integrity_found(struct integrity_round *round, struct bytes key,
                     const struct integrity_row *here, const struct integrity_row *there)
{
    struct integrity_finding *finding;

    if (is_found(round, key))
        return;
    round->findings_all_n++;
    if (round->findings_n == INTEGRITY_FINDINGS_MAX)
        return;
    finding = &round->findings[round->findings_n++];
    memset(finding, 0, sizeof(*finding));
    finding->key.len = (uint16_t)key.len;
    memcpy(finding->key.data, key.data, key.len);
    memcpy(finding->peer, peer_now(round)->node_id, NODE_ID_BYTES);
    if (here != NULL)
        finding->here = *here;
    if (there != NULL)
        finding->there = *there;
    finding->here.name = finding->there.name = BYTES_NONE;
}

/* --- the end --------------------------------------------------------------------------------- */

void integrity_round_stop(struct integrity *integrity)
{
    free(integrity->round);
    integrity->round = NULL;
}

static unsigned count(const struct integrity *integrity, enum integrity_answer answer)
{
    unsigned n = 0;

    for (unsigned i = 0; i < integrity->peers_n; i++)
        n += integrity->peers[i].answer == answer;
    return n;
}

static const struct integrity_peer *first_that_differs(const struct integrity *integrity)
{
    for (unsigned i = 0; i < integrity->peers_n; i++)
        if (integrity->peers[i].answer == INTEGRITY_DIFFERS)
            return &integrity->peers[i];
    return NULL;
}

/* Nobody has the same sum. Whoever knows of itself that its file was changed is wrong; one that
 * could verify itself is right against one that could not; two are right against one. */
static bool is_self_wrong(const struct integrity *integrity, const struct integrity_peer *other)
{
    if (integrity->base_failed || integrity->root_bad || integrity->standing == INTEGRITY_DAMAGED)
        return true;
    if (integrity->standing == INTEGRITY_UNVERIFIED && other->standing == INTEGRITY_SOUND)
        return true;
    return other->standing != INTEGRITY_DAMAGED && count(integrity, INTEGRITY_DIFFERS) >= 2;
}

static void judge(struct integrity *integrity)
{
    const struct integrity_peer *other = first_that_differs(integrity);
    bool equal = count(integrity, INTEGRITY_EQUAL) > 0;

    memset(integrity->blamed, 0, NODE_ID_BYTES);
    if (equal)
        integrity->compared_s = (uint64_t)time(NULL);
    if (equal && integrity->places_n == 0) {
        integrity->base_failed = false; /* what was changed has been written over since */
        integrity_stand(integrity, INTEGRITY_SOUND);
        if (other != NULL)
            memcpy(integrity->blamed, other->node_id, NODE_ID_BYTES);
    } else if (integrity->places_n > 0 || (other != NULL && is_self_wrong(integrity, other))) {
        memcpy(integrity->blamed, integrity->service->node_id, NODE_ID_BYTES);
        integrity_stand(integrity, INTEGRITY_DAMAGED);
    } else if (other != NULL &&
               (integrity->standing == INTEGRITY_SOUND || other->standing == INTEGRITY_DAMAGED))
        memcpy(integrity->blamed, other->node_id, NODE_ID_BYTES);
}

static void findings_tell(const struct integrity *integrity)
{
    struct buf text = BUF_INIT(4 * KIB);
    char key[INTEGRITY_TEXT_BYTES];

    integrity_alarm(integrity, &text);
    log_error("integrity", "%.*s", (int)text.len, (const char *)text.data);
    for (unsigned i = 0; i < integrity->findings_n; i++) {
        char node[NODE_NAME_BYTES_MAX + 1];

        integrity_key_text(integrity, record_key_bytes(&integrity->findings[i].key), key,
                           sizeof(key));
        cluster_node_text(integrity->service->cluster, integrity->findings[i].peer, node,
                          sizeof(node));
        log_error("integrity", "%s is not what it is on %s", key, node);
        audit_event(integrity->service->audit, "integrity_record", "record", key, "against", node,
                    NULL);
    }
    buf_fini(&text);
}

static void round_end(struct integrity *integrity)
{
    struct integrity_round *round = integrity->round;
    void (*cb)(void *arg) = integrity->round_cb;
    bool news = round->findings_all_n != integrity->findings_all_n;

    memcpy(integrity->peers, round->peers, sizeof(integrity->peers));
    integrity->peers_n = round->peers_n;
    memcpy(integrity->findings, round->findings, sizeof(integrity->findings));
    integrity->findings_n = round->findings_n;
    integrity->findings_all_n = round->findings_all_n;
    integrity_round_stop(integrity);
    judge(integrity);
    if (news && integrity->findings_n > 0)
        findings_tell(integrity);
    integrity->round_cb = NULL;
    if (cb != NULL)
        cb(integrity->round_cb_arg);
}

void integrity_next_peer(struct integrity *integrity)
{
    struct integrity_round *round = integrity->round;

    round->at++;
    round->places_n = round->place_at = round->doubts_n = 0;
    if (round->at < round->peers_n)
        integrity_go(integrity, INTEGRITY_TOTAL);
    else
        round_end(integrity);
}

/* --- sums ------------------------------------------------------------------------------------ */

static void place_add(struct integrity_round *round, const uint8_t *space)
{
    if (round->places_n == INTEGRITY_PLACES_MAX)
        return;
    memcpy(round->places[round->places_n].space, space, DATABASE_ID_BYTES);
    round->places[round->places_n++].buckets = UINT32_MAX;
}

static bool spaces_equal(const struct accumulator_space *space, const uint8_t *sum)
{
    struct multiset here, there;

    accumulator_space_total(space, &here);
    multiset_decode(sum, &there);
    return multiset_equal(&here, &there);
}

/* Both lists are in the order of ids. */
static bool spaces_differ(struct integrity_round *round, const struct accumulator *sums,
                          struct bytes in)
{
    const size_t step = DATABASE_ID_BYTES + MULTISET_BYTES;
    size_t at = 0, i = 0;

    if (in.len % step != 0)
        return false;
    while (at < in.len || i < sums->spaces_n) {
        const uint8_t *there = in.data + at;
        const struct accumulator_space *here = i < sums->spaces_n ? sums->spaces[i] : NULL;
        int order = at == in.len   ? -1
                    : here == NULL ? 1
                                   : memcmp(here->id, there, DATABASE_ID_BYTES);

        if (order < 0 ? accumulator_differ(here, NULL) != 0
                      : order > 0 || !spaces_equal(here, there + DATABASE_ID_BYTES))
            place_add(round, order <= 0 ? here->id : there);
        i += order <= 0;
        at += order >= 0 ? step : 0;
    }
    return true;
}

static void buckets_take(struct integrity_round *round, const struct accumulator *sums,
                         struct bytes in)
{
    struct integrity_place *place = &round->places[round->place_at];
    struct accumulator_space there = {.id = {0}};

    for (unsigned i = 0; i < ACCUMULATOR_BUCKETS && in.len == sizeof(there.buckets); i++)
        multiset_decode(in.data + (size_t)i * MULTISET_BYTES, &there.buckets[i]);
    place->buckets = accumulator_differ(accumulator_space(sums, place->space), &there);
}

static void walk_begin(struct integrity *integrity)
{
    integrity->round->place_at = 0;
    if (integrity->round->places_n == 0)
        integrity_next_peer(integrity);
    else
        integrity_go(integrity, INTEGRITY_WALK);
}

/* The same sums; but the file here may not be what was applied: then its rows tell which. */
static void on_equal(struct integrity *integrity)
{
    struct integrity_round *round = integrity->round;

    peer_now(round)->answer = INTEGRITY_EQUAL;
    memcpy(round->places, integrity->places, sizeof(round->places));
    round->places_n = integrity->places_n;
    walk_begin(integrity);
}

static void on_total(struct integrity *integrity, const struct peer_sums *sums)
{
    struct multiset here, there;

    if (sums->sums.len != MULTISET_BYTES ||
        accumulator_total(&integrity->sums, sums->index, &here) != QK_OK) {
        integrity_ask_again(integrity);
        return;
    }
    peer_now(integrity->round)->index = sums->index;
    multiset_decode(sums->sums.data, &there);
    if (multiset_equal(&here, &there)) {
        on_equal(integrity);
        return;
    }
    peer_now(integrity->round)->answer = INTEGRITY_DIFFERS;
    integrity_go(integrity, INTEGRITY_SPACES);
}

static void on_detail(struct integrity *integrity, const struct peer_sums *sums)
{
    struct integrity_round *round = integrity->round;
    struct accumulator here = {0};

    if (accumulator_copy(&integrity->sums, sums->index, &here) != QK_OK) {
        integrity_ask_again(integrity);
        return;
    }
    if (round->stage == INTEGRITY_SPACES && !spaces_differ(round, &here, sums->sums))
        round->places_n = 0;
    if (round->stage == INTEGRITY_BUCKETS) {
        buckets_take(round, &here, sums->sums);
        round->place_at++;
    }
    accumulator_fini(&here);
    if (round->place_at < round->places_n)
        integrity_go(integrity, INTEGRITY_BUCKETS);
    else
        walk_begin(integrity);
}

static void on_sums(struct integrity *integrity, const struct peer_sums *sums)
{
    struct integrity_round *round = integrity->round;

    if (sums->detail != (uint8_t)(round->stage - INTEGRITY_TOTAL) || !integrity_drain(integrity))
        return;
    peer_now(round)->standing = (enum integrity_standing)(sums->standing % 3u);
    if (sums->index == 0) { /* it can't tell */
        integrity_next_peer(integrity);
        return;
    }
    if (round->stage == INTEGRITY_TOTAL)
        on_total(integrity, sums);
    else
        on_detail(integrity, sums);
}

/* --- rounds ---------------------------------------------------------------------------------- */

static bool is_unsealed(const struct cluster *cluster, const uint8_t *node_id)
{
    const struct seal_peer *peer = seal_peer_find(&cluster->seal, node_id);

    return peer != NULL && hub_is_live(cluster, node_id) && cluster_is_trusted(cluster, node_id) &&
           peer->hello.state == SEAL_UNSEALED;
}

void integrity_round_begin(struct integrity *integrity)
{
    const struct cluster *cluster = integrity->service->cluster;
    struct integrity_round *round = calloc(1, sizeof(*round));

    if (round == NULL)
        return; /* the next one */
    integrity->round = round;
    round->begun_ms = now_ms(integrity);
    for (unsigned i = 0; i < cluster->members_n; i++) {
        const uint8_t *id = cluster->members[i].node_id;

        if (!hub_is_self(cluster, id) && is_unsealed(cluster, id))
            memcpy(round->peers[round->peers_n++].node_id, id, NODE_ID_BYTES);
    }
    if (round->peers_n == 0)
        round_end(integrity);
    else
        integrity_go(integrity, INTEGRITY_TOTAL);
}

void integrity_round_tick(struct integrity *integrity)
{
    struct integrity_round *round = integrity->round;
    uint64_t now = now_ms(integrity);

    if (now >= round->begun_ms + ROUND_MS)
        round_end(integrity);
    else if (round->again_ms != 0 && now >= round->again_ms)
        integrity_ask(integrity);
    else if (now >= round->deadline_ms && round->again_ms == 0)
        integrity_next_peer(integrity);
}

void integrity_message(struct integrity *integrity, const uint8_t *node_id,
                       const struct peer_message *message)
{
    struct integrity_round *round;
    bool mine;

    if (integrity == NULL || !integrity->attached || integrity->service->store == NULL ||
        !cluster_is_trusted(integrity->service->cluster, node_id))
        return;
    round = integrity->round;
    mine = round != NULL && round->again_ms == 0 && integrity->live &&
           memcmp(peer_now(round)->node_id, node_id, NODE_ID_BYTES) == 0;
    if (message->kind == PEER_SUMS_WANT)
        integrity_answer_sums(integrity, node_id, &message->as.sums_want);
    else if (message->kind == PEER_ROWS_WANT)
        integrity_answer_rows(integrity, node_id, &message->as.rows_want);
    else if (message->kind == PEER_SUMS && mine && round->stage <= INTEGRITY_BUCKETS &&
             message->as.sums.request == round->request)
        on_sums(integrity, &message->as.sums);
    else if (message->kind == PEER_ROWS && mine && round->stage >= INTEGRITY_WALK &&
             message->as.rows.request == round->request)
        integrity_rows(integrity, &message->as.rows);
}
