/* A walk over JSON text that builds no tree: what it takes it writes on, byte for byte as
 * json_write would write what json_parse reads. A document's body is only kept, and a tree of it
 * was a quarter of the instructions of a write.
 *
 * It is a short cut and no second judge: it takes what is ordinary and answers false to all else,
 * wrong or only rare (an object of many members, a number that needs thought). False says nothing
 * about the text; the caller then asks json_parse, whose limits and words for errors are the only
 * ones. The fuzz target `json` and tests/doc/test_json_walk.c hold the two against each other. */
#ifndef DOC_JSON_WALK_H
#define DOC_JSON_WALK_H

#include "doc/json.h"

struct json_walk {
    struct bytes text;
    size_t at;
    size_t values_n; /* commas and colons, as json_parse counts them */
};

#define JSON_WALK(text_) ((struct json_walk){(text_), 0, 0})

/* Members of one object, and of all objects that are open at a time. */
#define JSON_NAMES_MAX 64
#define JSON_NAMES_ALL_MAX 256

/* The names of open objects, as they stand in what was written. */
struct json_names {
    struct json_name {
        size_t at, len;
    } names[JSON_NAMES_ALL_MAX];
    unsigned n;
};

/* Blanks and then this byte: passed, if it comes next. ',' and ':' count as a value. */
bool json_walk_byte(struct json_walk *walk, uint8_t byte);
/* Only blanks are left. */
bool json_walk_end(struct json_walk *walk);
/* Appends the string that comes next, with its quotes; never one with \u0000. After false, `out`
 * may hold the beginning of something. */
bool json_walk_string(struct json_walk *walk, struct buf *out);
/* Appends the value that comes next, which nests `depth_max` levels at most. */
bool json_walk_value(struct json_walk *walk, unsigned depth_max, struct buf *out);
/* Notes the name that stands in `out` from `at` to its end as one of the object whose names begin
 * with number `first`; false if the object has it already, or has many. */
bool json_names_add(struct json_names *names, unsigned first, const struct buf *out, size_t at);

#endif
