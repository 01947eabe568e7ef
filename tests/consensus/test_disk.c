#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consensus/disk_private.h"

#define RAFT_TYPE_COMMAND 1

struct bench {
    uv_loop_t loop;
    char dir[64];
    struct disk *disk;
    struct disk_state state;
    char reason[DISK_REASON_BYTES];
    uint64_t stored;
    bool installed, closed, fatal;
};

static void on_stored(void *arg, uint64_t index, uint64_t term)
{
    (void)term;
    ((struct bench *)arg)->stored = index;
}

static void on_installed(void *arg)
{
    ((struct bench *)arg)->installed = true;
}

static void on_fatal(void *arg, const char *what)
{
    (void)what;
    ((struct bench *)arg)->fatal = true;
}

static void on_closed(void *arg)
{
    ((struct bench *)arg)->closed = true;
}

static enum qk_err bench_open(struct bench *b)
{
    struct disk_callbacks callbacks = {b, on_stored, on_installed, on_fatal, on_closed};

    b->closed = b->installed = false;
    return disk_open(&b->loop, b->dir, &callbacks, b->reason, &b->disk, &b->state);
}

static void bench_init(struct bench *b)
{
    memset(b, 0, sizeof(*b));
    cr_assert_eq(uv_loop_init(&b->loop), 0);
    snprintf(b->dir, sizeof(b->dir), "/tmp/qk-disk-XXXXXX");
    cr_assert_not_null(mkdtemp(b->dir));
    cr_assert_eq(bench_open(b), QK_OK, "%s", b->reason);
}

static void bench_close(struct bench *b)
{
    disk_close(b->disk);
    while (!b->closed)
        uv_run(&b->loop, UV_RUN_ONCE);
    disk_free(b->disk);
    entry_log_fini(&b->state.log);
}

static void bench_fini(struct bench *b)
{
    char command[128];
    const char *names[] = {"lock", "term", "snapshot"};

    uv_loop_close(&b->loop);
    for (size_t i = 0; i < 3; i++) {
        snprintf(command, sizeof(command), "%s/%s", b->dir, names[i]);
        unlink(command);
    }
    for (unsigned i = 0; i < 8; i++) {
        snprintf(command, sizeof(command), "%s/log-%016x", b->dir, i);
        unlink(command);
    }
    rmdir(b->dir);
}

/* Appends `n` entries and waits until they are durable, as one group. */
static void write_n(struct bench *b, unsigned n, uint64_t term, size_t len)
{
    struct entry_log *log = &b->state.log;
    uint64_t first = entry_log_last(log) + 1;
    uint8_t *payload = malloc(len);

    memset(payload, 'p', len);
    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(entry_log_append(log, term, RAFT_TYPE_COMMAND, bytes_of(payload, len)), QK_OK);
    cr_assert_eq(disk_reserve(b->disk, n * len, n), QK_OK);
    disk_append(b->disk, log, first, n);
    disk_flush(b->disk);
    while (b->stored < first + n - 1)
        uv_run(&b->loop, UV_RUN_ONCE);
    cr_assert(!b->fatal);
    free(payload);
}

static void patch(struct bench *b, const char *name, off_t at, const void *data, size_t len)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "%s/%s", b->dir, name);
    fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, data, len, at), (ssize_t)len);
    close(fd);
}

static uint8_t byte_at(struct bench *b, const char *name, off_t at)
{
    char path[128];
    uint8_t byte;
    int fd;

    snprintf(path, sizeof(path), "%s/%s", b->dir, name);
    fd = open(path, O_RDONLY);
    cr_assert_eq(pread(fd, &byte, 1, at), 1);
    close(fd);
    return byte;
}

#define SEGMENT "log-0000000000000000"

