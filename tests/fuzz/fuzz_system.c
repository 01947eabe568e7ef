/* Clear system records (service/system): by the first byte the cluster's settings, hold and
 * suspensions, or its time. What decodes must encode to something that decodes to the same. */
#include <string.h>

#include "fuzz.h"
#include "service/clock.h"
#include "service/system.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct system_cluster cluster = {.name = "home", .threshold = 2, .release_limit = 7};
    struct system_control control = {
        .hold = true, .hold_number = 9, .suspended_n = 2, .suspended = {{1}, {2}}};

    if (number > 2)
        return false;
    buf_put_u8(out, (uint8_t)number);
    if (number == 0)
        system_cluster_encode(&cluster, out);
    else if (number == 1)
        system_control_encode(&control, out);
    else
        clock_record_encode(1700000000, out);
    return true;
}

static bool again(unsigned which, struct bytes in, struct buf *out)
{
    struct system_cluster cluster;
    struct system_control control;
    uint64_t time_s;

    if (which == 0 && system_cluster_decode(in, &cluster) == QK_OK)
        system_cluster_encode(&cluster, out);
    else if (which == 1 && system_control_decode(in, &control) == QK_OK)
        system_control_encode(&control, out);
    else if (which >= 2 && clock_record_decode(in, &time_s) == QK_OK)
        clock_record_encode(time_s, out);
    else
        return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf first = BUF_INIT(SYSTEM_VALUE_BYTES_MAX), second = BUF_INIT(SYSTEM_VALUE_BYTES_MAX);

    if (len == 0 || !again(data[0] & 3, bytes_of(data + 1, len - 1), &first))
        return 0;
    fuzz_require(again(data[0] & 3, buf_bytes(&first), &second));
    fuzz_require(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
