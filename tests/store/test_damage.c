/* What a damaged file, an unclean end and a full disk do. */
#include "store/store.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

/* Writes over `len` bytes of the file at `at`. */
static void scribble(const char *path, off_t at, const void *bytes, size_t len)
{
    int fd = open(path, O_RDWR);

    cr_assert_geq(fd, 0);
    cr_assert_eq(pwrite(fd, bytes, len, at), (ssize_t)len);
    (void)close(fd);
}

/* Where `text` stands in the file; the last place, which the newest pages tend to be. */
static off_t place_of(const char *path, const char *text)
{
    struct stat st;
    int fd = open(path, O_RDONLY);
    uint8_t *all;
    off_t at = -1;

    cr_assert_eq(fstat(fd, &st), 0);
    all = malloc((size_t)st.st_size);
    cr_assert_eq(read(fd, all, (size_t)st.st_size), st.st_size);
    (void)close(fd);
    for (size_t i = 0; i + strlen(text) <= (size_t)st.st_size; i++)
        if (memcmp(all + i, text, strlen(text)) == 0)
            at = (off_t)i;
    free(all);
    cr_assert_geq(at, 0);
    return at;
}

Test(damage, a_changed_byte_of_a_value_is_corrupt_and_names_file_and_record)
{
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    struct store_cursor *cursor;
    struct store_snapshot *snapshot;
    struct buf out = BUF_INIT(MIB);
    struct store_row row;
    struct record record;
    struct fixture f;

    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "first", 1, WIRE_DOC, "sound"), QK_OK);
    cr_assert_eq(test_put(&f, 'A', "victim", 1, WIRE_DOC, "marked value"), QK_OK);
    fixture_flush(&f);
    fixture_close(&f);
    scribble(f.path, place_of(f.path, "marked value"), "M", 1);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(store_get(f.store, test_key('A', "first", raw), &record), QK_OK);
    cr_assert_eq(store_get(f.store, test_key('A', "victim", raw), &record), QK_ERR_CORRUPT);
    cr_assert_not_null(strstr(store_error(f.store), "store.mdb"));
    cr_assert_not_null(strstr(store_error(f.store), "victim"));
    cr_assert_eq(store_cursor_open_prefix(f.store, test_key('A', "", raw), false, &cursor), QK_OK);
    cr_assert_eq(store_cursor_next(cursor, &row), QK_OK);
    cr_assert_eq(store_cursor_next(cursor, &row), QK_ERR_CORRUPT);
    store_cursor_close(cursor);
    cr_assert_eq(store_snapshot_open(f.store, &snapshot), QK_OK);
    cr_assert_eq(store_snapshot_read(snapshot, MIB, &out), QK_ERR_CORRUPT);
    cr_assert_not_null(strstr(store_snapshot_error(snapshot), "victim"));
    store_snapshot_close(snapshot);
    buf_fini(&out);
    fixture_fini(&f);
}

/* Leaves the folder as a kill would: the marker is there, nobody holds it. */
static void unclean_end(struct fixture *f)
{
    char path[320];
    int fd;

    fixture_close(f);
    fixture_file(f, "-open", path);
    fd = open(path, O_CREAT | O_WRONLY, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
}

Test(damage, a_sound_file_passes_the_walk_after_an_unclean_end)
{
    char aside[400], what[600], name[32];
    struct fixture f;

    fixture_init(&f);
    for (int i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof name, "doc%05d", i);
        cr_assert_eq(test_put(&f, 'A', name, 1, WIRE_DOC, "value"), QK_OK);
        if (i % 400 == 0)
            fixture_flush(&f);
    }
    fixture_flush(&f);
    unclean_end(&f);
    cr_assert_eq(store_recover(f.path, 1, aside, sizeof aside, what, sizeof what), QK_OK);
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(test_version(&f, 'A', "doc01999"), 1);
    cr_assert_eq(store_recover(f.path, 1, aside, sizeof aside, what, sizeof what), QK_ERR_BUSY);
    fixture_fini(&f);
}

