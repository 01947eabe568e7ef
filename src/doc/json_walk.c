/* Text is copied in runs: of a string all that needs no escape, of a number all of it where its
 * text is surely what json_write_real or an integer's format would give. */
#include "doc/json_walk.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

/* --- blanks and single bytes --- */

static void skip_blanks(struct json_walk *walk)
{
    while (walk->at < walk->text.len) {
        uint8_t byte = walk->text.data[walk->at];

        if (byte != ' ' && byte != '\n' && byte != '\t' && byte != '\r')
            return;
        walk->at++;
    }
}

/* The byte that comes next; 0, which no JSON has, at the end. */
static uint8_t next_byte(struct json_walk *walk)
{
    skip_blanks(walk);
    return walk->at < walk->text.len ? walk->text.data[walk->at] : 0;
}

bool json_walk_byte(struct json_walk *walk, uint8_t byte)
{
    assert(byte != 0);

    if (walk->values_n > JSON_VALUES_MAX || next_byte(walk) != byte)
        return false;
    walk->at++;
    if (byte == ',' || byte == ':')
        walk->values_n++;
    return walk->values_n <= JSON_VALUES_MAX;
}

bool json_walk_end(struct json_walk *walk)
{
    skip_blanks(walk);
    return walk->at == walk->text.len;
}

/* --- strings --- */

#define EACH_BYTE(value) (0x0101010101010101u * (value))

/* Whether all eight bytes are ASCII that a string holds as it is: the usual tricks, one bit of each
 * byte tells. */
static bool eight_plain(const uint8_t *at)
{
    uint64_t word, quote, backslash;

    memcpy(&word, at, sizeof(word));
    quote = word ^ EACH_BYTE('"');
    backslash = word ^ EACH_BYTE('\\');
    return ((word | (word - EACH_BYTE(0x20)) | (quote - EACH_BYTE(1)) |
             (backslash - EACH_BYTE(1))) &
            EACH_BYTE(0x80)) == 0;
}

/* How many bytes from the cursor on stand in a string as they are. */
static size_t plain_run(const struct json_walk *walk, bool *ret_ascii)
{
    const uint8_t *start = walk->text.data + walk->at, *end = walk->text.data + walk->text.len;
    const uint8_t *at = start;
    uint8_t seen = 0;

    for (;;) {
        while (end - at >= 8 && eight_plain(at))
            at += 8;
        for (unsigned i = 0; i < 8; i++, at++) {
            if (at == end || *at < 0x20 || *at == '"' || *at == '\\') {
                *ret_ascii = seen < 0x80;
                return (size_t)(at - start);
            }
            seen |= *at;
        }
    }
}

static bool hex4(struct json_walk *walk, unsigned *ret_code)
{
    unsigned code = 0;

    if (walk->text.len - walk->at < 4)
        return false;
    for (unsigned i = 0; i < 4; i++) {
        uint8_t byte = walk->text.data[walk->at++], small = byte | 0x20;

        if (byte >= '0' && byte <= '9')
            code = code << 4 | (byte - '0');
        else if (small >= 'a' && small <= 'f')
            code = code << 4 | (small - 'a' + 10u);
        else
            return false;
    }
    *ret_code = code;
    return true;
}

static void put_code(unsigned code, struct buf *out)
{
    uint8_t text[4];
    size_t len = 1;

    if (code < 0x80) {
        text[0] = (uint8_t)code;
    } else if (code < 0x800) {
        text[0] = (uint8_t)(0xc0 | code >> 6);
        text[1] = (uint8_t)(0x80 | (code & 0x3f));
        len = 2;
    } else if (code < 0x10000) {
        text[0] = (uint8_t)(0xe0 | code >> 12);
        text[1] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        text[2] = (uint8_t)(0x80 | (code & 0x3f));
        len = 3;
    } else {
        text[0] = (uint8_t)(0xf0 | code >> 18);
        text[1] = (uint8_t)(0x80 | (code >> 12 & 0x3f));
        text[2] = (uint8_t)(0x80 | (code >> 6 & 0x3f));
        text[3] = (uint8_t)(0x80 | (code & 0x3f));
        len = 4;
    }
    json_write_text(bytes_of(text, len), out);
}

