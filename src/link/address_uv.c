#include "link/address_uv.h"

#include <stdlib.h>
#include <string.h>

enum qk_err address_split(const char *text, char ret_host[static ADDRESS_HOST_BYTES],
                          char ret_port[static ADDRESS_PORT_BYTES])
{
    const char *colon = strrchr(text, ':');
    const char *host = text;
    size_t host_len, port_len;

    if (colon == NULL)
        return QK_ERR_INVALID;
    host_len = (size_t)(colon - text);
    port_len = strlen(colon + 1);
    if (host_len >= 2 && text[0] == '[' && text[host_len - 1] == ']') {
        host = text + 1;
        host_len -= 2;
    } else if (memchr(text, ':', host_len) != NULL) /* IPv6 without brackets is ambiguous */
        return QK_ERR_INVALID;
    if (host_len == 0 || host_len >= ADDRESS_HOST_BYTES)
        return QK_ERR_INVALID;
    if (port_len == 0 || port_len >= ADDRESS_PORT_BYTES ||
        strspn(colon + 1, "0123456789") != port_len)
        return QK_ERR_INVALID;
    memcpy(ret_host, host, host_len);
    ret_host[host_len] = '\0';
    memcpy(ret_port, colon + 1, port_len + 1);
    return QK_OK;
}

enum qk_err address_numeric(const char *host, const char *port,
                            struct sockaddr_storage *ret_address)
{
    long number = strtol(port, NULL, 10); /* address_split saw five digits at most */
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memset(ret_address, 0, sizeof *ret_address);
    if (number > UINT16_MAX)
        return QK_ERR_INVALID;
    if (uv_ip4_addr(host, (int)number, &v4) == 0)
        memcpy(ret_address, &v4, sizeof v4);
    else if (uv_ip6_addr(host, (int)number, &v6) == 0)
        memcpy(ret_address, &v6, sizeof v6);
    else
        return QK_ERR_INVALID;
    return QK_OK;
}

void address_text(const struct sockaddr_storage *address, char *ret_text, size_t len)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    ret_text[0] = '\0';
    if (address->ss_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        (void)uv_ip4_name(&v4, ret_text, len);
    } else if (address->ss_family == AF_INET6) {
        memcpy(&v6, address, sizeof v6);
        (void)uv_ip6_name(&v6, ret_text, len);
    }
}

bool address_mapped(const struct sockaddr_storage *address,
                    uint8_t ret_bytes[static BUCKET_ADDRESS_BYTES])
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    memset(ret_bytes, 0, BUCKET_ADDRESS_BYTES);
    if (address->ss_family == AF_INET) {
        memcpy(&v4, address, sizeof v4);
        ret_bytes[10] = ret_bytes[11] = 0xff;
        memcpy(ret_bytes + 12, &v4.sin_addr, 4);
    } else if (address->ss_family == AF_INET6) {
        memcpy(&v6, address, sizeof v6);
        memcpy(ret_bytes, &v6.sin6_addr, 16);
    }
    return address->ss_family == AF_INET || address->ss_family == AF_INET6;
}

void address_bucket(const struct sockaddr_storage *address,
                    uint8_t ret_key[static BUCKET_ADDRESS_BYTES])
{
    if (address_mapped(address, ret_key) && address->ss_family == AF_INET6 &&
        !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)ret_key))
        memset(ret_key + 8, 0, 8);
}
