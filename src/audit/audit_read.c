/* From the end backwards, a chunk at a time, until `since` is reached or enough was found. What was
 * found is kept newest first in a ring: of those that follow `since` the oldest are wanted, so the
 * newest make room. */
#include "audit/audit_read.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "audit/audit_files.h"
#include "audit/audit_line.h"

#define CHUNK_BYTES (256 * 1024)
/* Times of one log go back when a clock is set: only after so many older lines in a row is what
 * comes before taken for older, too. */
#define OLDER_MAX 1000

struct found {
    uint8_t *text;
    size_t len;
};

struct reading {
    const struct audit_query *query;
    struct found *found; /* a ring of query->limit */
    unsigned first, n;   /* the newest kept, and how many */
    size_t bytes, bytes_max;
    bool more;       /* newer ones were dropped */
    uint64_t newest; /* the first line met, thus the log's last */
    uint64_t lowest; /* the last line met */
    unsigned older_n;
    bool done;
    enum qk_err err;
};

static bool listed(const char *list, struct bytes word)
{
    while (*list != '\0') {
        size_t len = strcspn(list, ",");

        if (bytes_equal(bytes_of(list, len), word))
            return true;
        list += len + (list[len] == ',');
    }
    return false;
}

static int compare_time(struct bytes time, const char *text)
{
    size_t len = strlen(text);

    return bytes_compare(bytes_slice(time, 0, len), bytes_of(text, len));
}

static bool filters_fit(const struct audit_query *query, struct bytes line)
{
    for (unsigned i = 0; i < query->filters_n; i++) {
        struct bytes value;

        if (!audit_line_field(line, query->filters[i].name, &value) ||
            !bytes_equal(value, bytes_str(query->filters[i].value)))
            return false;
    }
    return true;
}

static bool fits(struct reading *reading, struct bytes line)
{
    const struct audit_query *query = reading->query;
    struct bytes time, event;

    if (!audit_line_field(line, "time", &time) || !audit_line_field(line, "event", &event))
        return false;
    if (query->from[0] != '\0' && compare_time(time, query->from) < 0) {
        reading->done = ++reading->older_n > OLDER_MAX;
        return false;
    }
    reading->older_n = 0;
    if (query->until[0] != '\0' && compare_time(time, query->until) >= 0)
        return false;
    return (query->events[0] == '\0' || listed(query->events, event)) && filters_fit(query, line);
}

static void drop_newest(struct reading *reading)
{
    struct found *found = &reading->found[reading->first];

    reading->bytes -= found->len;
    free(found->text);
    reading->first = (reading->first + 1) % reading->query->limit;
    reading->n--;
    reading->more = true;
}

static void keep(struct reading *reading, struct bytes line)
{
    unsigned limit = reading->query->limit;
    struct found *found;

    while (reading->n > 0 &&
           (reading->n == limit || reading->bytes + line.len + 1 > reading->bytes_max)) {
        if (!reading->query->oldest) {
            reading->done = true;
            return;
        }
        drop_newest(reading);
    }
    found = &reading->found[(reading->first + reading->n) % limit];
    found->text = malloc(line.len + 1);
    if (found->text == NULL || line.len + 1 > reading->bytes_max) {
        reading->err = found->text == NULL ? QK_ERR_NOMEM : QK_ERR_TOO_BIG;
        free(found->text);
        return;
    }
    memcpy(found->text, line.data, line.len);
    found->text[line.len] = '\n';
    found->len = line.len + 1;
    reading->bytes += found->len;
    reading->n++;
}

static void look(struct reading *reading, struct bytes line)
{
    uint64_t seq = audit_line_seq(line);

    if (seq == 0 || (reading->lowest != 0 && seq >= reading->lowest))
        return; /* damaged: 'audit verify' names it; or of a file that was renamed meanwhile */
    reading->lowest = seq;
    if (reading->newest == 0)
        reading->newest = seq;
    if (seq <= reading->query->since)
        reading->done = true;
    else if (fits(reading, line))
        keep(reading, line);
}

/* The lines in `text` from its end; those that may begin before it stay, their length is returned.
 */
