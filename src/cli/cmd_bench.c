/* bench: puts load on a cluster and says what it took. A database of its own unless --db names one,
 * which is dropped at the end, and a login token that ends with it: a password would cost an
 * argon2id for each connection. */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/bench.h"
#include "cli/cli.h"
#include "cli/load_documents.h"
#include "cli/print.h"

#define MESSAGE_BYTES_MAX 8192
#define AUTHORIZATION_BYTES_MAX 512
#define PRELOAD_BATCH 500
#define PRELOAD_BYTES (4 * MIB) /* of one request */

struct bench {
    struct cli *cli;
    struct bench_wish wish;
    struct client_target targets[NODES_MAX];
    size_t targets_n;
    char database[DATABASE_NAME_BYTES_MAX + 1];
    bool made;                /* the database, by this run */
    struct buf authorization; /* secret */
    char token_id[128];       /* empty: none was made */
    struct load_result result;
    json_t *rows;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* One request whose refusal is no error yet. `ret_status` 0: no reply, and the reason was said.
 * The caller decrefs `ret_reply`, which may be NULL. */
static int ask(struct bench *bench, const char *method, const char *path, const char *body,
               json_t **ret_reply)
{
    struct buf message = BUF_INIT(MESSAGE_BYTES_MAX);
    struct client_request request = {.method = method,
                                     .target = bytes_str(path),
                                     .body = body == NULL ? BYTES_NONE : bytes_str(body),
                                     .authorization = buf_bytes(&bench->cli->authorization)};
    struct client_reply reply;
    int status = 0;

    *ret_reply = NULL;
    if (client_call(&bench->cli->target, &request, &reply, &message) == QK_OK) {
        status = reply.status;
        *ret_reply = json_loadb((const char *)reply.body.data, reply.body.len, 0, NULL);
    } else {
        (void)cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
    }
    client_reply_fini(&reply);
    buf_fini(&message);
    return status;
}

/* A server that makes no tokens (another one with CouchDB's interface) is asked with what we have.
 */
static enum cli_exit log_in(struct bench *bench)
{
    struct bytes have = buf_bytes(&bench->cli->authorization);
    json_t *reply = NULL;
    const char *token = NULL, *id;

    if (bytes_starts_with(have, bytes_str("Basic "))) {
        (void)ask(bench, "POST", "/_quorumkeep/tokens", "{\"label\":\"bench\",\"ttl_s\":3600}",
                  &reply);
        token = json_string_value(json_object_get(reply, "token"));
        id = json_string_value(json_object_get(reply, "token_id"));
        if (token != NULL && id != NULL && strlen(id) < sizeof(bench->token_id))
            (void)snprintf(bench->token_id, sizeof(bench->token_id), "%s", id);
    }
    if (token != NULL) {
        buf_put_str(&bench->authorization, "Bearer ");
        buf_put_str(&bench->authorization, token);
    } else {
        buf_put_bytes(&bench->authorization, have);
    }
    json_decref(reply);
    return buf_error(&bench->authorization) == QK_OK ? CLI_OK
                                                     : cli_fail(CLI_USAGE, "the token is too long");
}

static void log_out(struct bench *bench)
{
    char path[192];
    json_t *reply = NULL;

    if (bench->token_id[0] == '\0')
        return;
    (void)snprintf(path, sizeof(path), "/_quorumkeep/tokens/%s", bench->token_id);
    (void)ask(bench, "DELETE", path, NULL, &reply);
    json_decref(reply);
}

/* The nodes that connections go to: --nodes, or the one of --addr. */
static enum cli_exit find_nodes(struct bench *bench)
{
    struct buf message = BUF_INIT(MESSAGE_BYTES_MAX);
    char one[CLIENT_TARGET_BYTES];
    const char *list = bench->wish.nodes;
    enum cli_exit code = CLI_OK;

