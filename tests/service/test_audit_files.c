/* An audit log over several files, the places that lines go to besides, and what is read of it.
 * Over 500 lines: one fixture for three subjects that are tested against each other. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/limits.h"
#include "audit/audit_files.h"
#include "audit/audit_read.h"
#include "audit/audit_verify.h"

#define SMALL 2000 /* some seven lines */

static char dir[] = "/tmp/qk-audit-XXXXXX";
static char path[64];

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_lt(snprintf(path, sizeof(path), "%s/audit.log", dir), (int)sizeof(path));
}

static void tear_down(void)
{
    DIR *opened = opendir(dir);
    struct dirent *entry;

    while ((entry = readdir(opened)) != NULL)
        (void)unlinkat(dirfd(opened), entry->d_name, 0);
    closedir(opened);
    rmdir(dir);
}

TestSuite(audit_files, .init = set_up, .fini = tear_down);

static struct audit *open_as(const struct audit_settings *settings)
{
    struct audit *audit = NULL;

    cr_assert_eq(audit_open_as(path, settings, &audit), QK_OK);
    return audit;
}

/* `n` lines; each file reaches the disk, so that the next rename may come. */
static void write_lines(struct audit *audit, unsigned n)
{
    char number[16];

    for (unsigned i = 0; i < n; i++) {
        (void)snprintf(number, sizeof(number), "%u", i);
        audit_event(audit, i % 10 == 3 ? "denial" : "release", "node", i % 2 == 0 ? "a" : "b",
                    "number", number, NULL);
        cr_assert_eq(audit_sync(audit), QK_OK);
    }
}

static struct audit_check verify(void)
{
    struct audit_check check = {0};

    cr_assert_eq(audit_verify(path, NULL, NULL, &check), QK_OK);
    cr_assert((check.bad_line == 0) == (check.bad_reason == NULL));
    return check;
}

static struct audit_files list(void)
{
    struct audit_files files;

    cr_assert_eq(audit_files_list(path, &files), QK_OK);
    return files;
}

static char *name_of(uint64_t last)
{
    static char name[PATH_MAX];

    cr_assert_eq(audit_files_name(path, last, name), QK_OK);
    return name;
}

static const struct audit_settings small = {.file_bytes_max = SMALL};

Test(audit_files, the_chain_goes_on_over_files)
{
    struct audit *audit = open_as(&small);
    struct audit_files files;
    struct audit_check check;
    struct stat stat_;

    write_lines(audit, 50);
    audit_close(audit);
    check = verify();
    cr_assert_eq(check.lines_n, 50);
    cr_assert_eq(check.bad_line, 0);
    cr_assert_gt(check.files_n, 5);
    files = list();
    cr_assert_eq(files.n + 1, check.files_n);
    for (unsigned i = 1; i < files.n; i++)
        cr_assert_lt(files.last[i - 1], files.last[i]);
    cr_assert_eq(stat(name_of(files.last[0]), &stat_), 0);
    cr_assert_eq(stat_.st_mode & 0777, 0600);
    audit_files_fini(&files);
    audit = open_as(&small);
    write_lines(audit, 50);
    audit_close(audit);
    cr_assert_eq(verify().lines_n, 100);
    cr_assert_eq(verify().bad_line, 0);
}

Test(audit_files, a_start_between_rename_and_new_file_goes_on)
{
    struct audit *audit = open_as(&small);
    struct audit_files files;

    write_lines(audit, 30);
    audit_close(audit);
    files = list();
    cr_assert_eq(rename(path, name_of(30)), 0);
    cr_assert_eq(verify().lines_n, 30);
    cr_assert_eq(verify().bad_line, 0);
    audit = open_as(&small);
    write_lines(audit, 1);
    audit_close(audit);
    cr_assert_eq(verify().lines_n, 31);
    cr_assert_eq(verify().bad_line, 0);
    audit_files_fini(&files);
}

