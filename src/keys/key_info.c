#include "keys/key_info.h"

#include <assert.h>

struct key_limits key_limits_in_force(const struct key_limits *limits)
{
    return (struct key_limits){
        .records = limits->records != 0 ? limits->records : KEY_LIMIT_RECORDS_DEFAULT,
        .bytes = limits->bytes != 0 ? limits->bytes : KEY_LIMIT_BYTES_DEFAULT,
        .age_s = limits->age_s != 0 ? limits->age_s : KEY_LIMIT_AGE_S_DEFAULT,
    };
}

bool key_limits_are_good(const struct key_limits *limits)
{
    return (limits->records == 0 || limits->records >= KEY_LIMIT_RECORDS_MIN) &&
           (limits->bytes == 0 || limits->bytes >= KEY_LIMIT_BYTES_MIN) &&
           (limits->age_s == 0 || limits->age_s >= KEY_LIMIT_AGE_S_MIN);
}

void key_info_put(const struct key_info *info, struct buf *out)
{
    assert(info->versions_n <= KEY_VERSIONS_MAX);

    buf_put_u8(out, KEY_INFO_FORMAT);
    buf_put_u32(out, info->active);
    buf_put_u64(out, info->limits.records);
    buf_put_u64(out, info->limits.bytes);
    buf_put_u64(out, info->limits.age_s);
    buf_put_u16(out, (uint16_t)info->versions_n);
}

void key_info_put_version(const struct key_version_info *version, struct buf *out)
{
    buf_put_u32(out, version->version);
    buf_put_u8(out, version->state);
    buf_put_u8(out, version->suite);
    buf_put_u64(out, version->created_s);
}

struct key_version_info key_info_version(const struct key_info *info, size_t at)
{
    const uint8_t *in = info->versions.data + at * KEY_INFO_VERSION_BYTES;

    assert(at < info->versions_n);
    return (struct key_version_info){
        .version = get_u32(in), .state = in[4], .suite = in[5], .created_s = get_u64(in + 6)};
}

/* One active version at most, the one that the head names. */
static enum qk_err versions_check(const struct key_info *info)
{
    uint32_t before = 0, active = 0;

    for (size_t i = 0; i < info->versions_n; i++) {
        struct key_version_info version = key_info_version(info, i);

        if (version.version <= before || version.suite == 0)
            return QK_ERR_CORRUPT;
        if (version.state < KEY_ACTIVE || version.state > KEY_DESTROYED)
            return QK_ERR_CORRUPT;
        if (version.state == KEY_ACTIVE && active != 0)
            return QK_ERR_CORRUPT;
        if (version.state == KEY_ACTIVE)
            active = version.version;
        before = version.version;
    }
    return active == info->active ? QK_OK : QK_ERR_CORRUPT;
}

enum qk_err key_info_read(struct reader *reader, struct key_info *ret_info)
{
    struct key_info info;
    uint8_t format = reader_u8(reader);
    enum qk_err err;

    if (reader_error(reader) == QK_OK && format != KEY_INFO_FORMAT)
        return QK_ERR_UNSUPPORTED;
    info.active = reader_u32(reader);
    info.limits.records = reader_u64(reader);
    info.limits.bytes = reader_u64(reader);
    info.limits.age_s = reader_u64(reader);
    info.versions_n = reader_u16(reader);
    if (info.versions_n == 0 || info.versions_n > KEY_VERSIONS_MAX)
        return QK_ERR_CORRUPT;
    info.versions = reader_bytes(reader, info.versions_n * KEY_INFO_VERSION_BYTES);
    if (reader_error(reader) != QK_OK)
        return QK_ERR_CORRUPT;
    err = versions_check(&info);
    if (err == QK_OK)
        *ret_info = info;
    return err;
}
