/* What the functions of Quorumkeep's libraries return. Numbers never change their meaning. */
#ifndef QUORUMKEEP_ERROR_H
#define QUORUMKEEP_ERROR_H

enum quorumkeep_error {
    QUORUMKEEP_OK = 0,
    QUORUMKEEP_INVALID = 1,         /* an argument; or the node found the request malformed */
    QUORUMKEEP_NOMEM = 2,           /* out of memory, or of memory that can be locked */
    QUORUMKEEP_UNREACHABLE = 3,     /* no node was reached: nothing was written */
    QUORUMKEEP_UNAVAILABLE = 4,     /* nodes answered, none could serve (sealed, no quorum):
                                     * nothing was written */
    QUORUMKEEP_UNKNOWN_OUTCOME = 5, /* the write was sent and its reply lost: it may be done */
    QUORUMKEEP_DENIED = 6,          /* login or rights */
    QUORUMKEEP_NOT_FOUND = 7,       /* no such database or document */
    QUORUMKEEP_CONFLICT = 8,        /* the revision given is not the present one */
    QUORUMKEEP_EXISTS = 9,          /* the database exists already */
    QUORUMKEEP_TOO_BIG = 10,        /* over a limit of the node's or of this library */
    QUORUMKEEP_UNTRUSTED = 11,      /* the node's certificate; or clear text was not allowed */
    QUORUMKEEP_PROTOCOL = 12,       /* what answers is not a node */
    QUORUMKEEP_CUT = 13,            /* rows were given, then the reply ended: ask again */
    QUORUMKEEP_STOPPED = 14,        /* the callback said so */
    QUORUMKEEP_FAILED = 15,         /* any other refusal by the node */
    QUORUMKEEP_CORRUPT = 16         /* shares that do not fit their commitments */
};

#endif
