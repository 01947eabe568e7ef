/* SCAN (integrity_scan) -> OPEN, in units on the loop, resting as long as it worked -> PEERS (a
 * round) -> DONE. Sealing, a snapshot and the end of the process end it: FAILED, with the reason.
 *
 * Envelopes are opened on the loop because the keyring is the loop's: a keyring that is wiped must
 * not be in use by another thread. */
#include "service/integrity/verify.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "keys/keyring.h"
#include "audit/audit.h"
#include "service/cluster/hub.h"
#include "service/integrity/integrity_private.h"
#include "service/keys_current.h"
#include "service/integrity/verify_record.h"

#define UNIT_US 2000
#define UNIT_SLOW_US 1000
#define REST_SLOW_MS 20
#define WAIT_MS 50
#define SCANS_MAX 3 /* attempts */

enum verify_phase {
    VERIFY_NONE,
    VERIFY_SCAN,
    VERIFY_OPEN,
    VERIFY_PEERS,
    VERIFY_DONE,
    VERIFY_FAILED
};

struct verify_damage {
    struct record_key key;   /* of the record that a person knows; of a chunk, the document's */
    struct record_key chunk; /* of an attachment; len 0: it is the record itself */
    const char *what;
};

struct verify {
    struct integrity *integrity;
    struct timer *timer;
    enum verify_phase phase;
    bool slow;
    unsigned scans_n;
    uint64_t began_s, ended_s;
    uint64_t records_n; /* to open, as the scan counted */
    struct verify_counts counts;
    struct verify_damage damaged[INTEGRITY_FINDINGS_MAX];
    unsigned damaged_n;
    uint8_t next[RECORD_KEY_BYTES_MAX];
    size_t next_len;
    struct keyring *scratch; /* the keyring's own records open into it */
    struct verify_contents *contents;
    uint64_t chunks_n;                   /* of attachments, opened */
    bool in_database;                    /* the walk is, */
    uint8_t database[DATABASE_ID_BYTES]; /* in this one */
    const char *why;
};

/* --- ends ------------------------------------------------------------------------------------ */

static void opening_end(struct verify *verify)
{
    keyring_close(verify->scratch);
    verify->scratch = NULL;
    verify->chunks_n =
        verify->contents == NULL ? verify->chunks_n : verify_contents_chunks_n(verify->contents);
    verify_contents_free(verify->contents);
    verify->contents = NULL;
}

static void verify_end(struct verify *verify, enum verify_phase phase, const char *why)
{
    char damaged[24];

    opening_end(verify);
    verify->phase = phase;
    verify->why = why;
    verify->ended_s = (uint64_t)time(NULL);
    snprintf(damaged, sizeof(damaged), "%" PRIu64, verify->counts.damaged_n);
    if (phase == VERIFY_FAILED)
        log_warn("integrity", "the records were not verified to the end: %s", why);
    else
        log_info("integrity", "all records were read and opened: %" PRIu64 ", damaged: %s",
                 verify->counts.all_n, damaged);
    audit_event(verify->integrity->service->audit, "verified", "damaged", damaged, "standing",
                integrity_standing_text(verify->integrity->standing), "why", why, NULL);
}

static bool is_under_way(const struct verify *verify)
{
    return verify->phase > VERIFY_NONE && verify->phase < VERIFY_DONE;
}

void integrity_verify_stop(struct integrity *integrity, const char *why)
{
    struct verify *verify = integrity->verify;

    integrity->round_cb = NULL;
    if (verify == NULL || !is_under_way(verify))
        return;
    timer_stop(verify->timer);
    verify_end(verify, VERIFY_FAILED, why);
}

static void verify_gone(void *arg)
{
    free(arg);
}

void integrity_verify_free(struct integrity *integrity)
{
    struct verify *verify = integrity->verify;

    if (verify == NULL)
        return;
    integrity_verify_stop(integrity, "the node stops");
    integrity->verify = NULL;
    timer_free(verify->timer, verify_gone, verify);
}

/* --- opening --------------------------------------------------------------------------------- */

