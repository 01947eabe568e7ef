/* The audit log of one node: <data>/audit.log, one JSON object a line, each bound to the one
 * before it by an unkeyed BLAKE2b-256 chain, so that sealed nodes write it too. It proves that no
 * line was changed, dropped or moved. Whoever may write the file could make another chain, though:
 * so an unsealed node puts a mark into it from time to time (service/audit_mark.h), a MAC over the
 * chain's head under a key that no disk holds in clear.
 *
 * A line: {"seq":7,"time":"2026-01-02T03:04:05.678Z","event":"release","node":"…","prev":"<64
 * hex>","hash":"<64 hex>"}. `hash` covers every byte of the line before `,"hash"`, thus `prev`
 * too; the first line's `prev` is 64 zeros. Values are ids and short reasons, never a secret and
 * never a body; they are escaped to ASCII, so that nothing from outside can forge a line.
 *
 * A file that has grown is renamed to audit.log.<sequence of its last line> and the chain goes on
 * in a new one. The oldest are deleted where the settings say so, which is itself a line
 * ("audit_dropped"): files that are missing without one are found.
 *
 * Each line may go elsewhere too (syslog, standard output). If any of these places takes no line,
 * the log is failing: what must be recorded is refused then, or not, as the settings say. */
#ifndef AUDIT_AUDIT_H
#define AUDIT_AUDIT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/limits.h"

#define AUDIT_HASH_BYTES 32
#define AUDIT_FIELDS_MAX 12
#define AUDIT_VALUE_BYTES_MAX 256 /* longer values are cut and end in "..." */
#define AUDIT_LINE_BYTES_MAX 8192
#define AUDIT_FILE_BYTES_DEFAULT (64 * MIB)
#define AUDIT_MARK_LINES 1000 /* after so many lines without a mark one is due */

struct audit;

struct audit_field {
    const char *name;   /* lower-case letters and '_'; not seq, time, event, prev, hash */
    struct bytes value; /* any bytes: escaped */
};

struct audit_settings {
    uint64_t file_bytes_max; /* a file that has reached it is renamed; 0: never */
    unsigned files_keep;     /* renamed ones; 0: all */
    bool go_on;              /* what cannot be recorded is done all the same */
    bool to_stdout;
    const char *syslog; /* a datagram socket (/dev/log), borrowed; NULL: none */
};

/* Opens or creates (0600) the file and finds its last line. A torn last line (no newline: a crash
 * while writing) is cut off and that is recorded as event "audit_recovered". `settings` NULL: the
 * file alone, renamed at AUDIT_FILE_BYTES_DEFAULT, all kept. QK_ERR_CORRUPT when the last complete
 * line does not verify, QK_ERR_IO, QK_ERR_NOMEM. The caller frees by audit_close. */
MUST_USE enum qk_err audit_open_as(const char *path, const struct audit_settings *settings,
                                   struct audit **ret_audit);
MUST_USE enum qk_err audit_open(const char *path, struct audit **ret_audit);
/* Flushes to the disk and frees; NULL is fine. */
void audit_close(struct audit *audit);

/* Appends one line (written at once, so a killed process keeps it; on the disk after the next
 * sync). The time is now. QK_ERR_FULL, QK_ERR_IO: it is not in the file, or one of the other places
 * did not take it; the next append tries again. */
MUST_USE enum qk_err audit_append(struct audit *audit, const char *event,
                                  const struct audit_field *fields, unsigned fields_n);
/* The same for the usual case, values as text: audit_event(audit, "release", "node", id, "deal",
 * deal, NULL). A NULL value leaves its field out. Errors are logged once, not returned: for what
 * has happened already and cannot be refused. */
void audit_event(struct audit *audit, const char *event, ...) __attribute__((sentinel));
/* For what is about to happen: QK_ERR_UNRECORDED if it must not, because the line could not be
 * written. */
MUST_USE enum qk_err audit_record(struct audit *audit, const char *event, ...)
    __attribute__((sentinel));

/* The last line was not taken everywhere, and what must be recorded is to be refused. */
bool audit_is_stopping(const struct audit *audit);
/* The last line was not taken everywhere. */
bool audit_is_failing(const struct audit *audit);
/* While the log is failing: tries again, with a line that says how many were lost. Now and then. */
void audit_retry(struct audit *audit);

struct audit_figures {
    uint64_t seq;        /* of the last line */
    uint64_t unmarked_n; /* lines since the last mark; more than 0 if that is not known */
    uint64_t lost_n;     /* lines that were not taken everywhere, since the start */
    uint64_t file_bytes;
    bool failing, stopping;
};
void audit_figures(const struct audit *audit, struct audit_figures *ret_figures);
const char *audit_file(const struct audit *audit);

/* `full` is called after a line when AUDIT_MARK_LINES of them have no mark; it may append one. */
void audit_on_unmarked(struct audit *audit, void (*full)(void *arg), void *arg);
/* The hash of the last line and its sequence, for a mark. */
uint64_t audit_head(const struct audit *audit, uint8_t ret_head[static AUDIT_HASH_BYTES]);

/* fdatasync when something was appended since the last one. */
MUST_USE enum qk_err audit_sync(struct audit *audit);
/* The same in three steps, for a loop that must not wait: begin on the loop, run on any thread,
 * end on the loop before the next begin. False: there is nothing to sync. */
struct audit_sync_job {
    int fds[3];
    unsigned fds_n;
    bool before; /* the file before is among them */
};
bool audit_sync_begin(struct audit *audit, struct audit_sync_job *ret_job);
MUST_USE enum qk_err audit_sync_run(const struct audit_sync_job *job);
void audit_sync_end(struct audit *audit, const struct audit_sync_job *job, enum qk_err err);

#endif