Test(audit_files, a_torn_line_in_a_new_file_is_cut_off)
{
    struct audit *audit = open_as(&small);
    int fd;

    write_lines(audit, 30);
    audit_close(audit);
    cr_assert_eq(rename(path, name_of(30)), 0);
    fd = open(path, O_WRONLY | O_CREAT, 0600);
    cr_assert_eq(write(fd, "{\"seq\":31,", 10), 10);
    close(fd);
    cr_assert(verify().torn);
    audit = open_as(&small);
    audit_close(audit);
    cr_assert_eq(verify().lines_n, 31, "the line about it");
    cr_assert_eq(verify().bad_line, 0);
}

Test(audit_files, a_missing_file_is_found_and_placed)
{
    struct audit *audit = open_as(&small);
    struct audit_files files;
    struct audit_check check;

    write_lines(audit, 50);
    audit_close(audit);
    files = list();
    for (unsigned i = 0; i < files.n; i++) {
        char hidden[PATH_MAX];

        (void)snprintf(hidden, sizeof(hidden), "%s/hidden", dir);
        cr_assert_eq(rename(name_of(files.last[i]), hidden), 0);
        check = verify();
        cr_assert_eq(check.bad_line, 1, "file %u", i);
        cr_assert_neq(strstr(check.bad_reason, i == 0 ? "missing" : "does not follow"), NULL);
        cr_assert_eq(rename(hidden, name_of(files.last[i])), 0);
    }
    cr_assert_eq(verify().bad_line, 0);
    audit_files_fini(&files);
}

Test(audit_files, a_shortened_or_swapped_file_is_found)
{
    struct audit *audit = open_as(&small);
    struct audit_files files;
    char hidden[PATH_MAX], first[PATH_MAX];
    struct stat stat_;

    write_lines(audit, 50);
    audit_close(audit);
    files = list();
    (void)snprintf(hidden, sizeof(hidden), "%s/hidden", dir);
    (void)snprintf(first, sizeof(first), "%s", name_of(files.last[0]));
    cr_assert_eq(rename(first, hidden), 0);
    cr_assert_eq(rename(name_of(files.last[1]), first), 0);
    cr_assert_eq(rename(hidden, name_of(files.last[1])), 0);
    cr_assert_neq(verify().bad_line, 0);
    cr_assert_eq(rename(first, hidden), 0);
    cr_assert_eq(rename(name_of(files.last[1]), first), 0);
    cr_assert_eq(rename(hidden, name_of(files.last[1])), 0);
    cr_assert_eq(verify().bad_line, 0);
    /* its last line, and a part of it */
    cr_assert_eq(stat(name_of(files.last[2]), &stat_), 0);
    cr_assert_eq(truncate(name_of(files.last[2]), stat_.st_size - 10), 0);
    cr_assert_neq(verify().bad_line, 0);
    cr_assert_str_eq(verify().bad_file, name_of(files.last[2]));
    audit_files_fini(&files);
}

Test(audit_files, old_files_are_deleted_as_the_settings_say_and_a_line_tells)
{
    const struct audit_settings keep = {.file_bytes_max = SMALL, .files_keep = 2};
    struct audit *audit = open_as(&keep);
    struct audit_files files;
    struct audit_check check;

    write_lines(audit, 100);
    audit_close(audit);
    files = list();
    cr_assert_eq(files.n, 2);
    check = verify();
    cr_assert_eq(check.bad_line, 0, "%s", check.bad_reason);
    cr_assert_gt(check.seq_first, 1);
    cr_assert_eq(check.seq_first, check.dropped + 1);
    /* one more than the line says */
    cr_assert_eq(unlink(name_of(files.last[0])), 0);
    check = verify();
    cr_assert_eq(check.bad_line, 1);
    cr_assert_not_null(strstr(check.bad_reason, "no line says"));
    audit_files_fini(&files);
}

Test(audit_files, nothing_is_overwritten_by_a_rename)
{
    struct audit *audit = open_as(&small);
    struct stat stat_;
    int fd;

    for (unsigned last = 1; last < 20; last++) {
        fd = open(name_of(last), O_WRONLY | O_CREAT | O_EXCL, 0600);
        cr_assert_eq(write(fd, "x", 1), 1);
        close(fd);
    }
    write_lines(audit, 15);
    audit_close(audit);
    for (unsigned last = 1; last < 20; last++) {
        cr_assert_eq(stat(name_of(last), &stat_), 0);
        cr_assert_eq(stat_.st_size, 1);
    }
}