/* Behind "\u". Half a surrogate pair is an error, \u0000 in a name too. */
static bool unicode_escape(struct json_walk *walk, struct buf *out)
{
    unsigned code, low;

    if (!hex4(walk, &code) || code == 0 || (code >= 0xdc00 && code <= 0xdfff))
        return false;
    if (code >= 0xd800 && code <= 0xdbff) {
        if (walk->text.len - walk->at < 2 || walk->text.data[walk->at] != '\\' ||
            walk->text.data[walk->at + 1] != 'u')
            return false;
        walk->at += 2;
        if (!hex4(walk, &low) || low < 0xdc00 || low > 0xdfff)
            return false;
        code = 0x10000 + ((code - 0xd800) << 10 | (low - 0xdc00));
    }
    put_code(code, out);
    return true;
}

/* Behind the backslash. */
static bool escape(struct json_walk *walk, struct buf *out)
{
    static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *letter;
    uint8_t byte;

    if (walk->at == walk->text.len)
        return false;
    byte = walk->text.data[walk->at++];
    if (byte == 'u')
        return unicode_escape(walk, out);
    letter = byte == 0 ? NULL : strchr(letters, byte);
    if (letter == NULL)
        return false;
    put_code((uint8_t)meant[letter - letters], out);
    return true;
}

bool json_walk_string(struct json_walk *walk, struct buf *out)
{
    if (!json_walk_byte(walk, '"'))
        return false;
    buf_put_u8(out, '"');
    for (;;) {
        bool ascii;
        struct bytes run = bytes_slice(walk->text, walk->at, plain_run(walk, &ascii));
        uint8_t byte;

        if (!ascii && !utf8_is_valid(run))
            return false;
        buf_put_bytes(out, run);
        walk->at += run.len;
        byte = walk->at < walk->text.len ? walk->text.data[walk->at++] : 0;
        if (byte == '"')
            break;
        if (byte != '\\' || !escape(walk, out))
            return false;
    }
    buf_put_u8(out, '"');
    return buf_error(out) == QK_OK;
}

/* --- numbers and words --- */

/* An integer of as many digits fits 64 bits; as many digits of a decimal survive text, float, text.
 */
#define INTEGER_DIGITS_MAX 18
#define REAL_DIGITS_MAX 15
#define REAL_TEXT_BYTES_MAX 64

