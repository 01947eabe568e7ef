/* sim --seed S | --seeds N [--from S] [--guard-off K] [--lose | --away | --break] [--verbose]
 * [--trace]: exit 0 if every seed is clean.
 */
#include "sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHAOS_MS (30 * SIM_ELECTION_MS)
#define CHAOS_AWAY_MS (60 * SIM_ELECTION_MS)
#define HEALING_MS (40 * SIM_ELECTION_MS)

/* For the handler of an assertion's signal: which seed it was. */
static volatile uint64_t current_seed;

struct options {
    uint64_t from;
    uint64_t seeds_n;
    uint32_t guards_off;
    bool verbose;
    bool trace;
    bool lose;   /* stores, at a start */
    bool away;   /* voters, for long, while others change */
    bool breaks; /* connections, which those at their ends are told of */
    bool go_on;  /* count all failing seeds */
};

struct totals {
    uint64_t failed_n, acked_n, reads_n, elections_n, changes_n, installs_n, crashes_n, losses_n,
        aways_n, changes_away_n, changes_again_n;
};

static void on_abort(int number)
{
    char text[64] = "seed ";
    uint64_t seed = current_seed;
    size_t at = 5;
    char digits[24];
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + seed % 10);
        seed /= 10;
    } while (seed > 0);
    while (n > 0)
        text[at++] = digits[--n];
    memcpy(text + at, " failed: signal\n", 16);
    if (write(STDOUT_FILENO, text, at + 16) < 0)
        _exit(3);
    _exit(number == SIGABRT ? 1 : 2);
}

static void run_until(struct world *w, uint64_t end)
{
    struct event event;

    while (w->failure[0] == 0 && sim_pop(w, &event)) {
        if (event.at > end) {
            sim_push(w, event);
            break;
        }
        w->now = event.at;
        world_deliver(w, &event);
        free(event.data);
    }
    if (w->now < end)
        w->now = end;
}

/* One seed's whole run; true if it was clean. */
static bool run_seed(uint64_t seed, const struct options *options, struct totals *totals)
{
    struct world *w = calloc(1, sizeof(*w));
    uint64_t end = 1000 + (options->away ? CHAOS_AWAY_MS : CHAOS_MS);
    bool clean;

    if (w == NULL)
        abort();
    current_seed = seed;
    w->seed = seed;
    w->random = seed;
    w->trace = options->trace;
    w->guards_off = options->guards_off;
    w->lose = options->lose ? 300 : 0;
    w->away = options->away ? 60 : 0;
    w->breaks = options->breaks ? 100 : 0;
    w->election_ms = SIM_ELECTION_MS;
    w->heartbeat_ms = SIM_HEARTBEAT_MS;
    w->now = 1000;
    w->payload_number = 100;
    chaos_begin(w);
    run_until(w, end);
    if (w->failure[0] == 0)
        chaos_end(w);
    run_until(w, end + HEALING_MS);
    check_end(w);
    clean = w->failure[0] == 0;
    if (!clean)
        printf("seed %" PRIu64 " failed %s\n", seed, w->failure);
    if (options->verbose)
        printf("seed %" PRIu64 " %s digest %016" PRIx64 " voters %u acked %" PRIu64
               " reads %" PRIu64 " elections %" PRIu64 " changes %" PRIu64 " installs %" PRIu64
               " crashes %" PRIu64 "\n",
               seed, clean ? "clean" : "failed", w->digest, w->nodes_n, w->acked_n, w->reads_n,
               w->elections_n, w->changes_n, w->installs_n, w->crashes_n);
    totals->failed_n += clean ? 0 : 1;
    totals->acked_n += w->acked_n;
    totals->reads_n += w->reads_n;
    totals->elections_n += w->elections_n;
    totals->changes_n += w->changes_n;
    totals->installs_n += w->installs_n;
    totals->crashes_n += w->crashes_n;
    totals->losses_n += w->losses_n;
    totals->aways_n += w->aways_n;
    totals->changes_away_n += w->changes_away_n;
    totals->changes_again_n += w->changes_again_n;
    world_fini(w);
    free(w);
    return clean;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim --seed S | --seeds N [--from S] [--guard-off K]... [--go-on] "
                    "[--lose | --away | --break] "
                    "[--verbose] [--trace]\n");
    return 3;
}

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'n'},
        {"from", required_argument, NULL, 'f'},
        {"guard-off", required_argument, NULL, 'g'},
        {"verbose", no_argument, NULL, 'v'},
        {"go-on", no_argument, NULL, 'c'},
        {"trace", no_argument, NULL, 't'},
        {"lose", no_argument, NULL, 'l'},
        {"away", no_argument, NULL, 'a'},
        {"break", no_argument, NULL, 'b'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        uint64_t value = optarg == NULL ? 0 : strtoull(optarg, NULL, 10);
        switch (c) {
        case 's':
            options->from = value;
            options->seeds_n = 1;
            options->verbose = true;
            break;
        case 'n':
            options->seeds_n = value;
            break;
        case 'f':
            options->from = value;
            break;
        case 'g':
            if (value < 1 || value > GUARD_MAX)
                return false;
            options->guards_off |= 1u << value;
            break;
        case 'v':
            options->verbose = true;
            break;
        case 'l':
            options->lose = true;
            break;
        case 'a':
            options->away = true;
            break;
        case 'b':
            options->breaks = true;
            break;
        case 't':
            options->trace = true;
            break;
        case 'c':
            options->go_on = true;
            break;
        default:
            return false;
        }
    }
    return options->seeds_n > 0 && options->lose + options->away + options->breaks <= 1;
}

int main(int argc, char **argv)
{
    struct options options = {.from = 1};
    struct totals totals = {0};
    uint64_t ran = 0;

    if (!parse(argc, argv, &options))
        return usage();
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    while (ran < options.seeds_n) {
        bool clean = run_seed(options.from + ran, &options, &totals);
        ran++;
        if (!clean && !options.go_on)
            break;
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " writes, %" PRIu64 " reads, %" PRIu64
           " elections, %" PRIu64 " changes, %" PRIu64 " installs, %" PRIu64 " crashes, %" PRIu64
           " stores lost, %" PRIu64 " away for long, %" PRIu64 " changes meanwhile, %" PRIu64
           " not the first\n",
           ran, totals.failed_n, totals.acked_n, totals.reads_n, totals.elections_n,
           totals.changes_n, totals.installs_n, totals.crashes_n, totals.losses_n, totals.aways_n,
           totals.changes_away_n, totals.changes_again_n);
    return totals.failed_n == 0 ? 0 : 1;
}