Test(disk, what_was_stored_is_there_after_a_restart, .timeout = 30)
{
    struct bench b;

    bench_init(&b);
    disk_save_term(b.disk, 1, 7);
    write_n(&b, 10, 1, 100);
    write_n(&b, 5, 1, 3);
    bench_close(&b);
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert_eq(b.state.term, 1);
    cr_assert_eq(b.state.vote, 7);
    cr_assert_eq(entry_log_last(&b.state.log), 15);
    cr_assert_eq(entry_log_get(&b.state.log, 15)->len, 3);
    /* Replaced from 8 on. */
    entry_log_truncate(&b.state.log, 8);
    disk_save_term(b.disk, 2, 0);
    b.stored = 0;
    write_n(&b, 2, 2, 50);
    bench_close(&b);
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert_eq(entry_log_last(&b.state.log), 9);
    cr_assert_eq(entry_log_term(&b.state.log, 7), 1);
    cr_assert_eq(entry_log_term(&b.state.log, 8), 2);
    bench_close(&b);
    bench_fini(&b);
}

Test(disk, each_flipped_byte_of_a_record_is_named_damage, .timeout = 60)
{
    off_t first = SEGMENT_HEAD_BYTES;
    size_t bytes = record_bytes(40);
    struct bench b;

    bench_init(&b);
    disk_save_term(b.disk, 1, 0);
    write_n(&b, 2, 1, 40);
    bench_close(&b);
    for (size_t i = 0; i < 2 * bytes; i++) {
        uint8_t byte = byte_at(&b, SEGMENT, first + (off_t)i);
        uint8_t flipped = byte ^ 0x10;
        patch(&b, SEGMENT, first + (off_t)i, &flipped, 1);
        cr_assert_eq(bench_open(&b), QK_ERR_CORRUPT, "byte %zu", i);
        cr_assert_not_null(strstr(b.reason, SEGMENT), "%s", b.reason);
        cr_assert_not_null(strstr(b.reason, i < bytes ? "offset 512" : "offset 600"), "%s",
                           b.reason);
        patch(&b, SEGMENT, first + (off_t)i, &byte, 1);
    }
    cr_assert_eq(bench_open(&b), QK_OK);
    bench_close(&b);
    bench_fini(&b);
}

Test(disk, a_torn_last_group_is_cut_and_what_follows_is_kept, .timeout = 30)
{
    static const uint8_t zeros[1024];
    size_t bytes = record_bytes(1000);
    off_t second = (off_t)(SEGMENT_HEAD_BYTES + 2 * bytes);
    struct bench b;

    bench_init(&b);
    disk_save_term(b.disk, 1, 0);
    write_n(&b, 2, 1, 1000);
    write_n(&b, 3, 1, 1000);
    bench_close(&b);
    /* Of the second group the first record lost a sector, the others arrived. */
    patch(&b, SEGMENT, (second / 512 + 1) * 512, zeros, 512);
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert_eq(entry_log_last(&b.state.log), 2);
    b.stored = 0;
    write_n(&b, 1, 1, 1000);
    bench_close(&b);
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert_eq(entry_log_last(&b.state.log), 3);
    bench_close(&b);
    bench_fini(&b);
}

Test(disk, a_hole_before_a_later_group_is_damage, .timeout = 30)
{
    static const uint8_t zeros[1024];
    struct bench b;

    bench_init(&b);
    disk_save_term(b.disk, 1, 0);
    write_n(&b, 1, 1, 1000);
    write_n(&b, 1, 1, 1000);
    bench_close(&b);
    patch(&b, SEGMENT, 1024, zeros, 512);
    cr_assert_eq(bench_open(&b), QK_ERR_CORRUPT);
    cr_assert_not_null(strstr(b.reason, SEGMENT ": damaged at offset 512"), "%s", b.reason);
    bench_fini(&b);
}

Test(disk, a_damaged_half_of_the_term_is_named, .timeout = 30)
{
    struct bench b;

    bench_init(&b);
    disk_save_term(b.disk, 1, 0);
    disk_save_term(b.disk, 2, 3);
    bench_close(&b);
    for (off_t half = 0; half < 2; half++) {
        for (off_t i = 0; i < AB_HEAD_BYTES - 4 + 16; i++) {
            off_t at = half * AB_HALF_BYTES + (i < AB_HEAD_BYTES - 4 ? i : i + 4);
            uint8_t byte = byte_at(&b, "term", at);
            uint8_t flipped = byte ^ 1;
            patch(&b, "term", at, &flipped, 1);
            cr_assert_eq(bench_open(&b), QK_ERR_CORRUPT, "byte %d", (int)at);
            cr_assert_not_null(strstr(b.reason, "raft/term"), "%s", b.reason);
            patch(&b, "term", at, &byte, 1);
        }
    }
    cr_assert_eq(bench_open(&b), QK_OK);
    cr_assert_eq(b.state.term, 2);
    cr_assert_eq(b.state.vote, 3);
    bench_close(&b);
    bench_fini(&b);
}

