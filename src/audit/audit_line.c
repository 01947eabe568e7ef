#include "audit/audit_line.h"

#include <assert.h>
#include <sodium.h>
#include <string.h>

#include "base/encode.h"

#define HASH_TEXT_BYTES (2 * AUDIT_HASH_BYTES)
#define SEQ_DIGITS_MAX 19

/* What stands around the two hashes at the end of each line. */
static const char prev_mark[] = ",\"prev\":\"";
static const char hash_mark[] = ",\"hash\":\"";
static const char end_mark[] = "\"}";
static const char seq_mark[] = "{\"seq\":";

static bool name_is_plain(const char *name)
{
    if (*name == '\0')
        return false;
    for (; *name != '\0'; name++) {
        if (!(*name >= 'a' && *name <= 'z') && !(*name >= '0' && *name <= '9') && *name != '_')
            return false;
    }
    return true;
}

/* Printable ASCII stands for itself; anything else, and the two characters that JSON needs, is
 * \u00XX of the byte, so a value of any bytes stays one JSON string on one line. */
static void put_escaped(struct buf *out, struct bytes value)
{
    bool cut = value.len > AUDIT_VALUE_BYTES_MAX;

    if (cut)
        value = bytes_slice(value, 0, AUDIT_VALUE_BYTES_MAX - 3);
    for (size_t i = 0; i < value.len; i++) {
        uint8_t byte = value.data[i];

        if (byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\')
            buf_put_u8(out, byte);
        else
            buf_printf(out, "\\u%04x", (unsigned)byte);
    }
    if (cut)
        buf_put_str(out, "...");
}

static void hash_of(struct bytes bytes, uint8_t ret_hash[static AUDIT_HASH_BYTES])
{
    crypto_generichash(ret_hash, AUDIT_HASH_BYTES, bytes.data, bytes.len, NULL, 0);
}

enum qk_err audit_line_build(uint64_t seq, const char *when, const char *event,
                             const struct audit_field *fields, unsigned fields_n,
                             const uint8_t prev[static AUDIT_HASH_BYTES], struct buf *out,
                             uint8_t ret_hash[static AUDIT_HASH_BYTES])
{
    char text[HASH_TEXT_BYTES + 1];
    size_t start = out->len;

    assert(name_is_plain(event));

    buf_printf(out, "%s%llu,\"time\":\"%s\",\"event\":\"%s\"", seq_mark, (unsigned long long)seq,
               when, event);
    for (unsigned i = 0; i < fields_n; i++) {
        assert(name_is_plain(fields[i].name));
        buf_printf(out, ",\"%s\":\"", fields[i].name);
        put_escaped(out, fields[i].value);
        buf_put_u8(out, '"');
    }
    hex_encode(prev, AUDIT_HASH_BYTES, text);
    buf_printf(out, "%s%s\"", prev_mark, text);
    if (buf_error(out) != QK_OK)
        return buf_error(out);
    hash_of(bytes_slice(buf_bytes(out), start, SIZE_MAX), ret_hash);
    hex_encode(ret_hash, AUDIT_HASH_BYTES, text);
    buf_printf(out, "%s%s%s\n", hash_mark, text, end_mark);
    return buf_error(out);
}

/* Takes `mark` off the end of `line`. */
static bool strip_mark(struct bytes *line, const char *mark)
{
    size_t len = strlen(mark);

    if (line->len < len || memcmp(line->data + line->len - len, mark, len) != 0)
        return false;
    line->len -= len;
    return true;
}

static bool strip_hash(struct bytes *line, uint8_t ret_hash[static AUDIT_HASH_BYTES])
{
    struct bytes text;

    if (line->len < HASH_TEXT_BYTES)
        return false;
    text = bytes_slice(*line, line->len - HASH_TEXT_BYTES, HASH_TEXT_BYTES);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] >= 'A' && text.data[i] <= 'F')
            return false; /* one spelling only */
    }
    line->len -= HASH_TEXT_BYTES;
    return hex_decode(text, ret_hash, AUDIT_HASH_BYTES) == QK_OK;
}

static bool parse_seq(struct bytes line, uint64_t *ret_seq)
{
    size_t at = strlen(seq_mark), digits = 0;
    uint64_t seq = 0;

    if (!bytes_starts_with(line, bytes_str(seq_mark)))
        return false;
    for (; at < line.len && line.data[at] >= '0' && line.data[at] <= '9'; at++, digits++) {
        if (digits == SEQ_DIGITS_MAX)
            return false;
        seq = seq * 10 + (uint64_t)(line.data[at] - '0');
    }
    *ret_seq = seq;
    return seq > 0 && at < line.len && line.data[at] == ',';
}

enum qk_err audit_line_parse(struct bytes line, struct audit_line *ret_line)
{
    struct audit_line parsed;
    uint8_t hash[AUDIT_HASH_BYTES];
    struct bytes rest = line, hashed;

    for (size_t i = 0; i < line.len; i++) {
        if (line.data[i] < 0x20 || line.data[i] >= 0x7f)
            return QK_ERR_INVALID;
    }
    if (!strip_mark(&rest, end_mark) || !strip_hash(&rest, parsed.hash) ||
        !strip_mark(&rest, hash_mark))
        return QK_ERR_INVALID;
    hashed = rest;
    if (!strip_mark(&rest, "\"") || !strip_hash(&rest, parsed.prev) ||
        !strip_mark(&rest, prev_mark) || !parse_seq(line, &parsed.seq))
        return QK_ERR_INVALID;
    hash_of(hashed, hash);
    if (memcmp(hash, parsed.hash, sizeof(hash)) != 0)
        return QK_ERR_CORRUPT;
    *ret_line = parsed;
    return QK_OK;
}

uint64_t audit_line_seq(struct bytes line)
{
    uint64_t seq = 0;

    return parse_seq(line, &seq) ? seq : 0;
}

/* No value holds a quote (it would be escaped), so the mark of a field can stand nowhere else. */
bool audit_line_field(struct bytes line, const char *name, struct bytes *ret_value)
{
    struct buf text = BUF_INIT(64);
    const uint8_t *at, *end;
    size_t start;

    buf_printf(&text, ",\"%s\":\"", name);
    if (buf_error(&text) != QK_OK || line.len == 0) {
        buf_fini(&text);
        return false;
    }
    at = memmem(line.data, line.len, text.data, text.len);
    start = at == NULL ? 0 : (size_t)(at - line.data) + text.len;
    buf_fini(&text);
    end = at == NULL || start == line.len ? NULL : memchr(line.data + start, '"', line.len - start);
    if (end == NULL)
        return false;
    *ret_value = bytes_slice(line, start, (size_t)(end - line.data) - start);
    return true;
}
