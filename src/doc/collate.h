/* Sort keys: a JSON value as bytes whose order under memcmp is the order of the values in a view.
 *
 * The order of types is CouchDB's: null < false < true < numbers < strings < arrays < objects.
 * Numbers by value, 64-bit integers exactly, also among floats; strings by code point (CouchDB:
 * ICU); arrays and objects member by member, the shorter first; an object's members in their order,
 * name before value. No sort key is the beginning of another one. Equal sort keys mean that the
 * values are equal for a view: 1 and 1.0 are.
 *
 *     null 02 · false 03 · true 04
 *     number 05 ‖ u64 of the greatest float that is not greater, made to sort ‖ u16 what is missing
 *     string 06 ‖ UTF-8 with 00 as 00 ff ‖ 00 00
 *     array  07 ‖ values ‖ 00      object 08 ‖ (string value)* ‖ 00
 *
 * Pure. */
#ifndef DOC_COLLATE_H
#define DOC_COLLATE_H

#include <jansson.h>

#include "base/bytes.h"

/* Appends the sort key of `value` to `out`, which should be secret. QK_ERR_TOO_BIG past out->max or
 * JSON_WRITE_DEPTH_MAX, QK_ERR_NOMEM. */
MUST_USE enum qk_err collate_key(const json_t *value, struct buf *out);
/* The same of an array that begins with the values of these and is not there as JSON: open it, put
 * values with collate_key, close it. */
void collate_array_open(struct buf *out);
void collate_array_close(struct buf *out);
/* The length of what `levels` members of an array's sort key take, with its first byte: two keys
 * that agree in so many bytes are one group. All of it for any other value, and for an array of
 * fewer members. `key` comes from collate_key (asserted). */
size_t collate_prefix(struct bytes key, uint64_t levels);

#endif
