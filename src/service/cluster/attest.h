/* The attestation hook: an operator's program that is asked before this node releases to another.
 * It gets the facts as one JSON object on its standard input and answers by its exit status or by a
 * JSON object on its standard output; whatever is neither yes nor "not now" is no.
 *
 *   exit 0, no output         allow
 *   exit 0, one JSON object   its "decision": "allow", "deny" or "defer"; "reason" for people
 *   exit 75 (EX_TEMPFAIL)     defer
 *   anything else             deny
 *
 * This is the judging, pure, and the names that the one who runs the program fills in. */
#ifndef SERVICE_CLUSTER_ATTEST_H
#define SERVICE_CLUSTER_ATTEST_H

#include <stdbool.h>

#include "base/bytes.h"
#include "seal/machine.h"

#define ATTEST_REASON_BYTES 256
#define ATTEST_OUTPUT_BYTES_MAX 4096
#define ATTEST_FACTS_BYTES_MAX (16 * KIB)
#define ATTEST_EXIT_DEFER 75
/* "Not now" holds so long; the hook is asked again at the next WANT after it. */
#define ATTEST_DEFER_MS 2000u

enum attest_end {
    ATTEST_EXITED,   /* `code` */
    ATTEST_SIGNALED, /* `code`: the signal */
    ATTEST_TIMEOUT,  /* killed at the time limit */
    ATTEST_OVERFLOW, /* killed: more output than ATTEST_OUTPUT_BYTES_MAX */
    ATTEST_FAILED,   /* could not be run */
    ATTEST_ENDS_N
};

struct attest_result {
    enum attest_end end;
    unsigned code;
    struct bytes output; /* standard output, at most ATTEST_OUTPUT_BYTES_MAX */
    struct bytes errors; /* the beginning of standard error */
};

struct attest_judgement {
    enum seal_attested answer; /* ALLOW, DENY, DEFER */
    bool failed;               /* DENY because the hook did not answer, not because it said so */
    char reason[ATTEST_REASON_BYTES]; /* for people, printable ASCII; may be empty */
};

void attest_judge(const struct attest_result *result, struct attest_judgement *ret_judgement);
const char *attest_answer_text(const struct attest_judgement *judgement);

#endif
