/* system --seed S | --seeds N [--from S] | --story NAME, [--bug K] [--verbose] [--trace] [--go-on]
 * [--twice]: exit 0 if every seed is clean. system --find K --seeds N: exit 0 if one is not. With
 * --long-only it is skipped (77) unless QK_TEST_LONG is set. */
#include "system.h"

#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "secret/crypto.h"
#include "system_truth.h"

#define CHAOS_MS_MIN 6000
#define HEALING_MS_MAX 150000
#define LOOK_MS 250
#define REAL_SHARE_EVERY 100

char system_dir[SYSTEM_PATH_BYTES / 2];
static volatile uint64_t current_seed;
static uint64_t last_digest;
static volatile bool finding; /* a bug: an assertion that ends the process has found it */

struct options {
    uint64_t from, seeds_n;
    enum bug bug;
    bool verbose, trace, go_on, slow_first;
    bool twice;           /* each seed, and the same must come of it */
    bool find, long_only; /* exit 0 if the bug is found */
    const char *story;
};

struct totals {
    uint64_t failed_n, lost_n, acked_n, releases_n, deals_n, crashes_n, points_n, installs_n,
        healing_max, removals_n, rotations_n, pairs_n, periods_n, reencrypts_n, rejoins_n, clones_n,
        rollbacks_n;
};

static void dir_remove(void)
{
    char path[SYSTEM_PATH_BYTES + 32];

    for (unsigned i = 0; i < MACHINES_MAX; i++) {
        snprintf(path, sizeof(path), "%s/m%u/node.sec", system_dir, i);
        (void)unlink(path);
        snprintf(path, sizeof(path), "%s/m%u/node.sec.new", system_dir, i);
        (void)unlink(path);
        snprintf(path, sizeof(path), "%s/m%u", system_dir, i);
        (void)rmdir(path);
    }
    (void)rmdir(system_dir);
}

static bool dir_make(void)
{
    char path[SYSTEM_PATH_BYTES];

    snprintf(system_dir, sizeof(system_dir), "%s/qk-system-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(system_dir) == NULL)
        return false;
    for (unsigned i = 0; i < MACHINES_MAX; i++) {
        snprintf(path, sizeof(path), "%s/m%u", system_dir, i);
        if (mkdir(path, 0700) != 0)
            return false;
    }
    return true;
}

static void on_abort(int number)
{
    char text[80];
    int n =
        snprintf(text, sizeof(text), "seed %" PRIu64 " failed: signal %d\n", current_seed, number);

    if (n > 0 && write(STDOUT_FILENO, text, (size_t)n) < 0)
        _exit(3);
    dir_remove();
    _exit(finding ? 0 : 1);
}

#define INSTANT_EVENTS_MAX 100000 /* a timer that is due again at once, for ever */

void system_run_until(struct world *w, uint64_t end)
{
    struct event event;
    unsigned instant = 0;

    while (w->failure[0] == 0 && sim_pop(w, &event)) {
        if (event.at > end) {
            sim_push(w, event);
            break;
        }
        if (system_put_off(w->system, &event))
            continue;
        instant = w->now == event.at ? instant + 1 : 0;
        w->now = event.at;
        if (instant > INSTANT_EVENTS_MAX)
            sim_fail(w, "time stands still");
        world_deliver(w, &event);
        free(event.data);
    }
    if (w->now < end)
        w->now = end;
}

static void run(struct world *w, struct system *sys)
{
    uint64_t end;

    system_chaos_begin(sys);
    end = w->now + CHAOS_MS_MIN + sim_below(w, 8000);
    if (sys->remove + sys->away > 0) /* a cluster has to be there first */
        end += sim_below(w, 8000);
    system_run_until(w, end);
    if (w->failure[0] != 0)
        return;
    system_chaos_end(sys);
    end = w->now + HEALING_MS_MAX;
    do
        system_run_until(w, w->now + LOOK_MS);
    while (w->failure[0] == 0 && w->now < end && !system_check_end(sys, false));
    (void)system_check_end(sys, true);
    if (w->failure[0] == 0 && !sys->lost && sys->rollbacks_n + sys->clones_n == 0 &&
        sys->final_epoch > 0 && sim_below(w, 2) == 0)
        system_check_pair(sys);
}

static void add_up(struct totals *totals, const struct system *sys, bool clean, uint64_t healing)
{
    totals->failed_n += clean ? 0 : 1;
    totals->lost_n += sys->lost;
    totals->acked_n += sys->acked_total;
    totals->releases_n += sys->releases_n;
    totals->deals_n += sys->deals_n;
    totals->crashes_n += sys->crashes_n;
    totals->points_n += sys->points_n;
    totals->installs_n += sys->w->installs_n;
    totals->pairs_n += sys->pairs_n;
    totals->removals_n += sys->removals_n;
    totals->rotations_n += sys->rotations_n;
    totals->periods_n += sys->periods_n;
    totals->reencrypts_n += sys->reencrypts_n;
    totals->rejoins_n += sys->rejoins_n;
    totals->clones_n += sys->clones_n;
    totals->rollbacks_n += sys->rollbacks_n;
    if (healing > totals->healing_max)
        totals->healing_max = healing;
}

static bool run_seed(uint64_t seed, const struct options *options, struct totals *totals)
{
    struct world *w = calloc(1, sizeof(*w));
    struct system *sys = calloc(1, sizeof(*sys));
    bool clean;

    if (w == NULL || sys == NULL || (sys->truth = calloc(1, sizeof(*sys->truth))) == NULL)
        abort();
    current_seed = seed;
    w->seed = w->random = seed;
    w->hooks = &system_hooks;
    w->system = sys;
    w->trace = options->trace;
    w->election_ms = 500;
    w->heartbeat_ms = 125;
    w->now = 1000;
    sys->w = w;
    sys->bug = options->bug;
    sys->slow_first = options->slow_first;
    sys->real_share = seed % REAL_SHARE_EVERY == 0;
    if (options->story == NULL)
        run(w, sys);
    else if (!story_run(w, sys, options->story))
        sim_fail(w, "there is no story '%s'", options->story);
    clean = w->failure[0] == 0;
    if (!clean)
        printf("seed %" PRIu64 " failed %s\n", seed, w->failure);
    if (options->verbose)
        printf("seed %" PRIu64 " %s digest %016" PRIx64 " nodes %u at %" PRIu64 " ms, %" PRIu64
               " writes %" PRIu64 " releases %" PRIu64 " deals %" PRIu64 " crashes%s\n",
               seed, clean ? "clean" : "failed", w->digest, sys->machines_n, w->now,
               (uint64_t)sys->acked_total, sys->releases_n, sys->deals_n, sys->crashes_n,
               sys->lost ? " (founder lost)" : "");
    last_digest = w->digest;
    add_up(totals, sys, clean, w->now);
    system_fini(sys);
    world_fini(w);
    free(sys->truth);
    free(sys);
    free(w);
    return clean;
}

static int usage(void)
{
    fprintf(stderr, "usage: system --seed S | --seeds N [--from S] [--bug K] [--go-on] [--verbose] "
                    "[--trace] [--slow-first] [--story NAME] [--find K [--long-only]]\n");
    stories_list();
    for (int i = 1; i < BUGS_N; i++)
        fprintf(stderr, "  --bug %-2d  %s\n", i, bug_text((enum bug)i));
    return 3;
}

static bool parse(int argc, char **argv, struct options *options)
{
    static const struct option longs[] = {
        {"seed", required_argument, NULL, 's'},
        {"seeds", required_argument, NULL, 'n'},
        {"from", required_argument, NULL, 'f'},
        {"bug", required_argument, NULL, 'b'},
        {"verbose", no_argument, NULL, 'v'},
        {"go-on", no_argument, NULL, 'c'},
        {"trace", no_argument, NULL, 't'},
        {"slow-first", no_argument, NULL, 'd'},
        {"story", required_argument, NULL, 'y'},
        {"find", required_argument, NULL, 'F'},
        {"long-only", no_argument, NULL, 'L'},
        {"twice", no_argument, NULL, 'w'},
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
        case 'b':
        case 'F':
            if (value < 1 || value >= BUGS_N)
                return false;
            options->bug = (enum bug)value;
            options->find = finding = c == 'F';
            break;
        case 'w':
            options->twice = true;
            break;
        case 'L':
            options->long_only = true;
            break;
        case 'v':
            options->verbose = true;
            break;
        case 't':
            options->trace = true;
            break;
        case 'd':
            options->slow_first = true;
            break;
        case 'y':
            options->story = optarg;
            options->seeds_n = 1;
            break;
        case 'c':
            options->go_on = true;
            break;
        default:
            return false;
        }
    }
    return options->seeds_n > 0;
}

