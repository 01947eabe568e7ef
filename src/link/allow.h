/* The addresses from which peers may connect: prefixes of IPv4 and IPv6. Pure. */
#ifndef LINK_ALLOW_H
#define LINK_ALLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

#define LINK_ALLOW_MAX 64
#define LINK_ALLOW_ADDRESS_BYTES 16

struct link_allow {
    unsigned n; /* 0: everybody */
    struct link_allow_prefix {
        uint8_t address[LINK_ALLOW_ADDRESS_BYTES]; /* IPv4 mapped into IPv6 */
        unsigned bits;                             /* of that: 96 and more for IPv4 */
    } list[LINK_ALLOW_MAX];
};

/* "10.0.0.0/8, 192.168.1.7, fd00::/8": prefixes or single addresses, split by commas, spaces around
 * them ignored. QK_ERR_INVALID, QK_ERR_TOO_BIG: a sentence is appended to `message`; an address
 * with bits behind its prefix is a mistake. */
MUST_USE enum qk_err link_allow_parse(const char *text, struct link_allow *ret_allow,
                                      struct buf *message);
/* `address`: IPv4 mapped into IPv6. */
bool link_allow_has(const struct link_allow *allow,
                    const uint8_t address[static LINK_ALLOW_ADDRESS_BYTES]);

#endif
