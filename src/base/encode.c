#include "base/encode.h"

#include <assert.h>
#include <string.h>

void hex_encode(const uint8_t *in, size_t len, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < len; i++) {
        ret_text[2 * i] = digits[in[i] >> 4];
        ret_text[2 * i + 1] = digits[in[i] & 15];
    }
    ret_text[2 * len] = '\0';
}

size_t decimal_encode(uint64_t value, char ret_text[static DECIMAL_TEXT_BYTES + 1])
{
    char digits[DECIMAL_TEXT_BYTES];
    size_t n = 0, i;

    do {
        digits[n++] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    for (i = 0; i < n; i++)
        ret_text[i] = digits[n - 1 - i];
    ret_text[n] = '\0';
    return n;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

enum qk_err hex_decode(struct bytes text, uint8_t *ret_out, size_t len)
{
    size_t i;

    if (text.len != 2 * len)
        return QK_ERR_INVALID;
    for (i = 0; i < text.len; i++) {
        if (hex_digit(text.data[i]) < 0)
            return QK_ERR_INVALID;
    }
    for (i = 0; i < len; i++)
        ret_out[i] = (uint8_t)(hex_digit(text.data[2 * i]) << 4 | hex_digit(text.data[2 * i + 1]));
    return QK_OK;
}

static bool is_unreserved(uint8_t byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
           (byte >= '0' && byte <= '9') || (byte != '\0' && strchr("-._~", byte) != NULL);
}

void percent_encode(struct bytes in, struct buf *out)
{
    size_t i;

    for (i = 0; i < in.len; i++) {
        if (is_unreserved(in.data[i]))
            buf_put_u8(out, in.data[i]);
        else
            buf_printf(out, "%%%02X", in.data[i]);
    }
}

/* The 64 digits by arithmetic, without a table: base64 here also carries passwords
 * (HTTP Basic), and a table index would depend on them. */
static char base64_digit(unsigned value)
{
    unsigned c = value + 'A';

    c += ((25 - value) >> 8 & 6);  /* past Z: to a */
    c -= ((51 - value) >> 8 & 75); /* past z: to 0 */
    c -= ((61 - value) >> 8 & 15); /* past 9: to + */
    c += ((62 - value) >> 8 & 3);  /* past +: to / */
    return (char)(unsigned char)c;
}

void base64_encode(struct bytes in, struct buf *out)
{
    size_t i;

    for (i = 0; i < in.len; i += 3) {
        unsigned left = (unsigned)(in.len - i);
        unsigned group = (unsigned)in.data[i] << 16;

        group |= left > 1 ? (unsigned)in.data[i + 1] << 8 : 0;
        group |= left > 2 ? (unsigned)in.data[i + 2] : 0;
        buf_put_u8(out, (uint8_t)base64_digit(group >> 18 & 63));
        buf_put_u8(out, (uint8_t)base64_digit(group >> 12 & 63));
        buf_put_u8(out, left > 1 ? (uint8_t)base64_digit(group >> 6 & 63) : '=');
        buf_put_u8(out, left > 2 ? (uint8_t)base64_digit(group & 63) : '=');
    }
}

/* All ones when lo <= c <= hi, else zero: an underflow of either difference sets bit 31. */
static unsigned in_range(unsigned c, unsigned lo, unsigned hi)
{
    return (((c - lo) | (hi - c)) >> 31) - 1;
}

static unsigned base64_value(unsigned c)
{
    unsigned value = 0;

    value |= in_range(c, 'A', 'Z') & (c - 'A' + 1);
    value |= in_range(c, 'a', 'z') & (c - 'a' + 27);
    value |= in_range(c, '0', '9') & (c - '0' + 53);
    value |= in_range(c, '+', '+') & 63;
    value |= in_range(c, '/', '/') & 64;
    return value; /* 0: no digit; else the value plus one */
}

static enum qk_err base64_group(const uint8_t in[static 4], unsigned pad, struct buf *out)
{
    unsigned group = 0;
    unsigned i;

    for (i = 0; i < 4; i++) {
        unsigned value = i < 4 - pad ? base64_value(in[i]) : 1;

        if (value == 0 || (i >= 4 - pad && in[i] != '='))
            return QK_ERR_INVALID;
        group = group << 6 | (value - 1);
    }
    if ((pad == 1 && (group & 0xff) != 0) || (pad == 2 && (group & 0xffff) != 0))
        return QK_ERR_INVALID;
    buf_put_u8(out, (uint8_t)(group >> 16));
    if (pad < 2)
        buf_put_u8(out, (uint8_t)(group >> 8));
    if (pad < 1)
        buf_put_u8(out, (uint8_t)group);
    return QK_OK;
}

enum qk_err base64_decode(struct bytes text, struct buf *out)
{
    size_t i;

    if (text.len % 4 != 0)
        return QK_ERR_INVALID;
    for (i = 0; i < text.len; i += 4) {
        unsigned pad = 0;
        enum qk_err err;

        if (i + 4 == text.len && text.data[i + 3] == '=')
            pad = text.data[i + 2] == '=' ? 2 : 1;
        err = base64_group(text.data + i, pad, out);
        if (err != QK_OK)
            return err;
    }
    return buf_error(out);
}

/* Bech32m, BIP 350: the checksum is a BCH code over GF(32), final constant 0x2bc830a3. */
static const char bech32_digits[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
#define BECH32M_CONST 0x2bc830a3U
#define BECH32_CHECK_CHARS 6

/* All ones if bit `i` of `top` is set, without a branch or a table: tokens are secret. */
static uint32_t bech32_mask(uint32_t top, unsigned i)
{
    return 0U - (top >> i & 1);
}

static uint32_t bech32_step(uint32_t check, unsigned value)
{
    uint32_t top = check >> 25;

    check = (check & 0x1ffffff) << 5 ^ value;
    check ^= bech32_mask(top, 0) & 0x3b6a57b2;
    check ^= bech32_mask(top, 1) & 0x26508e6d;
    check ^= bech32_mask(top, 2) & 0x1ea119fa;
    check ^= bech32_mask(top, 3) & 0x3d4233dd;
    check ^= bech32_mask(top, 4) & 0x2a1462b3;
    return check;
}

static uint32_t bech32_prefix(const char *hrp)
{
    uint32_t check = 1;
    const char *c;

    for (c = hrp; *c != '\0'; c++)
        check = bech32_step(check, (unsigned char)*c >> 5);
    check = bech32_step(check, 0);
    for (c = hrp; *c != '\0'; c++)
        check = bech32_step(check, (unsigned char)*c & 31);
    return check;
}

static uint32_t bech32_digit(struct buf *out, uint32_t check, unsigned value)
{
    buf_put_u8(out, (uint8_t)bech32_digits[value]);
    return bech32_step(check, value);
}

enum qk_err bech32m_encode(const char *hrp, struct bytes payload, struct buf *out)
{
    uint32_t check = bech32_prefix(hrp);
    unsigned acc = 0;
    unsigned bits = 0;
    size_t i;

    if (payload.len > BECH32M_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    buf_put_str(out, hrp);
    buf_put_u8(out, '1');
    for (i = 0; i < payload.len; i++) {
        acc = (acc << 8 | payload.data[i]) & 0xfff;
        for (bits += 8; bits >= 5; bits -= 5)
            check = bech32_digit(out, check, acc >> (bits - 5) & 31);
    }
    if (bits > 0)
        check = bech32_digit(out, check, acc << (5 - bits) & 31);
    for (i = 0; i < BECH32_CHECK_CHARS; i++)
        check = bech32_step(check, 0);
    check ^= BECH32M_CONST;
    for (i = 0; i < BECH32_CHECK_CHARS; i++)
        buf_put_u8(out, (uint8_t)bech32_digits[check >> 5 * (5 - i) & 31]);
    return buf_error(out);
}

static int bech32_value(uint8_t c)
{
    const char *at = c == '\0' ? NULL : strchr(bech32_digits, c);

    return at == NULL ? -1 : (int)(at - bech32_digits);
}

static bool bech32_split(const char *hrp, struct bytes text, struct bytes *ret_data)
{
    size_t hrp_len = strlen(hrp);

    if (text.len < hrp_len + 1 + BECH32_CHECK_CHARS || memcmp(text.data, hrp, hrp_len) != 0 ||
        text.data[hrp_len] != '1')
        return false;
    *ret_data = bytes_slice(text, hrp_len + 1, text.len);
    return ret_data->len <= BECH32M_BYTES_MAX * 8 / 5 + 1 + BECH32_CHECK_CHARS;
}

static bool bech32_checked(const char *hrp, struct bytes data)
{
    uint32_t check = bech32_prefix(hrp);
    size_t i;

    for (i = 0; i < data.len; i++) {
        int value = bech32_value(data.data[i]);

        if (value < 0)
            return false;
        check = bech32_step(check, (unsigned)value);
    }
    return check == BECH32M_CONST;
}

enum qk_err bech32m_decode(const char *hrp, struct bytes text, struct buf *out)
{
    struct bytes data;
    unsigned acc = 0;
    unsigned bits = 0;
    size_t i;

    if (!bech32_split(hrp, text, &data) || !bech32_checked(hrp, data))
        return QK_ERR_INVALID;
    for (i = 0; i + BECH32_CHECK_CHARS < data.len; i++) {
        acc = (acc << 5 | (unsigned)bech32_value(data.data[i])) & 0xfff;
        bits += 5;
        if (bits >= 8) {
            bits -= 8;
            buf_put_u8(out, (uint8_t)(acc >> bits));
        }
    }
    if (bits >= 5 || (acc & ((1U << bits) - 1)) != 0)
        return QK_ERR_INVALID;
    return buf_error(out);
}
