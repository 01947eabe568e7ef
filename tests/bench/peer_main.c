/* bench-peer WIRE[:STREAMS] put|get --nodes LIST ...: the load of `quorumkeep bench` on another
 * server. WIRE is grpc (etcd), gateway (etcd's JSON) or redis; with STREAMS so many requests are in
 * flight on each connection. Prints a row of JSON. Reads find keys 0 to --docs - 1, which `fill`
 * writes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cli/bench.h"
#include "cli/number.h"
#include "cli/print.h"
#include "peers.h"

#define TARGETS_MAX 16

static struct load_result result;

void peer_key(struct peer *peer, char ret_key[static LOAD_KEY_BYTES])
{
    peer->turn++;
    load_key(peer->reads ? load_scatter(peer->turn) % peer->docs : peer->next++, ret_key);
}

static const struct load_wire *wire_of(const char *text, struct peer *peer, unsigned *ret_streams)
{
    size_t len = strcspn(text, ":");
    uint64_t streams = 1;

    if (text[len] == ':' &&
        (number_parse(text + len + 1, LOAD_SLOTS_MAX, &streams) != QK_OK || streams == 0))
        return NULL;
    *ret_streams = (unsigned)streams;
    peer->http.build = peer_gateway_build;
    if (strncmp(text, "grpc", len) == 0)
        return &peer_grpc_wire;
    if (streams == 1 && strncmp(text, "redis", len) == 0)
        return &peer_redis_wire;
    return streams == 1 && strncmp(text, "gateway", len) == 0 ? &load_http_wire : NULL;
}

static size_t targets_of(const char *list, struct client_target *ret_targets)
{
    struct buf message = BUF_INIT(1024);
    char one[CLIENT_TARGET_BYTES];
    size_t n = 0;

    while (list != NULL && *list != '\0' && n < TARGETS_MAX) {
        size_t len = strcspn(list, ",");

        (void)snprintf(one, sizeof(one), "%.*s", (int)len, list);
        if (client_target_parse(one, &ret_targets[n], &message) != QK_OK)
            break;
        n++;
        list += len + (list[len] == ',' ? 1 : 0);
    }
    buf_fini(&message);
    return list == NULL || *list != '\0' ? 0 : n;
}

static void peer_fill_value(struct peer *peer, size_t size)
{
    peer->value = BUF_INIT(DOC_BYTES_MAX);
    peer->body = BUF_INIT(2 * DOC_BYTES_MAX);
    for (size_t i = 0; i < size; i++)
        buf_put_u8(&peer->value, (uint8_t)('a' + load_scatter(i) % 26));
}

static enum cli_exit run(struct load_plan *plan, struct bench_wish *wish, const char *what)
{
    struct peer *peer = plan->arg;
    struct buf message = BUF_INIT(1024);
    json_t *rows = json_array();
    enum cli_exit code;

    plan->pids = wish->pids;
    plan->pids_n = wish->pids_n;
    plan->warm_up_ns = (uint64_t)(wish->warm_up_s * 1e9);
    plan->measure_ns = (uint64_t)(wish->seconds * 1e9);
    plan->rate = wish->rate;
    plan->conns_n = (wish->clients[0] + plan->slots_n - 1) / plan->slots_n;
    if (strcmp(what, "fill") == 0) {
        peer->next = 0;
        plan->warm_up_ns = 0;
        plan->measure_ns = UINT64_C(3600) * 1000000000U;
        plan->requests_max = wish->docs;
    }
    if (load_run(plan, &result, &message) != QK_OK)
        code = cli_fail(CLI_ERROR, "%.*s", (int)message.len, (const char *)message.data);
    else
        code = bench_say(true, what, wish->clients[0], wish, &result, rows);
    if (code == CLI_OK)
        print_json(rows, 2);
    json_decref(rows);
    buf_fini(&message);
    return code;
}

int main(int argc, char **argv)
{
    struct options options = {0};
    struct buf message = BUF_INIT(1024);
    struct client_target targets[TARGETS_MAX];
    struct bench_wish wish = {0};
    struct peer peer = {0};
    struct timespec now = {0};
    struct load_plan plan = {.arg = &peer, .targets = targets};
    enum cli_exit code = CLI_USAGE;

    if (argc > 3)
        plan.wire = wire_of(argv[1], &peer, &plan.slots_n);
    if (plan.wire == NULL ||
        options_parse(argc - 3, argv + 3, "clients seconds warm-up rate size docs nodes pids",
                      &options, &message) != QK_OK ||
        bench_wish_parse(&options, &wish) != CLI_OK ||
        (plan.targets_n = targets_of(options.nodes, targets)) == 0) {
        fprintf(stderr, "usage: bench-peer grpc[:STREAMS]|gateway|redis fill|put|get --nodes LIST "
                        "[--clients N] [--seconds N] [--rate N] [--size N] [--docs N] [--pids LIST]"
                        "\n");
    } else {
        (void)clock_gettime(CLOCK_REALTIME, &now);
        peer.reads = strcmp(argv[2], "get") == 0;
        peer.docs = wish.docs;
        peer.next = ((uint64_t)now.tv_sec << 30 | (uint64_t)now.tv_nsec) << 1;
        peer.turn = peer.next;
        peer_fill_value(&peer, wish.size);
        code = run(&plan, &wish, argv[2]);
        buf_fini(&peer.value);
        buf_fini(&peer.body);
    }
    buf_fini(&message);
    return (int)code;
}
