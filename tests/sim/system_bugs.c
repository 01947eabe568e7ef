/* Deliberate bugs: `ld --wrap` puts these functions between the hub and the machines, so that the
 * product's code has no switch for them. And the intruder, who is no bug: a computer with a key of
 * its own that connects to members, in every seed. */
#include "system.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "keys/keyring.h"
#include "link/link.h"
#include "service/keys_current.h"
#include "service/keys/reencrypt_private.h"
#include "system_truth.h"

const char *bug_text(enum bug bug)
{
    static const char *const texts[BUGS_N] = {
#define BUG_TEXT(code, text) [code] = text,
        BUG_MAP(BUG_TEXT)
#undef BUG_TEXT
    };

    return bug > BUG_NONE && bug < BUGS_N ? texts[bug] : "none";
}

static bool on(enum bug bug)
{
    return system_current != NULL && system_current->sys->bug == bug;
}

/* --- generations ----------------------------------------------------------------------------- */

bool __real_dealing_may_erase(const struct dealing_gen *gen, const struct dealing_durable *durable);
bool __wrap_dealing_may_erase(const struct dealing_gen *gen, const struct dealing_durable *durable);
bool __wrap_dealing_may_erase(const struct dealing_gen *gen, const struct dealing_durable *durable)
{
    struct dealing_durable facts = *durable;

    if (on(BUG_ERASE_AT_DEAL))
        facts.final = true;
    if (on(BUG_ERASE_UNCOMMITTED) && gen->gen > durable->record_gen)
        return true;
    return __real_dealing_may_erase(gen, &facts);
}

enum dealing_answer __real_dealing_collect_answer(uint64_t attempt, uint64_t begin_attempt,
                                                  struct dealing_gen *gens, unsigned gens_n,
                                                  unsigned gens_max, uint64_t *ret_gen);
enum dealing_answer __wrap_dealing_collect_answer(uint64_t attempt, uint64_t begin_attempt,
                                                  struct dealing_gen *gens, unsigned gens_n,
                                                  unsigned gens_max, uint64_t *ret_gen);
enum dealing_answer __wrap_dealing_collect_answer(uint64_t attempt, uint64_t begin_attempt,
                                                  struct dealing_gen *gens, unsigned gens_n,
                                                  unsigned gens_max, uint64_t *ret_gen)
{
    return __real_dealing_collect_answer(attempt, on(BUG_BEGIN_ORDER) ? attempt : begin_attempt,
                                         gens, gens_n, gens_max, ret_gen);
}

/* --- the dealing machine --------------------------------------------------------------------- */

void __real_dealing_step(struct dealing *dealing, uint64_t now_ms,
                         const struct dealing_event *event, struct dealing_effects *effects);
void __wrap_dealing_step(struct dealing *dealing, uint64_t now_ms,
                         const struct dealing_event *event, struct dealing_effects *effects);
void __wrap_dealing_step(struct dealing *dealing, uint64_t now_ms,
                         const struct dealing_event *event, struct dealing_effects *effects)
{
    struct dealing_facts facts = *event->facts;
    struct dealing_event altered = *event;

    altered.facts = &facts;
    if (on(BUG_OLD_ATTEMPT) && dealing->state == DEALING_COLLECT) {
        facts.begin_attempt = dealing->attempt;
        if (!facts.leader) {
            effects->n = 0;
            dealing->facts.leader = false; /* no deadline */
            return;
        }
    }
    if (on(BUG_FINAL_EARLY)) {
        facts.threshold = 0;
        for (unsigned i = 0; i < facts.members_n; i++)
            facts.members[i].part = false;
    }
    for (unsigned i = 0; on(BUG_DONE_WITH_OLD) && i < facts.members_n; i++)
        facts.members[i].stale = false;
    for (unsigned i = 0; on(BUG_DONE_UNASKED) && i < facts.members_n; i++)
        memcpy(dealing->erased[dealing->erased_n = i], facts.members[i].node_id, NODE_ID_BYTES);
    if (on(BUG_DONE_UNASKED) && facts.members_n > 0)
        dealing->erased_n = facts.members_n;
    for (unsigned i = 0; on(BUG_PROMOTE_EARLY) && i < facts.members_n; i++)
        if (facts.members[i].role == DEALING_JOINING && facts.members[i].in_raft)
            facts.members[i].in_deal = true;
    __real_dealing_step(dealing, now_ms, &altered, effects);
    for (unsigned i = 0; on(BUG_SAME_MK) && i < effects->n; i++)
        effects->list[i].fresh = false;
}

