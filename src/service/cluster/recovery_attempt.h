/* An attempt with recovery shares: what recovery_attempt.c and recovery_enter.c share. */
#ifndef SERVICE_CLUSTER_RECOVERY_ATTEMPT_H
#define SERVICE_CLUSTER_RECOVERY_ATTEMPT_H

#include "service/cluster/recovery.h"

#define RECOVERY_ATTEMPTS_MAX 8
#define RECOVERY_IDLE_MS (15u * 60 * 1000)
#define RECOVERY_WRONG_MAX 10
#define RECOVERY_NONCE_BYTES 16

enum purpose { PURPOSE_UNSEAL, PURPOSE_VERIFY };

struct attempt {
    bool used;
    enum purpose purpose;
    uint8_t nonce[RECOVERY_NONCE_BYTES];
    char id[RECOVERY_ATTEMPT_ID_CHARS + 1]; /* for people, status and audit */
    enum principal_kind kind;
    uint8_t user_id[USER_ID_BYTES];
    uint64_t began_ms, until_ms;
    unsigned wrong_n;
    unsigned shares_n;
    struct recovery_share shares[RECOVERY_SHARES_MAX];
    struct exchange *waiting; /* of the share that sufficed, while the node is being opened */
};

struct recoveries {
    struct attempt attempts[RECOVERY_ATTEMPTS_MAX];
};

/* The request's body, an object (empty where there is none); NULL: the refusal has been sent. The
 * caller gives it back. */
json_t *attempt_body(struct exchange *exchange);
/* The attempt whose nonce the request holds, if it came by the door that began it. Whether there is
 * no such attempt or it is another's is not told. NULL: the refusal has been sent. */
struct attempt *attempt_find(struct cluster *cluster, struct exchange *exchange,
                             const json_t *json);
/* Answers with the progress after share `x`; `done` ends the attempt. */
void attempt_reply(struct cluster *cluster, struct attempt *attempt, struct exchange *exchange,
                   unsigned x, bool quorum, bool done);
/* Wipes what was entered. */
void attempt_end(struct cluster *cluster, struct attempt *attempt, const char *why);

#endif