    bench->targets[0] = bench->cli->target;
    bench->targets_n = 1;
    for (size_t n = 0; list != NULL && *list != '\0' && code == CLI_OK; n++) {
        size_t len = strcspn(list, ",");
        struct client_target *target = &bench->targets[n];

        if (n == NODES_MAX || len >= sizeof(one))
            code = cli_fail(CLI_USAGE, "--nodes: at most %d addresses", NODES_MAX);
        if (code != CLI_OK)
            break;
        (void)snprintf(one, sizeof(one), "%.*s", (int)len, list);
        if (client_target_parse(one, target, &message) != QK_OK)
            code =
                cli_fail(CLI_USAGE, "--nodes: %.*s", (int)message.len, (const char *)message.data);
        else if (!target->tls && !client_target_is_private(target) &&
                 !bench->cli->options.insecure_http)
            code = cli_fail(CLI_USAGE,
                            "%s: the token would cross the network in clear: use "
                            "https://, or --insecure-http to accept that",
                            one);
        target->ca = bench->cli->target.ca;
        target->cert = bench->cli->target.cert;
        target->cert_key = bench->cli->target.cert_key;
        bench->targets_n = n + 1;
        list += len + (list[len] == ',' ? 1 : 0);
    }
    buf_fini(&message);
    return code;
}

static enum cli_exit run_load(struct bench *bench, struct load_documents *documents,
                              struct load_plan *plan)
{
    struct buf message = BUF_INIT(MESSAGE_BYTES_MAX);
    enum cli_exit code = CLI_OK;

    documents->authorization = buf_bytes(&bench->authorization);
    documents->docs = bench->wish.docs;
    plan->wire = &load_http_wire;
    plan->arg = documents;
    plan->targets = bench->targets;
    plan->targets_n = bench->targets_n;
    plan->slots_n = 1;
    plan->stop = &stopped;
    if (load_run(plan, &bench->result, &message) != QK_OK)
        code = cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
    buf_fini(&message);
    return code;
}

static uint64_t batch_of(const struct bench_wish *wish)
{
    uint64_t fit = PRELOAD_BYTES / wish->size;

    return fit == 0 ? 1 : fit < PRELOAD_BATCH ? fit : PRELOAD_BATCH;
}

/* How many batches the documents to read are: a few more documents than asked for, maybe. */
static uint64_t batches_of(const struct bench_wish *wish)
{
    return (wish->docs + batch_of(wish) - 1) / batch_of(wish);
}

static enum cli_exit preload(struct bench *bench)
{
    struct load_documents documents;
    struct load_plan plan = {.conns_n = 1, .measure_ns = UINT64_C(86400) * 1000000000U};
    enum cli_exit code = CLI_ERROR;

    plan.requests_max = batches_of(&bench->wish);
    if (load_documents_init(&documents, LOAD_BULK, bench->database, bench->wish.size) == QK_OK) {
        documents.batch = batch_of(&bench->wish);
        code = run_load(bench, &documents, &plan);
    }
    load_documents_fini(&documents);
    if (code == CLI_OK && bench->result.failed > 0)
        code = cli_fail(CLI_ERROR, "writing the documents to read: %s", bench->result.problem);
    return code;
}

/* Is the last of the documents to read there already? */
static bool is_filled(struct bench *bench)
{
    char path[DATABASE_NAME_BYTES_MAX + 32], key[LOAD_KEY_BYTES];
    json_t *reply = NULL;
    int status;

    load_key(batches_of(&bench->wish) * batch_of(&bench->wish) - 1, key);
    (void)snprintf(path, sizeof(path), "/%s/%s", bench->database, key);
    status = ask(bench, "GET", path, NULL, &reply);
    json_decref(reply);
    return status == 200;
}

static enum cli_exit make_database(struct bench *bench)
{
    char path[DATABASE_NAME_BYTES_MAX + 32];
    json_t *reply = NULL;
    int status;