void __real_wire_command_cond(struct wire_command *command, struct bytes key, uint64_t version);
void __wrap_wire_command_cond(struct wire_command *command, struct bytes key, uint64_t version);
void __wrap_wire_command_cond(struct wire_command *command, struct bytes key, uint64_t version)
{
    struct record_key begin = record_system(RECORD_SYS, RECORD_DEAL_BEGIN);

    if (!on(BUG_OLD_ATTEMPT) || !bytes_equal(key, record_key_bytes(&begin)))
        __real_wire_command_cond(command, key, version);
}

enum qk_err __real_deal_record_build(const struct deal_input *input, struct random_source random,
                                     struct buf *out, struct secret **ret_dealer_share);
enum qk_err __wrap_deal_record_build(const struct deal_input *input, struct random_source random,
                                     struct buf *out, struct secret **ret_dealer_share);
enum qk_err __wrap_deal_record_build(const struct deal_input *input, struct random_source random,
                                     struct buf *out, struct secret **ret_dealer_share)
{
    struct deal_party parties[NODES_MAX];
    struct deal_input altered = *input;

    memcpy(parties, input->parties, input->parties_n * sizeof(parties[0]));
    for (size_t i = 0; on(BUG_ABSENT_SLOTS) && i < input->parties_n; i++)
        parties[i].absent = parties[i].stale = false;
    altered.parties = parties;
    return __real_deal_record_build(&altered, random, out, ret_dealer_share);
}

void __real_wire_command_delete(struct wire_command *command, struct bytes key);
void __wrap_wire_command_delete(struct wire_command *command, struct bytes key);
void __wrap_wire_command_delete(struct wire_command *command, struct bytes key)
{
    enum record_space space;

    if (!on(BUG_KEEPS_HALVES) || !record_key_space(key, &space) || space != RECORD_KEYRING)
        __real_wire_command_delete(command, key);
}

void __real_system_next_encode(const struct system_next *next, struct buf *out);
void __wrap_system_next_encode(const struct system_next *next, struct buf *out);
void __wrap_system_next_encode(const struct system_next *next, struct buf *out)
{
    struct system_next altered = *next;

    if (on(BUG_REUSE_X))
        altered.x = next->x - 1;
    __real_system_next_encode(&altered, out);
}

enum qk_err __real_keyring_seal_halves(const struct keyring *keyring,
                                       const uint8_t node[static NODE_ID_BYTES], uint64_t gen,
                                       const struct secret *d, const struct secret *p,
                                       struct keyring_record *ret_record);
enum qk_err __wrap_keyring_seal_halves(const struct keyring *keyring,
                                       const uint8_t node[static NODE_ID_BYTES], uint64_t gen,
                                       const struct secret *d, const struct secret *p,
                                       struct keyring_record *ret_record);
enum qk_err __wrap_keyring_seal_halves(const struct keyring *keyring,
                                       const uint8_t node[static NODE_ID_BYTES], uint64_t gen,
                                       const struct secret *d, const struct secret *p,
                                       struct keyring_record *ret_record)
{
    enum qk_err err = __real_keyring_seal_halves(keyring, node, gen, d, p, ret_record);

    if (err == QK_OK && on(BUG_SHARE_IN_CLEAR)) {
        buf_reset(&ret_record->value);
        buf_put(&ret_record->value, secret_borrow(d), KEY_BYTES);
    }
    return err;
}

/* --- the keys of documents ------------------------------------------------------------------- */

struct key_limits __real_key_limits_in_force(const struct key_limits *limits);
struct key_limits __wrap_key_limits_in_force(const struct key_limits *limits);

/* No bug: periods as short as a seed, where the least that may be set is a thousand records. */
struct key_limits __wrap_key_limits_in_force(const struct key_limits *limits)
{
    struct key_limits made = __real_key_limits_in_force(limits);
    const struct system *sys = system_current != NULL ? system_current->sys : NULL;