static void key_copy(struct bytes key, struct record_key *ret_key)
{
    ret_key->len = (uint16_t)key.len;
    if (key.len > 0)
        memcpy(ret_key->data, key.data, key.len);
}

/* "people/doc-5", or "people/doc-5: people/chunk 3 of content 07...". */
static void damage_text(const struct verify *verify, const struct verify_damage *damage,
                        char ret_text[static INTEGRITY_TEXT_BYTES])
{
    size_t len = 0;

    ret_text[0] = '\0';
    if (damage->key.len > 0)
        integrity_key_text(verify->integrity, record_key_bytes(&damage->key), ret_text,
                           INTEGRITY_TEXT_BYTES);
    len = strlen(ret_text);
    if (damage->key.len > 0 && damage->chunk.len > 0)
        len += (size_t)snprintf(ret_text + len, INTEGRITY_TEXT_BYTES - len, ": ");
    if (damage->chunk.len > 0 && len < INTEGRITY_TEXT_BYTES)
        integrity_key_text(verify->integrity, record_key_bytes(&damage->chunk), ret_text + len,
                           INTEGRITY_TEXT_BYTES - len);
}

static void damage_note(struct verify *verify, struct bytes key, struct bytes chunk,
                        const char *what)
{
    struct verify_damage *damage;
    char text[INTEGRITY_TEXT_BYTES];

    if (verify->damaged_n == INTEGRITY_FINDINGS_MAX)
        return;
    damage = &verify->damaged[verify->damaged_n++];
    key_copy(key, &damage->key);
    key_copy(chunk, &damage->chunk);
    damage->what = what;
    damage_text(verify, damage, text);
    log_error("integrity", "store.mdb: %s: %s", text, what);
    audit_event(verify->integrity->service->audit, "integrity_record", "record", text, "why", what,
                NULL);
}

static void content_found(void *arg, enum verify_harm harm, struct bytes chunk,
                          struct bytes document)
{
    struct verify *verify = arg;

    verify->counts.damaged_n++;
    damage_note(verify, document, chunk, verify_contents_harm_text(harm));
}

static struct bytes last_key(const struct verify *verify)
{
    return bytes_of(verify->next, verify->next_len);
}

static void database_end(struct verify *verify)
{
    if (verify->in_database)
        verify_contents_end(verify->contents);
    verify->in_database = false;
}

/* A database begins with that record, or the one at hand goes on. */
static void database_turn(struct verify *verify, struct bytes key)
{
    enum record_space space;

    if (verify->in_database && memcmp(verify->database, key.data, DATABASE_ID_BYTES) == 0)
        return;
    database_end(verify);
    if (record_key_space(key, &space))
        return;
    verify->in_database = true;
    memcpy(verify->database, key.data, DATABASE_ID_BYTES);
    verify_contents_begin(verify->contents, key.data);
}

static void row_open(struct verify *verify, const struct store_row *row)
{
    enum qk_err err = verify_record(verify->integrity->service, row, verify->scratch,
                                    verify->contents, &verify->counts);

    if (err != QK_OK)
        damage_note(verify, row->key, BYTES_NONE, qk_err_text(err));
}

/* QK_ERR_NOT_FOUND behind the last record. Ends early where contents are to be looked at first. */
static enum qk_err unit_rows(struct verify *verify, uint64_t until_us)
{
    struct store_cursor *cursor;
    struct store_row row;
    enum qk_err err = store_cursor_open(verify->integrity->service->store, last_key(verify),
                                        BYTES_NONE, false, &cursor);

    if (err != QK_OK)
        return err;
    for (unsigned n = 0; n < 2 || timer_now_us() < until_us; n++) {
        err = store_cursor_next(cursor, &row);
        if (err != QK_OK)
            break;
        if (verify->next_len > 0 && bytes_equal(row.key, last_key(verify)))
            continue; /* the last one of the unit before */
        database_turn(verify, row.key);
        if (verify_contents_is_busy(verify->contents)) /* before its first record */
            break;
        row_open(verify, &row);
        memcpy(verify->next, row.key.data, row.key.len);
        verify->next_len = row.key.len;
        if (verify_contents_is_busy(verify->contents))
            break;
    }
    store_cursor_close(cursor);
    if (err == QK_ERR_NOT_FOUND)
        database_end(verify);
    return err;
}

