#include <criterion/criterion.h>

#include "store/crc.h"

/* RFC 3720, appendix B.4. */
Test(crc, known_answers)
{
    uint8_t zeros[32] = {0}, ones[32], up[32], down[32];

    for (unsigned i = 0; i < 32; i++) {
        ones[i] = 0xff;
        up[i] = (uint8_t)i;
        down[i] = (uint8_t)(31 - i);
    }
    cr_assert_eq(crc32c(0, bytes_of(zeros, 32)), 0x8a9136aa);
    cr_assert_eq(crc32c(0, bytes_of(ones, 32)), 0x62a8ab43);
    cr_assert_eq(crc32c(0, bytes_of(up, 32)), 0x46dd794e);
    cr_assert_eq(crc32c(0, bytes_of(down, 32)), 0x113fdb5c);
    cr_assert_eq(crc32c(0, BYTES_NONE), 0);
}

/* A file written by one processor is read by another: any length, any alignment, in parts. */
Test(crc, with_and_without_the_instruction_are_the_same)
{
    uint8_t data[128];

    for (unsigned i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 37 + 11);
    for (size_t at = 0; at < 9; at++) {
        for (size_t len = 0; at + len <= sizeof data; len++) {
            struct bytes all = bytes_of(data + at, len);
            uint32_t parts = crc32c(0, bytes_slice(all, 0, len / 3));

            cr_assert_eq(crc32c(0, all), crc32c_by_tables(0, all));
            cr_assert_eq(crc32c(parts, bytes_slice(all, len / 3, len)), crc32c(0, all));
        }
    }
}
