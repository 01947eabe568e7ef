/* The value of the SYS record "time". Apart from clock.c, so that it needs no store. */
#include "service/clock.h"

#include "wire/pack.h"

#define RECORD_VERSION 1
#define FIELDS_N 2
#define FIELDS_MAX 32

void clock_record_encode(uint64_t time_s, struct buf *out)
{
    pack_array(out, FIELDS_N);
    pack_u64(out, RECORD_VERSION);
    pack_u64(out, time_s);
}

enum qk_err clock_record_decode(struct bytes in, uint64_t *ret_time_s)
{
    struct unpack unpack = unpack_of(in);
    uint32_t items_n = unpack_array(&unpack, FIELDS_MAX);
    uint64_t version = unpack_u64(&unpack), time_s = unpack_u64_max(&unpack, CLOCK_TIME_S_MAX);

    for (uint32_t i = FIELDS_N; i < items_n; i++)
        unpack_skip(&unpack);
    if (items_n < FIELDS_N || version != RECORD_VERSION || unpack_end(&unpack) != QK_OK)
        return QK_ERR_CORRUPT;
    *ret_time_s = time_s;
    return QK_OK;
}
