#include <criterion/criterion.h>

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "audit/audit.h"
#include "audit/audit_line.h"
#include "audit/audit_read.h"
#include "audit/audit_verify.h"

static char dir[] = "/tmp/qk-audit-XXXXXX";
static char path[64];

static void set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_lt(snprintf(path, sizeof(path), "%s/audit.log", dir), (int)sizeof(path));
}

static void tear_down(void)
{
    unlink(path);
    rmdir(dir);
}

TestSuite(audit, .init = set_up, .fini = tear_down);

static struct audit *open_ok(void)
{
    struct audit *audit = NULL;

    cr_assert_eq(audit_open(path, &audit), QK_OK);
    return audit;
}

static void read_file(struct buf *out)
{
    int fd = open(path, O_RDONLY);
    ssize_t got;
    uint8_t chunk[4096];

    cr_assert_geq(fd, 0);
    while ((got = read(fd, chunk, sizeof(chunk))) > 0)
        buf_put(out, chunk, (size_t)got);
    close(fd);
    cr_assert_eq(buf_error(out), QK_OK);
}

static void write_file(struct bytes text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    cr_assert_geq(fd, 0);
    cr_assert_eq(write(fd, text.data, text.len), (ssize_t)text.len);
    close(fd);
}

static void write_three(void)
{
    struct audit *audit = open_ok();

    audit_event(audit, "init", "cluster", "00aa", NULL);
    audit_event(audit, "release", "node", "n1", "peer", NULL, "deal", "01", NULL);
    audit_event(audit, "denial", "node", "n2", "reason", "not a member", NULL);
    audit_close(audit);
}

static struct audit_check verify(void)
{
    struct audit_check check = {0};

    cr_assert_eq(audit_verify(path, NULL, NULL, &check), QK_OK);
    return check;
}

Test(audit, lines_are_json_and_verify)
{
    struct buf text = BUF_INIT(MIB);
    struct audit_check check;
    struct stat stat_;
    unsigned lines_n = 0;

    write_three();
    read_file(&text);
    buf_put_u8(&text, 0);
    for (char *rest = (char *)text.data, *line = strsep(&rest, "\n"); line != NULL && *line != '\0';
         line = strsep(&rest, "\n")) {
        json_t *json = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

        cr_assert_not_null(json);
        cr_assert_eq(json_integer_value(json_object_get(json, "seq")), ++lines_n);
        cr_assert_eq(strlen(json_string_value(json_object_get(json, "time"))), 24);
        cr_assert_null(json_object_get(json, "peer"), "a NULL value leaves its field out");
        json_decref(json);
    }
    cr_assert_eq(lines_n, 3);
    check = verify();
    cr_assert_eq(check.lines_n, 3);
    cr_assert_eq(check.seq_last, 3);
    cr_assert_eq(check.bad_line, 0);
    cr_assert(!check.torn);
    cr_assert_eq(stat(path, &stat_), 0);
    cr_assert_eq(stat_.st_mode & 0777, 0600);
    buf_fini(&text);
}

Test(audit, the_chain_goes_on_after_reopening)
{
    write_three();
    write_three();
    cr_assert_eq(verify().lines_n, 6);
    cr_assert_eq(verify().bad_line, 0);
}

Test(audit, values_cannot_forge_a_line_or_a_field)
{
    static const char evil[] = "x\"}\n{\"seq\":2,\"event\":\"unseal\\\",\x01\x7f\xff\xc3\xa9";
    struct audit_field field = {"reason", bytes_of(evil, sizeof(evil))};
    struct buf text = BUF_INIT(MIB);
    struct audit *audit = open_ok();
    json_t *json;

    cr_assert_eq(audit_append(audit, "denial", &field, 1), QK_OK);
    audit_close(audit);
    read_file(&text);
    cr_assert_eq((const uint8_t *)memchr(text.data, '\n', text.len), text.data + text.len - 1);
    for (size_t i = 0; i + 1 < text.len; i++)
        cr_assert(text.data[i] >= 0x20 && text.data[i] < 0x7f);
    json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                      NULL);
    cr_assert_not_null(json);
    cr_assert_str_eq(json_string_value(json_object_get(json, "event")), "denial");
    json_decref(json);
    cr_assert_eq(verify().lines_n, 1);
    buf_fini(&text);
}

