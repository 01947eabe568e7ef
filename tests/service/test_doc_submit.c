#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/catalog.h"
#include "service/submit.h"

static struct documents documents;

static void setup(void)
{
    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(submit, .init = setup, .fini = teardown);

Test(submit, not_leading_is_503_and_nothing_is_written)
{
    documents.leader = false;
    expect(&documents, METHOD_PUT, "/db/a", "{}", 503, NULL);
    documents.leader = true;
    expect_error(&documents, METHOD_GET, "/db/a", NULL, 404, "not_found", "missing");
}

Test(submit, lost_leader_is_an_unknown_outcome_and_never_sent_again)
{
    size_t before = documents.submitted_n;
    char rev[64];

    documents.submit_err = QK_ERR_UNKNOWN_OUTCOME;
    documents.submit_apply_first = true;
    expect_error(&documents, METHOD_PUT, "/db/a", "{\"n\":1}", 503, "unknown_outcome",
                 "the leader was lost while it wrote; read before writing again");
    cr_assert_eq(documents.submitted_n, before + 1);
    expect(&documents, METHOD_GET, "/db/a", NULL, 200, NULL);
    documents.submit_apply_first = false;
    documents.submit_err = QK_ERR_UNKNOWN_OUTCOME;
    expect(&documents, METHOD_PUT, "/db/b", "{\"n\":1}", 503, NULL);
    put_doc(&documents, "/db/b", "{\"n\":1}", rev);
}

Test(submit, full_disk_and_busy_are_507_and_503_with_retry_after)
{
    struct call *made;

    documents.submit_err = QK_ERR_FULL;
    expect(&documents, METHOD_PUT, "/db/a", "{}", 507, NULL);
    documents.submit_err = QK_ERR_BUSY;
    made = call(&documents, METHOD_PUT, "/db/a", "{}");
    cr_assert_eq(made->status, 503);
    cr_assert_not_null(call_field(made, "Retry-After"));
    call_free(made);
}

/* Puts a record under /db/a at its next version without asking anybody: another leader's write,
 * as far as this node's evaluation goes. */
static void other_write(struct documents *d)
{
    const struct catalog_database *database =
        catalog_database_find(d->service.catalog, bytes_str("other"));
    struct wire_command command;

    cr_assert_not_null(database);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_delete(&command, bytes_of(database->key, CATALOG_KEY_BYTES));
    documents_apply(d, &command);
}

Test(submit, failed_condition_is_evaluated_again)
{
    size_t before;

    expect(&documents, METHOD_PUT, "/other", NULL, 201, NULL);
    before = documents.submitted_n;
    documents.interfere = other_write;
    /* The database went between evaluation and apply. */
    expect_error(&documents, METHOD_PUT, "/other/a", "{}", 404, "not_found",
                 "Database does not exist.");
    cr_assert_eq(documents.submitted_n, before + 1);
}

static void bump_database(struct documents *d)
{
    const struct catalog_database *database =
        catalog_database_find(d->service.catalog, bytes_str("db"));
    struct catalog_database next = *database;
    struct buf value = BUF_INIT(64 * KIB);
    struct wire_command command;

    next.revs_limit = 7;
    cr_assert_eq(catalog_database_seal(&d->service, &next, database->record_version + 1, &value),
                 QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, bytes_of(next.key, CATALOG_KEY_BYTES), database->record_version + 1,
                     0, buf_bytes(&value));
    documents_apply(d, &command);
    buf_fini(&value);
    d->interfere = NULL;
}

static void bump_always(struct documents *d)
{
    bump_database(d);
    d->interfere = bump_always;
}

Test(submit, changed_setting_of_the_database_makes_it_evaluate_again_and_succeed)
{
    size_t before = documents.submitted_n;

    documents.interfere = bump_database;
    expect(&documents, METHOD_PUT, "/db/a", "{}", 201, NULL);
    cr_assert_eq(documents.submitted_n, before + 2);
}

Test(submit, conditions_that_always_fail_end_in_busy)
{
    size_t before = documents.submitted_n;

    documents.interfere = bump_always;
    expect(&documents, METHOD_PUT, "/db/a", "{}", 503, NULL);
    cr_assert_eq(documents.submitted_n, before + SUBMIT_ROUNDS_MAX);
    documents.interfere = NULL;
}

#define WRITERS 2000

Test(submit, writers_of_one_document_stand_in_line_and_one_wins)
{
    static struct call *calls[WRITERS];
    unsigned won = 0, lost = 0, i;

    for (i = 0; i < WRITERS; i++) {
        calls[i] = call_begin(&documents, METHOD_PUT, "/db/a", bytes_str("{}"));
        call_start(calls[i]);
    }
    cr_assert_eq(submit_writes_n(documents.service.submitter), WRITERS);
    for (i = 0; i < WRITERS; i++) {
        call_run(calls[i]);
        won += calls[i]->status == 201;
        lost += calls[i]->status == 409;
        call_free(calls[i]);
    }
    cr_assert_eq(won, 1);
    cr_assert_eq(lost, WRITERS - 1);
    cr_assert_eq(submit_writes_n(documents.service.submitter), 0);
}

Test(submit, bulk_writes_that_cross_do_not_wait_for_each_other_in_a_circle)
{
    struct call *a, *b, *c;

    documents.hold = true;
    a = call_begin(&documents, METHOD_POST, "/db/_bulk_docs",
                   bytes_str("{\"docs\":[{\"_id\":\"x\"},{\"_id\":\"y\"}]}"));
    b = call_begin(&documents, METHOD_POST, "/db/_bulk_docs",
                   bytes_str("{\"docs\":[{\"_id\":\"y\"},{\"_id\":\"z\"}]}"));
    c = call_begin(&documents, METHOD_POST, "/db/_bulk_docs",
                   bytes_str("{\"docs\":[{\"_id\":\"z\"},{\"_id\":\"x\"},{\"_id\":\"x\"}]}"));
    call_start(a);
    call_start(b);
    call_start(c);
    documents.hold = false;
    call_run(a);
    call_run(b);
    call_run(c);
    cr_assert_null(strstr(call_text(a), "conflict"));
    cr_assert_not_null(strstr(call_text(b), "conflict"));
    cr_assert_not_null(strstr(call_text(c), "conflict"));
    call_free(a);
    call_free(b);
    call_free(c);
}

Test(submit, conflict_seen_by_a_replaced_leader_is_not_told)
{
    struct call *made;
    char rev[64];

    put_doc(&documents, "/db/a", "{}", rev);
    documents.hold = true;
    made = call_begin(&documents, METHOD_PUT, "/db/a", bytes_str("{}"));
    call_start(made);
    cr_assert_not(made->ended, "answered before a majority confirmed the leader");
    documents.term++;
    documents.hold = false;
    call_run(made);
    cr_assert_eq(made->status, 503);
    call_free(made);
    documents.read_err = QK_ERR_NO_QUORUM;
    expect(&documents, METHOD_PUT, "/db/a", "{}", 503, NULL);
    expect(&documents, METHOD_PUT, "/db", NULL, 503, NULL);
    expect(&documents, METHOD_DELETE, "/db/none", NULL, 503, NULL);
    documents.read_err = QK_OK;
    expect(&documents, METHOD_PUT, "/db/a", "{}", 409, NULL);
}

static void seal_before_apply(struct documents *d)
{
    d->open = false;
}

static void lose_leadership_before_apply(struct documents *d)
{
    d->leader = false;
}

/* "Nothing was written" would be wrong: the answer is that of the write. */
static void expect_told(void (*interfere)(struct documents *), enum method method,
                        const char *target, const char *body, int status)
{
    documents.interfere = interfere;
    expect(&documents, method, target, body, status, NULL);
    documents.open = documents.leader = true;
}

Test(submit, write_applied_as_the_node_seals_or_stops_leading_is_told_as_written)
{
    const char *bulk = "{\"docs\":[{\"_id\":\"c\"},{\"_id\":\"c\"}]}";

    expect_told(seal_before_apply, METHOD_PUT, "/db/a", "{}", 201);
    expect_told(lose_leadership_before_apply, METHOD_PUT, "/db/b", "{}", 201);
    expect_told(lose_leadership_before_apply, METHOD_POST, "/db/_bulk_docs", bulk, 201);
    expect_told(seal_before_apply, METHOD_PUT, "/new", NULL, 201);
    expect_told(seal_before_apply, METHOD_DELETE, "/new", NULL, 200);
    expect(&documents, METHOD_GET, "/db/a", NULL, 200, NULL);
    expect(&documents, METHOD_GET, "/db/b", NULL, 200, NULL);
    expect(&documents, METHOD_GET, "/db/c", NULL, 200, NULL);
    expect(&documents, METHOD_GET, "/new", NULL, 404, NULL);
}

Test(submit, bulk_write_cut_off_after_its_first_command_is_an_unknown_outcome)
{
    size_t text_len = 5 * MIB;
    struct buf body = BUF_INIT(64 * MIB);
    char *text = malloc(text_len + 1);
    struct call *made;

    memset(text, 'x', text_len);
    text[text_len] = '\0';
    buf_put_str(&body, "{\"docs\":[");
    for (unsigned i = 0; i < 3; i++) {
        buf_printf(&body, "%s{\"_id\":\"%u\",\"t\":\"", i == 0 ? "" : ",", i);
        buf_put_str(&body, text);
        buf_put_str(&body, "\"}");
    }
    buf_put_str(&body, "]}");
    free(text);
    documents.interfere = lose_leadership_before_apply;
    made = call_begin(&documents, METHOD_POST, "/db/_bulk_docs", buf_bytes(&body));
    call_start(made);
    call_run(made);
    documents.leader = true;
    cr_assert_eq(made->status, 503);
    cr_assert_not_null(strstr(call_text(made), "unknown_outcome"));
    call_free(made);
    buf_fini(&body);
    expect(&documents, METHOD_HEAD, "/db/0", NULL, 200, NULL);
    expect(&documents, METHOD_HEAD, "/db/2", NULL, 404, NULL);
}

Test(submit, sealing_fails_what_waits_in_line)
{
    struct call *a, *b;

    documents.hold = true;
    a = call_begin(&documents, METHOD_PUT, "/db/a", bytes_str("{}"));
    b = call_begin(&documents, METHOD_PUT, "/db/a", bytes_str("{}"));
    call_start(a);
    call_start(b);
    documents.open = false;
    documents.hold = false;
    call_run(a);
    call_run(b);
    cr_assert_eq(b->status, 503);
    documents.open = true;
    call_free(a);
    call_free(b);
}