/* --- marks ----------------------------------------------------------------------------------- */

static unsigned full_n;

static void on_full(void *arg)
{
    full_n++;
    audit_event(arg, "mark", "log", "00112233445566778899aabbccddeeff", "mac",
                "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff", NULL);
}

static unsigned marks_seen;

static void on_mark(void *arg, const struct audit_mark *mark)
{
    (void)arg;
    marks_seen++;
    cr_assert_eq(mark->log[1], 0x11);
    cr_assert_eq(mark->mac[31], 0xff);
}

Test(audit_files, a_mark_is_due_after_a_thousand_lines)
{
    struct audit *audit = open_as(NULL);
    struct audit_figures figures;
    struct audit_check check;

    audit_on_unmarked(audit, on_full, audit);
    for (unsigned i = 0; i < 2 * AUDIT_MARK_LINES + 5; i++)
        audit_event(audit, "release", NULL);
    audit_figures(audit, &figures);
    cr_assert_eq(figures.unmarked_n, 5);
    audit_close(audit);
    cr_assert_eq(full_n, 2);
    cr_assert_eq(audit_verify(path, on_mark, NULL, &check), QK_OK);
    cr_assert_eq(marks_seen, 2);
    cr_assert_eq(check.marks_n, 2);
    cr_assert_eq(check.mark.seq, 2 * AUDIT_MARK_LINES + 2);
    cr_assert_eq(check.unmarked_n, 5);
    audit = open_as(NULL);
    audit_figures(audit, &figures);
    cr_assert_gt(figures.unmarked_n, 0);
    audit_close(audit);
}

/* --- other places ---------------------------------------------------------------------------- */

