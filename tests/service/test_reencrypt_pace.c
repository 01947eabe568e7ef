/* Re-encryption with several commands under way, and that its passes give the loop back. */
#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "keys/keyring.h"
#include "service/keys/reencrypt_private.h"
#include "audit/audit.h"

/* More than are in all commands under way, and for counting at least three units: uv_run with
 * UV_RUN_ONCE runs timers at its end as well as at its beginning, so two units may follow each
 * other with nothing between, but no three. */
#define DOCS_N 8500u

static struct documents documents;
static struct reencrypt *job;

static void put_bulk(unsigned n)
{
    struct buf body = BUF_INIT(1 * MIB);
    struct call *made;

    buf_put_str(&body, "{\"docs\":[");
    for (unsigned i = 0; i < n; i++) {
        char doc[48];

        snprintf(doc, sizeof(doc), "%s{\"_id\":\"d%05u\"}", i > 0 ? "," : "", i);
        buf_put_str(&body, doc);
    }
    buf_put_str(&body, "]}");
    buf_put_u8(&body, 0);
    cr_assert_eq(buf_error(&body), QK_OK);
    made = call(&documents, METHOD_POST, "/db/_bulk_docs", (const char *)body.data);
    cr_assert_eq(made->status, 201, "%s", call_text(made));
    call_free(made);
    buf_fini(&body);
}

static void setup(void)
{
    char path[300];

    documents_init(&documents);
    documents.service.consensus = (struct consensus *)(void *)&documents; /* the fixture's: any */
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    snprintf(path, sizeof(path), "%s/audit.log", documents.folder);
    cr_assert_eq(audit_open(path, &documents.service.audit), QK_OK);
    put_bulk(DOCS_N);
    cr_assert_eq(reencrypt_new(&documents.service, &documents.service.reencrypt), QK_OK);
    job = documents.service.reencrypt;
    job->others_n = INT64_MAX / 2; /* whatever was written before: nobody else writes */
    documents_watch_keyring(&documents);
    expect(&documents, METHOD_POST, "/_quorumkeep/keys/default/rotate", "{\"reencrypt\":true}", 200,
           NULL);
}

static void teardown(void)
{
    reencrypt_free(documents.service.reencrypt);
    audit_close(documents.service.audit);
    documents_fini(&documents);
}

TestSuite(reencrypt_pace, .init = setup, .fini = teardown);

static void run_while(bool (*goes_on)(void))
{
    uint64_t began = uv_hrtime();

    while (goes_on()) {
        (void)uv_run(&documents.loop, UV_RUN_ONCE);
        cr_assert_lt((uv_hrtime() - began) / 1000000, 60000, "it did not end");
    }
}

static bool is_not_done(void)
{
    struct reencrypt_record record;
    uint64_t version;

    cr_assert_eq(reencrypt_record_get(documents.service.store, &record, &version), QK_OK);
    return record.state != REENCRYPT_DONE;
}

static bool does_not_walk_yet(void)
{
    return job->phase != PHASE_WALK || job->busy;
}

static bool has_room(void)
{
    return job->commands_n < REENCRYPT_COMMANDS_MAX;
}

/* All commands that may be under way are, and none is applied. */
static void fill(void)
{
    run_while(does_not_walk_yet);
    documents.hold = true;
    run_while(has_room);
    cr_assert_eq(job->record.done_n, 0);
}

static void end_and_check(void)
{
    documents.hold = false;
    run_while(is_not_done);
    cr_assert_eq(job->commands_n, 0);
    cr_assert_eq(job->record.old_n, DOCS_N);
    cr_assert_eq(job->record.done_n, DOCS_N);
    cr_assert_eq(job->record.damaged_n, 0);
}

Test(reencrypt_pace, several_commands_are_under_way_and_no_record_is_in_two)
{
    fill();
    end_and_check();
}

/* The first of them fails without being applied: what was in it is found again. */
Test(reencrypt_pace, one_of_several_that_fails_is_made_good)
{
    fill();
    documents.submit_err = QK_ERR_UNKNOWN_OUTCOME;
    end_and_check();
}

Test(reencrypt_pace, one_of_several_with_an_unknown_outcome_is_not_done_twice)
{
    fill();
    documents.submit_err = QK_ERR_UNKNOWN_OUTCOME;
    documents.submit_apply_first = true;
    end_and_check();
}

static unsigned turns_n;

static void on_turn(uv_prepare_t *prepare)
{
    (void)prepare;
    turns_n += job->phase == PHASE_COUNT && job->next_len > 0;
}

/* A timer of 0 ms that is started by its own callback is called again before anybody else: a
 * leader with a million records heard no one for seconds. */
Test(reencrypt_pace, a_pass_gives_the_loop_back_between_its_units)
{
    uv_prepare_t prepare;

    cr_assert_eq(uv_prepare_init(&documents.loop, &prepare), 0);
    cr_assert_eq(uv_prepare_start(&prepare, on_turn), 0);
    run_while(does_not_walk_yet);
    cr_assert_geq(turns_n, 1);
    uv_close((uv_handle_t *)&prepare, NULL);
    run_while(is_not_done);
}
