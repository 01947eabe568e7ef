/* The one error enum of the project and its texts. Library ranks return these and never log;
 * what a person reads is made in `service` and above, with the name of the thing concerned. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#define MUST_USE __attribute__((warn_unused_result))

#define QK_ERR_MAP(X)                                                                              \
    X(QK_ERR_NOMEM, "out of memory")                                                               \
    X(QK_ERR_INVALID, "invalid argument or malformed input")                                       \
    X(QK_ERR_TOO_BIG, "over the limit")                                                            \
    X(QK_ERR_CORRUPT, "authentication failed or data damaged")                                     \
    X(QK_ERR_NOT_FOUND, "not found")                                                               \
    X(QK_ERR_EXISTS, "already exists")                                                             \
    X(QK_ERR_CONFLICT, "conflict with the current version")                                        \
    X(QK_ERR_DENIED, "not allowed")                                                                \
    X(QK_ERR_UNAUTHENTICATED, "name or password is incorrect")                                     \
    X(QK_ERR_SEALED, "the node is sealed")                                                         \
    X(QK_ERR_UNINITIALISED, "the node is not initialised")                                         \
    X(QK_ERR_NOT_LEADER, "not the leader")                                                         \
    X(QK_ERR_UNKNOWN_OUTCOME, "the outcome is unknown")                                            \
    X(QK_ERR_TIMEOUT, "timed out")                                                                 \
    X(QK_ERR_BUSY, "busy, try again")                                                              \
    X(QK_ERR_IO, "input or output failed")                                                         \
    X(QK_ERR_FULL, "no space left")                                                                \
    X(QK_ERR_LOCKED_MEMORY, "memory could not be locked")                                          \
    X(QK_ERR_FOREIGN, "belongs to another cluster")                                                \
    X(QK_ERR_STALE, "older than what is known")                                                    \
    X(QK_ERR_EXPIRED, "expired")                                                                   \
    X(QK_ERR_UNSUPPORTED, "not supported by this version")                                         \
    X(QK_ERR_CLOSED, "closed")                                                                     \
    X(QK_ERR_NO_QUORUM, "not enough members reachable")                                            \
    X(QK_ERR_KEY_FULL, "no more may be sealed under the data key")                                 \
    X(QK_ERR_DESTROYED, "the data key is destroyed")                                               \
    X(QK_ERR_UNRECORDED, "the audit log cannot be written")

enum qk_err {
    QK_OK = 0,
#define QK_ERR_ENUM(code, text) code,
    QK_ERR_MAP(QK_ERR_ENUM)
#undef QK_ERR_ENUM
};

/* The text of `err`, never NULL. Static storage: the caller does not free it. */
const char *qk_err_text(enum qk_err err);

#endif