int main(int argc, char **argv)
{
    struct options options = {.from = 1};
    struct totals totals = {0};
    uint64_t ran = 0;

    if (!parse(argc, argv, &options))
        return usage();
    if (options.long_only && getenv("QK_TEST_LONG") == NULL) {
        printf("skipped: takes long; tests/run --long does it\n");
        return 77;
    }
    if (!dir_make() || secret_arena_init(SECRET_ARENA_UNLOCKED, 0) != QK_OK)
        return 3;
    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    while (ran < options.seeds_n) {
        bool clean = run_seed(options.from + ran, &options, &totals);
        uint64_t digest = last_digest;

        if (options.twice && run_seed(options.from + ran, &options, &totals) == clean &&
            last_digest != digest) {
            printf("seed %" PRIu64 " is not the same twice\n", options.from + ran);
            totals.failed_n++;
            clean = false;
        }
        ran++;
        if (!clean && !options.go_on)
            break;
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " failed; %" PRIu64 " without a first deal, %" PRIu64
           " writes, %" PRIu64 " releases, %" PRIu64 " deals, %" PRIu64 " crashes (%" PRIu64
           " within a step), %" PRIu64 " installs, %" PRIu64 " removals, %" PRIu64
           " new master keys, %" PRIu64 " pairs alone, %" PRIu64 " periods of keys, %" PRIu64
           " re-encryptions, %" PRIu64 " come back as new, %" PRIu64 " put back, %" PRIu64
           " visits of thieves\n",
           ran, totals.failed_n, totals.lost_n, totals.acked_n, totals.releases_n, totals.deals_n,
           totals.crashes_n, totals.points_n, totals.installs_n, totals.removals_n,
           totals.rotations_n, totals.pairs_n, totals.periods_n, totals.reencrypts_n,
           totals.rejoins_n, totals.rollbacks_n, totals.clones_n);
    dir_remove();
    if (options.find)
        printf("bug %d (%s): %s\n", (int)options.bug, bug_text(options.bug),
               totals.failed_n > 0 ? "found" : "NOT FOUND");
    return (totals.failed_n == 0) != options.find ? 0 : 1;
}
