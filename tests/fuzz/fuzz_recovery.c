/* Recovery shares and their record. First byte modulo three: the rest is a share's text; its
 * payload under a right checksum; the record. What is read is written again as the same. */
#include <string.h>

#include "base/encode.h"
#include "fuzz.h"
#include "keyslot/recovery.h"

static const uint8_t cluster[CLUSTER_ID_BYTES] = "a cluster's id.";

static void seed_all(unsigned number, struct buf *out)
{
    struct secret *mk = fuzz_key(1);
    struct buf texts = BUF_SECRET_INIT(8 * KIB);
    struct recovery_set set;
    struct bytes text;

    fuzz_must(recovery_set_make(cluster, 1, 1800000000, 5, 3, 1, mk, &set, &texts));
    text = bytes_slice(buf_bytes(&texts), 0, RECOVERY_TEXT_BYTES);
    if (number == 0)
        buf_put_bytes(out, text);
    else if (number == 1)
        fuzz_must(bech32m_decode("qkr", text, out));
    else
        recovery_set_encode(&set, out);
    buf_fini(&texts);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= 3)
        return false;
    buf_put_u8(out, (uint8_t)number);
    seed_all(number, out);
    return true;
}

static void fuzz_text(struct bytes text)
{
    struct buf once = BUF_SECRET_INIT(RECOVERY_TEXT_BYTES_MAX);
    struct buf twice = BUF_SECRET_INIT(RECOVERY_TEXT_BYTES_MAX);
    struct recovery_share share;

    if (recovery_share_decode(text, &share) != QK_OK)
        return;
    fuzz_must(recovery_share_encode(&share, &once));
    recovery_share_fini(&share);
    fuzz_must(recovery_share_decode(buf_bytes(&once), &share));
    fuzz_must(recovery_share_encode(&share, &twice));
    fuzz_require(bytes_equal(buf_bytes(&once), buf_bytes(&twice)));
    recovery_share_fini(&share);
    buf_fini(&once);
    buf_fini(&twice);
}

static void fuzz_record(struct bytes in)
{
    struct buf once = BUF_INIT(RECOVERY_RECORD_BYTES_MAX);
    struct recovery_set set, again;

    if (recovery_set_decode(in, &set) != QK_OK)
        return;
    recovery_set_encode(&set, &once);
    fuzz_must(recovery_set_decode(buf_bytes(&once), &again));
    fuzz_require(memcmp(&set, &again, sizeof set) == 0);
    buf_fini(&once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);
    struct buf text = BUF_SECRET_INIT(8 * KIB);

    if (len == 0)
        return 0;
    if (data[0] % 3 == 0)
        fuzz_text(in);
    else if (data[0] % 3 == 2)
        fuzz_record(in);
    else if (bech32m_encode("qkr", in, &text) == QK_OK)
        fuzz_text(buf_bytes(&text));
    buf_fini(&text);
    return 0;
}