static int listen_at(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", name);
    (void)unlink(name);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

Test(audit_files, syslog_has_each_line_and_its_absence_stops_what_must_be_recorded)
{
    char name[80], text[AUDIT_LINE_BYTES_MAX];
    struct audit_settings settings = {.syslog = name};
    struct audit *audit;
    ssize_t got;
    int fd;

    (void)snprintf(name, sizeof(name), "%s/log", dir);
    fd = listen_at(name);
    audit = open_as(&settings);
    cr_assert_eq(audit_record(audit, "login", "user", "ab", NULL), QK_OK);
    got = recv(fd, text, sizeof(text), 0);
    cr_assert_gt(got, 0);
    cr_assert_eq(memcmp(text, "<110>quorumkeepd[", 17), 0);
    cr_assert_not_null(memmem(text, (size_t)got, "]: {\"seq\":1,", 12));
    cr_assert_eq(text[got - 1], '}');
    close(fd);
    cr_assert_eq(audit_record(audit, "login", "user", "ab", NULL), QK_ERR_UNRECORDED);
    cr_assert(audit_is_stopping(audit));
    audit_retry(audit);
    cr_assert(audit_is_stopping(audit));
    fd = listen_at(name);
    audit_retry(audit);
    cr_assert(!audit_is_stopping(audit));
    cr_assert_eq(audit_record(audit, "login", "user", "ab", NULL), QK_OK);
    audit_close(audit);
    close(fd);
    cr_assert_eq(verify().bad_line, 0);
    cr_assert_eq(verify().lines_n, 4, "all are in the file, and what was lost elsewhere");
}

Test(audit_files, what_was_lost_is_told_by_the_next_line_that_is_taken)
{
    char name[80];
    struct audit_settings settings = {.syslog = name};
    struct audit_query query = {.limit = 10, .events = "audit_goes_on"};
    struct buf out = BUF_INIT(MIB);
    struct audit *audit;
    uint64_t last;
    int fd;

    (void)snprintf(name, sizeof(name), "%s/log", dir);
    audit = open_as(&settings);
    audit_event(audit, "release", NULL);
    audit_event(audit, "release", NULL);
    fd = listen_at(name);
    audit_event(audit, "release", NULL);
    audit_event(audit, "release", NULL);
    cr_assert(!audit_is_stopping(audit));
    audit_close(audit);
    close(fd);
    cr_assert_eq(verify().lines_n, 5);
    cr_assert_eq(audit_read(path, &query, &out, &last), QK_OK);
    buf_put_u8(&out, 0);
    cr_assert_not_null(strstr((const char *)out.data, "{\"seq\":4,"));
    cr_assert_not_null(strstr((const char *)out.data, "\"lost\":\"2\""));
    buf_fini(&out);
}

Test(audit_files, a_full_socket_stops_and_never_waits)
{
    char name[80];
    struct audit_settings settings = {.syslog = name};
    struct audit *audit;
    unsigned n = 0;
    int fd;

    (void)snprintf(name, sizeof(name), "%s/log", dir);
    fd = listen_at(name);
    audit = open_as(&settings);
    while (audit_record(audit, "login", "user", "ab", NULL) == QK_OK && n < 100000)
        n++;
    cr_assert_lt(n, 100000);
    cr_assert(audit_is_stopping(audit));
    audit_close(audit);
    close(fd);
}

static void *drain(void *arg)
{
    int fd = *(int *)arg;
    char text[AUDIT_LINE_BYTES_MAX];
    unsigned n = 0;

    while (n < 200) {
        n += recv(fd, text, sizeof(text), 0) > 0;
        (void)usleep(200);
    }
    return NULL;
}

Test(audit_files, a_reader_that_is_a_little_slow_stops_nothing)
{
    char name[80];
    struct audit_settings settings = {.syslog = name};
    struct audit *audit;
    pthread_t reader;
    int fd;

    (void)snprintf(name, sizeof(name), "%s/log", dir);
    fd = listen_at(name);
    audit = open_as(&settings);
    cr_assert_eq(pthread_create(&reader, NULL, drain, &fd), 0);
    for (unsigned i = 0; i < 200; i++)
        cr_assert_eq(audit_record(audit, "login", "user", "ab", NULL), QK_OK, "line %u", i);
    cr_assert_eq(pthread_join(reader, NULL), 0);
    audit_close(audit);
    close(fd);
}

Test(audit_files, with_go_on_nothing_is_stopped)
{
    struct audit_settings settings = {.syslog = "/nonexistent/log", .go_on = true};
    struct audit *audit = open_as(&settings);

    cr_assert_eq(audit_record(audit, "login", "user", "ab", NULL), QK_OK);
    cr_assert(audit_is_failing(audit));
    cr_assert(!audit_is_stopping(audit));
    audit_close(audit);
    cr_assert_eq(verify().lines_n, 1);
}

Test(audit_files, a_pipe_that_nobody_reads_stops_and_never_waits)
{
    struct audit_settings settings = {.to_stdout = true};
    struct audit *audit;
    char text[1024 * 1024];
    unsigned n = 0;
    int ends[2];
    ssize_t got;

    cr_assert_eq(pipe(ends), 0);
    cr_assert_eq(dup2(ends[1], STDOUT_FILENO), STDOUT_FILENO);
    audit = open_as(&settings);
    while (audit_record(audit, "login", "user", "ab", NULL) == QK_OK && n < 100000)
        n++;
    cr_assert_gt(n, 10);
    cr_assert_lt(n, 100000);
    got = read(ends[0], text, sizeof(text));
    cr_assert_gt(got, 0);
    audit_retry(audit);
    cr_assert(!audit_is_stopping(audit));
    audit_close(audit);
    cr_assert_eq(verify().bad_line, 0);
}

Test(audit_files, a_full_disk_stops_what_must_be_recorded)
{
    struct rlimit limit = {700, RLIM_INFINITY};
    struct audit *audit = open_as(NULL);
    unsigned n = 0;

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    while (audit_record(audit, "login", "user", "ab", NULL) == QK_OK && n < 100)
        n++;
    cr_assert_lt(n, 100);
    cr_assert(audit_is_stopping(audit));
    audit_retry(audit);
    cr_assert(audit_is_stopping(audit));
    limit.rlim_cur = RLIM_INFINITY;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    audit_retry(audit);
    cr_assert(!audit_is_stopping(audit));
    audit_close(audit);
    cr_assert_eq(verify().bad_line, 0);
    cr_assert_eq(verify().lines_n, n + 1);
}

/* --- reading --------------------------------------------------------------------------------- */

static unsigned count(const struct audit_query *query, uint64_t *ret_first, uint64_t *ret_last)
{
    struct buf out = BUF_INIT(4 * MIB);
    uint64_t looked_at = 0;
    unsigned n = 0;

    *ret_first = *ret_last = 0;
    cr_assert_eq(audit_read(path, query, &out, &looked_at), QK_OK);
    for (size_t at = 0; at < out.len;) {
        const uint8_t *newline = memchr(out.data + at, '\n', out.len - at);
        struct bytes line = bytes_of(out.data + at, (size_t)(newline - (out.data + at)));
        uint64_t seq = audit_line_seq(line);

        cr_assert_gt(seq, *ret_last);
        if (n++ == 0)
            *ret_first = seq;
        *ret_last = seq;
        at += line.len + 1;
    }
    cr_assert_geq(looked_at, *ret_last);
    buf_fini(&out);
    return n;
}

Test(audit_files, reading_goes_over_files_and_filters)
{
    struct audit *audit = open_as(&small);
    struct audit_query query = {.limit = 1000};
    uint64_t first, last;

    write_lines(audit, 200);
    audit_close(audit);
    cr_assert_eq(count(&query, &first, &last), 200);
    query.limit = 30;
    cr_assert_eq(count(&query, &first, &last), 30);
    cr_assert_eq(first, 171);
    query.oldest = true;
    query.since = 100;
    cr_assert_eq(count(&query, &first, &last), 30);
    cr_assert(first == 101 && last == 130);
    query = (struct audit_query){.limit = 1000, .events = "denial,nothing"};
    cr_assert_eq(count(&query, &first, &last), 20);
    query.filters_n = 1;
    query.filters[0] = (struct audit_filter){"node", "a"};
    cr_assert_eq(count(&query, &first, &last), 0, "the denials are all of b");
    query.filters[0] = (struct audit_filter){"number", "13"};
    cr_assert_eq(count(&query, &first, &last), 1);
    query = (struct audit_query){.limit = 1000, .from = "2020-01"};
    cr_assert_eq(count(&query, &first, &last), 200);
    query = (struct audit_query){.limit = 1000, .until = "2020-01"};
    cr_assert_eq(count(&query, &first, &last), 0);
    query = (struct audit_query){.limit = 1000, .from = "2999"};
    cr_assert_eq(count(&query, &first, &last), 0);
}

Test(audit_files, following_misses_no_line)
{
    struct audit *audit = open_as(&small);
    struct audit_query query = {.limit = 7, .oldest = true};
    struct buf out = BUF_INIT(4 * MIB);
    unsigned n = 0;

    write_lines(audit, 100);
    for (int round = 0; round < 40; round++) {
        uint64_t last = 0;

        buf_reset(&out);
        cr_assert_eq(audit_read(path, &query, &out, &last), QK_OK);
        for (size_t i = 0; i < out.len; i++)
            n += out.data[i] == '\n';
        query.since = last;
        if (round == 20)
            write_lines(audit, 50);
    }
    cr_assert_eq(n, 150);
    audit_close(audit);
    buf_fini(&out);
}

Test(audit_files, a_small_buffer_gives_fewer_lines_and_says_how_far)
{
    struct audit *audit = open_as(&small);
    struct audit_query query = {.limit = 1000, .oldest = true};
    unsigned n = 0;

    write_lines(audit, 60);
    audit_close(audit);
    for (int round = 0; round < 60; round++) {
        struct buf out = BUF_INIT(1000);
        uint64_t last = 0;

        cr_assert_eq(audit_read(path, &query, &out, &last), QK_OK);
        for (size_t i = 0; i < out.len; i++)
            n += out.data[i] == '\n';
        query.since = last;
        buf_fini(&out);
    }
    cr_assert_eq(n, 60);
}
