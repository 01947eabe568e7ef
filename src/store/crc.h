/* CRC-32C (Castagnoli, RFC 3720 appendix B.4): finds a damaged page or value, not an attacker, whom
 * the envelopes' authentication finds. */
#ifndef STORE_CRC_H
#define STORE_CRC_H

#include "base/bytes.h"

/* Continues from `crc`, 0 at the start. */
uint32_t crc32c(uint32_t crc, struct bytes bytes);
/* The same without the processor's own instruction, for those that have none. */
uint32_t crc32c_by_tables(uint32_t crc, struct bytes bytes);

#endif
