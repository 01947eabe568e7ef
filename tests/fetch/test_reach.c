#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <string.h>

#include "fetch/fetch.h"

static bool may(const char *allow_text, const char *text)
{
    struct link_allow allow = {0};
    struct buf why = BUF_INIT(512);
    uint8_t address[LINK_ALLOW_ADDRESS_BYTES] = {[10] = 0xff, [11] = 0xff};

    if (allow_text != NULL)
        cr_assert_eq(link_allow_parse(allow_text, &allow, &why), QK_OK);
    if (inet_pton(AF_INET, text, address + 12) != 1)
        cr_assert_eq(inet_pton(AF_INET6, text, address), 1, "%s", text);
    buf_fini(&why);
    return fetch_may_reach(&allow, address);
}

Test(reach, special_addresses_are_refused_unless_they_are_named)
{
    static const char *const SPECIAL[] = {
        "0.0.0.0",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.168.1.1",
        "198.18.0.1",
        "198.19.255.255",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::",
        "2001::1",
        "fc00::1",
        "fd12::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    };

    for (size_t i = 0; i < sizeof SPECIAL / sizeof SPECIAL[0]; i++)
        cr_assert(!may(NULL, SPECIAL[i]), "%s", SPECIAL[i]);
    cr_assert(may("127.0.0.0/8", "127.0.0.1"));
    cr_assert(may("::1/128", "::1"));
}

Test(reach, public_addresses_are_reached_unless_others_are_named)
{
    static const char *const PUBLIC[] = {
        "1.1.1.1",         "9.255.255.255",   "11.0.0.0",    "100.63.255.255",
        "100.128.0.0",     "126.0.0.1",       "128.0.0.1",   "172.15.255.255",
        "172.32.0.0",      "192.167.0.1",     "192.169.0.1", "198.20.0.1",
        "223.255.255.255", "2606:4700::1111", "2a00::1",     "2001:200::1",
    };

    for (size_t i = 0; i < sizeof PUBLIC / sizeof PUBLIC[0]; i++) {
        cr_assert(may(NULL, PUBLIC[i]), "%s", PUBLIC[i]);
        cr_assert(!may("10.0.0.0/8", PUBLIC[i]), "%s", PUBLIC[i]);
    }
}