Test(audit, long_values_are_cut)
{
    char value[1000];
    struct audit_field fields[AUDIT_FIELDS_MAX];
    struct audit *audit = open_ok();

    memset(value, 1, sizeof(value)); /* each byte takes six in the line */
    for (unsigned i = 0; i < AUDIT_FIELDS_MAX; i++)
        fields[i] = (struct audit_field){"a", bytes_of(value, i == 0 ? sizeof(value) : 1)};
    cr_assert_eq(audit_append(audit, "denial", fields, AUDIT_FIELDS_MAX), QK_OK);
    audit_close(audit);
    cr_assert_eq(verify().lines_n, 1);
}

Test(audit, a_line_over_the_maximum_is_refused_whole)
{
    char value[AUDIT_VALUE_BYTES_MAX];
    struct audit_field fields[AUDIT_FIELDS_MAX];
    struct audit *audit = open_ok();

    memset(value, 1, sizeof(value));
    for (unsigned i = 0; i < AUDIT_FIELDS_MAX; i++)
        fields[i] = (struct audit_field){"a", bytes_of(value, sizeof(value))};
    cr_assert_eq(audit_append(audit, "denial", fields, AUDIT_FIELDS_MAX), QK_ERR_TOO_BIG);
    audit_event(audit, "release", "node", "n1", NULL);
    audit_close(audit);
    cr_assert_eq(verify().lines_n, 2, "and that one was lost");
    cr_assert_eq(verify().bad_line, 0);
}

Test(audit, every_flipped_byte_is_found_and_placed)
{
    struct buf text = BUF_INIT(MIB);
    size_t line = 1;

    write_three();
    read_file(&text);
    for (size_t i = 0; i < text.len; i++) {
        bool newline = text.data[i] == '\n';
        struct audit_check check;

        text.data[i] ^= 0x04;
        write_file(buf_bytes(&text));
        check = verify();
        cr_assert(check.bad_line == line || (i + 1 == text.len && check.torn), "byte %zu", i);
        text.data[i] ^= 0x04;
        if (newline)
            line++;
    }
    buf_fini(&text);
}

Test(audit, a_removed_or_moved_line_is_found)
{
    struct buf text = BUF_INIT(MIB), cut = BUF_INIT(MIB);
    const uint8_t *second, *third;

    write_three();
    read_file(&text);
    second = (const uint8_t *)memchr(text.data, '\n', text.len) + 1;
    third = (const uint8_t *)memchr(second, '\n', text.len) + 1;
    buf_put(&cut, text.data, (size_t)(second - text.data));
    buf_put(&cut, third, (size_t)(text.data + text.len - third));
    write_file(buf_bytes(&cut));
    cr_assert_eq(verify().bad_line, 2);
    cr_assert_not_null(verify().bad_reason);
    write_file(bytes_of(second, (size_t)(text.data + text.len - second)));
    cr_assert_eq(verify().bad_line, 1);
    buf_fini(&text);
    buf_fini(&cut);
}

Test(audit, truncated_at_every_byte_recovers_the_whole_lines)
{
    struct buf text = BUF_INIT(MIB);

    write_three();
    read_file(&text);
    for (size_t len = 0; len <= text.len; len++) {
        struct audit_check check;
        struct audit *audit;
        size_t whole = 0;
        bool torn;

        for (size_t i = 0; i < len; i++)
            whole += text.data[i] == '\n';
        torn = len > 0 && text.data[len - 1] != '\n';
        write_file(bytes_of(text.data, len));
        cr_assert_eq(verify().torn, torn);
        audit = open_ok();
        audit_close(audit);
        check = verify();
        cr_assert_eq(check.lines_n, whole + torn, "cut at %zu", len);
        cr_assert_eq(check.bad_line, 0);
        cr_assert(!check.torn);
    }
    buf_fini(&text);
}

