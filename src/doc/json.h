/* JSON in and out, strict and bounded: depth 64, 16 MiB a document, no duplicate keys, UTF-8 only,
 * numbers that keep their value or are refused with a reason.
 *
 * Values are jansson's. Linking this file makes jansson's allocator wipe what it frees, before
 * main() runs, since trees hold documents in clear. */
#ifndef DOC_JSON_H
#define DOC_JSON_H

#include <jansson.h>

#include "base/bytes.h"
#include "base/limits.h"
#include "doc/problem.h"

/* Values in one text: bounds the memory of a tree, which is larger than its text. */
#define JSON_VALUES_MAX 4000000
/* Replies nest a stored document a few levels deeper. */
#define JSON_WRITE_DEPTH_MAX (JSON_DEPTH_MAX + 8)
/* A decimal with more significant digits cannot be kept in a 64-bit float. */
#define JSON_SIGNIFICANT_DIGITS_MAX 17

/* Parses one value that may nest `depth_max` levels; nothing but blanks may follow it. The caller
 * owns the reference. QK_ERR_INVALID with `ret_problem` filled, QK_ERR_NOMEM. */
MUST_USE enum qk_err json_parse(struct bytes text, unsigned depth_max,
                                struct doc_problem *ret_problem, json_t **ret_value);
/* Appends the value as compact JSON: members in their order, each number such that reading it gives
 * the same value. QK_ERR_TOO_BIG past out->max or JSON_WRITE_DEPTH_MAX, QK_ERR_NOMEM. */
MUST_USE enum qk_err json_write(const json_t *value, struct buf *out);
/* Appends a JSON string with its quotes; `text` must be valid UTF-8. */
void json_write_string(struct bytes text, struct buf *out);
/* The same without the quotes. */
void json_write_text(struct bytes text, struct buf *out);
/* Appends a JSON number that reads back as the same float, and as a float; it must be finite. */
void json_write_real(double value, struct buf *out);
/* The bytes of a JSON string value, borrowed; empty for any other value. */
struct bytes json_bytes(const json_t *string);
/* True for well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool utf8_is_valid(struct bytes text);

#endif
