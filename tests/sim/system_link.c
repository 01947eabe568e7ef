/* Connections between nodes as src/link makes them, without sockets: one a pair, told apart by a
 * session number, known by static keys. What is under way when one breaks is lost, each end notices
 * in its own time, up to the keep-alive's three seconds. In some seeds messages are also lost,
 * doubled and late within and across sessions of the same two processes, which the product's link
 * excludes and the machines must bear. Never across processes: a HELLO of an ended one after those
 * of its successor is the clone alarm, rightly, since two sessions' keys differ. */
#include "system.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "link/link.h"

#define CHECK_MS 60
#define CONNECT_MS_MAX 120
#define NOTICE_MS_MAX 3000
#define HEAD_BYTES 18 /* channel, sender, session, when it was sent, the sender's life */

void link_stranger_id(const uint8_t pk[static LINK_PK_BYTES], uint8_t ret_id[static NODE_ID_BYTES])
{
    for (unsigned i = 0; i < NODE_ID_BYTES; i++)
        ret_id[i] = (uint8_t)(pk[i] ^ pk[i + 16] ^ 0x5a);
}

static const uint8_t *key_of(const struct machine *m)
{
    return m->service.node_sec != NULL ? m->service.node_sec->noise_pk : NULL;
}

static const struct link_peer *peer_of(const struct machine *m, const struct machine *other)
{
    const uint8_t *pk = key_of(other);

    for (unsigned i = 0; i < m->peers_n && pk != NULL; i++)
        if (memcmp(m->peers[i].pk, pk, LINK_PK_BYTES) == 0)
            return &m->peers[i];
    return NULL;
}

enum qk_err link_set_peers(struct link *link, const struct link_peer_info *peers, size_t peers_n)
{
    struct machine *m = machine_of(link);

    m->peers_n = 0;
    for (size_t i = 0; i < peers_n; i++) {
        struct link_peer *peer = &m->peers[m->peers_n++];

        memcpy(peer->node_id, peers[i].node_id, NODE_ID_BYTES);
        memcpy(peer->pk, peers[i].pk, LINK_PK_BYTES);
        snprintf(peer->address, sizeof(peer->address), "%.15s", peers[i].address);
    }
    return QK_OK;
}

uint64_t link_seen_ms(const struct link *link, const uint8_t node_id[static NODE_ID_BYTES])
{
    (void)link;
    (void)node_id;
    return UINT64_MAX;
}

/* --- sessions -------------------------------------------------------------------------------- */

static bool path(const struct machine *a, const struct machine *b)
{
    return a->alive && b->alive && a->linked && b->linked && !system_stopped(a, NOTICE_MS_MAX) &&
           !system_stopped(b, NOTICE_MS_MAX) && !a->sys->cuts[a->at][b->at] &&
           !a->sys->cuts[b->at][a->at];
}

static bool dials(const struct machine *m, const struct machine *other)
{
    const struct link_peer *peer = peer_of(m, other);

    return peer != NULL && peer->address[0] == 'm' &&
           strtoul(peer->address + 1, NULL, 10) == other->at;
}

static void notice(struct machine *m, struct machine *other, unsigned ms_max)
{
    struct side *side = &m->sides[other->at];

    if (!m->alive || side->session == 0 || side->noticing == side->session)
        return;
    side->noticing = side->session;
    system_push(m, 1 + sim_below(m->sys->w, ms_max), SYS_LINK_DOWN, side->session, &other->at,
                sizeof(other->at));
}

static void connect_pair(struct machine *a, struct machine *b)
{
    struct system *sys = a->sys;
    unsigned session = ++sys->sessions;
    unsigned ms = 1 + sim_below(sys->w, CONNECT_MS_MAX);

    a->sides[b->at].connecting_ms = b->sides[a->at].connecting_ms = sys->w->now + ms + 50;
    system_push(a, ms, SYS_LINK_UP, session, &b->at, sizeof(b->at));
    system_push(b, ms + sim_below(sys->w, 30), SYS_LINK_UP, session, &a->at, sizeof(a->at));
}

static void check_pair(struct machine *a, struct machine *b)
{
    struct side *ab = &a->sides[b->at], *ba = &b->sides[a->at];
    bool same = ab->session != 0 && ab->session == ba->session && !ab->broken && !ba->broken;
    uint64_t now = a->sys->w->now;

    if (!path(a, b)) {
        notice(a, b, NOTICE_MS_MAX);
        notice(b, a, NOTICE_MS_MAX);
        return;
    }
    if (ab->connecting_ms > now || ba->connecting_ms > now)
        return;
    if (same && ab->known == (peer_of(a, b) != NULL) && ba->known == (peer_of(b, a) != NULL))
        return;
    if (dials(a, b) || dials(b, a))
        connect_pair(a, b);
    else if (same) {
        notice(a, b, 50);
        notice(b, a, 50);
    }
}

