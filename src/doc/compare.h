/* The order of JSON values, CouchDB's of types: null, false, true, numbers, strings, arrays,
 * objects. Strings are ordered by code point (CouchDB: by ICU's collation), numbers by value, an
 * integer and a float exactly. Arrays member by member; objects by their members in the order in
 * which they stand, name before value; what ends first is less. */
#ifndef DOC_COMPARE_H
#define DOC_COMPARE_H

#include "doc/json.h"

/* <0, 0, >0. Adds the work done, about one for each value and each 64 bytes of text looked at, to
 * `*steps` unless it is NULL. Neither may be nested deeper than JSON_WRITE_DEPTH_MAX. */
int json_compare(const json_t *a, const json_t *b, size_t *steps);
/* Equal of the same type: 1 and 1.0 differ. */
bool json_same(const json_t *a, const json_t *b, size_t *steps);

#endif