Test(damage, any_damaged_page_is_found_set_aside_and_named, .timeout = 100)
{
    char name[32], aside[400], what[600];
    struct fixture f;
    uint8_t noise[64];
    uint8_t *sound;
    struct stat st;
    unsigned found = 0, pages = 0;
    int fd;

    memset(noise, 0xa5, sizeof noise);
    fixture_init(&f);
    for (int i = 0; i < 1500; i++) {
        (void)snprintf(name, sizeof name, "doc%05d", i);
        cr_assert_eq(test_put(&f, 'A', name, 1, WIRE_DOC, "value"), QK_OK);
    }
    fixture_flush(&f);
    fixture_close(&f);
    fd = open(f.path, O_RDONLY);
    cr_assert_eq(fstat(fd, &st), 0);
    sound = malloc((size_t)st.st_size);
    cr_assert_eq(read(fd, sound, (size_t)st.st_size), st.st_size);
    (void)close(fd);
    /* Every page, its head or its middle overwritten: found, or one that no tree uses. */
    for (off_t page = 2; page < st.st_size / 4096; page += 3, pages++) {
        enum qk_err err;

        scribble(f.path, page * 4096 + (page % 2 == 0 ? 0 : 2000), noise, sizeof noise);
        cr_assert_eq(fixture_open(&f), QK_OK); /* opening alone does not see it */
        unclean_end(&f);
        err = store_recover(f.path, (uint64_t)page, aside, sizeof aside, what, sizeof what);
        if (err == QK_ERR_CORRUPT) {
            found++;
            cr_assert_not_null(strstr(what, "store.mdb"), "%s", what);
            cr_assert_not_null(strstr(aside, "store.mdb.damaged-"));
            cr_assert_eq(access(aside, F_OK), 0);
            cr_assert_neq(access(f.path, F_OK), 0);
        } else {
            cr_assert_eq(err, QK_OK);
        }
        fd = open(f.path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
        cr_assert_eq(write(fd, sound, (size_t)st.st_size), st.st_size);
        (void)close(fd);
    }
    cr_assert_gt(found, pages / 2, "%u of %u", found, pages);
    free(sound);
    fixture_fini(&f);
}

Test(damage, a_file_that_is_no_store_is_corrupt)
{
    struct fixture f;
    char noise[8192];

    memset(noise, 'x', sizeof noise);
    fixture_init(&f);
    fixture_close(&f);
    scribble(f.path, 0, noise, sizeof noise);
    cr_assert_eq(fixture_open(&f), QK_ERR_CORRUPT);
    f.store = NULL;
    fixture_fini(&f);
}

struct flush_told {
    bool called;
    enum qk_err err;
};

static void told_of_flush(void *arg, enum qk_err err)
{
    struct flush_told *told = arg;

    told->called = true;
    told->err = err;
}

Test(damage, a_full_disk_keeps_the_batch_and_works_again_when_there_is_room, .timeout = 60)
{
    struct flush_told reading = {0}, waiting = {0};
    struct rlimit limit, before;
    struct fixture f;
    char *value = malloc(300001);
    bool told = false;

    memset(value, 'v', 300000);
    value[300000] = '\0';
    (void)signal(SIGXFSZ, SIG_IGN);
    fixture_init(&f);
    cr_assert_eq(test_put(&f, 'A', "before", 1, WIRE_DOC, "x"), QK_OK);
    fixture_flush(&f);
    /* A limit on the file's size stands for the disk's end: pwrite fails there, as it does there.
     */
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = before;
    limit.rlim_cur = 200000;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    cr_assert_eq(test_put(&f, 'A', "large", 1, WIRE_DOC, value), QK_OK);
    for (int i = 0; i < 100 && !told; i++) {
        (void)uv_run(&f.loop, UV_RUN_ONCE);
        told = f.full_told > 0 || f.fatal != QK_OK;
    }
    cr_assert_eq(f.fatal, QK_OK, "%s", f.fatal_what);
    cr_assert_eq(f.full_told, 1);
    cr_assert_eq(store_admit(f.store), QK_ERR_FULL);
    cr_assert_eq(test_version(&f, 'A', "large"), 1); /* the log has it, and it is read */
    cr_assert_eq(store_synced(f.store), 1);
    /* Who only reads is not kept waiting; who needs the batch in the file is. */
    store_flush_to_read(f.store, told_of_flush, &reading);
    store_flush(f.store, told_of_flush, &waiting);
    cr_assert_not(reading.called);
    for (int i = 0; i < 100 && !reading.called; i++)
        (void)uv_run(&f.loop, UV_RUN_ONCE);
    cr_assert_eq(reading.err, QK_ERR_FULL);
    cr_assert_not(waiting.called);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    fixture_flush(&f);
    cr_assert(waiting.called);
    cr_assert_eq(waiting.err, QK_OK);
    cr_assert_eq(store_synced(f.store), 2);
    cr_assert_eq(f.room_told, 1);
    cr_assert_eq(store_admit(f.store), QK_OK);
    free(value);
    fixture_fini(&f);
}

Test(damage, too_little_room_refuses_new_writes_before_the_disk_is_full)
{
    struct fixture f;

    fixture_init(&f);
    fixture_close(&f);
    f.options.reserve_bytes = UINT64_MAX / 2;
    cr_assert_eq(fixture_open(&f), QK_OK);
    cr_assert_eq(store_admit(f.store), QK_ERR_FULL);
    cr_assert_eq(test_put(&f, 'A', "accepted", 1, WIRE_DOC, "x"), QK_OK);
    fixture_flush(&f); /* what the log accepted is written */
    fixture_fini(&f);
}

/* --- kill -9 --------------------------------------------------------------------------------- */

/* Applies index after index: document (i mod 50) of database A gets version (i div 50) + 1, and one
 * of database B the index itself; each synced index goes to the parent. Never returns. */
static void write_until_killed(struct fixture *f, int out)
{
    char value[64], name[16];
    uint64_t told = 0;

    for (;;) {
        uint64_t i = store_applied(f->store);
        uint8_t a[RECORD_KEY_BYTES_MAX], b[RECORD_KEY_BYTES_MAX];
        struct wire_command command;

        (void)snprintf(name, sizeof name, "d%02u", (unsigned)(i % 50));
        (void)snprintf(value, sizeof value, "%llu", (unsigned long long)i);
        wire_command_begin(&command, WIRE_WRITE);
        wire_command_batch(&command);
        wire_command_put(&command, test_key('A', name, a), i / 50 + 1, WIRE_DOC, bytes_str(value));
        wire_command_put(&command, test_key('B', "last", b), i + 1, WIRE_DOC, bytes_str(value));
        if (test_apply(f, &command, NULL) != QK_OK)
            _exit(3);
        (void)uv_run(&f->loop, i % 97 == 0 ? UV_RUN_ONCE : UV_RUN_NOWAIT);
        if (store_synced(f->store) > told) {
            told = store_synced(f->store);
            if (write(out, &told, sizeof told) != sizeof told)
                _exit(4);
        }
    }
}

static void verify_prefix(struct fixture *f)
{
    uint64_t n = store_applied(f->store);
    struct store_stats stats;
    uint8_t raw[RECORD_KEY_BYTES_MAX];
    char name[16];

    cr_assert_eq(test_version(f, 'B', "last"), n);
    for (unsigned d = 0; d < 50; d++) {
        (void)snprintf(name, sizeof name, "d%02u", d);
        cr_assert_eq(test_version(f, 'A', name), n / 50 + (d < n % 50), "document %u of %llu", d,
                     (unsigned long long)n);
    }
    store_database_stats(f->store, test_key('A', "", raw).data, &stats);
    cr_assert_eq(stats.seq, n);
    cr_assert_eq(stats.doc_count, n < 50 ? n : 50);
}

Test(damage, after_kill_9_the_store_holds_exactly_what_its_index_says, .timeout = 100)
{
    char aside[400], what[600];
    struct fixture f;
    unsigned seed = 7;

    fixture_init(&f);
    f.options.commit_ms = 3;
    fixture_close(&f);
    for (int round = 0; round < 12; round++) {
        uint64_t told = 0, one;
        int ends[2], status;
        pid_t child;

        cr_assert_eq(pipe(ends), 0);
        child = fork();
        if (child == 0) {
            struct fixture mine = f;

            (void)close(ends[0]);
            mine.runs_in = &mine.loop;
            if (uv_loop_init(&mine.loop) != 0 || fixture_open(&mine) != QK_OK)
                _exit(5);
            write_until_killed(&mine, ends[1]);
        }
        (void)close(ends[1]);
        for (int n = 1 + rand_r(&seed) % 12; n > 0; n--)
            cr_assert_eq(read(ends[0], &one, sizeof one), sizeof one, "the child ended");
        (void)usleep((useconds_t)(rand_r(&seed) % 4000));
        (void)kill(child, SIGKILL);
        told = one;
        while (read(ends[0], &one, sizeof one) == sizeof one)
            told = one;
        (void)close(ends[0]);
        cr_assert_eq(waitpid(child, &status, 0), child);
        cr_assert(WIFSIGNALED(status), "status %x", (unsigned)status);
        cr_assert_eq(store_recover(f.path, 1, aside, sizeof aside, what, sizeof what), QK_OK, "%s",
                     what);
        cr_assert_eq(fixture_open(&f), QK_OK);
        cr_assert_geq(store_applied(f.store), told);
        verify_prefix(&f);
        fixture_close(&f);
    }
    fixture_fini(&f);
}