void link_sim_check(struct system *sys)
{
    for (unsigned a = 0; a < sys->machines_n; a++)
        for (unsigned b = a + 1; b < sys->machines_n; b++)
            check_pair(&sys->machines[a], &sys->machines[b]);
    sim_push(sys->w, (struct event){.at = sys->w->now + CHECK_MS,
                                    .what = HAPPEN_SYSTEM,
                                    .node = UINT32_MAX,
                                    .from = SYS_LINK_CHECK});
}

static void side_down(struct machine *m, struct machine *other)
{
    uint8_t id[NODE_ID_BYTES];

    memcpy(id, m->sides[other->at].id, NODE_ID_BYTES);
    m->sides[other->at].session = 0;
    system_say(m, "link to m%u down", other->at);
    cluster_link_down(m->cluster, id);
}

static void side_up(struct machine *m, struct machine *other, unsigned session)
{
    struct side *side = &m->sides[other->at];
    const struct link_peer *peer = peer_of(m, other);

    if (side->session != 0)
        side_down(m, other);
    if (!m->alive || !path(m, other) || key_of(other) == NULL)
        return;
    side->session = session;
    side->broken = false;
    side->ups++;
    side->known = peer != NULL;
    side->up_ms = m->sys->w->now;
    side->life = other->life;
    link_stranger_id(key_of(other), side->stranger);
    memcpy(side->id, peer != NULL ? peer->node_id : side->stranger, NODE_ID_BYTES);
    system_say(m, "link to m%u up, %s", other->at, side->known ? "known" : "unknown");
    cluster_link_up(m->cluster, side->id, side->known);
}

/* --- messages -------------------------------------------------------------------------------- */

static struct machine *end_of(struct machine *m, const uint8_t *node_id)
{
    for (unsigned i = 0; i < m->sys->machines_n; i++)
        if (i != m->at && m->sides[i].session != 0 &&
            memcmp(m->sides[i].id, node_id, NODE_ID_BYTES) == 0)
            return &m->sys->machines[i];
    return NULL;
}

static void break_session(struct machine *a, struct machine *b)
{
    a->sides[b->at].broken = b->sides[a->at].broken = true;
    notice(a, b, NOTICE_MS_MAX);
    notice(b, a, NOTICE_MS_MAX);
}

static void carry(struct machine *from, struct machine *to, const uint8_t *data, size_t len)
{
    struct system *sys = from->sys;
    struct side *side = &from->sides[to->at];
    uint64_t at = sys->w->now + 1 + sim_below(sys->w, sys->over ? 5 : sys->delay_max);

    if (sys->disorder > 0 && !sys->over && sim_chance(sys->w, sys->disorder))
        at += sim_below(sys->w, 2000);
    else if (at < side->last_at)
        at = side->last_at;
    if (sys->disorder == 0)
        side->last_at = at;
    system_push(to, at - sys->w->now, SYS_LINK_MESSAGE, from->at, data, len);
}

enum qk_err link_send(struct link *link, const uint8_t node_id[static NODE_ID_BYTES],
                      enum link_channel channel, const struct bytes *parts, size_t parts_n)
{
    struct machine *m = machine_of(link), *to = end_of(m, node_id);
    struct system *sys = m->sys;
    uint8_t *data;

    assert(parts_n == 1);
    if (to == NULL && !machine_mute(m)) {
        system_check_sent(m, node_id, parts[0]);
        return QK_OK; /* the intruder */
    }
    if (machine_mute(m))
        return QK_ERR_CLOSED;
    if (!m->sides[to->at].known && channel != LINK_RECORD)
        return QK_ERR_DENIED;
    if (system_crash_point(m))
        return QK_ERR_CLOSED;
    system_check_sent(m, node_id, parts[0]);
    if (channel != LINK_RAFT)
        system_say(m, "message of kind %u to m%u on channel %d",
                   parts[0].data[0] == 0xdc ? PEER_HELLO : parts[0].data[2], to->at, (int)channel);
    if (!path(m, to)) {
        break_session(m, to);
        return QK_OK;
    }
    data = malloc(HEAD_BYTES + parts[0].len);
    assert(data != NULL);
    data[0] = (uint8_t)channel;
    data[1] = (uint8_t)m->at;
    put_u32(data + 2, m->sides[to->at].session);
    put_u64(data + 6, sys->w->now);
    put_u32(data + 14, m->life);
    memcpy(data + HEAD_BYTES, parts[0].data, parts[0].len);
    if (sys->disorder == 0 || sys->over || !sim_chance(sys->w, sys->disorder / 2))
        carry(m, to, data, HEAD_BYTES + parts[0].len);
    if (sys->disorder > 0 && !sys->over && sim_chance(sys->w, sys->disorder))
        carry(m, to, data, HEAD_BYTES + parts[0].len);
    free(data);
    return QK_OK;
}