    if (sys != NULL && sys->period_records > 0)
        made.records = sys->period_records;
    if (sys != NULL && sys->period_age_s > 0)
        made.age_s = sys->period_age_s;
    return made;
}

void __real_wire_command_limit(struct wire_command *command,
                               const uint8_t tag[static WIRE_TAG_BYTES], uint64_t sealed_max,
                               uint64_t bytes_max);
void __wrap_wire_command_limit(struct wire_command *command,
                               const uint8_t tag[static WIRE_TAG_BYTES], uint64_t sealed_max,
                               uint64_t bytes_max);
void __wrap_wire_command_limit(struct wire_command *command,
                               const uint8_t tag[static WIRE_TAG_BYTES], uint64_t sealed_max,
                               uint64_t bytes_max)
{
    if (!on(BUG_PERIOD_UNSAID))
        __real_wire_command_limit(command, tag, sealed_max, bytes_max);
}

bool __real_keys_are_current(const struct service *service);
bool __wrap_keys_are_current(const struct service *service);
bool __wrap_keys_are_current(const struct service *service)
{
    return on(BUG_KEYS_BEHIND) || __real_keys_are_current(service);
}

enum qk_err __real_reencrypt_look(struct service *service, struct bytes key,
                                  const struct record *record, int by,
                                  struct reencrypt_counts *counts, bool *ret_old);
enum qk_err __wrap_reencrypt_look(struct service *service, struct bytes key,
                                  const struct record *record, int by,
                                  struct reencrypt_counts *counts, bool *ret_old);
enum qk_err __wrap_reencrypt_look(struct service *service, struct bytes key,
                                  const struct record *record, int by,
                                  struct reencrypt_counts *counts, bool *ret_old)
{
    bool skips = false;

    if (on(BUG_REENCRYPT_BLIND))
        skips = service->reencrypt->phase == PHASE_VERIFY ||
                (service->reencrypt->phase == PHASE_WALK && record->version % 3 == 0);
    if (!skips)
        return __real_reencrypt_look(service, key, record, by, counts, ret_old);
    *ret_old = false;
    return QK_OK;
}

/* --- members --------------------------------------------------------------------------------- */

bool __real_cluster_is_trusted(const struct cluster *cluster,
                               const uint8_t node_id[static NODE_ID_BYTES]);
bool __wrap_cluster_is_trusted(const struct cluster *cluster,
                               const uint8_t node_id[static NODE_ID_BYTES]);
bool __wrap_cluster_is_trusted(const struct cluster *cluster,
                               const uint8_t node_id[static NODE_ID_BYTES])
{
    return on(BUG_LEAVING_SERVED) || __real_cluster_is_trusted(cluster, node_id);
}

void __real_hub_replace(struct cluster *cluster);
void __wrap_hub_replace(struct cluster *cluster);
void __wrap_hub_replace(struct cluster *cluster)
{
    if (!on(BUG_REPLACED_STAYS))
        __real_hub_replace(cluster);
}

/* --- the seal machine ------------------------------------------------------------------------ */

struct release_decision __real_release_decide(const struct release_facts *facts,
                                              const struct release_rate *rate, uint64_t now_ms);
struct release_decision __wrap_release_decide(const struct release_facts *facts,
                                              const struct release_rate *rate, uint64_t now_ms);
struct release_decision __wrap_release_decide(const struct release_facts *facts,
                                              const struct release_rate *rate, uint64_t now_ms)
{
    struct release_facts altered = *facts;

    if (on(BUG_NO_NEWER))
        altered.newer = false;
    if (on(BUG_CLOSED_ANSWERS))
        altered.closed = false;
    if (on(BUG_NO_NONCE))
        altered.fresh = true;
    if (on(BUG_HOLD_RELEASES))
        altered.hold = RELEASE_PASS;
    if (on(BUG_SUSPENDED_SERVED))
        altered.suspended = RELEASE_PASS;
    if (on(BUG_ROLLED_BACK_SERVED))
        altered.watermark = RELEASE_PASS;
    if (on(BUG_CLONES_SERVED))
        altered.clone = false;
    if (on(BUG_QUORUM_UNASKED))
        altered.quorum = 0;
    return __real_release_decide(&altered, rate, now_ms);
}