    if (bench->wish.database != NULL)
        (void)snprintf(bench->database, sizeof(bench->database), "%s", bench->wish.database);
    else
        (void)snprintf(bench->database, sizeof(bench->database), "bench-%" PRIx64,
                       load_scatter((uint64_t)time(NULL) ^ ((uint64_t)getpid() << 40)));
    (void)snprintf(path, sizeof(path), "/%s%s", bench->database,
                   bench->cli->options.clear ? "?clear=true" : "");
    status = ask(bench, "PUT", path, NULL, &reply);
    if (status / 100 != 2 && !(status == 412 && bench->wish.database != NULL)) {
        const char *reason = json_string_value(json_object_get(reply, "reason"));

        if (status != 0) /* else why there is no reply was said */
            (void)cli_fail(CLI_ERROR, "the database %s cannot be made: status %d %s",
                           bench->database, status, reason == NULL ? "" : reason);
        json_decref(reply);
        return status == 401 || status == 403 ? CLI_DENIED : status == 503 ? CLI_SEALED : CLI_ERROR;
    }
    bench->made = bench->wish.database == NULL;
    json_decref(reply);
    return status == 412 && is_filled(bench) ? CLI_OK : preload(bench);
}

static void drop_database(struct bench *bench)
{
    char path[DATABASE_NAME_BYTES_MAX + 32];
    json_t *reply = NULL;

    if (!bench->made)
        return;
    (void)snprintf(path, sizeof(path), "/%s", bench->database);
    (void)ask(bench, "DELETE", path, NULL, &reply);
    json_decref(reply);
}

/* One line of the table: `kind` with `clients`. */
static enum cli_exit measure(struct bench *bench, enum load_kind kind, size_t clients)
{
    const struct bench_wish *wish = &bench->wish;
    struct load_documents documents;
    struct load_plan plan = {.conns_n = clients,
                             .warm_up_ns = (uint64_t)(wish->warm_up_s * 1e9),
                             .measure_ns = (uint64_t)(wish->seconds * 1e9),
                             .rate = wish->rate,
                             .pids = wish->pids,
                             .pids_n = wish->pids_n};
    struct timespec now = {0};
    enum cli_exit code = CLI_ERROR;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    if (load_documents_init(&documents, kind, bench->database, wish->size) == QK_OK) {
        documents.batch = wish->batch;
        /* Keys that no earlier run on the same database used. */
        documents.next = ((uint64_t)now.tv_sec << 30 | (uint64_t)now.tv_nsec) << 1;
        documents.turn = documents.next;
        code = run_load(bench, &documents, &plan);
    }
    load_documents_fini(&documents);
    if (code == CLI_OK)
        code = bench_say(bench->cli->options.json, load_kind_names[kind], clients, wish,
                         &bench->result, bench->rows);
    return code;
}

static enum cli_exit measure_all(struct bench *bench)
{
    enum cli_exit code = CLI_OK, worst = CLI_OK;

    for (size_t kind = 0; kind < bench->wish.kinds_n; kind++) {
        for (size_t i = 0; i < bench->wish.clients_n && stopped == 0; i++) {
            code = measure(bench, bench->wish.kinds[kind], bench->wish.clients[i]);
            worst = code != CLI_OK ? code : worst;
        }
    }
    return worst;
}

enum cli_exit cli_bench(struct cli *cli)
{
    /* On the heap: the histogram alone is 35 KiB. */
    struct bench *bench = calloc(1, sizeof(*bench));
    struct sigaction action = {.sa_handler = on_signal};
    enum cli_exit code;

    if (bench == NULL)
        return cli_fail(CLI_ERROR, "out of memory");
    bench->cli = cli;
    bench->authorization = BUF_SECRET_INIT(AUTHORIZATION_BYTES_MAX);
    bench->rows = json_array();
    code = bench_wish_parse(&cli->options, &bench->wish);
    if (code == CLI_OK)
        code = find_nodes(bench);
    if (code == CLI_OK)
        code = log_in(bench);
    if (code == CLI_OK) {
        (void)sigaction(SIGINT, &action, NULL); /* what was made is cleared away */
        code = make_database(bench);
        if (code == CLI_OK)
            code = measure_all(bench);
        drop_database(bench);
    }
    log_out(bench);
    if (cli->options.json && json_array_size(bench->rows) > 0)
        print_json(bench->rows, 2);
    json_decref(bench->rows);
    buf_fini(&bench->authorization);
    free(bench);
    return code;
}
