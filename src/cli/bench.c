#include "cli/bench.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/number.h"

#define SECONDS_MAX 86400.0
#define BATCH_BYTES (16 * MIB) /* of a bulk write, unless --batch says otherwise */
#define RATE_MAX 1e7

/* "1,16,64" into `ret_values`, each 1..max. */
static enum cli_exit list_parse(const char *option, const char *text, uint64_t max, size_t n_max,
                                uint64_t *ret_values, size_t *ret_n)
{
    char word[24];
    size_t n = 0;

    do {
        size_t len = strcspn(text, ",");

        if (n == n_max)
            return cli_fail(CLI_USAGE, "%s: at most %zu numbers", option, n_max);
        (void)snprintf(word, sizeof(word), "%.*s", len < sizeof(word) ? (int)len : 0, text);
        if (number_parse(word, max, &ret_values[n]) != QK_OK || ret_values[n] == 0)
            return cli_fail(CLI_USAGE, "%s: a number from 1 to %" PRIu64 ", or several with commas",
                            option, max);
        n++;
        text += len + (text[len] == ',' ? 1 : 0);
    } while (*text != '\0');
    *ret_n = n;
    return CLI_OK;
}

static enum cli_exit number_of(const char *option, const char *text, uint64_t min, uint64_t max,
                               uint64_t *value)
{
    uint64_t number;

    if (text == NULL)
        return CLI_OK;
    if (number_parse(text, max, &number) != QK_OK || number < min)
        return cli_fail(CLI_USAGE, "%s: a number from %" PRIu64 " to %" PRIu64, option, min, max);
    *value = number;
    return CLI_OK;
}

static enum cli_exit decimal_of(const char *option, const char *text, double max, double *value)
{
    char *end = NULL;
    double number;

    if (text == NULL)
        return CLI_OK;
    number = strtod(text, &end);
    if (end == text || *end != '\0' || !(number >= 0 && number <= max))
        return cli_fail(CLI_USAGE, "%s: a number up to %.0f", option, max);
    *value = number;
    return CLI_OK;
}

static enum cli_exit kinds_parse(const struct options *options, struct bench_wish *wish)
{
    for (unsigned i = 0; i < options->args_n; i++) {
        int kind = 0;

        while (load_kind_names[kind] != NULL &&
               strcmp(load_kind_names[kind], options->args[i]) != 0)
            kind++;
        if (load_kind_names[kind] == NULL)
            return cli_fail(CLI_USAGE,
                            "'%s' is nothing to measure: put, get, local, bulk, scan, changes, "
                            "find, mix",
                            options->args[i]);
        if (wish->kinds_n == LOAD_KINDS_N)
            return cli_fail(CLI_USAGE, "each once is enough");
        wish->kinds[wish->kinds_n++] = (enum load_kind)kind;
    }
    if (wish->kinds_n == 0) {
        wish->kinds[wish->kinds_n++] = LOAD_PUT;
        wish->kinds[wish->kinds_n++] = LOAD_GET;
    }
    return CLI_OK;
}

static enum cli_exit lists_parse(const struct options *options, struct bench_wish *wish)
{
    uint64_t numbers[LOAD_PIDS_MAX];
    enum cli_exit code = CLI_OK;

    wish->clients[0] = 16;
    wish->clients_n = 1;
    if (options->clients != NULL) {
        code = list_parse("--clients", options->clients, LOAD_CONNS_MAX, BENCH_CLIENTS_MAX, numbers,
                          &wish->clients_n);
        for (size_t i = 0; code == CLI_OK && i < wish->clients_n; i++)
            wish->clients[i] = (size_t)numbers[i];
    }
    if (code == CLI_OK && options->pids != NULL) {
        code =
            list_parse("--pids", options->pids, INT32_MAX, LOAD_PIDS_MAX, numbers, &wish->pids_n);
        for (size_t i = 0; code == CLI_OK && i < wish->pids_n; i++)
            wish->pids[i] = (long)numbers[i];
    }
    return code;
}

static enum cli_exit numbers_parse(const struct options *options, struct bench_wish *wish)
{
    uint64_t size = 300;
    enum cli_exit code = decimal_of("--seconds", options->seconds, SECONDS_MAX, &wish->seconds);

    if (code == CLI_OK)
        code = decimal_of("--warm-up", options->warm_up, SECONDS_MAX, &wish->warm_up_s);
    if (code == CLI_OK)
        code = decimal_of("--rate", options->rate, RATE_MAX, &wish->rate);
    if (code == CLI_OK)
        code = number_of("--size", options->size, 16, DOC_BYTES_MAX / 2, &size);
    if (code == CLI_OK)
        code = number_of("--docs", options->docs, 1, 100000000, &wish->docs);
    if (code == CLI_OK)
        code = number_of("--batch", options->batch, 1, BATCH_RECORDS_MAX / 2, &wish->batch);
    wish->size = (size_t)size;
    if (options->batch == NULL && wish->batch * size > BATCH_BYTES)
        wish->batch = size < BATCH_BYTES ? BATCH_BYTES / size : 1;
    /* Ids and the like come on top. */
    if (code == CLI_OK && wish->batch * (size + 64) > HTTP_BODY_BYTES_MAX)
        code = cli_fail(CLI_USAGE, "--batch: at most %zu documents of that size in a request",
                        HTTP_BODY_BYTES_MAX / ((size_t)size + 64));
    return code;
}

