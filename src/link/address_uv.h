/* "host:port" and "[v6]:port" (private to link/). */
#ifndef LINK_ADDRESS_UV_H
#define LINK_ADDRESS_UV_H

#include <uv.h>

#include "base/bytes.h"
#include "link/bucket.h"

#define ADDRESS_HOST_BYTES 256
#define ADDRESS_PORT_BYTES 6

/* Splits without resolving. QK_ERR_INVALID: no host, no port, or too long. */
MUST_USE enum qk_err address_split(const char *text, char ret_host[static ADDRESS_HOST_BYTES],
                                   char ret_port[static ADDRESS_PORT_BYTES]);
/* QK_ERR_INVALID if the host is no numeric IPv4 or IPv6 address. */
MUST_USE enum qk_err address_numeric(const char *host, const char *port,
                                     struct sockaddr_storage *ret_address);
/* Without the port. */
void address_text(const struct sockaddr_storage *address, char *ret_text, size_t len);
/* IPv4 mapped into IPv6; false if it is neither. */
bool address_mapped(const struct sockaddr_storage *address,
                    uint8_t ret_bytes[static BUCKET_ADDRESS_BYTES]);
/* What the token buckets count by: IPv4 mapped, IPv6 by its /64 (which one host may own whole). */
void address_bucket(const struct sockaddr_storage *address,
                    uint8_t ret_key[static BUCKET_ADDRESS_BYTES]);

#endif