/* What both ends learn from it, before the listener judges it. */
static void look(struct machine *m, const struct machine *from, struct bytes bytes)
{
    struct peer_message *decoded;

    if (!m->sys->rollback)
        return;
    decoded = malloc(sizeof(*decoded));
    assert(decoded != NULL);
    if (peer_decode(bytes, decoded) == QK_OK) {
        if (decoded->kind == PEER_HELLO)
            rollback_heard(m, from, &decoded->as.hello);
        else if (decoded->kind == PEER_RELEASE || decoded->kind == PEER_SHARE)
            rollback_check(m, from);
    }
    free(decoded);
}

static void message(struct machine *m, const struct event *event)
{
    struct machine *from = &m->sys->machines[event->data[1]];
    struct side *side = &m->sides[from->at];
    unsigned session = get_u32(event->data + 2);
    enum link_channel channel = (enum link_channel)event->data[0];

    if (side->session == 0 || (m->sys->disorder == 0 && side->session != session) ||
        from->life != get_u32(event->data + 14) || from->life != side->life)
        return;
    if (!path(m, from)) {
        break_session(m, from);
        return;
    }
    if (!side->known && channel != LINK_RECORD)
        return;
    m->sys->delivered_sent = get_u64(event->data + 6);
    m->sys->delivered_from = from;
    m->sys->delivered_kind = channel == LINK_RAFT || event->len < HEAD_BYTES + 3
                                 ? (enum peer_kind)0
                                 : (enum peer_kind)event->data[HEAD_BYTES + 2];
    if (channel != LINK_RAFT)
        look(m, from, bytes_of(event->data + HEAD_BYTES, event->len - HEAD_BYTES));
    cluster_link_message(m->cluster, side->id,
                         bytes_of(event->data + HEAD_BYTES, event->len - HEAD_BYTES));
    m->sys->delivered_from = NULL;
}

void link_sim_deliver(struct machine *m, const struct event *event)
{
    unsigned other;

    if (!m->linked)
        return;
    if (event->from == SYS_LINK_MESSAGE) {
        message(m, event);
        return;
    }
    memcpy(&other, event->data, sizeof(other));
    if (event->from == SYS_LINK_UP)
        side_up(m, &m->sys->machines[other], event->tick_number);
    else if (m->sides[other].session == event->tick_number)
        side_down(m, &m->sys->machines[other]);
}

bool link_sim_raft(const struct machine *from, const struct machine *to)
{
    const struct side *ab = &from->sides[to->at], *ba = &to->sides[from->at];

    return path(from, to) && ab->session != 0 && ab->session == ba->session && ab->known &&
           ba->known && !ab->broken;
}

void link_sim_down(struct machine *m, bool crash)
{
    (void)crash;
    memset(m->sides, 0, sizeof(m->sides));
    m->linked = false;
    m->peers_n = 0;
}

/* --- joins ----------------------------------------------------------------------------------- */

enum join_step {
    JOIN_ARRIVES,
    JOIN_ANSWERED,
    JOIN_ASKS,
    JOIN_TOLD,
    JOIN_ENDED,
    JOIN_CLOSED,
    JOIN_LATE
};

struct link_join {
    struct machine *joiner, *inviter;
    unsigned joiner_life, inviter_life, number;
    struct link_join_config config;
    uint8_t psk[PEER_KEY_BYTES];
    bool up, ended, closed;
};

static void join_push(struct link_join *join, bool to_joiner, unsigned ms, enum join_step step,
                      enum qk_err err, struct bytes bytes)
{
    struct machine *m = to_joiner ? join->joiner : join->inviter;
    uint8_t *data = malloc(bytes.len + 2);

    assert(data != NULL);
    data[0] = (uint8_t)step;
    data[1] = (uint8_t)err;
    if (bytes.len > 0)
        memcpy(data + 2, bytes.data, bytes.len);
    if (m->alive && m->life == (to_joiner ? join->joiner_life : join->inviter_life) &&
        (step == JOIN_LATE || (!join->joiner->sys->cuts[join->joiner->at][join->inviter->at] &&
                               !join->joiner->sys->cuts[join->inviter->at][join->joiner->at])))
        system_push(m, ms, SYS_JOIN, join->number, data, bytes.len + 2);
    free(data);
}

static unsigned join_delay(struct link_join *join)
{
    return 1 + sim_below(join->joiner->sys->w, join->joiner->sys->delay_max);
}

enum qk_err link_join_open(const struct link_join_config *config, struct link_join **ret_join)
{
    struct machine *m = machine_of(config->loop);
    struct system *sys = m->sys;
    struct link_join *join = calloc(1, sizeof(*join));

