#include "service/documents/range.h"

#include <criterion/criterion.h>
#include <stdio.h>

/* "from-to" of each, as in Content-Range; "whole", or "outside". */
static void is(const char *field, uint64_t length, const char *expected)
{
    char found[256] = "whole";
    struct ranges ranges;
    int len = 0;

    if (ranges_parse(bytes_str(field), length, &ranges) != QK_OK)
        snprintf(found, sizeof(found), "outside");
    for (unsigned i = 0; i < ranges.n; i++)
        len += snprintf(found + len, sizeof(found) - (size_t)len, "%s%llu-%llu", i == 0 ? "" : ",",
                        (unsigned long long)ranges.items[i].from,
                        (unsigned long long)ranges.items[i].to - 1);
    cr_assert_str_eq(found, expected, "%s of %llu: %s, not %s", field, (unsigned long long)length,
                     found, expected);
}

/* The cases of CouchDB's attachment_ranges tests, and those around them. */
Test(range, fields_are_read_as_couchdb_reads_them)
{
    is("", 29, "whole");
    is("bytes=0-28", 29, "0-28");
    is("bytes=0-", 29, "whole");
    is("bytes=0-,0-,0-", 29, "whole");
    is("bytes:0-", 29, "whole");
    is("bytes=2-", 29, "2-28");
    is("bytes=0-3", 29, "0-3");
    is("bytes=10-15", 29, "10-15");
    is("bytes=-3", 29, "26-28");
    is("bytes=-300", 29, "0-28");
    is("bytes=5-3", 29, "outside");
    is("bytes=300-310", 29, "outside");
    is("bytes=28-1000", 29, "28-28");
    is("bytes=29-", 29, "outside");
    is("bytes=-0", 29, "outside");
    is("bytes= 0-1 , 4-5", 29, "0-1,4-5");
    is("bytes=0-1,0-1,0-1,0-1,0-1,0-1,0-1,0-1,0-1,0-1", 29, "whole");
    is("bytes=0-0", 0, "outside");
    is("bytes=0-", 0, "whole");
}

Test(range, hostile_fields_are_the_whole)
{
    is("bytes=", 29, "whole");
    is("bytes=-", 29, "whole");
    is("bytes=,", 29, "whole");
    is("bytes=a-b", 29, "whole");
    is("bytes=1", 29, "whole");
    is("bytes=99999999999999999999999-1", 29, "whole");
    is("bytes=1-18446744073709551615", 29, "1-28");
    is("octets=1-2", 29, "whole");
    is("bytes=--1", 29, "whole");
}

Test(range, accept_takes_what_it_names)
{
    cr_assert(accept_takes(BYTES_NONE, "multipart/related"));
    cr_assert(accept_takes(bytes_str("*/*"), "multipart/related"));
    cr_assert(accept_takes(bytes_str("multipart/related,*/*;"), "multipart/related"));
    cr_assert(accept_takes(bytes_str("application/json, multipart/*;q=0.5"), "multipart/related"));
    cr_assert(accept_takes(bytes_str("Multipart/Related"), "multipart/related"));
    cr_assert_not(accept_takes(bytes_str("application/json"), "multipart/related"));
    cr_assert_not(accept_takes(bytes_str("multipart/mixed"), "multipart/related"));
    cr_assert_not(accept_takes(bytes_str("*/*, multipart/related;q=0"), "multipart/related"));
    cr_assert_not(accept_takes(bytes_str("*/*;q=0.0"), "multipart/related"));
    cr_assert_not(accept_takes(bytes_str(",;,;="), "multipart/related"));
}
