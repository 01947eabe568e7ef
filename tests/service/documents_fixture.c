#include "documents_fixture.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "access/user.h"
#include "consensus/consensus.h"
#include "doc/attachment.h"
#include "keys/keyring.h"
#include "secret/crypto.h"
#include "service/catalog.h"
#include "service/feeds/feeds.h"
#include "service/login.h"
#include "service/submit.h"
#include "service/documents/unnamed.h"
#include "service/query/views.h"
#include "wire/records.h"

#define RUN_MS_MAX 600000 /* a hang is what it is for */

/* --- the gate --- */

static struct documents *current;

bool service_is_open(const struct service *service)
{
    return current->open && service->keyring != NULL && service->catalog != NULL;
}

void service_closed_reason(const struct service *service, char *ret_text, unsigned long len)
{
    (void)service;
    snprintf(ret_text, len, "waiting for 1 more node: n2 (never)");
}

/* --- one member's consensus --- */

struct submission {
    struct submission *next;
    uint8_t *command; /* NULL: a read */
    size_t len;
    consensus_submit_cb submit_cb;
    consensus_read_cb read_cb;
    void *arg;
};

static void enqueue(struct submission *submission)
{
    if (current->first == NULL)
        current->first = submission;
    else
        current->last->next = submission;
    current->last = submission;
}

enum qk_err consensus_submit(struct consensus *c, struct bytes command, consensus_submit_cb cb,
                             void *arg)
{
    struct submission *submission = calloc(1, sizeof(*submission));

    (void)c;
    if (!current->leader) {
        free(submission);
        return QK_ERR_NOT_LEADER;
    }
    submission->command = malloc(command.len);
    memcpy(submission->command, command.data, command.len);
    submission->len = command.len;
    submission->submit_cb = cb;
    submission->arg = arg;
    current->submitted_n++;
    if (current->submitted != NULL)
        current->submitted(current, command);
    enqueue(submission);
    return QK_OK;
}

enum qk_err consensus_read(struct consensus *c, unsigned timeout_ms, consensus_read_cb cb,
                           void *arg)
{
    struct submission *submission = calloc(1, sizeof(*submission));

    (void)c;
    (void)timeout_ms;
    submission->read_cb = cb;
    submission->arg = arg;
    enqueue(submission);
    return QK_OK;
}

enum consensus_role consensus_role(const struct consensus *c)
{
    (void)c;
    return current->leader ? CONSENSUS_LEADER : CONSENSUS_FOLLOWER;
}

uint64_t consensus_term(const struct consensus *c)
{
    (void)c;
    return current->term;
}

uint64_t consensus_leader(const struct consensus *c)
{
    (void)c;
    return current->leader ? 1 : 2;
}

uint64_t consensus_peer_contact_ms(const struct consensus *c, uint64_t peer)
{
    (void)c;
    return peer == 2 ? 1234 : UINT64_MAX;
}

uint64_t consensus_alone_ms(const struct consensus *c)
{
    return consensus_has_majority_contact(c) ? 0 : 5678;
}

bool consensus_has_majority_contact(const struct consensus *c)
{
    (void)c;
    return true;
}

void consensus_stats(const struct consensus *c, struct consensus_stats *ret_stats)
{
    (void)c;
    *ret_stats = (struct consensus_stats){.commands_n = current->submitted_n};
}

uint64_t consensus_applied(const struct consensus *c)
{
    (void)c;
    return current->index;
}

static void apply(struct bytes command, struct buf *result)
{
    current->index++;
    cr_assert_eq(store_apply(current->service.store, current->index, 1, true, command, result),
                 QK_OK);
}

static void run_command(struct submission *submission)
{
    struct buf result = BUF_INIT(1 * MIB);
    void (*interfere)(struct documents *) = current->interfere;
    enum qk_err err = current->submit_err;

    current->interfere = NULL;
    if (interfere != NULL)
        interfere(current);
    current->submit_err = QK_OK;
    if (err == QK_OK || current->submit_apply_first)
        apply(bytes_of(submission->command, submission->len), &result);
    submission->submit_cb(submission->arg, err, current->index,
                          err == QK_OK ? buf_bytes(&result) : BYTES_NONE);
    buf_fini(&result);
}

static void run_read(struct submission *submission)
{
    void (*reading)(struct documents *) = current->reading;

    current->reading = NULL;
    if (reading != NULL)
        reading(current);
    submission->read_cb(submission->arg, current->read_err, current->index);
}

