/* What goes wrong, and what people ask for: init, invitations, joins, writes, seal and unseal. Each
 * seed has its own character. */
#include "system.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/consensus.h"
#include "service/cluster_handlers.h"
#include "wire/token.h"

#define DOCS_MAX 24

static unsigned pick(struct world *w, unsigned a, unsigned b, unsigned c)
{
    unsigned die = sim_below(w, 3);

    return die == 0 ? a : die == 1 ? b : c;
}

/* --- requests of people ---------------------------------------------------------------------- */

struct person {
    struct exchange exchange;
    struct system *sys;
    char text[4096];
    size_t len;
};

static void reply_start(struct exchange *exchange, int status, const char *content_type,
                        const struct reply_field *fields, unsigned fields_n, size_t length)
{
    (void)exchange;
    (void)status;
    (void)content_type;
    (void)fields;
    (void)fields_n;
    (void)length;
}

static void reply_write(struct exchange *exchange, struct bytes body)
{
    struct person *person = (struct person *)(void *)exchange;
    size_t n = sizeof(person->text) - 1 - person->len;

    n = body.len < n ? body.len : n;
    memcpy(person->text + person->len, body.data, n);
    person->len += n;
}

/* A token in the reply is there for whoever joins next. */
static void reply_end(struct exchange *exchange)
{
    struct person *person = (struct person *)(void *)exchange;
    struct system *sys = person->sys;
    const char *token = strstr(person->text, "\"token\":\""), *end;

    if (token != NULL && sys->tokens_n < 16) {
        token += strlen("\"token\":\"");
        end = strchr(token, '"');
        if (end != NULL)
            snprintf(sys->tokens[sys->tokens_n++], sizeof(sys->tokens[0]), "%.*s",
                     (int)(end - token), token);
    }
    free(person);
}

static size_t reply_queued(const struct exchange *exchange)
{
    (void)exchange;
    return 0;
}

static void reply_on_drain(struct exchange *exchange, void (*drained)(void *arg), void *arg)
{
    (void)exchange;
    (void)drained;
    (void)arg;
}

static struct person *person_new(struct system *sys, const char *body)
{
    static const struct exchange_ops ops = {reply_start, reply_write, reply_end, reply_queued,
                                            reply_on_drain};
    struct person *person = calloc(1, sizeof(*person));

    assert(person != NULL);
    person->exchange.ops = &ops;
    person->sys = sys;
    person->exchange.request.body = bytes_str(body);
    snprintf(person->exchange.from, sizeof(person->exchange.from), "person");
    return person;
}

static void ask(struct machine *m, void (*handle)(struct service *service, struct exchange *e),
                const char *body)
{
    struct machine *before = system_current;

    system_current = m;
    handle(&m->service, &person_new(m->sys, body)->exchange);
    if (m->dying)
        system_crash(m);
    system_current = before;
}

static struct machine *leader_of(struct system *sys)
{
    struct node *node = chaos_leader(sys->w);

    return node != NULL ? sys->of_raft[node - sys->w->nodes] : NULL;
}

/* Tokens that nobody used within a try are lost with the paper they were written on. */
static void join(struct system *sys, struct machine *m)
{
    struct machine *leader = leader_of(sys);
    char body[600];

    if (leader == NULL || m->joins_n >= SYSTEM_JOINS_MAX || sys->w->nodes_n >= SIM_NODES_MAX - 1)
        return;
    if (sys->tokens_n == 0) {
        if (sys->joins < SYSTEM_JOININGS_MAX)
            ask(leader, handle_invite, "");
        return;
    }
    if (m->cluster->joiner != NULL)
        return;
    snprintf(body, sizeof(body), "{\"token\":\"%s\"}", sys->tokens[0]);
    sys->tokens_n--;
    memmove(sys->tokens[0], sys->tokens[1], sys->tokens_n * sizeof(sys->tokens[0]));
    m->joins_n++;
    /* A join whose answer was lost has left its name in the cluster. */
    snprintf(m->service.node_name, sizeof(m->service.node_name), "n%u-%u", m->at, m->joins_n);
    system_say(m, "joins");
    ask(m, handle_join, body);
}

/* One that fell between the answer and its first generation knows no peers: people begin anew. */
static bool is_stuck(const struct machine *m)
{
    const struct node_sec *sec = m->service.node_sec;

    return sec != NULL && sec->x != 1 && sec->gen_last == 0 && m->cluster->record == NULL &&
           m->sys->over && sim_chance(m->sys->w, 20);
}

static void try_joins(struct system *sys)
{
    struct machine *m = &sys->machines[1 + sim_below(sys->w, sys->machines_n - 1)];

    if (!m->alive || m->dying || (m->service.node_sec != NULL && !is_stuck(m)))
        return;
    join(sys, m);
}

