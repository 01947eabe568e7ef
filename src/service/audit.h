/* The audit log of one node: <data>/audit.log, one JSON object a line, each bound to the one
 * before it by an unkeyed BLAKE2b-256 chain, so that sealed nodes write it too. It proves that no
 * line was changed, dropped or moved inside the file; that the end was not cut off is seen by
 * comparing the last hash with one noted elsewhere (`quorumkeep audit verify` prints it).
 *
 * A line: {"seq":7,"time":"2026-01-02T03:04:05.678Z","event":"release","node":"…","prev":"<64
 * hex>","hash":"<64 hex>"}. `hash` covers every byte of the line before `,"hash"`, thus `prev`
 * too; the first line's `prev` is 64 zeros. Values are ids and short reasons, never a secret and
 * never a body; they are escaped to ASCII, so that nothing from outside can forge a line. */
#ifndef SERVICE_AUDIT_H
#define SERVICE_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define AUDIT_HASH_BYTES 32
#define AUDIT_FIELDS_MAX 12
#define AUDIT_VALUE_BYTES_MAX 256 /* longer values are cut and end in "..." */
#define AUDIT_LINE_BYTES_MAX 8192

struct audit;

struct audit_field {
    const char *name;   /* lower-case letters and '_'; not seq, time, event, prev, hash */
    struct bytes value; /* any bytes: escaped */
};

/* What a walk over a file found. */
struct audit_check {
    uint64_t lines_n;               /* good lines from the start */
    uint64_t seq_last;              /* of the last good line; 0 if none */
    uint8_t head[AUDIT_HASH_BYTES]; /* hash of the last good line; zeros if none */
    uint64_t bad_line;              /* 1-based; 0 if all are good */
    const char *bad_reason;         /* static text; NULL if all are good */
    bool torn;                      /* the last line has no end: a crash while writing it */
};

/* Opens or creates (0600) the file and finds its last line. A torn last line (no newline: a crash
 * while writing) is cut off and that is recorded as event "audit_recovered". QK_ERR_CORRUPT when
 * the last complete line does not verify, QK_ERR_IO, QK_ERR_NOMEM. The caller frees by
 * audit_close. */
MUST_USE enum qk_err audit_open(const char *path, struct audit **ret_audit);
/* Flushes to the disk and frees; NULL is fine. */
void audit_close(struct audit *audit);

/* Appends one line (written at once, so a killed process keeps it; on the disk after the next
 * audit_sync). The time is now. QK_ERR_FULL, QK_ERR_IO: nothing was appended and the next
 * append tries again. */
MUST_USE enum qk_err audit_append(struct audit *audit, const char *event,
                                  const struct audit_field *fields, unsigned fields_n);
/* The same for the usual case, values as text: audit_event(audit, "release", "node", id, "deal",
 * deal, NULL). A NULL value leaves its field out. Errors are logged once, not returned: an event
 * that cannot be written must not stop an unseal. */
void audit_event(struct audit *audit, const char *event, ...) __attribute__((sentinel));
/* fdatasync when something was appended since the last one. Any thread may call fdatasync on
 * audit_fd instead. */
MUST_USE enum qk_err audit_sync(struct audit *audit);
int audit_fd(const struct audit *audit);

/* Appends to `out` the lines with sequence > `since`, oldest first, whole, at most `limit` of the
 * newest of them and at most what `out` holds. */
MUST_USE enum qk_err audit_tail(struct audit *audit, uint64_t since, unsigned limit,
                                struct buf *out);

/* Walks a whole file. QK_OK: walked (see `ret_check` for what it found); QK_ERR_IO: unreadable. */
MUST_USE enum qk_err audit_verify(const char *path, struct audit_check *ret_check);

#endif
