/* The list of addresses that may connect: what it takes, what it refuses, whom it lets in. */
#include "link/allow.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static enum qk_err parse(const char *text, struct link_allow *allow)
{
    struct buf message = BUF_INIT(1024);
    enum qk_err err = link_allow_parse(text, allow, &message);

    cr_assert_eq(err == QK_OK, message.len == 0, "'%s': %.*s", text, (int)message.len,
                 (const char *)message.data);
    buf_fini(&message);
    return err;
}

static bool has(const struct link_allow *allow, const char *text)
{
    uint8_t address[16] = {[10] = 0xff, [11] = 0xff};

    if (inet_pton(AF_INET, text, address + 12) != 1)
        cr_assert_eq(inet_pton(AF_INET6, text, address), 1, "%s", text);
    return link_allow_has(allow, address);
}

Test(allow, an_empty_list_lets_everybody_in)
{
    struct link_allow allow = {.n = 0};

    cr_assert(has(&allow, "192.0.2.1"));
    cr_assert(has(&allow, "2001:db8::1"));
}

Test(allow, prefixes_and_single_addresses_of_both_kinds)
{
    struct link_allow allow;

    cr_assert_eq(parse("10.0.0.0/8, 192.168.1.7 ,\t::1/128,fd00::/9,172.16.0.0/12", &allow), QK_OK);
    cr_assert_eq(allow.n, 5);
    cr_assert(has(&allow, "10.255.0.1"));
    cr_assert_not(has(&allow, "11.0.0.1"));
    cr_assert(has(&allow, "192.168.1.7"));
    cr_assert_not(has(&allow, "192.168.1.6"));
    cr_assert(has(&allow, "::1"));
    cr_assert_not(has(&allow, "::2"));
    cr_assert(has(&allow, "fd7f::1"));
    cr_assert_not(has(&allow, "fd80::1"));
    cr_assert(has(&allow, "172.31.255.255"));
    cr_assert_not(has(&allow, "172.32.0.0"));
}

Test(allow, an_ipv4_address_is_the_same_mapped_into_ipv6)
{
    struct link_allow allow;

    cr_assert_eq(parse("10.0.0.0/8", &allow), QK_OK);
    cr_assert(has(&allow, "::ffff:10.1.2.3"));
    cr_assert_not(has(&allow, "::10.1.2.3"));
    cr_assert_eq(parse("::ffff:10.0.0.0/104", &allow), QK_OK);
    cr_assert(has(&allow, "10.1.2.3"));
    cr_assert_not(has(&allow, "11.1.2.3"));
}

Test(allow, everything_of_one_kind_is_not_everything)
{
    struct link_allow allow;

    cr_assert_eq(parse("0.0.0.0/0", &allow), QK_OK);
    cr_assert(has(&allow, "203.0.113.9"));
    cr_assert_not(has(&allow, "2001:db8::1"));
    cr_assert_eq(parse("::/0", &allow), QK_OK);
    cr_assert(has(&allow, "2001:db8::1"));
    cr_assert(has(&allow, "203.0.113.9"), "which is mapped into it");
}

Test(allow, what_is_no_address_is_refused_and_changes_nothing)
{
    static const char *const bad[] = {
        "",
        " ",
        ",",
        "10.0.0.0/8,",
        ",10.0.0.0/8",
        "10.0.0/8",
        "10.0.0.0/",
        "10.0.0.0/33",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "10.0.0.0/8/8",
        "10.0.0.1/8",
        "localhost",
        "fd00::/129",
        "fd00::1/64",
        "::ffff:10.0.0.0/129",
        "[::1]/128",
        "10.0.0.0 /8",
        "0x0a.0.0.0",
        "10.0.0.0/8 11.0.0.0/8",
        "1234567890123456789012345678901234567890123456789012345678901234567890",
    };
    struct link_allow allow = {.n = 7};

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert_eq(parse(bad[i], &allow), QK_ERR_INVALID, "'%s'", bad[i]);
    cr_assert_eq(allow.n, 7);
}

Test(allow, as_many_as_there_is_room_for_and_no_more)
{
    struct buf text = BUF_INIT(4096);
    struct link_allow allow;

    for (unsigned i = 0; i < LINK_ALLOW_MAX; i++)
        buf_printf(&text, "%s10.0.0.%u", i > 0 ? "," : "", i);
    buf_put_u8(&text, 0);
    cr_assert_eq(parse((const char *)text.data, &allow), QK_OK);
    cr_assert_eq(allow.n, LINK_ALLOW_MAX);
    text.len--;
    buf_put_str(&text, ",10.1.0.0");
    buf_put_u8(&text, 0);
    cr_assert_eq(parse((const char *)text.data, &allow), QK_ERR_TOO_BIG);
    buf_fini(&text);
}
