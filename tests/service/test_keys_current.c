/* While the keys of a new master key are not open yet: requests wait, and what was evaluated under
 * the older versions is evaluated again. */
#include "service/keys_current.h"

#include <criterion/criterion.h>
#include <string.h>

#include "documents_fixture.h"
#include "keys/keyring.h"
#include "service/timer_uv.h"

static struct documents documents;

static void setup(void)
{
    documents_init(&documents);
    expect(&documents, METHOD_PUT, "/db", NULL, 201, NULL);
    expect(&documents, METHOD_PUT, "/db/a", "{\"n\":1}", 201, NULL);
    cr_assert_eq(
        timer_new(&documents.loop, keys_tick, &documents.service, &documents.service.keys.timer),
        QK_OK);
}

static void teardown(void)
{
    timer_free(documents.service.keys.timer, NULL, NULL);
    documents_fini(&documents);
}

TestSuite(keys_current, .init = setup, .fini = teardown);

static struct call *waiting(enum method method, const char *target, const char *body)
{
    struct call *made = call_begin(&documents, method, target, bytes_str(body));

    documents.service.keys.behind = true;
    call_start(made);
    for (unsigned i = 0; i < 200; i++)
        uv_run(&documents.loop, UV_RUN_NOWAIT);
    cr_assert_not(made->ended, "%s", target);
    return made;
}

static void ends(struct call *made, int status)
{
    call_run(made);
    cr_assert_eq(made->status, status, "%d", made->status);
    call_free(made);
}

static void open_keys(void)
{
    documents.service.keys.behind = false;
    keys_opened(&documents.service);
}

Test(keys_current, writes_reads_and_lists_wait_until_they_are_open)
{
    struct call *put = waiting(METHOD_PUT, "/db/b", "{\"n\":2}");
    struct call *get = waiting(METHOD_GET, "/db/a", "");
    struct call *list = waiting(METHOD_GET, "/db/_all_docs?include_docs=true", "");
    struct call *changes = waiting(METHOD_GET, "/db/_changes?include_docs=true", "");
    struct call *local = waiting(METHOD_GET, "/db/a?consistency=local", "");

    open_keys();
    ends(put, 201);
    ends(get, 200);
    ends(list, 200);
    ends(changes, 200);
    ends(local, 200);
}

Test(keys_current, who_waited_too_long_or_is_sealed_meanwhile_gets_a_503)
{
    struct call *put = waiting(METHOD_PUT, "/db/b", "{}");
    struct call *get = waiting(METHOD_GET, "/db/a", "");

    keys_wake(&documents.service, QK_ERR_NO_QUORUM);
    ends(put, 503);
    ends(get, 503);
    put = waiting(METHOD_PUT, "/db/c", "{}");
    get = waiting(METHOD_GET, "/db/a", "");
    documents.open = false;
    keys_wake(&documents.service, QK_ERR_SEALED);
    ends(put, 503);
    ends(get, 503);
    documents.open = true;
    documents.service.keys.behind = false;
    expect(&documents, METHOD_GET, "/db/b", NULL, 404, NULL);
}

/* The deal's command rewrapped the key that the write was evaluated with. */
static void rewrap(struct documents *docs)
{
    uint8_t key_id[KEY_ID_BYTES];
    uint32_t version;
    struct record_key key;
    struct wire_command command;
    struct record record;

    cr_assert_eq(keyring_default(docs->service.keyring, key_id, &version), QK_OK);
    key = record_data_key(key_id);
    cr_assert_eq(store_get(docs->service.store, record_key_bytes(&key), &record), QK_OK);
    wire_command_begin(&command, WIRE_DEAL);
    wire_command_batch(&command);
    wire_command_put(&command, record_key_bytes(&key), record.version + 1, 0, record.value);
    documents_apply(docs, &command);
    wire_command_fini(&command);
}

Test(keys_current, a_write_evaluated_before_its_key_was_rewrapped_is_evaluated_again)
{
    size_t before = documents.submitted_n;

    documents.interfere = rewrap;
    expect(&documents, METHOD_PUT, "/db/b", "{\"n\":2}", 201, NULL);
    cr_assert_eq(documents.submitted_n, before + 2);
    expect(&documents, METHOD_GET, "/db/b", NULL, 200, NULL);
}