static size_t count_digits(struct bytes text, size_t at)
{
    size_t start = at;

    while (at < text.len && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at - start;
}

/* What is not the shortest text of itself is read and written as json_parse and json_write do. */
static bool real_anew(struct bytes number, struct buf *out)
{
    char text[REAL_TEXT_BYTES_MAX + 1];
    double value;

    if (number.len > REAL_TEXT_BYTES_MAX)
        return false;
    memcpy(text, number.data, number.len);
    text[number.len] = '\0';
    value = strtod(text, NULL);
    secret_wipe(text, sizeof(text));
    if (!isfinite(value) || fabs(value) == 0.0) /* too large; zero, or too small */
        return false;
    json_write_real(value, out);
    return true;
}

/* Behind the digits of the whole part. */
static bool walk_real(struct json_walk *walk, size_t start, size_t whole, struct buf *out)
{
    struct bytes text = walk->text;
    bool plain = true; /* as %g would write it */
    size_t decimals = 0;

    if (walk->at < text.len && text.data[walk->at] == '.') {
        decimals = count_digits(text, ++walk->at);
        if (decimals == 0)
            return false;
        /* Not 1.50, and not 0.00001, which is 1e-05. */
        plain = (decimals == 1 || text.data[walk->at + decimals - 1] != '0') &&
                (text.data[walk->at - 2] != '0' || whole > 1 || text.data[walk->at] != '0');
        walk->at += decimals;
    }
    if (walk->at < text.len && (text.data[walk->at] | 0x20) == 'e') {
        size_t digits;

        plain = false;
        if (++walk->at < text.len && (text.data[walk->at] == '+' || text.data[walk->at] == '-'))
            walk->at++;
        digits = count_digits(text, walk->at);
        walk->at += digits;
        if (digits == 0)
            return false;
    }
    if (whole + decimals > REAL_DIGITS_MAX) /* json_parse counts which of them mean something */
        return false;
    if (!plain)
        return real_anew(bytes_slice(text, start, walk->at - start), out);
    buf_put_bytes(out, bytes_slice(text, start, walk->at - start));
    return true;
}

static bool walk_number(struct json_walk *walk, struct buf *out)
{
    struct bytes text = walk->text;
    size_t start = walk->at, whole;
    bool negative = text.data[walk->at] == '-';

    walk->at += negative;
    whole = count_digits(text, walk->at);
    if (whole == 0 || (text.data[walk->at] == '0' && whole > 1))
        return false;
    walk->at += whole;
    if (walk->at < text.len && (text.data[walk->at] == '.' || (text.data[walk->at] | 0x20) == 'e'))
        return walk_real(walk, start, whole, out);
    if (whole > INTEGER_DIGITS_MAX || (negative && text.data[start + 1] == '0')) /* -0 */
        return false;
    buf_put_bytes(out, bytes_slice(text, start, walk->at - start));
    return true;
}

static bool walk_word(struct json_walk *walk, const char *word, struct buf *out)
{
    struct bytes expected = bytes_str(word);

    if (!bytes_equal(bytes_slice(walk->text, walk->at, expected.len), expected))
        return false;
    walk->at += expected.len;
    buf_put_bytes(out, expected);
    return true;
}

static bool walk_scalar(struct json_walk *walk, uint8_t first, struct buf *out)
{
    switch (first) {
    case '"':
        return json_walk_string(walk, out);
    case 't':
        return walk_word(walk, "true", out);
    case 'f':
        return walk_word(walk, "false", out);
    case 'n':
        return walk_word(walk, "null", out);
    default:
        return (first == '-' || (first >= '0' && first <= '9')) && walk_number(walk, out);
    }
}

/* --- containers --- */

bool json_names_add(struct json_names *names, unsigned first, const struct buf *out, size_t at)
{
    struct bytes name = bytes_slice(buf_bytes(out), at, SIZE_MAX);

    assert(first <= names->n);
    if (names->n == JSON_NAMES_ALL_MAX || names->n - first == JSON_NAMES_MAX)
        return false;
    for (unsigned i = first; i < names->n; i++) {
        if (names->names[i].len == name.len &&
            memcmp(out->data + names->names[i].at, name.data, name.len) == 0)
            return false;
    }
    names->names[names->n++] = (struct json_name){at, name.len};
    return true;
}

struct level {
    bool is_object;
    unsigned first_name;
};

struct containers {
    struct level levels[JSON_WRITE_DEPTH_MAX];
    unsigned depth;
    struct json_names names;
};

static bool member_name(struct json_walk *walk, struct containers *open, struct buf *out)
{
    size_t at = out->len;

    if (!json_walk_string(walk, out) ||
        !json_names_add(&open->names, open->levels[open->depth - 1].first_name, out, at) ||
        !json_walk_byte(walk, ':'))
        return false;
    buf_put_u8(out, ':');
    return true;
}

/* Closes what ends here. True at a comma, before the next member, or with nothing open. */
static bool next_member(struct json_walk *walk, struct containers *open, struct buf *out)
{
    while (open->depth > 0) {
        struct level *level = &open->levels[open->depth - 1];

        if (json_walk_byte(walk, ',')) {
            buf_put_u8(out, ',');
            return !level->is_object || member_name(walk, open, out);
        }
        if (!json_walk_byte(walk, level->is_object ? '}' : ']'))
            return false;
        buf_put_u8(out, level->is_object ? '}' : ']');
        open->names.n = level->first_name;
        open->depth--;
    }
    return true;
}

/* A bracket. True before the first member, or behind the container if it has none. */
static bool enter(struct json_walk *walk, struct containers *open, bool is_object, bool *ret_empty,
                  struct buf *out)
{
    walk->at++;
    buf_put_u8(out, is_object ? '{' : '[');
    *ret_empty = json_walk_byte(walk, is_object ? '}' : ']');
    if (*ret_empty) {
        buf_put_u8(out, is_object ? '}' : ']');
        return true;
    }
    open->levels[open->depth++] = (struct level){is_object, open->names.n};
    return !is_object || member_name(walk, open, out);
}

bool json_walk_value(struct json_walk *walk, unsigned depth_max, struct buf *out)
{
    struct containers open;
    bool whole = true; /* a value ended, not a container began */

    assert(depth_max <= JSON_WRITE_DEPTH_MAX);

    open.depth = 0;
    open.names.n = 0;
    do {
        uint8_t byte = next_byte(walk);
        bool is_container = byte == '{' || byte == '[';

        if (is_container && open.depth == depth_max)
            return false;
        whole = true;
        if (is_container ? !enter(walk, &open, byte == '{', &whole, out)
                         : !walk_scalar(walk, byte, out))
            return false;
        if (whole && !next_member(walk, &open, out))
            return false;
    } while (open.depth > 0 || !whole);
    return buf_error(out) == QK_OK;
}