Test(audit, a_damaged_last_line_is_refused_at_open)
{
    struct buf text = BUF_INIT(MIB);
    struct audit *audit = NULL;

    write_three();
    read_file(&text);
    text.data[text.len - 10] ^= 0x01;
    write_file(buf_bytes(&text));
    cr_assert_eq(audit_open(path, &audit), QK_ERR_CORRUPT);
    cr_assert_null(audit);
    buf_reset(&text);
    for (size_t i = 0; i < 3 * AUDIT_LINE_BYTES_MAX; i++)
        buf_put_u8(&text, 'a');
    write_file(buf_bytes(&text));
    cr_assert_eq(audit_open(path, &audit), QK_ERR_CORRUPT, "no newline in sight");
    buf_fini(&text);
}

Test(audit, a_full_disk_leaves_no_half_line)
{
    struct rlimit limit = {700, 700};
    struct audit *audit = open_ok();
    enum qk_err err = QK_OK;
    unsigned n = 0;

    signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    while (err == QK_OK && n < 100) {
        err = audit_append(audit, "release", NULL, 0);
        n += err == QK_OK;
    }
    cr_assert(err == QK_ERR_FULL || err == QK_ERR_IO);
    cr_assert_gt(n, 0);
    audit_close(audit);
    cr_assert_eq(verify().lines_n, n);
    cr_assert_eq(verify().bad_line, 0);
    cr_assert(!verify().torn);
}

static unsigned read_lines(uint64_t since, unsigned limit, size_t max)
{
    struct audit_query query = {.since = since, .limit = limit};
    struct buf out = BUF_INIT(max);
    uint64_t last;
    unsigned n = 0;

    cr_assert_eq(audit_read(path, &query, &out, &last), QK_OK);
    for (size_t i = 0; i < out.len; i++)
        n += out.data[i] == '\n';
    cr_assert(out.len == 0 || (out.data[0] == '{' && out.data[out.len - 1] == '\n'));
    buf_fini(&out);
    return n;
}

Test(audit, what_is_read_is_whole_lines_newest_last)
{
    struct audit_query query = {.limit = 1};
    struct buf out = BUF_INIT(MIB);
    uint64_t last;

    write_three();
    cr_assert_eq(read_lines(0, 100, MIB), 3);
    cr_assert_eq(read_lines(1, 100, MIB), 2);
    cr_assert_eq(read_lines(3, 100, MIB), 0);
    cr_assert_eq(read_lines(0, 2, MIB), 2);
    for (size_t max = 400; max < 1200; max++)
        cr_assert_leq(read_lines(0, 100, max), 3);
    cr_assert_eq(read_lines(0, 100, 600), 2);
    cr_assert_eq(audit_read(path, &query, &out, &last), QK_OK);
    cr_assert(bytes_starts_with(buf_bytes(&out), bytes_str("{\"seq\":3,")));
    cr_assert_eq(last, 3);
    buf_fini(&out);
}

Test(audit, an_empty_log_has_nothing_to_read)
{
    struct audit *audit = open_ok();

    cr_assert_eq(read_lines(0, 10, MIB), 0);
    cr_assert_eq(audit_sync(audit), QK_OK);
    audit_close(audit);
    audit_close(NULL);
}

Test(audit, what_is_no_file_is_an_error)
{
    struct audit *audit = NULL;
    struct audit_check check;

    cr_assert_eq(audit_open("/nonexistent/audit.log", &audit), QK_ERR_IO);
    cr_assert_eq(audit_open("/dev/null", &audit), QK_ERR_IO);
    cr_assert_eq(audit_verify("/nonexistent/audit.log", NULL, NULL, &check), QK_ERR_IO);
}

Test(audit, random_bytes_are_no_line)
{
    struct audit_line line;
    uint8_t noise[300];

    srandom(7);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)random() % sizeof(noise);

        for (size_t i = 0; i < len; i++)
            noise[i] = (uint8_t)random();
        cr_assert_neq(audit_line_parse(bytes_of(noise, len), &line), QK_OK);
    }
}