static enum qk_err unit_work(struct verify *verify, uint64_t until_us)
{
    enum qk_err err = QK_OK;

    while (err == QK_OK && verify_contents_is_busy(verify->contents) && timer_now_us() < until_us)
        err = verify_contents_step(verify->contents);
    if (err == QK_OK && !verify_contents_is_busy(verify->contents))
        err = unit_rows(verify, until_us);
    return err;
}

static void compared(void *arg)
{
    struct verify *verify = arg;

    if (verify->phase == VERIFY_PEERS)
        verify_end(verify, VERIFY_DONE, NULL);
}

static void peers_begin(struct verify *verify)
{
    struct integrity *integrity = verify->integrity;

    opening_end(verify);
    verify->phase = VERIFY_PEERS;
    integrity_round_stop(integrity);
    integrity->round_cb = compared;
    integrity->round_cb_arg = verify;
    integrity_round_begin(integrity);
    if (integrity->round == NULL)
        compared(verify); /* nobody could be asked */
}

static void unit(struct verify *verify)
{
    const struct service *service = verify->integrity->service;
    uint64_t began_us = timer_now_us();
    enum qk_err err;

    if (!keys_are_current(service)) { /* another MK is on its way */
        timer_start(verify->timer, WAIT_MS);
        return;
    }
    secret_scope_begin();
    err = unit_work(verify, began_us + (verify->slow ? UNIT_SLOW_US : UNIT_US));
    secret_scope_end();
    if (err == QK_OK)
        timer_start(verify->timer,
                    verify->slow ? REST_SLOW_MS : (timer_now_us() - began_us) / 1000 + 1);
    else if (err == QK_ERR_NOT_FOUND)
        peers_begin(verify);
    else
        verify_end(verify, VERIFY_FAILED,
                   err == QK_ERR_CORRUPT ? "a row of store.mdb does not match its checksum"
                                         : qk_err_text(err));
}

static void open_begin(struct verify *verify)
{
    struct service *service = verify->integrity->service;
    const struct keyring *keyring = service->keyring;

    verify->phase = VERIFY_OPEN;
    verify->records_n = verify->integrity->scanned_n;
    verify->next_len = 0;
    if (keyring_open(keyring_cluster(keyring), service->cluster->mk, keyring_mk_version(keyring),
                     &verify->scratch) != QK_OK)
        verify->scratch = NULL; /* its records are only counted then */
    verify->contents = verify_contents_new(service, content_found, verify);
    if (verify->contents == NULL)
        verify_end(verify, VERIFY_FAILED, qk_err_text(QK_ERR_NOMEM));
    else
        timer_start(verify->timer, 0);
}

/* --- the scan -------------------------------------------------------------------------------- */

/* The first scan after an unseal may be under way: ours comes after it. */
static void scan_step(struct verify *verify)
{
    struct integrity *integrity = verify->integrity;

    if (verify->scans_n > 0 && integrity->changes_scanned) {
        open_begin(verify);
        return;
    }
    if (integrity->scan == NULL && verify->scans_n == SCANS_MAX) {
        verify_end(verify, VERIFY_FAILED, "store.mdb could not be read to its end: see the log");
        return;
    }
    if (integrity->scan == NULL && integrity->live &&
        integrity_scan_begin(integrity, verify->slow, true) == QK_OK) {
        integrity->changes_scanned = false;
        verify->scans_n++;
    }
    timer_start(verify->timer, WAIT_MS);
}

static void step(void *arg)
{
    struct verify *verify = arg;
    const struct service *service = verify->integrity->service;

    if (!is_under_way(verify))
        return;
    if (service->keyring == NULL || verify->integrity->element_key == NULL)
        verify_end(verify, VERIFY_FAILED, "the node was sealed");
    else if (verify->phase == VERIFY_SCAN)
        scan_step(verify);
    else if (verify->phase == VERIFY_OPEN)
        unit(verify);
}

