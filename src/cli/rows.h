/* Rows of long replies, one at a time; printed as a table on a terminal, as JSON lines in a pipe.
 */
#ifndef CLI_ROWS_H
#define CLI_ROWS_H

#include "cli/cli.h"

struct cli_rows {
    const char *name; /* of the array in the reply; NULL: the reply is the array */
    /* False: no more. `text` is the row as it came. */
    bool (*on_row)(void *arg, json_t *row, struct bytes text);
    void *arg;
    /* Set by cli_rows: rows were given and then the reply broke off, and it said nothing yet. */
    bool cut;
    json_t *rest; /* what stood around the array, the caller's to decref; NULL without a name */
};

/* One request whose rows go to `on_row`. Takes over the reference of `body` (NULL: none). */
MUST_USE enum cli_exit cli_rows(struct cli *cli, const char *method, const struct buf *target,
                                json_t *body, struct cli_rows *rows);

/* Prints rows as they come, or on a terminal gathers them for print_end. */
struct rows_printer {
    json_t *table; /* NULL: JSON lines */
    unsigned long n;
};
void rows_begin(struct rows_printer *printer, const struct cli *cli);
void rows_print(struct rows_printer *printer, json_t *row, struct bytes text);
/* The table, with the columns of all rows; long values are shortened. */
void rows_end(struct rows_printer *printer);

/* NAME=VALUE of the command line into `object`: a VALUE that is JSON as that, any other as text. */
MUST_USE enum cli_exit cli_parameters(struct cli *cli, unsigned from, json_t *object);

#endif
