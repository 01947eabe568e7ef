/* `struct bytes` borrows, `struct buf` owns, `struct reader` walks. All integers big-endian. */
#ifndef BASE_BYTES_H
#define BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* A borrowed view. `data` may be NULL only when `len` is 0. */
struct bytes {
    const uint8_t *data;
    size_t len;
};

#define BYTES_NONE ((struct bytes){NULL, 0})

struct bytes bytes_of(const void *data, size_t len);
struct bytes bytes_str(const char *text);                          /* without the final zero */
struct bytes bytes_slice(struct bytes all, size_t at, size_t len); /* clamped to `all` */
bool bytes_equal(struct bytes a, struct bytes b);  /* not for secrets: sodium_memcmp */
int bytes_compare(struct bytes a, struct bytes b); /* memcmp order, shorter first */
bool bytes_starts_with(struct bytes all, struct bytes prefix);

/* A growing buffer with a hard maximum. A secret one is wiped before any free and grows by
 * copy and wipe, never by realloc. A failed append sets `failed` and is returned by each later
 * call, so that a chain of appends needs one check (buf_error) at its end. */
struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
    size_t max;
    bool secret;
    enum qk_err failed;
};

#define BUF_INIT(max_) ((struct buf){NULL, 0, 0, (max_), false, QK_OK})
#define BUF_SECRET_INIT(max_) ((struct buf){NULL, 0, 0, (max_), true, QK_OK})

/* Frees what `buf` owns (wiped if secret) and leaves it empty and usable with the same maximum. */
void buf_fini(struct buf *buf);
/* Empties without freeing; wiped if secret. */
void buf_reset(struct buf *buf);
struct bytes buf_bytes(const struct buf *buf);
enum qk_err buf_error(const struct buf *buf);
/* Makes room for `more` bytes. QK_ERR_TOO_BIG past max, QK_ERR_NOMEM. */
MUST_USE enum qk_err buf_reserve(struct buf *buf, size_t more);
/* Appends; errors stick in `failed`, see buf_error. */
void buf_put(struct buf *buf, const void *data, size_t len);
void buf_put_bytes(struct buf *buf, struct bytes bytes);
void buf_put_str(struct buf *buf, const char *text);
void buf_put_u8(struct buf *buf, uint8_t value);
void buf_put_u16(struct buf *buf, uint16_t value);
void buf_put_u32(struct buf *buf, uint32_t value);
void buf_put_u64(struct buf *buf, uint64_t value);
/* len32 then the bytes. */
void buf_put_blob(struct buf *buf, struct bytes bytes);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Appends `len` bytes left for the caller to fill; NULL (and `failed` set) when there is no room.
 */
uint8_t *buf_extend(struct buf *buf, size_t len);
/* Drops the first `len` bytes (clamped), moving the rest down; wiped if secret. */
void buf_consume(struct buf *buf, size_t len);

/* A cursor over borrowed bytes. A read past the end sets `failed` (QK_ERR_INVALID) and yields
 * zeros or an empty view, so that a parser checks once, with reader_end or reader_error. */
struct reader {
    struct bytes in;
    size_t at;
    enum qk_err failed;
};

struct reader reader_of(struct bytes in);
uint8_t reader_u8(struct reader *reader);
uint16_t reader_u16(struct reader *reader);
uint32_t reader_u32(struct reader *reader);
uint64_t reader_u64(struct reader *reader);
struct bytes reader_bytes(struct reader *reader, size_t len);
void reader_copy(struct reader *reader, uint8_t *ret_out, size_t len);
struct bytes reader_blob(struct reader *reader, size_t len_max);
struct bytes reader_rest(struct reader *reader);
enum qk_err reader_error(const struct reader *reader);
/* QK_OK only if nothing failed and nothing is left over. */
MUST_USE enum qk_err reader_end(const struct reader *reader);

void put_u16(uint8_t out[static 2], uint16_t value);
void put_u32(uint8_t out[static 4], uint32_t value);
void put_u64(uint8_t out[static 8], uint64_t value);
uint16_t get_u16(const uint8_t in[static 2]);
uint32_t get_u32(const uint8_t in[static 4]);
uint64_t get_u64(const uint8_t in[static 8]);

#endif
