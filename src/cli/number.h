/* Numbers on the command line. */
#ifndef CLI_NUMBER_H
#define CLI_NUMBER_H

#include <stdint.h>

#include "base/err.h"

/* Decimal digits only, 0..max. */
MUST_USE enum qk_err number_parse(const char *text, uint64_t max, uint64_t *ret_value);

#endif
