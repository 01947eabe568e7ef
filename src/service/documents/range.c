#include "service/documents/range.h"

#include <string.h>

#include "service/params.h"

static struct bytes trim(struct bytes text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = bytes_slice(text, 1, text.len);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* What stands before the next `byte`, trimmed; the rest moves past it. */
static struct bytes take(struct bytes *rest, uint8_t byte)
{
    const uint8_t *at = rest->len == 0 ? NULL : memchr(rest->data, byte, rest->len);
    size_t len = at == NULL ? rest->len : (size_t)(at - rest->data);
    struct bytes one = trim(bytes_slice(*rest, 0, len));

    *rest = bytes_slice(*rest, at == NULL ? rest->len : len + 1, rest->len);
    return one;
}

/* --- ranges ----------------------------------------------------------------------------------- */

enum found { FOUND_RANGE, FOUND_WHOLE, FOUND_OUTSIDE };

static enum found find_suffix(struct bytes last, uint64_t length, struct range *ret_range)
{
    uint64_t n;

    if (!parse_u64(last, &n))
        return FOUND_WHOLE;
    if (n == 0 || length == 0)
        return FOUND_OUTSIDE;
    *ret_range = (struct range){n > length ? 0 : length - n, length};
    return FOUND_RANGE;
}

/* `from-to`, `from-`, or `-n`: the last n. */
static enum found find_one(struct bytes text, uint64_t length, struct range *ret_range)
{
    bool has_dash = text.len > 0 && memchr(text.data, '-', text.len) != NULL;
    struct bytes first = take(&text, '-'), last = trim(text);
    uint64_t from, to = length - 1;

    if (!has_dash)
        return FOUND_WHOLE;
    if (first.len == 0)
        return find_suffix(last, length, ret_range);
    if (!parse_u64(first, &from) || (last.len > 0 && !parse_u64(last, &to)))
        return FOUND_WHOLE;
    if (last.len == 0 && from == 0)
        return FOUND_WHOLE;
    if (from >= length || to < from)
        return FOUND_OUTSIDE;
    *ret_range = (struct range){from, to >= length ? length : to + 1};
    return FOUND_RANGE;
}

enum qk_err ranges_parse(struct bytes field, uint64_t length, struct ranges *ret_ranges)
{
    struct bytes rest = trim(field), unit = take(&rest, '=');
    struct ranges ranges = {.n = 0};

    ret_ranges->n = 0;
    if (!bytes_equal(unit, bytes_str("bytes")) || rest.len == 0)
        return QK_OK;
    while (rest.len > 0) {
        struct range one;
        enum found found = find_one(take(&rest, ','), length, &one);

        if (found == FOUND_OUTSIDE)
            return QK_ERR_INVALID;
        if (found == FOUND_WHOLE || ranges.n == RANGES_MAX)
            return QK_OK;
        ranges.items[ranges.n++] = one;
    }
    *ret_ranges = ranges;
    return QK_OK;
}

/* --- accept ----------------------------------------------------------------------------------- */

static bool is_none(struct bytes params)
{
    while (params.len > 0) {
        struct bytes one = take(&params, ';');

        if (!bytes_starts_with(one, bytes_str("q=0")))
            continue;
        one = bytes_slice(one, 3, one.len);
        while (one.len > 0 && (one.data[0] == '.' || one.data[0] == '0'))
            one = bytes_slice(one, 1, one.len);
        return one.len == 0;
    }
    return false;
}

static bool is_like(struct bytes range, const char *type)
{
    size_t len = strlen(type), half = strcspn(type, "/") + 1;

    if (bytes_equal(range, bytes_str("*/*")) || bytes_equal(range, bytes_str("*")))
        return true;
    if (range.len == len && strncasecmp((const char *)range.data, type, len) == 0)
        return true;
    return range.len == half + 1 && range.data[half] == '*' &&
           strncasecmp((const char *)range.data, type, half) == 0;
}

bool accept_takes(struct bytes accept, const char *type)
{
    bool takes = trim(accept).len == 0;

    while (accept.len > 0) {
        struct bytes params = take(&accept, ','), range = take(&params, ';');

        if (!is_like(range, type))
            continue;
        if (is_none(params) && range.data[range.len - 1] != '*')
            return false;
        takes = takes || !is_none(params);
    }
    return takes;
}
