/* What `quorumkeep bench` is asked for, and how it says what it found; also for the generators of
 * tests/bench. */
#ifndef CLI_BENCH_H
#define CLI_BENCH_H

#include <jansson.h>

#include "cli/cli.h"
#include "cli/load_documents.h"

#define BENCH_CLIENTS_MAX 16

struct bench_wish {
    enum load_kind kinds[LOAD_KINDS_N];
    size_t kinds_n;
    size_t clients[BENCH_CLIENTS_MAX];
    size_t clients_n;
    double seconds, warm_up_s, rate;
    size_t size;
    uint64_t docs, batch;
    const char *nodes, *database; /* NULL: not given */
    long pids[LOAD_PIDS_MAX];
    size_t pids_n;
};

/* CLI_USAGE: what is wrong was said. */
MUST_USE enum cli_exit bench_wish_parse(const struct options *options, struct bench_wish *ret_wish);

/* A line of the table, with its head before the first, or with `json` a row more in `rows`.
 * CLI_ERROR if nothing went well. */
MUST_USE enum cli_exit bench_say(bool json, const char *kind, size_t clients,
                                 const struct bench_wish *wish, const struct load_result *result,
                                 json_t *rows);

#endif