static void on_idle(uv_idle_t *idle)
{
    struct submission *submission = current->first;

    (void)idle;
    if (submission == NULL || current->hold)
        return;
    current->first = submission->next;
    if (submission->command != NULL)
        run_command(submission);
    else
        run_read(submission);
    free(submission->command);
    free(submission);
}

void documents_overtake(struct documents *documents, const bool *flag)
{
    while (!*flag)
        on_idle(&documents->idle);
}

void documents_apply(struct documents *documents, struct wire_command *command)
{
    struct buf result = BUF_INIT(1 * MIB);
    struct bytes bytes;

    cr_assert_eq(documents, current);
    cr_assert_eq(wire_command_end(command, &bytes), QK_OK);
    apply(bytes, &result);
    wire_command_fini(command);
    buf_fini(&result);
}

/* --- start and end --- */

static void on_fatal(void *arg, enum qk_err err, const char *what)
{
    (void)arg;
    cr_assert(false, "store: %s: %s", qk_err_text(err), what);
}

static void on_flag(void *arg)
{
    *(bool *)arg = true;
}

static void on_catalog(void *arg, enum qk_err err)
{
    cr_assert_eq(err, QK_OK, "catalog: %s", qk_err_text(err));
    *(bool *)arg = true;
}

void documents_run_until(struct documents *documents, const bool *flag)
{
    uint64_t began = uv_hrtime();

    while (!*flag) {
        (void)uv_run(&documents->loop, UV_RUN_ONCE);
        cr_assert_lt((uv_hrtime() - began) / 1000000, RUN_MS_MAX, "the loop went on too long");
    }
}

static void open_store(struct documents *documents)
{
    struct store_options options = {.no_sync = true, .reserve_bytes = 1};
    struct store_callbacks callbacks = {.arg = documents, .fatal = on_fatal};
    char what[500] = "";

    cr_assert_eq(store_open(&documents->loop, documents->path, &options, &callbacks,
                            &documents->service.store, what, sizeof(what)),
                 QK_OK, "%s", what);
}

static void open_catalog(struct documents *documents)
{
    bool opened = false;

    cr_assert_eq(catalog_open(&documents->service, on_catalog, &opened), QK_OK);
    documents_run_until(documents, &opened);
    documents->open = true;
    feeds_open(&documents->service);
}

static void store_keyring(struct documents *documents)
{
    struct keyring_records records;
    struct wire_command command;
    size_t i;

    cr_assert_eq(keyring_create(documents->service.origin_id, documents->mk, 1, 1000, &records,
                                &documents->service.keyring),
                 QK_OK);
    wire_command_begin(&command, WIRE_KEYRING);
    wire_command_batch(&command);
    for (i = 0; i < records.n; i++) {
        uint8_t space[DATABASE_ID_BYTES];
        struct record_key key;

        record_space_id(RECORD_KEYRING, space);
        key = record_document(space, bytes_of(records.items[i].name, records.items[i].name_len));
        wire_command_put(&command, record_key_bytes(&key), 1, 0,
                         buf_bytes(&records.items[i].value));
    }
    documents_apply(documents, &command);
    keyring_records_fini(&records);
}

void documents_put_admin(struct documents *documents, const char *name, const char *password,
                         unsigned version)
{
    struct user user = {.credential_version = version, .admin = true};
    struct buf value = BUF_INIT(64 * KIB);
    uint8_t key[CATALOG_KEY_BYTES];
    struct wire_command command;

    snprintf(user.name, sizeof(user.name), "%s", name);
    random_fill(user.id, sizeof(user.id));
    cr_assert_eq(password_hash(bytes_str(password), user.password_hash), QK_OK);
    cr_assert_eq(catalog_user_key(&documents->service, bytes_str(name), key), QK_OK);
    cr_assert_eq(catalog_user_seal(&documents->service, &user, version, &value), QK_OK);
    wire_command_begin(&command, WIRE_WRITE);
    wire_command_batch(&command);
    wire_command_put(&command, bytes_of(key, sizeof(key)), version, 0, buf_bytes(&value));
    documents_apply(documents, &command);
    buf_fini(&value);
}

