/* File after file, oldest first. Each line must follow the one before it, over the ends of files
 * too. The first line of the oldest file may be a later one than the first, if a line further on
 * says that the lines before it were deleted; the file's name must be that of its last line. */
#include "audit/audit_verify.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/encode.h"
#include "audit/audit_files.h"

#define CHUNK_BYTES 65536

struct walk {
    struct audit_check check;
    const char *file;
    uint64_t file_lines_n;
    void (*on_mark)(void *arg, const struct audit_mark *mark);
    void *arg;
};

static void bad(struct walk *walk, const char *reason)
{
    walk->check.bad_line = walk->file_lines_n + 1;
    walk->check.bad_reason = reason;
    (void)snprintf(walk->check.bad_file, sizeof(walk->check.bad_file), "%s", walk->file);
}

static bool field_hex(struct bytes text, const char *name, uint8_t *ret_out, size_t len)
{
    struct bytes value;

    return audit_line_field(text, name, &value) && hex_decode(value, ret_out, len) == QK_OK;
}

static void take_mark(struct walk *walk, struct bytes text, const struct audit_line *line)
{
    struct audit_mark mark = {.seq = line->seq};
    struct bytes time;

    if (!field_hex(text, "log", mark.log, sizeof(mark.log)) ||
        !field_hex(text, "mac", mark.mac, sizeof(mark.mac)) ||
        !audit_line_field(text, "time", &time) || time.len >= sizeof(mark.time))
        return; /* of no use, and it need not be: the next one covers this line */
    memcpy(mark.head, line->prev, sizeof(mark.head));
    memcpy(mark.time, time.data, time.len);
    walk->check.mark = mark;
    walk->check.marks_n++;
    walk->check.unmarked_n = 0;
    if (walk->on_mark != NULL)
        walk->on_mark(walk->arg, &mark);
}

static void take_dropped(struct walk *walk, struct bytes text)
{
    struct bytes value;
    uint64_t through = 0;

    if (!audit_line_field(text, "through", &value) || value.len > 19)
        return;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return;
        through = through * 10 + (uint64_t)(value.data[i] - '0');
    }
    if (through > walk->check.dropped && through < walk->check.seq_last)
        walk->check.dropped = through;
}

static void take(struct walk *walk, struct bytes text, const struct audit_line *line)
{
    struct audit_check *check = &walk->check;
    struct bytes event;

    if (check->lines_n++ == 0)
        check->seq_first = line->seq;
    check->unmarked_n++;
    check->seq_last = line->seq;
    memcpy(check->head, line->hash, AUDIT_HASH_BYTES);
    walk->file_lines_n++;
    if (!audit_line_field(text, "event", &event))
        return;
    if (bytes_equal(event, bytes_str("mark")))
        take_mark(walk, text, line);
    else if (bytes_equal(event, bytes_str("audit_dropped")))
        take_dropped(walk, text);
}

static void check_line(struct walk *walk, struct bytes text)
{
    static const uint8_t none[AUDIT_HASH_BYTES];
    struct audit_check *check = &walk->check;
    struct audit_line line;
    enum qk_err err = audit_line_parse(text, &line);
    bool first = check->lines_n == 0;

    if (err == QK_ERR_CORRUPT)
        bad(walk, "its bytes do not match its hash: it was changed");
    else if (err != QK_OK)
        bad(walk, "not a line of an audit log");
    else if (first && (line.seq == 1) != (memcmp(line.prev, none, sizeof(none)) == 0))
        bad(walk, "it is not the first line of a log, nor does it follow one");
    else if (!first && memcmp(line.prev, check->head, AUDIT_HASH_BYTES) != 0)
        bad(walk, "it does not follow the line before it: a line was removed, added or moved");
    else if (!first && line.seq != check->seq_last + 1)
        bad(walk, "its sequence number does not follow");
    else
        take(walk, text, &line);
}