void __real_seal_step(struct seal_machine *machine, uint64_t now_ms,
                      const uint8_t random[static SEAL_RANDOM_BYTES],
                      const struct seal_event *event, struct seal_effects *effects);
void __wrap_seal_step(struct seal_machine *machine, uint64_t now_ms,
                      const uint8_t random[static SEAL_RANDOM_BYTES],
                      const struct seal_event *event, struct seal_effects *effects);

/* A question of somebody unknown is taken for that of the member whose x it names. */
static bool impersonate(struct seal_machine *machine, struct seal_event *event,
                        struct peer_message *message)
{
    const struct seal_peer *peer = seal_peer_find(machine, event->node_id);

    if (event->kind != SEAL_EV_WANT || peer == NULL || peer->known)
        return false;
    for (unsigned i = 0; i < machine->deal.members_n; i++) {
        const struct seal_deal_member *member = &machine->deal.members[i];
        const struct seal_peer *other = seal_peer_find(machine, member->node_id);

        if (member->x != message->as.want.x || other == NULL)
            continue;
        memcpy(event->node_id, member->node_id, NODE_ID_BYTES);
        memcpy(message->as.want.echo, other->nonce, PEER_NONCE_BYTES);
        message->as.want.gen = member->gen;
        return true;
    }
    return false;
}

static bool twice_up(const struct machine *m, const uint8_t *node_id)
{
    for (unsigned i = 0; i < m->sys->machines_n; i++)
        if (memcmp(m->sides[i].id, node_id, NODE_ID_BYTES) == 0 && m->sides[i].ups > 1)
            return true;
    return false;
}

static void alter_effects(struct seal_effects *effects, const uint8_t *to)
{
    unsigned n = 0;

    for (unsigned i = 0; i < effects->n; i++) {
        struct seal_effect *effect = &effects->list[i];
        bool is_send = effect->kind == SEAL_DO_SEND;

        if (is_send && on(BUG_DROP_WANTS) && effect->message_kind == PEER_WANT &&
            twice_up(system_current, effect->node_id))
            continue;
        if (is_send && to != NULL && effect->message_kind == PEER_RELEASE)
            memcpy(effect->node_id, to, NODE_ID_BYTES);
        if (n != i)
            effects->list[n] = *effect;
        n++;
    }
    effects->n = n;
}

void __wrap_seal_step(struct seal_machine *machine, uint64_t now_ms,
                      const uint8_t random[static SEAL_RANDOM_BYTES],
                      const struct seal_event *event, struct seal_effects *effects)
{
    struct seal_event altered = *event;
    struct peer_message *message = NULL;
    const uint8_t *to = NULL;

    if (event->message != NULL && event->kind == SEAL_EV_WANT && on(BUG_RELEASE_STRANGER)) {
        message = malloc(sizeof(*message));
        if (message == NULL)
            abort();
        *message = *event->message;
        altered.message = message;
        if (impersonate(machine, &altered, message))
            to = event->node_id;
    }
    if (event->kind == SEAL_EV_RECORD && on(BUG_TRUST_RECORD) && event->deal != NULL)
        altered.kind = SEAL_EV_DEAL;
    if (on(BUG_FORK_UNSEEN))
        altered.forked = false;
    if (on(BUG_OPENS_OLD) && event->kind == SEAL_EV_DEAL && event->deal != NULL)
        machine->mk_version = event->deal->mk_version;
    __real_seal_step(machine, now_ms, random, &altered, effects);
    if (to != NULL || on(BUG_DROP_WANTS))
        alter_effects(effects, to);
    free(message);
}

/* --- disks ----------------------------------------------------------------------------------- */

ssize_t __real_pwrite64(int fd, const void *data, size_t len, off_t at);

void bugs_crashed(struct machine *m)
{
    char path[SYSTEM_PATH_BYTES + 16];
    int fd;

    if (m->sys->bug == BUG_VOTE_LOST && m->raft != NULL)
        m->raft->disk.vote = 0;
    if (m->sys->bug == BUG_APPLY_AGAIN && m->raft != NULL &&
        m->raft->disk.store_applied >= m->raft->disk.log.first && m->disk.index > 0) {
        m->disk.index--;
        m->raft->disk.store_applied = m->disk.index;
    }
    if (m->sys->bug != BUG_NO_SYNC || !m->sec_unsynced)
        return;
    m->sec_unsynced = false;
    snprintf(path, sizeof(path), "%s/node.sec", m->dir);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    if (__real_pwrite64(fd, m->sec_before, sizeof(m->sec_before), 0) < 0)
        abort();
    (void)close(fd);
}