void documents_init(struct documents *documents)
{
    const char *base = getenv("TMPDIR");

    memset(documents, 0, sizeof(*documents));
    current = documents;
    cr_assert_eq(secret_arena_init(SECRET_ARENA_UNLOCKED, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    cr_assert_eq(uv_loop_init(&documents->loop), 0);
    uv_idle_init(&documents->loop, &documents->idle);
    uv_idle_start(&documents->idle, on_idle);
    snprintf(documents->folder, sizeof(documents->folder), "%s/qk-documents-XXXXXX",
             base == NULL ? "/tmp" : base);
    cr_assert_not_null(mkdtemp(documents->folder));
    snprintf(documents->path, sizeof(documents->path), "%s/store.mdb", documents->folder);
    documents->service.loop = &documents->loop;
    documents->service.catalog_follower = &views_follower;
    documents->leader = true;
    random_fill(documents->service.cluster_id, CLUSTER_ID_BYTES);
    random_fill(documents->service.origin_id, CLUSTER_ID_BYTES);
    cr_assert_eq(secret_new_random(KEY_BYTES, &documents->mk), QK_OK);
    cr_assert_eq(submitter_new(&documents->service, &documents->service.submitter), QK_OK);
    cr_assert_eq(login_new(&documents->service, &documents->service.login), QK_OK);
    cr_assert_eq(feeds_new(&documents->service, &documents->service.feeds), QK_OK);
    cr_assert_eq(unnamed_new(&documents->service, &documents->service.unnamed), QK_OK);
    open_store(documents);
    store_keyring(documents);
    documents_put_admin(documents, ADMIN_NAME, ADMIN_PASSWORD, 1);
    open_catalog(documents);
}

static void close_store(struct documents *documents)
{
    bool closed = false;

    documents->open = false;
    feeds_close(&documents->service, QK_ERR_SEALED);
    catalog_close(&documents->service);
    store_close(documents->service.store, on_flag, &closed);
    documents_run_until(documents, &closed);
    documents->service.store = NULL;
}

void documents_restart(struct documents *documents)
{
    close_store(documents);
    open_store(documents);
    documents->index = store_applied(documents->service.store);
    open_catalog(documents);
}

static void remove_folder(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    char inner[512];

    snprintf(inner, sizeof(inner), "%s/index", folder);
    if (access(inner, F_OK) == 0)
        remove_folder(inner);
    while (dir != NULL && (entry = readdir(dir)) != NULL)
        (void)unlinkat(dirfd(dir), entry->d_name, 0);
    if (dir != NULL)
        (void)closedir(dir);
    (void)rmdir(folder);
}

void documents_fini(struct documents *documents)
{
    close_store(documents);
    keyring_close(documents->service.keyring);
    submitter_free(documents->service.submitter);
    login_free(documents->service.login);
    feeds_free(documents->service.feeds);
    unnamed_free(documents->service.unnamed);
    secret_free(documents->mk);
    uv_close((uv_handle_t *)&documents->idle, NULL);
    (void)uv_run(&documents->loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&documents->loop), 0);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
    remove_folder(documents->folder);
}

/* --- chunks of attachments --- */

static void chunks_flushed(void *arg, enum qk_err err)
{
    cr_assert_eq(err, QK_OK);
    *(bool *)arg = true;
}

static size_t count(struct documents *documents, bool chunks, struct record_key *ret_last)
{
    uint8_t id[ATTACHMENT_ID_BYTES];
    struct store_cursor *cursor;
    struct store_row row;
    bool done = false;
    uint32_t chunk;
    size_t n = 0;

    store_flush(documents->service.store, chunks_flushed, &done);
    documents_run_until(documents, &done);
    cr_assert_eq(
        store_cursor_open(documents->service.store, BYTES_NONE, BYTES_NONE, false, &cursor), QK_OK);
    while (store_cursor_next(cursor, &row) == QK_OK) {
        if (chunks ? !record_key_chunk(row.key, id, &chunk) : !record_key_unnamed(row.key, id))
            continue;
        n++;
        if (ret_last != NULL)
            *ret_last = record_document(row.key.data, record_key_name(row.key));
    }
    store_cursor_close(cursor);
    return n;
}

size_t documents_chunks_n(struct documents *documents, struct record_key *ret_last)
{
    return count(documents, true, ret_last);
}

size_t documents_unnamed_n(struct documents *documents, struct record_key *ret_last)
{
    return count(documents, false, ret_last);
}
