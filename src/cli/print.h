/* Printing for people and for scripts. Whatever came from a node is stripped of control
 * characters before a terminal sees it. */
#ifndef CLI_PRINT_H
#define CLI_PRINT_H

#include <jansson.h>
#include <stdint.h>

#include "base/bytes.h"

/* Appends `text` with control bytes as '?'. */
void print_clean(struct buf *out, const char *text);
/* One value on stdout and a newline; `indent` spaces a level, 0: compact. */
void print_json(const json_t *json, unsigned indent);
/* "name: value" lines, inner objects as "outer.name", arrays of objects as a table. */
void print_object(const json_t *object);
/* A line a row; the columns are the names in the first row. */
void print_table(const json_t *rows);
/* A scalar as text without quotes; anything else as compact JSON. Appended to `out`. */
void print_value(struct buf *out, const json_t *value);

#define PRINT_TIME_BYTES 32
/* Unix time as "2026-01-31T12:00:00Z"; "" if no calendar has it. */
void print_time(uint64_t time_s, char ret_text[static PRINT_TIME_BYTES]);

/* Frees what json_dumps made, as jansson was told to: part of the product gives it an allocator of
 * its own. Takes NULL. */
void print_free(char *text);

#endif