enum qk_err integrity_verify_begin(struct integrity *integrity, bool slow)
{
    struct verify *verify = integrity->verify;
    struct timer *timer;
    enum qk_err err = QK_OK;

    if (!service_is_open(integrity->service) || integrity->element_key == NULL)
        return QK_ERR_SEALED;
    if (verify == NULL) {
        verify = calloc(1, sizeof(*verify));
        err = verify == NULL ? QK_ERR_NOMEM
                             : timer_new(integrity->service->loop, step, verify, &verify->timer);
        if (err != QK_OK) {
            free(verify);
            return err;
        }
        integrity->verify = verify;
    }
    if (is_under_way(verify)) {
        verify->slow = verify->slow && slow; /* somebody waits now */
        return QK_OK;
    }
    timer = verify->timer;
    *verify = (struct verify){.integrity = integrity,
                              .timer = timer,
                              .phase = VERIFY_SCAN,
                              .slow = slow,
                              .began_s = (uint64_t)time(NULL)};
    timer_start(timer, 0);
    return QK_OK;
}

/* --- answers --------------------------------------------------------------------------------- */

static const char *phase_text(enum verify_phase phase)
{
    static const char *const texts[] = {
        [VERIFY_NONE] = "none",       [VERIFY_SCAN] = "reading", [VERIFY_OPEN] = "opening",
        [VERIFY_PEERS] = "comparing", [VERIFY_DONE] = "done",    [VERIFY_FAILED] = "failed"};

    return texts[phase];
}

static json_t *damaged_json(const struct verify *verify)
{
    json_t *list = json_array();
    char text[INTEGRITY_TEXT_BYTES];

    for (unsigned i = 0; i < verify->damaged_n; i++) {
        damage_text(verify, &verify->damaged[i], text);
        (void)json_array_append_new(
            list, json_pack("{s:s, s:s}", "record", text, "what", verify->damaged[i].what));
    }
    return list;
}

static json_t *run_json(const struct verify *verify)
{
    json_t *json = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:s?}", "state", phase_text(verify->phase),
        "began_s", (json_int_t)verify->began_s, "ended_s", (json_int_t)verify->ended_s, "records",
        (json_int_t)verify->records_n, "read",
        (json_int_t)integrity_scan_done_n(verify->integrity->scan), "looked_at",
        (json_int_t)verify->counts.all_n, "envelopes", (json_int_t)verify->counts.opened_n,
        "damaged_n", (json_int_t)verify->counts.damaged_n, "damaged", damaged_json(verify), "why",
        verify->why);

    (void)json_object_set_new(
        json, "chunks",
        json_integer((json_int_t)(verify->contents == NULL
                                      ? verify->chunks_n
                                      : verify_contents_chunks_n(verify->contents))));
    (void)json_object_set_new(json, "destroyed_key_n",
                              json_integer((json_int_t)verify->counts.destroyed_n));
    return json;
}

static json_t *feeds_json(const struct integrity *integrity)
{
    return json_pack("{s:I, s:s}", "wrong", (json_int_t)integrity->changes_wrong_n, "first",
                     integrity->changes_text);
}

static void reply(struct service *service, struct exchange *exchange, int status)
{
    const struct integrity *integrity = service->integrity;
    json_t *json = integrity_json(integrity);

    (void)json_object_set_new(json, "node", json_string(service->node_name));
    (void)json_object_set_new(json, "records", integrity_findings_json(integrity));
    (void)json_object_set_new(json, "feeds", feeds_json(integrity));
    (void)json_object_set_new(
        json, "verify", integrity->verify == NULL ? json_null() : run_json(integrity->verify));
    exchange_reply_json(exchange, status, json);
}

void handle_verify(struct service *service, struct exchange *exchange)
{
    reply(service, exchange, 200);
}

void handle_verify_begin(struct service *service, struct exchange *exchange)
{
    enum qk_err err = integrity_verify_begin(service->integrity, false);

    if (err != QK_OK)
        exchange_reply_err(exchange, err);
    else
        reply(service, exchange, 202);
}
