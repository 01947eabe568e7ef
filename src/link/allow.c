#include "link/allow.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#define ITEM_BYTES_MAX 64
#define V4_BITS 96 /* in front of an IPv4 address that is mapped */

static bool address_parse(const char *text, struct link_allow_prefix *ret_prefix, bool *ret_v4)
{
    struct in_addr four;
    struct in6_addr six;

    memset(ret_prefix, 0, sizeof(*ret_prefix));
    *ret_v4 = inet_pton(AF_INET, text, &four) == 1;
    if (*ret_v4) {
        ret_prefix->address[10] = ret_prefix->address[11] = 0xff;
        memcpy(ret_prefix->address + 12, &four, 4);
        return true;
    }
    if (inet_pton(AF_INET6, text, &six) != 1)
        return false;
    memcpy(ret_prefix->address, &six, sizeof(ret_prefix->address));
    return true;
}

/* Digits alone, without a leading zero. */
static bool bits_parse(const char *text, unsigned max, unsigned *ret_bits)
{
    unsigned bits = 0;
    size_t len = strlen(text);

    if (len == 0 || len > 3 || strspn(text, "0123456789") != len || (len > 1 && text[0] == '0'))
        return false;
    for (; *text != '\0'; text++)
        bits = bits * 10 + (unsigned)(*text - '0');
    *ret_bits = bits;
    return bits <= max;
}

/* The first `bits` bits of both are equal. */
static bool same_prefix(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    if (memcmp(a, b, whole) != 0)
        return false;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

static bool is_bare(const struct link_allow_prefix *prefix)
{
    for (unsigned bit = prefix->bits; bit < 8 * LINK_ALLOW_ADDRESS_BYTES; bit++)
        if (prefix->address[bit / 8] & (0x80u >> (bit % 8)))
            return false;
    return true;
}

static enum qk_err item_parse(char *item, struct link_allow_prefix *ret_prefix, struct buf *message)
{
    char *slash = strchr(item, '/');
    unsigned bits = 0;
    bool v4;

    if (slash != NULL)
        *slash = '\0';
    if (!address_parse(item, ret_prefix, &v4)) {
        buf_printf(message, "'%s' is no IPv4 or IPv6 address", item);
        return QK_ERR_INVALID;
    }
    if (slash == NULL)
        bits = v4 ? 32 : 128;
    else if (!bits_parse(slash + 1, v4 ? 32 : 128, &bits)) {
        buf_printf(message, "'%s/%s': the length of the prefix is 0 to %d", item, slash + 1,
                   v4 ? 32 : 128);
        return QK_ERR_INVALID;
    }
    ret_prefix->bits = bits + (v4 ? V4_BITS : 0);
    if (is_bare(ret_prefix))
        return QK_OK;
    buf_printf(message, "'%s/%u' has bits behind its prefix: is the length right?", item, bits);
    return QK_ERR_INVALID;
}

enum qk_err link_allow_parse(const char *text, struct link_allow *ret_allow, struct buf *message)
{
    struct link_allow allow = {.n = 0};
    enum qk_err err = QK_OK;

    assert(text != NULL && ret_allow != NULL);

    while (err == QK_OK) {
        size_t len = strcspn(text, ","), start = strspn(text, " \t"), end = len;
        char item[ITEM_BYTES_MAX];

        while (end > start && (text[end - 1] == ' ' || text[end - 1] == '\t'))
            end--;
        if (start >= end || end - start >= sizeof(item)) {
            buf_put_str(message, "an address is missing or too long between two commas");
            return QK_ERR_INVALID;
        }
        if (allow.n == LINK_ALLOW_MAX) {
            buf_printf(message, "more than %d addresses", LINK_ALLOW_MAX);
            return QK_ERR_TOO_BIG;
        }
        memcpy(item, text + start, end - start);
        item[end - start] = '\0';
        err = item_parse(item, &allow.list[allow.n], message);
        allow.n++;
        if (text[len] == '\0')
            break;
        text += len + 1;
    }
    if (err == QK_OK)
        *ret_allow = allow;
    return err;
}

bool link_allow_has(const struct link_allow *allow,
                    const uint8_t address[static LINK_ALLOW_ADDRESS_BYTES])
{
    if (allow->n == 0)
        return true;
    for (unsigned i = 0; i < allow->n; i++)
        if (same_prefix(allow->list[i].address, address, allow->list[i].bits))
            return true;
    return false;
}
