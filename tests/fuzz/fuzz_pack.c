/* MessagePack: whatever our reader passes over as one value, msgpack-c must read as one value of
 * the same length. The other direction is not asked: ours has a limit of depth, and msgpack-c
 * reserves what an array claims. The first byte chooses: 0 skip, else a row of typed reads. */
#include <msgpack.h>

#include "fuzz.h"
#include "wire/pack.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= 4)
        return false;
    buf_put_u8(out, (uint8_t)(number * 7));
    pack_map(out, 3);
    pack_text(out, "name");
    pack_str(out, bytes_str("Zo\xc3\xab"));
    pack_text(out, "list");
    pack_array(out, 5);
    pack_u64(out, 1);
    pack_u64(out, UINT64_MAX);
    pack_bool(out, true);
    pack_nil(out);
    pack_bin(out, bytes_str("\x01\x02"));
    pack_text(out, "n");
    pack_u64(out, (uint64_t)1 << (8 * number));
    return true;
}

static void against_msgpack(struct bytes in)
{
    struct unpack unpack = unpack_of(in);
    msgpack_unpacked result;
    size_t at = 0;

    unpack_skip(&unpack);
    if (unpack_error(&unpack) != QK_OK)
        return;
    msgpack_unpacked_init(&result);
    fuzz_require(msgpack_unpack_next(&result, (const char *)in.data, in.len, &at) ==
                 MSGPACK_UNPACK_SUCCESS);
    fuzz_require(at == unpack.in.at);
    msgpack_unpacked_destroy(&result);
}

static void read_one(struct unpack *unpack, unsigned what)
{
    uint8_t fixed[16];
    char text[24];

    switch (what) {
    case 0:
        (void)unpack_array(unpack, 100);
        break;
    case 1:
        (void)unpack_map(unpack, 100);
        break;
    case 2:
        (void)unpack_u64(unpack);
        break;
    case 3:
        (void)unpack_bool(unpack);
        break;
    case 4:
        fuzz_touch(unpack_bin(unpack, 1000));
        break;
    case 5:
        fuzz_touch(unpack_str(unpack, 1000));
        break;
    case 6:
        unpack_bin_copy(unpack, fixed, sizeof fixed);
        break;
    default:
        unpack_str_copy(unpack, text, sizeof text);
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = bytes_of(data, len);
    struct unpack unpack = unpack_of(bytes_slice(in, 1, len));
    unsigned script = len == 0 ? 0 : data[0];

    if (script == 0) {
        against_msgpack(unpack.in.in);
        return 0;
    }
    for (unsigned i = 0; i < 8 && unpack_error(&unpack) == QK_OK; i++) {
        read_one(&unpack, script % 8);
        script = script * 5 + 1;
    }
    fuzz_any(unpack_end(&unpack));
    return 0;
}