/* Checks the whole lines in `text` and drops them from it. */
static void check_lines(struct walk *walk, struct buf *text)
{
    size_t at = 0;

    while (walk->check.bad_line == 0) {
        struct bytes rest = bytes_slice(buf_bytes(text), at, SIZE_MAX);
        const uint8_t *newline = rest.len == 0 ? NULL : memchr(rest.data, '\n', rest.len);
        size_t len;

        if (newline == NULL)
            break;
        len = (size_t)(newline - rest.data);
        check_line(walk, bytes_slice(rest, 0, len));
        at += len + 1;
    }
    buf_consume(text, at);
    if (walk->check.bad_line == 0 && text->len > AUDIT_LINE_BYTES_MAX)
        bad(walk, "longer than any line of an audit log");
}

static enum qk_err walk_file(struct walk *walk, const char *file)
{
    struct buf text = BUF_INIT(CHUNK_BYTES + AUDIT_LINE_BYTES_MAX + 1);
    enum qk_err err = QK_OK;
    int fd = open(file, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return errno == ENOENT ? QK_ERR_NOT_FOUND : QK_ERR_IO;
    walk->file = file;
    walk->file_lines_n = 0;
    while (walk->check.bad_line == 0) {
        size_t before = text.len;
        uint8_t *room = buf_extend(&text, CHUNK_BYTES);
        ssize_t got = room == NULL ? -1 : read(fd, room, CHUNK_BYTES);

        text.len = before + (got > 0 ? (size_t)got : 0);
        if (got < 0 && room != NULL && errno == EINTR)
            continue;
        if (got < 0)
            err = room == NULL ? QK_ERR_NOMEM : QK_ERR_IO;
        if (got <= 0)
            break;
        check_lines(walk, &text);
    }
    walk->check.torn = walk->check.bad_line == 0 && text.len > 0;
    walk->check.files_n++;
    buf_fini(&text);
    close(fd);
    return err;
}

/* A renamed file is whole and ends where its name says. */
static enum qk_err walk_before(struct walk *walk, const char *path, uint64_t last)
{
    char name[PATH_MAX];
    enum qk_err err = audit_files_name(path, last, name);

    if (err == QK_OK)
        err = walk_file(walk, name);
    if (err == QK_OK && walk->check.bad_line == 0 &&
        (walk->check.torn || walk->check.seq_last != last))
        bad(walk, "its end is missing: the last line is not the one that the file's name says");
    walk->file = path; /* `name` ends here */
    return err;
}

static void check_start(struct walk *walk)
{
    if (walk->check.bad_line != 0 || walk->check.seq_first <= 1 ||
        walk->check.dropped + 1 >= walk->check.seq_first)
        return;
    walk->file_lines_n = 0;
    bad(walk, "the lines before it are missing, and no line says that they were deleted");
}

enum qk_err audit_verify(const char *path,
                         void (*on_mark)(void *arg, const struct audit_mark *mark), void *arg,
                         struct audit_check *ret_check)
{
    struct walk walk = {.on_mark = on_mark, .arg = arg};
    char first[PATH_MAX] = "";
    struct audit_files files;
    enum qk_err err = audit_files_list(path, &files);

    for (unsigned i = 0; err == QK_OK && i < files.n && walk.check.bad_line == 0; i++) {
        if (i == 0)
            err = audit_files_name(path, files.last[0], first);
        if (err == QK_OK)
            err = walk_before(&walk, path, files.last[i]);
    }
    if (err == QK_OK && walk.check.bad_line == 0)
        err = walk_file(&walk, path);
    if (err == QK_ERR_NOT_FOUND && walk.check.files_n > 0)
        err = QK_OK; /* the present file is made with the next line */
    walk.file = first[0] == '\0' ? path : first;
    if (err == QK_OK)
        check_start(&walk);
    audit_files_fini(&files);
    if (err != QK_OK)
        return err == QK_ERR_NOMEM ? err : QK_ERR_IO;
    *ret_check = walk.check;
    return QK_OK;
}
