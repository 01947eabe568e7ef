/* The document handlers over a real store and a real keyring. What stands in for the rest of a
 * node: consensus_submit and consensus_read of this folder, which keep the contract of
 * consensus/consensus.h for one member (commands applied in order, from the loop, results to the
 * submitter), and can be told to fail as a real one does. */
#ifndef TESTS_SERVICE_DOCUMENTS_FIXTURE_H
#define TESTS_SERVICE_DOCUMENTS_FIXTURE_H

#include <jansson.h>
#include <uv.h>

#include "service/handlers.h"
#include "store/store.h"

#define ADMIN_NAME "admin"
#define ADMIN_PASSWORD "correct horse"

struct submission;

struct documents {
    uv_loop_t loop;
    uv_idle_t idle; /* runs what was submitted */
    char folder[256], path[300];
    struct service service;
    struct secret *mk;
    uint64_t index;
    struct submission *first, *last;
    bool open;
    bool leader;
    uint64_t term;
    enum qk_err read_err;    /* what consensus_read calls back with */
    enum qk_err submit_err;  /* what the next consensus_submit calls back with, once */
    bool submit_apply_first; /* with submit_err: the command is applied all the same */
    size_t submitted_n;      /* commands */
    bool hold;               /* nothing submitted is applied */
    /* Called before a command is applied, once: another leader's write. */
    void (*interfere)(struct documents *documents);
    /* Called before a read is answered, once: what this node had not applied yet. */
    void (*reading)(struct documents *documents);
    /* Sees each command as it is submitted. */
    void (*submitted)(struct documents *documents, struct bytes command);
};

/* Opens everything; the catalog has the admin user. */
void documents_init(struct documents *documents);
void documents_fini(struct documents *documents);
/* An administrator's record in its `version`, as applied from the log. */
void documents_put_admin(struct documents *documents, const char *name, const char *password,
                         unsigned version);
/* Closes and opens store, keyring and catalog again. */
void documents_restart(struct documents *documents);
void documents_run_until(struct documents *documents, const bool *flag);
/* From `interfere`: what was submitted later is applied first. */
void documents_overtake(struct documents *documents, const bool *flag);
/* Applies a command as another leader would have. */
void documents_apply(struct documents *documents, struct wire_command *command);

/* One request and its reply. */
struct call {
    struct exchange exchange; /* first: exchange_ops get it */
    struct documents *documents;
    int status;
    char content_type[64];
    struct reply_field fields[REPLY_FIELDS_MAX];
    unsigned fields_n;
    size_t length;
    struct buf body;
    bool ended;
    size_t drains_n;
    size_t unread; /* of the body, since the last drain */
    size_t unread_max;
    void (*drained)(void *arg);
    void *drained_arg;
    uv_timer_t drain_timer;
    bool drain_open;
    /* A streamed body: what is to come of it, and what has. */
    struct bytes coming;
    struct buf incoming;
    size_t announced, stop_at; /* no more comes from there on */
    uv_timer_t body_timer;
    bool body_open;
    char target[4096];
    char decoded[8192];
    bool is_cut; /* set by the test: less is to come than is announced */
};

service_handler documents_kv_handler(const struct request *request);
service_handler documents_keys_handler(const struct request *request);
/* The keyring learns of its records as they are applied, as the hub sees to it. */
void documents_watch_keyring(struct documents *documents);
/* `target` is a path with query, percent-encoded; runs until the reply has ended. */
struct call *call(struct documents *documents, enum method method, const char *target,
                  const char *body);
/* The same in steps: begin, set what the request needs (if_match, content_type), start, run. */
struct call *call_begin(struct documents *documents, enum method method, const char *target,
                        struct bytes body);
/* Before call_start: the body given to call_begin comes as the handler takes it; `known`: its
 * length was announced. */
void call_stream(struct call *call, bool known);
/* The client goes away, or, from `call.stop_at` on, sends nothing more until call_go_on. */
void call_vanish(struct call *call);
void call_go_on(struct call *call);
void call_start(struct call *call);
void call_run(struct call *call);
/* Runs until the body has `text` in it: of a reply that does not end. */
void call_run_until(struct call *call, const char *text);
/* The client goes away; frees. For replies that asked to be told (exchange_on_gone). */
void call_leave(struct call *call);
void call_free(struct call *call);
const char *call_field(const struct call *call, const char *name); /* NULL if absent */
const char *call_text(struct call *call);                          /* the body, terminated */
json_t *call_json(struct call *call);                              /* for the caller to release */

/* Runs a request and checks status and, unless NULL, the whole body (without its newline). */
void expect(struct documents *documents, enum method method, const char *target, const char *body,
            int status, const char *reply);
/* Runs a request, checks status and the members "error" and "reason". */
void expect_error(struct documents *documents, enum method method, const char *target,
                  const char *body, int status, const char *error, const char *reason);
/* Stores a document, new or over `rev`; the new revision in `ret_rev`. */
void put_doc(struct documents *documents, const char *target, const char *body,
             char ret_rev[static 64]);

struct record_key;
/* How many records of chunks of attachments are in the store; the last one's key, unless NULL. */
size_t documents_chunks_n(struct documents *documents, struct record_key *ret_last);
/* The same of what stands for contents that no document names. */
size_t documents_unnamed_n(struct documents *documents, struct record_key *ret_last);

#endif
