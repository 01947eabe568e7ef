/* The chunked transfer coding of a request body (RFC 9112, 7.1), decoded strictly: CR LF where they
 * belong, nothing else. http-parser as Debian builds it takes any two bytes after a chunk. Pure. */
#ifndef HTTP_CHUNK_H
#define HTTP_CHUNK_H

#include "base/bytes.h"

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXTENSION,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END
};

struct chunk {
    enum chunk_state state;
    uint64_t left;        /* of this chunk */
    unsigned digits;      /* of its size */
    size_t extra;         /* bytes of extensions and trailers so far */
    unsigned trailer_len; /* bytes of the present trailer line */
    unsigned trailers_n;
    bool streamed; /* set after chunk_init: `body` is emptied between, so a chunk may be longer */
};

#define CHUNK_EXTRA_BYTES_MAX ((size_t)8192) /* all extensions and trailers of one body */
#define CHUNK_TRAILERS_MAX 100

void chunk_init(struct chunk *chunk);
/* Takes bytes of `in`, appends the body's to `body`, and stops at the end of the body. Extensions
 * and trailers are skipped. QK_ERR_INVALID: malformed; QK_ERR_TOO_BIG: `body` is full;
 * QK_ERR_NOMEM. */
MUST_USE enum qk_err chunk_feed(struct chunk *chunk, struct bytes in, struct buf *body,
                                size_t *ret_taken);
bool chunk_is_end(const struct chunk *chunk);

#endif
