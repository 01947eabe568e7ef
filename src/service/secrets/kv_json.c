/* Secrets' metadata in Vault's shapes. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "service/params.h"
#include "service/secrets/kv_meta.h"

#define TIME_TEXT_BYTES 32

/* RFC 3339; empty for "never". */
static const char *time_format(uint64_t time_s, char ret_text[static TIME_TEXT_BYTES])
{
    time_t seconds = (time_t)time_s;
    struct tm utc;

    ret_text[0] = '\0';
    if (time_s != 0 && gmtime_r(&seconds, &utc) != NULL &&
        strftime(ret_text, TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        ret_text[0] = '\0';
    return ret_text;
}

static json_t *custom_json(const struct kv_meta *meta)
{
    return meta->custom == NULL ? json_null() : json_incref(meta->custom);
}

json_t *kv_version_json(const struct kv_meta *meta, uint64_t number, bool with_custom)
{
    const struct kv_version *version = kv_meta_version(meta, number);
    char created[TIME_TEXT_BYTES], deletion[TIME_TEXT_BYTES];

    return json_pack("{s:s, s:o, s:s, s:b, s:I}", "created_time",
                     time_format(version->created_s, created), "custom_metadata",
                     with_custom ? custom_json(meta) : json_null(), "deletion_time",
                     time_format(version->deletion_s, deletion), "destroyed", version->destroyed,
                     "version", (json_int_t)number);
}

static json_t *versions_json(const struct kv_meta *meta)
{
    json_t *versions = json_object();
    uint64_t number = meta->current - meta->versions_n;

    for (size_t i = 0; i < meta->versions_n; i++) {
        char created[TIME_TEXT_BYTES], deletion[TIME_TEXT_BYTES], name[24];

        (void)snprintf(name, sizeof(name), "%" PRIu64, ++number);
        if (json_object_set_new(versions, name,
                                json_pack("{s:s, s:s, s:b}", "created_time",
                                          time_format(meta->versions[i].created_s, created),
                                          "deletion_time",
                                          time_format(meta->versions[i].deletion_s, deletion),
                                          "destroyed", meta->versions[i].destroyed)) != 0) {
            json_decref(versions);
            return NULL;
        }
    }
    return versions;
}

json_t *kv_meta_json(const struct kv_meta *meta)
{
    char created[TIME_TEXT_BYTES], updated[TIME_TEXT_BYTES], after[DURATION_TEXT_BYTES];
    json_t *versions = versions_json(meta);

    if (versions == NULL)
        return NULL;
    duration_format((int64_t)meta->delete_after_s, after);
    return json_pack("{s:b, s:s, s:I, s:o, s:s, s:I, s:I, s:s, s:o}", "cas_required",
                     meta->cas_required, "created_time", time_format(meta->created_s, created),
                     "current_version", (json_int_t)meta->current, "custom_metadata",
                     custom_json(meta), "delete_version_after", after, "max_versions",
                     (json_int_t)meta->max_versions, "oldest_version", (json_int_t)meta->oldest,
                     "updated_time", time_format(meta->updated_s, updated), "versions", versions);
}

json_t *kv_config_json(const struct kv_config *config)
{
    char after[DURATION_TEXT_BYTES];

    duration_format(config->delete_after_off ? -1 : (int64_t)config->delete_after_s, after);
    return json_pack("{s:b, s:s, s:I}", "cas_required", config->cas_required,
                     "delete_version_after", after, "max_versions",
                     (json_int_t)config->max_versions);
}

/* --- durations --- */

/* Digits with at most one point, in thousandths; `*at` moves past them. */
static bool number_take(struct bytes text, size_t *at, uint64_t *ret_thousandths)
{
    uint64_t whole = 0, fraction = 0, scale = 1000;
    size_t began = *at;

    for (; *at < text.len && text.data[*at] >= '0' && text.data[*at] <= '9'; (*at)++) {
        if (whole > 100 * KV_DURATION_S_MAX)
            return false;
        whole = 10 * whole + (uint64_t)(text.data[*at] - '0');
    }
    if (*at == began)
        return false;
    if (*at < text.len && text.data[*at] == '.') {
        for (++*at; *at < text.len && text.data[*at] >= '0' && text.data[*at] <= '9'; (*at)++) {
            scale /= 10;
            fraction += scale * (uint64_t)(text.data[*at] - '0');
        }
    }
    *ret_thousandths = 1000 * whole + fraction;
    return true;
}

/* Milliseconds in the unit at `*at`, which moves past it; 0: none. Whole seconds need no unit. */
static uint64_t unit_take(struct bytes text, size_t *at)
{
    struct bytes rest = bytes_slice(text, *at, text.len);

    if (bytes_starts_with(rest, bytes_str("ms"))) {
        *at += 2;
        return 1;
    }
    if (rest.len == 0)
        return 0;
    ++*at;
    switch (rest.data[0]) {
    case 's':
        return 1000;
    case 'm':
        return 60 * 1000;
    case 'h':
        return 3600 * 1000;
    case 'd': /* not Go's, but what people write */
        return 24 * 3600 * 1000;
    default:
        return 0;
    }
}

enum qk_err duration_parse(struct bytes text, int64_t *ret_seconds)
{
    bool minus = text.len > 0 && text.data[0] == '-';
    size_t at = minus ? 1 : 0;
    uint64_t total_ms = 0, number, unit;

    if (parse_u64(bytes_slice(text, at, text.len), &number)) {
        if (number > KV_DURATION_S_MAX)
            return QK_ERR_INVALID;
        *ret_seconds = minus ? -(int64_t)number : (int64_t)number;
        return QK_OK;
    }
    if (at == text.len)
        return QK_ERR_INVALID;
    while (at < text.len) {
        if (!number_take(text, &at, &number))
            return QK_ERR_INVALID;
        unit = unit_take(text, &at);
        if (unit == 0 || number > INT64_MAX / unit)
            return QK_ERR_INVALID;
        total_ms += number * unit / 1000;
        if (total_ms > 1000 * KV_DURATION_S_MAX)
            return QK_ERR_INVALID;
    }
    *ret_seconds = (int64_t)(total_ms / 1000);
    if (minus)
        *ret_seconds = -*ret_seconds;
    return QK_OK;
}

void duration_format(int64_t seconds, char ret_text[static DURATION_TEXT_BYTES])
{
    const char *sign = seconds < 0 ? "-" : "";
    uint64_t rest = (uint64_t)(seconds < 0 ? -seconds : seconds);
    uint64_t hours = rest / 3600, minutes = rest / 60 % 60;

    rest %= 60;
    if (hours > 0)
        (void)snprintf(ret_text, DURATION_TEXT_BYTES, "%s%" PRIu64 "h%" PRIu64 "m%" PRIu64 "s",
                       sign, hours, minutes, rest);
    else if (minutes > 0)
        (void)snprintf(ret_text, DURATION_TEXT_BYTES, "%s%" PRIu64 "m%" PRIu64 "s", sign, minutes,
                       rest);
    else
        (void)snprintf(ret_text, DURATION_TEXT_BYTES, "%s%" PRIu64 "s", sign, rest);
}
