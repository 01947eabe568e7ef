#include <string.h>

#include "fetch/fetch.h"

struct prefix {
    uint8_t address[LINK_ALLOW_ADDRESS_BYTES];
    unsigned bits;
};

/* What is no address of somebody else's public server: IANA's registries of special addresses for
 * IPv4 (mapped, so that each has 96 bits more) and IPv6. A server that can be told to ask these
 * would ask, in its own place in the network, what whoever told it cannot reach. */
static const struct prefix SPECIAL[] = {
    {{[10] = 0xff, [11] = 0xff, [12] = 0}, 96 + 8},          /* this host */
    {{[10] = 0xff, [11] = 0xff, [12] = 10}, 96 + 8},         /* private */
    {{[10] = 0xff, [11] = 0xff, [12] = 100, 64}, 96 + 10},   /* shared by carriers */
    {{[10] = 0xff, [11] = 0xff, [12] = 127}, 96 + 8},        /* loopback */
    {{[10] = 0xff, [11] = 0xff, [12] = 169, 254}, 96 + 16},  /* link-local, clouds' metadata */
    {{[10] = 0xff, [11] = 0xff, [12] = 172, 16}, 96 + 12},   /* private */
    {{[10] = 0xff, [11] = 0xff, [12] = 192, 0, 0}, 96 + 24}, /* protocols */
    {{[10] = 0xff, [11] = 0xff, [12] = 192, 168}, 96 + 16},  /* private */
    {{[10] = 0xff, [11] = 0xff, [12] = 198, 18}, 96 + 15},   /* benchmarks */
    {{[10] = 0xff, [11] = 0xff, [12] = 224}, 96 + 3},        /* multicast and reserved */
    {{0}, 96},                                               /* ::, ::1, IPv4-compatible */
    {{0x00, 0x64, 0xff, 0x9b}, 32},                          /* IPv4 behind a translation */
    {{0x20, 0x02}, 16},                                      /* 6to4, holds an IPv4 address */
    {{0x20, 0x01, 0x00, 0x00}, 23},                          /* protocols, Teredo */
    {{0xfc}, 7},                                             /* private */
    {{0xfe, 0x80}, 10},                                      /* link-local */
    {{0xfe, 0xc0}, 10},                                      /* site-local, given up */
    {{0xff}, 8},                                             /* multicast */
};

static bool has_prefix(const struct prefix *prefix, const uint8_t *address)
{
    unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;
    uint8_t mask = (uint8_t)(0xff00u >> rest);

    return memcmp(prefix->address, address, whole) == 0 &&
           (rest == 0 || ((prefix->address[whole] ^ address[whole]) & mask) == 0);
}

bool fetch_may_reach(const struct link_allow *allow,
                     const uint8_t address[static LINK_ALLOW_ADDRESS_BYTES])
{
    if (allow->n > 0)
        return link_allow_has(allow, address);
    for (size_t i = 0; i < sizeof SPECIAL / sizeof SPECIAL[0]; i++) {
        if (has_prefix(&SPECIAL[i], address))
            return false;
    }
    return true;
}
