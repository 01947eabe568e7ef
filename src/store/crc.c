#include "store/crc.h"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif
#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected */

/* Eight tables, so that eight bytes are taken a step; filled once, before the first use by any
 * thread, and only read after. */
static uint32_t tables[8][256];
static pthread_once_t tables_once = PTHREAD_ONCE_INIT;

static void tables_fill(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;

        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
        tables[0][i] = crc;
    }
    for (unsigned t = 1; t < 8; t++)
        for (unsigned i = 0; i < 256; i++)
            tables[t][i] = tables[t - 1][i] >> 8 ^ tables[0][tables[t - 1][i] & 0xff];
}

static uint32_t load_le32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t crc_eight(uint32_t crc, const uint8_t *at)
{
    uint32_t low = load_le32(at) ^ crc, high = load_le32(at + 4);

    return tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^
           tables[4][low >> 24] ^ tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^
           tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
}

uint32_t crc32c_by_tables(uint32_t crc, struct bytes bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.len;

    (void)pthread_once(&tables_once, tables_fill);
    crc = ~crc;
    for (; left >= 8; left -= 8, at += 8)
        crc = crc_eight(crc, at);
    for (; left > 0; left--, at++)
        crc = crc >> 8 ^ tables[0][(crc ^ *at) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
/* Each row that is read is checked: an instruction for eight bytes where the tables take thirty. */
__attribute__((target("sse4.2"))) static uint32_t crc_by_instruction(uint32_t crc,
                                                                     struct bytes bytes)
{
    const uint8_t *at = bytes.data;
    size_t left = bytes.len;
    uint64_t state = ~crc;
    uint64_t eight;

    for (; left >= 8; left -= 8, at += 8) {
        memcpy(&eight, at, sizeof eight);
        state = _mm_crc32_u64(state, eight);
    }
    for (; left > 0; left--, at++)
        state = _mm_crc32_u8((uint32_t)state, *at);
    return ~(uint32_t)state;
}

uint32_t crc32c(uint32_t crc, struct bytes bytes)
{
    return __builtin_cpu_supports("sse4.2") ? crc_by_instruction(crc, bytes)
                                            : crc32c_by_tables(crc, bytes);
}
#else
uint32_t crc32c(uint32_t crc, struct bytes bytes)
{
    return crc32c_by_tables(crc, bytes);
}
#endif
