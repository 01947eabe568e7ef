#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "service/audit.h"
#include "service/audit_line.h"

#define CHUNK_BYTES 65536

static void bad(struct audit_check *check, const char *reason)
{
    check->bad_line = check->lines_n + 1;
    check->bad_reason = reason;
}

static void check_line(struct audit_check *check, struct bytes line)
{
    struct audit_line parsed;
    enum qk_err err = audit_line_parse(line, &parsed);

    if (err == QK_ERR_CORRUPT) {
        bad(check, "its bytes do not match its hash: it was changed");
    } else if (err != QK_OK) {
        bad(check, "not a line of an audit log");
    } else if (memcmp(parsed.prev, check->head, AUDIT_HASH_BYTES) != 0) {
        bad(check, "it does not follow the line before it: a line was removed, added or moved");
    } else if (parsed.seq != check->seq_last + 1) {
        bad(check, "its sequence number does not follow");
    } else {
        check->lines_n++;
        check->seq_last = parsed.seq;
        memcpy(check->head, parsed.hash, AUDIT_HASH_BYTES);
    }
}

/* Checks the whole lines in `text` and drops them from it. */
static void check_lines(struct audit_check *check, struct buf *text)
{
    size_t at = 0;

    while (check->bad_line == 0) {
        struct bytes rest = bytes_slice(buf_bytes(text), at, SIZE_MAX);
        const uint8_t *newline = rest.len == 0 ? NULL : memchr(rest.data, '\n', rest.len);
        size_t len;

        if (newline == NULL)
            break;
        len = (size_t)(newline - rest.data);
        check_line(check, bytes_slice(rest, 0, len));
        at += len + 1;
    }
    buf_consume(text, at);
    if (check->bad_line == 0 && text->len > AUDIT_LINE_BYTES_MAX)
        bad(check, "longer than any line of an audit log");
}

enum qk_err audit_verify(const char *path, struct audit_check *ret_check)
{
    struct buf text = BUF_INIT(CHUNK_BYTES + AUDIT_LINE_BYTES_MAX + 1);
    struct audit_check check = {0};
    enum qk_err err = QK_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return QK_ERR_IO;
    while (check.bad_line == 0) {
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
        check_lines(&check, &text);
    }
    check.torn = check.bad_line == 0 && text.len > 0;
    buf_fini(&text);
    close(fd);
    if (err == QK_OK)
        *ret_check = check;
    return err;
}