    assert(join != NULL && config->addresses_n > 0 && sys->joins < 64);
    join->number = (unsigned)sys->joins;
    sys->joining[sys->joins++] = join;
    join->joiner = m;
    join->joiner_life = m->life;
    join->inviter = &sys->machines[strtoul(config->addresses[0] + 1, NULL, 10)];
    join->inviter_life = join->inviter->life;
    join->config = *config;
    memcpy(join->psk, secret_borrow(config->psk), sizeof(join->psk));
    secret_return(config->psk);
    if (join->inviter->linked)
        join_push(join, false, join_delay(join), JOIN_ARRIVES, QK_OK, BYTES_NONE);
    join_push(join, true, 5000, JOIN_LATE, QK_ERR_TIMEOUT, BYTES_NONE);
    join_push(join, true, 20000, JOIN_LATE, QK_ERR_CLOSED, BYTES_NONE);
    *ret_join = join;
    return QK_OK;
}

enum qk_err link_join_send(struct link_join *join, const struct bytes *parts, size_t parts_n)
{
    assert(parts_n == 1);
    if (!machine_mute(join->joiner))
        join_push(join, false, join_delay(join), JOIN_ASKS, QK_OK, parts[0]);
    return QK_OK;
}

void link_join_close(struct link_join *join, void (*cb)(void *arg), void *arg)
{
    join->closed = true;
    join_push(join, false, 1, JOIN_CLOSED, QK_OK, BYTES_NONE);
    if (cb != NULL)
        cb(arg);
}

static struct link_join *join_of(struct machine *m, uint64_t join_id)
{
    struct link_join *join = join_id < m->sys->joins ? m->sys->joining[join_id] : NULL;

    return join != NULL && join->inviter == m && join->inviter_life == m->life && !machine_mute(m)
               ? join
               : NULL;
}

void link_join_answer(struct link *link, uint64_t join_id, enum qk_err err,
                      const struct secret *psk)
{
    struct link_join *join = join_of(machine_of(link), join_id);

    if (join == NULL)
        return;
    if (err == QK_OK && memcmp(secret_borrow(psk), join->psk, sizeof(join->psk)) != 0)
        err = QK_ERR_DENIED;
    join_push(join, true, join_delay(join), JOIN_ANSWERED, err, BYTES_NONE);
}

enum qk_err link_join_reply(struct link *link, uint64_t join_id, const struct bytes *parts,
                            size_t parts_n)
{
    struct link_join *join = join_of(machine_of(link), join_id);

    assert(parts_n == 1);
    if (join == NULL)
        return QK_ERR_CLOSED;
    if (system_crash_point(join->inviter))
        return QK_ERR_CLOSED;
    join_push(join, true, join_delay(join), JOIN_TOLD, QK_OK, parts[0]);
    return QK_OK;
}

void link_join_end(struct link *link, uint64_t join_id)
{
    struct link_join *join = join_of(machine_of(link), join_id);

    if (join == NULL)
        return;
    join_push(join, true, 1 + join->joiner->sys->delay_max, JOIN_ENDED, QK_ERR_CLOSED, BYTES_NONE);
    join_push(join, false, 1, JOIN_CLOSED, QK_OK, BYTES_NONE);
}

static void join_end(struct link_join *join, enum qk_err err)
{
    if (join->ended || join->closed)
        return;
    join->ended = true;
    join->config.on_end(join->config.arg, err);
}

void link_sim_join(struct machine *m, const struct event *event)
{
    struct link_join *join = m->sys->joining[event->tick_number];
    enum qk_err err = (enum qk_err)event->data[1];
    struct bytes bytes = bytes_of(event->data + 2, event->len - 2);

    switch ((enum join_step)event->data[0]) {
    case JOIN_ARRIVES:
        if (m->linked)
            cluster_join_token(m->cluster, join->number, join->config.token_id, "joiner");
        break;
    case JOIN_ASKS:
        if (m->linked)
            cluster_join_message(m->cluster, join->number, join->config.pk, join->config.token_id,
                                 bytes);
        break;
    case JOIN_CLOSED:
        if (m->linked)
            cluster_join_closed(m->cluster, join->number);
        break;
    case JOIN_ANSWERED:
        if (err != QK_OK)
            join_end(join, err);
        else if (!join->ended && !join->closed) {
            join->up = true;
            join->config.on_up(join->config.arg);
        }
        break;
    case JOIN_TOLD:
        if (!join->ended && !join->closed)
            join->config.on_message(join->config.arg, bytes);
        break;
    case JOIN_ENDED:
        join_end(join, err);
        break;
    case JOIN_LATE:
        if (!join->up || err == QK_ERR_CLOSED)
            join_end(join, err);
        break;
    }
}
