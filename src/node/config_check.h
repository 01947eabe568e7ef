/* The checks of a configuration that concern addresses and several settings at once. */
#ifndef NODE_CONFIG_CHECK_H
#define NODE_CONFIG_CHECK_H

#include "node/config.h"

/* Names farther apart than this are not proposed as what was meant. */
#define CONFIG_NEAREST_MAX 4

/* Levenshtein's distance; names over 63 bytes are as far as can be. */
unsigned config_distance(const char *a, const char *b);

/* "host:port" or "[v6]:port". `ret_host` (ADDRESS_BYTES_MAX + 1) without brackets. */
MUST_USE enum qk_err config_split_address(const char *address, char *ret_host, unsigned *ret_port);

/* Fills what follows from other settings (advertised addresses) and refuses what cannot work; a
 * sentence is appended to `message`. */
MUST_USE enum qk_err config_check(struct config *config, struct buf *message);

#endif