static size_t look_back(struct reading *reading, struct bytes text, bool whole)
{
    size_t end = text.len;

    while (end > 0 && !reading->done && reading->err == QK_OK) {
        const uint8_t *before = end < 2 ? NULL : memrchr(text.data, '\n', end - 1);
        size_t start = before == NULL ? 0 : (size_t)(before - text.data) + 1;

        if (before == NULL && !whole)
            break;
        look(reading, bytes_slice(text, start, end - start - 1));
        end = start;
    }
    return end;
}

/* `size` bytes of an open file, which end in a newline. */
static void read_back(struct reading *reading, int fd, uint64_t size)
{
    struct buf text = BUF_INIT(CHUNK_BYTES + 2 * AUDIT_LINE_BYTES_MAX);
    size_t rest = 0; /* bytes from `size` on that are a part of a line */

    while (size > 0 && !reading->done && reading->err == QK_OK) {
        size_t len = size < CHUNK_BYTES ? (size_t)size : CHUNK_BYTES;
        uint8_t *room;

        if (rest > AUDIT_LINE_BYTES_MAX)
            rest = 0; /* no line of ours: what comes before it may be */
        buf_reset(&text);
        room = buf_extend(&text, len + rest);
        if (room == NULL)
            reading->err = buf_error(&text);
        else
            reading->err = audit_read_at(fd, size - len, room, len + rest);
        if (reading->err == QK_OK)
            rest = look_back(reading, buf_bytes(&text), size == len);
        size -= len;
    }
    buf_fini(&text);
}

/* A line without its end is being written, or was cut by a crash. */
static uint64_t whole_size(int fd, uint64_t size)
{
    uint8_t end[AUDIT_LINE_BYTES_MAX];
    size_t len = size < sizeof(end) ? (size_t)size : sizeof(end);
    const uint8_t *newline;

    if (len == 0 || audit_read_at(fd, size - len, end, len) != QK_OK)
        return 0;
    newline = memrchr(end, '\n', len);
    return newline == NULL ? 0 : size - len + (uint64_t)(newline - end) + 1;
}

static void read_file(struct reading *reading, const char *name)
{
    int fd = open(name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    struct stat stat;

    if (fd < 0)
        return; /* deleted meanwhile, or not there yet */
    if (fstat(fd, &stat) != 0)
        reading->err = QK_ERR_IO;
    else
        read_back(reading, fd, whole_size(fd, (uint64_t)stat.st_size));
    close(fd);
}

/* Oldest first. */
static enum qk_err give(const struct reading *reading, struct buf *out, uint64_t *ret_last)
{
    uint64_t last = reading->newest;

    for (unsigned i = reading->n; i > 0; i--) {
        const struct found *found =
            &reading->found[(reading->first + i - 1) % reading->query->limit];

        buf_put(out, found->text, found->len);
        if (reading->more)
            last = audit_line_seq(bytes_of(found->text, found->len));
    }
    *ret_last = last > reading->query->since ? last : reading->query->since;
    return buf_error(out);
}

enum qk_err audit_read(const char *path, const struct audit_query *query, struct buf *out,
                       uint64_t *ret_last)
{
    struct reading reading = {.query = query, .bytes_max = out->max - out->len};
    struct audit_files files = {NULL, 0};
    char name[PATH_MAX];

    assert(query->limit > 0 && query->limit <= AUDIT_READ_MAX);
    reading.found = calloc(query->limit, sizeof(*reading.found));
    if (reading.found == NULL)
        return QK_ERR_NOMEM;
    read_file(&reading, path);
    /* After it: a file that is renamed meanwhile is read twice rather than not at all. */
    if (reading.err == QK_OK && !reading.done)
        reading.err = audit_files_list(path, &files);
    for (unsigned i = files.n; i > 0 && !reading.done && reading.err == QK_OK; i--) {
        if (files.last[i - 1] <= query->since)
            break;
        reading.err = audit_files_name(path, files.last[i - 1], name);
        if (reading.err == QK_OK)
            read_file(&reading, name);
    }
    if (reading.err == QK_OK)
        reading.err = give(&reading, out, ret_last);
    for (unsigned i = 0; i < reading.n; i++)
        free(reading.found[(reading.first + i) % query->limit].text);
    free(reading.found);
    audit_files_fini(&files);
    return reading.err;
}
