/* The clear part of a key's record: what is read is written again as the same. */
#include <string.h>

#include "fuzz.h"
#include "keys/key_info.h"

bool fuzz_seed(unsigned number, struct buf *out)
{
    struct key_info info = {.active = 2, .limits = {1000, 0, 86400}, .versions_n = 2};
    struct key_version_info version = {1, KEY_DECRYPT_ONLY, 1, 1700000000};

    if (number >= 2)
        return false;
    info.active = number == 0 ? 2 : 0;
    key_info_put(&info, out);
    key_info_put_version(&version, out);
    version = (struct key_version_info){2, number == 0 ? KEY_ACTIVE : KEY_DESTROYED, 2, 5};
    key_info_put_version(&version, out);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf again = BUF_INIT(KEY_INFO_BYTES_MAX);
    struct reader reader = reader_of(bytes_of(data, len));
    struct key_info info;

    if (key_info_read(&reader, &info) != QK_OK)
        return 0;
    key_info_put(&info, &again);
    for (size_t i = 0; i < info.versions_n; i++) {
        struct key_version_info version = key_info_version(&info, i);

        key_info_put_version(&version, &again);
    }
    fuzz_require(buf_error(&again) == QK_OK && again.len == reader.at);
    fuzz_require(memcmp(again.data, data, again.len) == 0);
    buf_fini(&again);
    return 0;
}
