/* What people ask for: init, invitations, joins. */
#include "system.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "consensus/consensus.h"
#include "service/cluster/cluster_handlers.h"
#include "wire/token.h"

/* --- requests of people ---------------------------------------------------------------------- */

struct person {
    struct exchange exchange;
    struct system *sys;
    struct machine *m;    /* whom it asked */
    struct machine *whom; /* whose a token is; NULL: whoever joins next */
    unsigned life;
    char body[600], name[80];
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

/* The value of a text field of the reply. */
static bool reply_field(const struct person *person, const char *name, char *ret_value, size_t size)
{
    char head[40];
    const char *from, *end;

    snprintf(head, sizeof(head), "\"%s\":", name);
    from = strstr(person->text, head);
    if (from == NULL)
        return false;
    from += strlen(head);
    while (*from == ' ' || *from == '"')
        from++;
    end = strchr(from, '"');
    if (end == NULL)
        return false;
    snprintf(ret_value, size, "%.*s", (int)(end - from), from);
    return true;
}

/* init printed them: people have them on paper from now on. */
static void recovery_note(const struct person *person)
{
    struct system *sys = person->sys;
    const char *at = person->text;

    if (strstr(at, "\"recovery_shares\"") == NULL)
        return;
    while ((at = strstr(at, "\"qkr1")) != NULL && sys->recovery_n < SYSTEM_RECOVERY_SHARES) {
        at++;
        snprintf(sys->recovery[sys->recovery_n++], sizeof(sys->recovery[0]), "%.*s",
                 (int)strcspn(at, "\""), at);
    }
}

static void recover_go_on(struct machine *m, void *arg)
{
    char body[600];
    unsigned entered = (unsigned)(uintptr_t)arg;

    snprintf(body, sizeof(body), "{\"nonce\":\"%s\",\"share\":\"%s\"}", m->recovery_nonce,
             m->sys->recovery[(m->recovery_from + entered) % m->sys->recovery_n]);
    people_ask(m, handle_recovery_share, body);
    if (entered + 1 < SYSTEM_RECOVERY_THRESHOLD)
        system_later(m, 50, recover_go_on, (void *)(uintptr_t)(entered + 1));
}

/* A token in the reply is there for whoever joins next. */
static void reply_end(struct exchange *exchange)
{
    struct person *person = (struct person *)(void *)exchange;
    struct system *sys = person->sys;
    struct machine *m = person->m;

    if (person->whom != NULL)
        (void)reply_field(person, "token", person->whom->rejoin_token,
                          sizeof(person->whom->rejoin_token));
    else if (sys->tokens_n < 16 &&
             reply_field(person, "token", sys->tokens[sys->tokens_n], sizeof(sys->tokens[0])))
        sys->tokens_n++;
    recovery_note(person);
    sys->removal_told_done |= strstr(person->text, "\"wanted\"") != NULL &&
                              strstr(person->text, "\"removal\":null") != NULL;
    if (m->alive && m->life == person->life &&
        reply_field(person, "nonce", m->recovery_nonce, sizeof(m->recovery_nonce)) &&
        strstr(person->text, "\"progress\":0") != NULL)
        system_later(m, 50, recover_go_on, NULL);
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

static struct person *person_new(struct machine *m, const char *body)
{
    static const struct exchange_ops ops = {reply_start,  reply_write,    reply_end,
                                            reply_queued, reply_on_drain, NULL};
    struct person *person = calloc(1, sizeof(*person));

    assert(person != NULL);
    person->exchange.ops = &ops;
    person->sys = m->sys;
    person->m = m;
    person->life = m->life;
    snprintf(person->body, sizeof(person->body), "%s", body);
    person->exchange.request.body = bytes_str(person->body);
    snprintf(person->exchange.from, sizeof(person->exchange.from), "person");
    return person;
}

void people_ask(struct machine *m, void (*handle)(struct service *service, struct exchange *e),
                const char *body)
{
    people_ask_for(m, NULL, handle, body);
}

void people_ask_for(struct machine *m, struct machine *whom,
                    void (*handle)(struct service *service, struct exchange *e), const char *body)
{
    struct machine *before = system_current;
    struct person *person = person_new(m, body);

    person->whom = whom;
    system_current = m;
    handle(&m->service, &person->exchange);
    if (m->dying)
        system_crash(m);
    system_current = before;
}

struct machine *people_leader(struct system *sys)
{
    struct node *node = chaos_leader(sys->w);

    return node != NULL ? sys->of_raft[node - sys->w->nodes] : NULL;
}

void people_ask_about(struct machine *m,
                      void (*handle)(struct service *service, struct exchange *e), const char *name,
                      const char *body)
{
    struct machine *before = system_current;
    struct person *person = person_new(m, body);

    snprintf(person->name, sizeof(person->name), "%s", name);
    person->exchange.request.segments[2] = bytes_str(person->name);
    system_current = m;
    handle(&m->service, &person->exchange);
    if (m->dying)
        system_crash(m);
    system_current = before;
}

void people_init(struct machine *m)
{
    people_ask(m, handle_init, m->sys->with_recovery ? "" : "{\"recovery_shares\":0}");
}

void people_recover(struct machine *m)
{
    if (m->sys->recovery_n < SYSTEM_RECOVERY_SHARES || !m->alive || m->dying ||
        m->sealed_by_person || m->service.node_sec == NULL || !m->cluster->booted ||
        m->cluster->seal.state != SEAL_SEALED)
        return;
    system_say(m, "is opened by recovery shares");
    m->recovery_from = sim_below(m->sys->w, SYSTEM_RECOVERY_SHARES);
    people_ask(m, handle_recovery_begin, "{\"purpose\":\"unseal\"}");
}

/* Tokens that nobody used within a try are lost with the paper they were written on. */
void people_join(struct system *sys, struct machine *m)
{
    struct machine *leader = people_leader(sys);
    char body[600];

    if (leader == NULL || m->joins_n >= SYSTEM_JOINS_MAX || sys->w->nodes_n >= SIM_NODES_MAX - 1)
        return;
    if (sys->tokens_n == 0) {
        if (sys->joins < SYSTEM_JOININGS_MAX)
            people_ask(leader, handle_invite, "{\"ttl_s\":20}");
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
    people_ask(m, handle_join, body);
}

/* One that fell between the answer and its first generation knows no peers: people begin anew. */
static bool is_stuck(const struct machine *m)
{
    const struct node_sec *sec = m->service.node_sec;

    return sec != NULL && sec->x != 1 && sec->gen_last == 0 && m->cluster->record == NULL &&
           m->sys->over && sim_chance(m->sys->w, 20);
}

void people_try_joins(struct system *sys)
{
    struct machine *m = &sys->machines[sim_below(sys->w, sys->machines_n)];

    if (!m->alive || m->dying || m->founder || (m->service.node_sec != NULL && !is_stuck(m)))
        return;
    people_join(sys, m);
}