static void make_token(struct buf *token, uint64_t index)
{
    struct snapshot snapshot = {.index = index, .term = 1, .members_index = 1};

    cr_assert_eq(members_add(&snapshot.members, 1, bytes_str("one"), true), QK_OK);
    snapshot_encode(&snapshot, token);
}

Test(disk, trimming_removes_whole_segments_and_install_replaces_the_log, .timeout = 60)
{
    struct buf token = BUF_INIT(4096);
    struct bench b;
    char path[128];

    bench_init(&b);
    disk_save_term(b.disk, 1, 0);
    for (int i = 0; i < 10; i++)
        write_n(&b, 1, 1, 1 * MIB); /* more than a segment holds */
    make_token(&token, 9);
    disk_save_snapshot(b.disk, buf_bytes(&token));
    disk_trim(b.disk, 8);
    disk_flush(b.disk);
    bench_close(&b);
    snprintf(path, sizeof(path), "%s/" SEGMENT, b.dir);
    cr_assert_neq(access(path, F_OK), 0, "the first segment is gone");
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert(b.state.has_snapshot);
    cr_assert_eq(b.state.snapshot.index, 9);
    cr_assert_leq(b.state.log.first, 9);
    cr_assert_eq(entry_log_last(&b.state.log), 10);
    buf_reset(&token);
    make_token(&token, 500);
    disk_install(b.disk, buf_bytes(&token));
    disk_flush(b.disk);
    while (!b.installed)
        uv_run(&b.loop, UV_RUN_ONCE);
    entry_log_reset(&b.state.log, 501);
    write_n(&b, 1, 1, 10);
    bench_close(&b);
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert_eq(b.state.snapshot.index, 500);
    cr_assert_eq(b.state.log.first, 501);
    cr_assert_eq(entry_log_last(&b.state.log), 501);
    bench_close(&b);
    buf_fini(&token);
    bench_fini(&b);
}

Test(disk, an_interrupted_bootstrap_leaves_an_empty_directory, .timeout = 30)
{
    struct bench b;

    bench_init(&b);
    cr_assert_eq(disk_bootstrap(b.disk, bytes_str("configuration")), QK_OK);
    bench_close(&b); /* before the term was written */
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert_eq(b.state.log.n, 0);
    bench_close(&b);
    bench_fini(&b);
}

/* The limit on a file's size stands in for a full disk: neither lets a segment be allocated. */
Test(disk, a_full_disk_is_met_before_anything_is_accepted_and_passes, .timeout = 30)
{
    struct rlimit full = {.rlim_cur = 1 * MIB, .rlim_max = RLIM_INFINITY};
    struct rlimit before;
    struct bench b;

    bench_init(&b);
    disk_save_term(b.disk, 1, 0);
    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    full.rlim_max = before.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &full), 0);
    cr_assert_eq(disk_reserve(b.disk, 100, 1), QK_ERR_FULL);
    cr_assert(!b.fatal);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    write_n(&b, 3, 1, 100);
    bench_close(&b);
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert_eq(entry_log_last(&b.state.log), 3);
    bench_close(&b);
    bench_fini(&b);
}

/* As when a flood of connections holds all descriptors: for now, and no fault of the disk. */
Test(disk, no_descriptor_for_a_segment_is_busy_and_passes, .timeout = 30)
{
    struct rlimit none, before;
    struct bench b;

    bench_init(&b);
    disk_save_term(b.disk, 1, 0);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    cr_assert_eq(disk_reserve(b.disk, 100, 1), QK_ERR_BUSY);
    cr_assert(!b.fatal);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    write_n(&b, 3, 1, 100);
    bench_close(&b);
    cr_assert_eq(bench_open(&b), QK_OK, "%s", b.reason);
    cr_assert_eq(entry_log_last(&b.state.log), 3);
    bench_close(&b);
    bench_fini(&b);
}