/* --- writes ---------------------------------------------------------------------------------- */

struct write {
    struct system *sys;
    struct blob *key, *value;
    uint64_t version;
};

static void acknowledge(struct system *sys, struct write *write)
{
    struct acked *place = NULL;

    sys->acked_total++;
    for (unsigned i = 0; i < sys->acked_n; i++)
        if (bytes_equal(blob_bytes(sys->acked[i].key), blob_bytes(write->key)))
            place = &sys->acked[i];
    if (place == NULL) {
        assert(sys->acked_n < SYSTEM_ACKED_MAX);
        place = &sys->acked[sys->acked_n++];
        memset(place, 0, sizeof(*place));
        place->key = blob_hold(write->key);
    }
    if (place->version >= write->version)
        return;
    blob_drop(place->value);
    place->value = blob_hold(write->value);
    place->version = write->version;
}

static void written(void *arg, enum qk_err err, uint64_t index, struct bytes result)
{
    struct write *write = arg;

    (void)index;
    if (err == QK_OK && wire_result_single(result, NULL) == QK_OK)
        acknowledge(write->sys, write);
    blob_drop(write->key);
    blob_drop(write->value);
    free(write);
}

static void put(struct system *sys)
{
    struct machine *m = leader_of(sys), *before = system_current;
    uint8_t database[DATABASE_ID_BYTES] = {9};
    char name[16], text[48];
    struct record_key key;
    struct wire_command command;
    struct write *write;
    struct record record;
    struct bytes bytes;
    enum qk_err err;

    if (m == NULL || m->dying || !service_is_open(&m->service))
        return;
    system_current = m;
    snprintf(name, sizeof(name), "d%u", sim_below(sys->w, DOCS_MAX));
    snprintf(text, sizeof(text), "value %llu", (unsigned long long)++sys->docs_n);
    key = record_document(database, bytes_str(name));
    write = calloc(1, sizeof(*write));
    assert(write != NULL);
    write->sys = sys;
    write->key = blob_new(record_key_bytes(&key));
    write->value = blob_new(bytes_str(text));
    write->version = 1;
    if (store_get(m->service.store, record_key_bytes(&key), &record) == QK_OK)
        write->version = record.version + 1;
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), write->version, WIRE_DOC,
                     blob_bytes(write->value));
    err = wire_command_end(&command, &bytes);
    if (err == QK_OK && sys->bug == BUG_ACK_EARLY)
        acknowledge(sys, write);
    if (err == QK_OK)
        err = consensus_submit(m->service.consensus, bytes, written, write);
    if (err != QK_OK)
        written(write, err, 0, BYTES_NONE);
    wire_command_fini(&command);
    system_current = before;
}

/* --- faults ---------------------------------------------------------------------------------- */

static struct machine *any(struct system *sys)
{
    return &sys->machines[sim_below(sys->w, sys->machines_n)];
}

/* Most seeds let the founder live until it is no longer alone. */
static bool may_fall(const struct machine *m)
{
    return m->sys->late || !m->founder || m->life > 1 || m->sys->final_epoch > 0;
}

static void crash(struct system *sys)
{
    struct machine *m = sim_chance(sys->w, 300) ? leader_of(sys) : any(sys);

    if (m == NULL || !m->alive || !may_fall(m))
        return;
    if (m->raft != NULL && sim_chance(sys->w, 300))
        m->raft->crash_soon = true;
    else
        system_crash(m);
}

/* Power fails everywhere at once. */
static void blackout(struct system *sys)
{
    for (unsigned i = 0; i < sys->machines_n; i++)
        if (sys->machines[i].alive && may_fall(&sys->machines[i]))
            system_crash(&sys->machines[i]);
}

static void cut(struct system *sys)
{
    unsigned a = sim_below(sys->w, sys->machines_n), b = sim_below(sys->w, sys->machines_n);
    unsigned side = sim_below(sys->w, 1u << sys->machines_n);

    switch (sim_below(sys->w, 3)) {
    case 0:
        sys->cuts[a][b] = a != b;
        break;
    case 1:
        for (unsigned i = 0; i < sys->machines_n; i++)
            sys->cuts[a][i] = sys->cuts[i][a] = i != a;
        break;
    default:
        for (unsigned i = 0; i < sys->machines_n; i++)
            for (unsigned j = 0; j < sys->machines_n; j++)
                sys->cuts[i][j] = ((side >> i) & 1) != ((side >> j) & 1);
        break;
    }
}