/* --- the intruder ---------------------------------------------------------------------------- */

static void say(struct machine *m, const uint8_t *id, const struct peer_message *message)
{
    struct buf out = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);

    if (m->alive && !m->dying && peer_encode(message, &out) == QK_OK)
        cluster_link_message(m->cluster, id, buf_bytes(&out));
    buf_fini(&out);
}

/* A record with a later epoch, in which the intruder has the place of a member. */
static void forge(struct machine *m, const uint8_t *pk, struct buf *out)
{
    const struct deal_record *record = m->cluster->record;
    struct bytes bytes = deal_record_bytes(record);
    size_t member = 76 + record->t * 32;
    size_t victim = memcmp(record->members[0].node, m->service.node_id, NODE_ID_BYTES) == 0;

    buf_put(out, bytes.data, bytes.len);
    put_u64(out->data + 24, sim_random(m->sys->w));
    put_u64(out->data + 56, record->epoch + 5);
    memcpy(out->data + member + 60 * victim + 28, pk, X25519_BYTES);
}

static void speak(struct machine *m, const uint8_t *id, const uint8_t *pk,
                  struct peer_message *message)
{
    const struct seal_peer *peer = seal_peer_find(&m->cluster->seal, id);
    const struct deal_record *record = m->cluster->record;
    struct buf forged = BUF_INIT(DEAL_RECORD_BYTES_MAX);
    uint8_t echo[PEER_NONCE_BYTES];

    if (peer == NULL || record == NULL)
        return;
    memcpy(echo, peer->nonce, PEER_NONCE_BYTES);
    memset(message, 0, sizeof(*message));
    message->kind = PEER_HELLO;
    memcpy(message->as.hello.node_id, id, NODE_ID_BYTES);
    memcpy(message->as.hello.echo, echo, PEER_NONCE_BYTES);
    message->as.hello.epoch = record->epoch + (sim_chance(m->sys->w, 500) ? 5 : 0);
    memcpy(message->as.hello.deal_id, record->deal, DEAL_ID_BYTES);
    message->as.hello.nonce[0] = 1;
    message->as.hello.version = PEER_VERSION;
    message->as.hello.state = SEAL_SEALED;
    say(m, id, message);
    memset(message, 0, sizeof(*message));
    message->kind = PEER_WANT;
    memcpy(message->as.want.deal_id, record->deal, DEAL_ID_BYTES);
    memcpy(message->as.want.echo, echo, PEER_NONCE_BYTES);
    message->as.want.epoch = record->epoch;
    message->as.want.x = record->members[sim_below(m->sys->w, (unsigned)record->n)].x;
    message->as.want.gen = 1;
    message->as.want.what = PEER_WANT_RELEASE | PEER_WANT_SHARE;
    say(m, id, message);
    memset(message, 0, sizeof(*message));
    message->kind = PEER_RECORD;
    if (m->alive && m->cluster->record != NULL) {
        forge(m, pk, &forged);
        message->as.record.record = buf_bytes(&forged);
        say(m, id, message);
    }
    buf_fini(&forged);
}

void system_intrude(struct machine *m)
{
    struct machine *before = system_current;
    struct peer_message *message = calloc(1, sizeof(*message));
    uint8_t pk[X25519_BYTES], id[NODE_ID_BYTES];

    if (message == NULL || !m->alive || m->dying || !m->linked || !m->cluster->booted ||
        m->cluster->record == NULL) {
        free(message);
        return;
    }
    system_current = m;
    for (unsigned i = 0; i < sizeof(pk); i++)
        pk[i] = (uint8_t)sim_random(m->sys->w);
    link_stranger_id(pk, id);
    cluster_link_up(m->cluster, id, false);
    speak(m, id, pk, message);
    if (m->alive)
        cluster_link_down(m->cluster, id);
    free(message);
    if (m->alive && m->dying)
        system_crash(m);
    system_current = before;
}
