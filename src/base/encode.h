/* Text encodings: hex, base64url without padding, Bech32m (BIP 350) for tokens and shares. */
#ifndef BASE_ENCODE_H
#define BASE_ENCODE_H

#include "base/bytes.h"

/* Lower-case hex into `ret_text` (2 * len + 1 bytes, terminated). Not for secrets. */
void hex_encode(const uint8_t *in, size_t len, char *ret_text);
/* Exactly `len` bytes from 2 * len hex digits, either case. QK_ERR_INVALID otherwise. */
MUST_USE enum qk_err hex_decode(struct bytes text, uint8_t *ret_out, size_t len);

/* Decimal digits into `ret_text`, terminated; their number. printf costs some thirty times as much.
 */
#define DECIMAL_TEXT_BYTES 20
size_t decimal_encode(uint64_t value, char ret_text[static DECIMAL_TEXT_BYTES + 1]);

/* As a part of a URL (RFC 3986, 2.3): all but unreserved characters as %XX, appended to `out`. */
void percent_encode(struct bytes in, struct buf *out);

/* Standard base64 (RFC 4648, 4), padded, appended to `out`. */
void base64_encode(struct bytes in, struct buf *out);
/* Strict: canonical, padded. The decoded bytes are appended to `out`. */
MUST_USE enum qk_err base64_decode(struct bytes text, struct buf *out);

/* Bech32m text `hrp1...` of any length up to BECH32M_BYTES_MAX payload bytes, appended to `out`.
 * The checksum covers the whole (BIP 350); over 90 characters it still finds any random error with
 * probability 1 - 2^-30, but no longer guarantees the position of up to four. */
#define BECH32M_BYTES_MAX 1024
MUST_USE enum qk_err bech32m_encode(const char *hrp, struct bytes payload, struct buf *out);
/* Decodes text whose prefix must be `hrp`; payload bytes appended to `out`.
 * QK_ERR_INVALID: wrong prefix, character, mixed case, padding or checksum. */
MUST_USE enum qk_err bech32m_decode(const char *hrp, struct bytes text, struct buf *out);

#endif