static void seal_or_unseal(struct system *sys)
{
    struct machine *m = any(sys), *before = system_current;

    if (!m->alive || m->dying || m->service.node_sec == NULL || !m->cluster->booted)
        return;
    system_current = m;
    if (m->sealed_by_person) {
        if (cluster_unseal(m->cluster) == QK_OK)
            m->sealed_by_person = false;
    } else if (cluster_seal(m->cluster) == QK_OK)
        m->sealed_by_person = true;
    system_say(m, m->sealed_by_person ? "sealed by a person" : "unsealed by a person");
    if (m->alive && m->dying)
        system_crash(m);
    system_current = before;
}

static void chaos_act(struct system *sys)
{
    struct world *w = sys->w;
    unsigned die = sim_below(w, 1000);
    struct machine *m = any(sys);

    if (die < sys->crash) {
        if (sim_chance(w, 100))
            blackout(sys);
        else
            crash(sys);
    } else if ((die -= sys->crash) < 3 * sys->crash + 50) {
        if (!m->alive)
            system_start(m);
    } else if ((die -= 3 * sys->crash + 50) < sys->cut) {
        if (sim_chance(w, 400))
            cut(sys);
        else
            memset(sys->cuts, 0, sizeof(sys->cuts));
    } else if ((die -= sys->cut) < sys->seal) {
        seal_or_unseal(sys);
    } else if ((die -= sys->seal) < sys->jump) {
        m->clock_ms += (int64_t)sim_below(w, 4000000) - 2000000;
    } else if ((die -= sys->jump) < sys->intrude) {
        system_intrude(m);
    } else if ((die -= sys->intrude) < 150) {
        try_joins(sys);
    } else
        put(sys);
}

void chaos_administer(struct world *w)
{
    (void)w;
}

struct node *chaos_leader(struct world *w)
{
    struct node *leader = NULL;

    for (unsigned i = 0; i < w->nodes_n; i++) {
        struct node *node = &w->nodes[i];
        if (node->alive && engine_role(node->engine) == CONSENSUS_LEADER &&
            (leader == NULL || engine_term(node->engine) > engine_term(leader->engine)))
            leader = node;
    }
    return leader;
}

void chaos_step(struct world *w)
{
    struct system *sys = w->system;

    if (!sys->over)
        chaos_act(sys);
    else {
        try_joins(sys);
        if (sim_chance(w, 200))
            put(sys);
    }
    sim_push(w, (struct event){.at = w->now + 5 + sim_below(w, sys->over ? 200 : 120),
                               .what = HAPPEN_CHAOS});
}

void system_chaos_begin(struct system *sys)
{
    struct world *w = sys->w;
    unsigned n = 2 + sim_below(w, 4);

    sys->crash = pick(w, 10, 40, 90);
    sys->crash_point = pick(w, 0, 200, 1200);
    sys->cut = pick(w, 0, 60, 150);
    sys->seal = pick(w, 0, 10, 40);
    sys->disorder = pick(w, 0, 0, 60);
    sys->slow_disk = pick(w, 0, 50, 200);
    sys->jump = pick(w, 0, 5, 20);
    sys->intrude = pick(w, 5, 20, 60);
    sys->delay_max = pick(w, 3, 15, 80);
    sys->commit_max = pick(w, 10, 60, 300);
    sys->late = sim_below(w, 8) == 0;
    w->loss = pick(w, 0, 20, 80);
    w->duplicate = pick(w, 0, 30, 100);
    w->delay_max = sys->delay_max;
    w->ordered = sim_below(w, 2);
    w->flush_max = pick(w, 2, 10, 60);
    w->stall = pick(w, 0, 10, 60);
    w->small_log = pick(w, 0, 4000, 12000);
    w->stream_fail = pick(w, 0, 100, 300);
    for (unsigned i = 0; i < n; i++)
        (void)system_add(sys);
    for (unsigned i = 0; i < n; i++)
        system_start(&sys->machines[i]);
    sys->machines[0].founder = true;
    ask(&sys->machines[0], handle_init, "");
    link_sim_check(sys);
    sim_push(w, (struct event){.at = w->now + 1, .what = HAPPEN_CHAOS});
}

void system_chaos_end(struct system *sys)
{
    sys->over = true;
    sys->w->chaos_over = true;
    memset(sys->cuts, 0, sizeof(sys->cuts));
    for (unsigned i = 0; i < sys->machines_n; i++) {
        struct machine *m = &sys->machines[i];

        if (m->raft != NULL)
            m->raft->crash_soon = false;
        if (!m->alive)
            system_start(m);
        system_current = m;
        if (m->sealed_by_person && cluster_unseal(m->cluster) == QK_OK)
            m->sealed_by_person = false;
        system_current = NULL;
    }
}
