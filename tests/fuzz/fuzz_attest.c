/* First byte % 3: 0 a request to the launcher, 1 its reply, 2 what the attestation hook wrote, with
 * its exit status. A packet that is read is written again as the same bytes; a yes needs exit
 * status 0 and its exact word. */
#include <string.h>

#include "fuzz.h"
#include "node/launcher_wire.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct launcher_request request = {1, 0, 2000, bytes_str("{\"version\":1}")};
    struct launcher_reply reply = {
        1, {ATTEST_EXITED, 0, bytes_str("{\"decision\":\"allow\"}"), bytes_str("oops")}};

    buf_put_u8(out, (uint8_t)number);
    if (number == 0)
        launcher_request_encode(&request, out);
    else if (number == 1)
        launcher_reply_encode(&reply, out);
    else if (number == 2)
        buf_put(out, "\0{\"decision\":\"deny\",\"reason\":\"no\"}", 34);
    return number < 3;
}

static void fuzz_packet(struct bytes in, bool is_request)
{
    struct buf again = BUF_INIT(LAUNCHER_PACKET_BYTES_MAX);
    struct launcher_request request;
    struct launcher_reply reply;

    if (is_request && launcher_request_decode(in, &request) == QK_OK)
        launcher_request_encode(&request, &again);
    else if (!is_request && launcher_reply_decode(in, &reply) == QK_OK)
        launcher_reply_encode(&reply, &again);
    else
        return;
    fuzz_require(bytes_equal(in, buf_bytes(&again)));
    buf_fini(&again);
}

static void fuzz_output(struct bytes in)
{
    struct attest_result result = {.end = ATTEST_EXITED};
    struct attest_judgement judgement;

    if (in.len == 0)
        return;
    result.code = in.data[0];
    result.output = bytes_slice(in, 1, ATTEST_OUTPUT_BYTES_MAX);
    attest_judge(&result, &judgement);
    fuzz_require(strlen(judgement.reason) < ATTEST_REASON_BYTES);
    if (judgement.answer == SEAL_ATTEST_ALLOW)
        fuzz_require(result.code == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in;

    if (len == 0)
        return 0;
    in = bytes_of(data + 1, len - 1);
    if (data[0] % 3 == 2)
        fuzz_output(in);
    else
        fuzz_packet(in, data[0] % 3 == 0);
    return 0;
}
