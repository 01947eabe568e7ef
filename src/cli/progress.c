#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EVERY_MS 100
#define BAR_CELLS 30

static uint64_t now_ms(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void progress_begin(struct progress *progress, const char *what, uint64_t total)
{
    *progress = (struct progress){
        .shown = isatty(STDERR_FILENO) != 0, .what = what, .total = total, .begun_ms = now_ms()};
}

void progress_say(struct progress *progress, uint64_t done, uint64_t at)
{
    static const char full[] = "##############################";
    uint64_t now = now_ms(), spent = now - progress->begun_ms + 1;
    unsigned cells;

    if (!progress->shown || now - progress->said_ms < EVERY_MS)
        return;
    progress->said_ms = now;
    if (progress->total == 0) {
        fprintf(stderr, "\r\033[K%" PRIu64 " %s, %" PRIu64 "/s", done, progress->what,
                done * 1000 / spent);
        return;
    }
    at = at < progress->total ? at : progress->total;
    cells = (unsigned)(BAR_CELLS * at / progress->total);
    fprintf(stderr, "\r\033[K[%-*.*s] %3u %%, %" PRIu64 " %s, %" PRIu64 "/s", BAR_CELLS, (int)cells,
            full, (unsigned)(100 * at / progress->total), done, progress->what,
            done * 1000 / spent);
}

void progress_end(struct progress *progress)
{
    if (progress->shown)
        fprintf(stderr, "\r\033[K");
}
