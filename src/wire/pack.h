/* MessagePack on our buffers: packing through msgpack-c, unpacking by a pull reader of our own that
 * allocates nothing, recurses never, and knows every length before it looks at a byte (msgpack-c
 * reserves what an array header claims, so a five-byte message could ask for gigabytes). */
#ifndef WIRE_PACK_H
#define WIRE_PACK_H

#include "base/bytes.h"

/* Appends one value; errors stick in `out` (buf_error). */
void pack_array(struct buf *out, uint32_t items_n);
void pack_map(struct buf *out, uint32_t pairs_n);
void pack_u64(struct buf *out, uint64_t value);
void pack_bool(struct buf *out, bool value);
void pack_nil(struct buf *out);
void pack_bin(struct buf *out, struct bytes bytes);
void pack_str(struct buf *out, struct bytes text);
/* A map key or any other text constant. */
void pack_text(struct buf *out, const char *text);

/* A cursor over borrowed bytes; a wrong type, an exceeded limit or a missing byte sets `failed`
 * (QK_ERR_INVALID; QK_ERR_TOO_BIG for a limit), after which every call yields zero or nothing.
 * What is returned points into the input and lives as long as it does. */
struct unpack {
    struct reader in;
    enum qk_err failed;
};

struct unpack unpack_of(struct bytes in);
/* How many items follow; at most `items_max`, else QK_ERR_TOO_BIG. */
uint32_t unpack_array(struct unpack *unpack, uint32_t items_max);
/* As above and exactly `items_n`. */
void unpack_array_of(struct unpack *unpack, uint32_t items_n);
uint32_t unpack_map(struct unpack *unpack, uint32_t pairs_max);
uint64_t unpack_u64(struct unpack *unpack);
/* At most `value_max`, else QK_ERR_TOO_BIG. */
uint64_t unpack_u64_max(struct unpack *unpack, uint64_t value_max);
bool unpack_bool(struct unpack *unpack);
struct bytes unpack_bin(struct unpack *unpack, size_t len_max);
/* Exactly `len` bytes copied to `ret_out`, which is zeroed on failure. */
void unpack_bin_copy(struct unpack *unpack, uint8_t *ret_out, size_t len);
/* Valid UTF-8 without zero bytes. */
struct bytes unpack_str(struct unpack *unpack, size_t len_max);
/* As unpack_str, terminated in `ret_text` of `size` bytes; empty on failure. */
void unpack_str_copy(struct unpack *unpack, char *ret_text, size_t size);
/* Passes over one value of any type, nested up to 16 deep: for map keys of a newer version. */
void unpack_skip(struct unpack *unpack);
enum qk_err unpack_error(const struct unpack *unpack);
/* QK_OK only if nothing failed and nothing is left over. */
MUST_USE enum qk_err unpack_end(const struct unpack *unpack);

#endif