enum cli_exit bench_wish_parse(const struct options *options, struct bench_wish *ret_wish)
{
    struct bench_wish wish = {.seconds = 5,
                              .warm_up_s = 1,
                              .docs = 10000,
                              .batch = 500,
                              .nodes = options->nodes,
                              .database = options->database};
    enum cli_exit code = kinds_parse(options, &wish);

    if (code == CLI_OK)
        code = lists_parse(options, &wish);
    if (code == CLI_OK)
        code = numbers_parse(options, &wish);
    if (code == CLI_OK && wish.database != NULL && strlen(wish.database) > DATABASE_NAME_BYTES_MAX)
        code = cli_fail(CLI_USAGE, "--db: the name is too long");
    if (code == CLI_OK && wish.seconds <= 0)
        code = cli_fail(CLI_USAGE, "--seconds: more than none");
    if (code == CLI_OK)
        *ret_wish = wish;
    return code;
}

static double ms_at(const struct load_result *result, double share)
{
    return (double)load_histogram_at(&result->latency, share) / 1e6;
}

static json_t *row_of(const char *kind, size_t clients, const struct bench_wish *wish,
                      const struct load_result *result, double per_s)
{
    double done = result->done > 0 ? (double)result->done : 1;

    return json_pack(
        "{s:s, s:I, s:I, s:f, s:f, s:I, s:I, s:I, s:I, s:f, s:f,"
        " s:{s:f, s:f, s:f, s:f, s:f, s:f}, s:f, s:f, s:I, s:s}",
        "kind", kind, "clients", (json_int_t)clients, "size", (json_int_t)wish->size, "rate",
        wish->rate, "seconds", (double)result->elapsed_ns / 1e9, "requests",
        (json_int_t)result->done, "documents", (json_int_t)result->units, "failed",
        (json_int_t)result->failed, "unfinished", (json_int_t)result->unfinished, "per_s", per_s,
        "requests_per_s", (double)result->done * 1e9 / (double)(result->elapsed_ns | 1), "ms",
        "mean", load_histogram_mean(&result->latency) / 1e6, "p50", ms_at(result, 0.5), "p90",
        ms_at(result, 0.9), "p99", ms_at(result, 0.99), "p999", ms_at(result, 0.999), "max",
        (double)result->latency.max / 1e6, "cpu_us", (double)result->servers_cpu_ns / 1e3 / done,
        "own_cpu_us", (double)result->own_cpu_ns / 1e3 / done, "bytes_in",
        (json_int_t)result->bytes_in, "problem", result->problem);
}

static void say_line(const char *kind, size_t clients, const struct bench_wish *wish,
                     const struct load_result *result, double per_s)
{
    double done = result->done > 0 ? (double)result->done : 1;

    printf("%-8s %7zu %11.0f %8.3f %8.3f %8.3f %8.3f %8.3f", kind, clients, per_s,
           ms_at(result, 0.5), ms_at(result, 0.9), ms_at(result, 0.99), ms_at(result, 0.999),
           (double)result->latency.max / 1e6);
    if (wish->pids_n > 0)
        printf(" %9.1f", (double)result->servers_cpu_ns / 1e3 / done);
    printf(" %9.1f %7" PRIu64 "\n", (double)result->own_cpu_ns / 1e3 / done, result->failed);
    if (result->failed > 0)
        printf("         failed first: %s\n", result->problem);
    (void)fflush(stdout);
}

enum cli_exit bench_say(bool json, const char *kind, size_t clients, const struct bench_wish *wish,
                        const struct load_result *result, json_t *rows)
{
    double per_s = (double)result->units * 1e9 / (double)(result->elapsed_ns | 1);

    if (!json && json_array_size(rows) == 0) {
        printf("latency in ms, %s\n", wish->rate > 0 ? "from when each request was due"
                                                     : "of each request (closed loop: --rate finds "
                                                       "what a pause costs)");
        printf("%-8s %7s %11s %8s %8s %8s %8s %8s%s %9s %7s\n", "what", "clients", "documents/s",
               "p50", "p90", "p99", "p99.9", "max", wish->pids_n > 0 ? "  CPU us/r" : "",
               "own us/r", "failed");
    }
    (void)json_array_append_new(rows, row_of(kind, clients, wish, result, per_s));
    if (!json)
        say_line(kind, clients, wish, result, per_s);
    return result->done > 0 ? CLI_OK : CLI_ERROR;
}
