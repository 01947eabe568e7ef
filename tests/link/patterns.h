/* The patterns of the published vectors; those that are the product's are the product's tables. */
#ifndef TESTS_LINK_PATTERNS_H
#define TESTS_LINK_PATTERNS_H

#include "link/noise.h"

/* By whole protocol name; NULL if there is no table for it. */
const struct noise_pattern *pattern_find(const char *name);

#endif
