/* jansson does the parsing; a scan in front of it bounds what jansson would recurse on or allocate
 * and finds numbers whose value would silently change. The scan is no validator: what it lets
 * through, jansson still refuses. */
#include "doc/json.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

/* --- an allocator that wipes --- */

/* malloc's alignment must survive the size kept in front. */
#define JSON_BLOCK_HEAD 16
_Static_assert(sizeof(size_t) <= JSON_BLOCK_HEAD, "the size fits in front of a block");

/* Jansson calls a text wrong when it had no memory for it: what is true is known here. */
static _Thread_local bool json_block_refused;

static void *json_block_new(size_t len)
{
    uint8_t *block = len > SIZE_MAX - JSON_BLOCK_HEAD ? NULL : malloc(len + JSON_BLOCK_HEAD);

    if (block == NULL) {
        json_block_refused = true;
        return NULL;
    }
    memcpy(block, &len, sizeof(len));
    return block + JSON_BLOCK_HEAD;
}

static void json_block_free(void *data)
{
    uint8_t *block;
    size_t len;

    if (data == NULL)
        return;
    block = (uint8_t *)data - JSON_BLOCK_HEAD;
    memcpy(&len, block, sizeof(len));
    secret_wipe(block, len + JSON_BLOCK_HEAD);
    free(block);
}

/* Before main, because a block of the one allocator must never reach the other's free. */
__attribute__((constructor)) static void json_install_allocator(void)
{
    json_set_alloc_funcs(json_block_new, json_block_free);
}

/* --- the scan in front of the parser --- */

struct scan {
    struct bytes text;
    size_t at;
    size_t values_n;
    unsigned depth;
    unsigned depth_max;
    struct doc_problem *problem;
};

static size_t scan_string(struct bytes text, size_t at)
{
    for (at++; at < text.len; at++) {
        if (text.data[at] == '"')
            return at + 1;
        if (text.data[at] == '\\')
            at++;
    }
    return text.len;
}

static bool is_number_byte(uint8_t byte)
{
    return (byte >= '0' && byte <= '9') || byte == '-' || byte == '+' || byte == '.' ||
           byte == 'e' || byte == 'E';
}

/* Significant digits of the mantissa: without leading and trailing zeros. */
static unsigned count_digits(struct bytes number, bool *ret_is_real)
{
    unsigned digits = 0, zeros = 0;
    size_t i;

    *ret_is_real = false;
    for (i = 0; i < number.len; i++) {
        uint8_t byte = number.data[i];

        if (byte == 'e' || byte == 'E') {
            *ret_is_real = true;
            break;
        }
        if (byte == '.')
            *ret_is_real = true;
        if (byte == '0' && digits > 0)
            zeros++;
        if (byte >= '1' && byte <= '9') {
            digits += zeros + 1;
            zeros = 0;
        }
    }
    return digits;
}

/* Numbers longer than this are cut in messages. */
#define NUMBER_TEXT_BYTES_MAX 48

static enum qk_err number_problem(struct scan *scan, struct bytes number, const char *why)
{
    struct bytes shown = bytes_slice(number, 0, NUMBER_TEXT_BYTES_MAX);

    return doc_problem_set(scan->problem, 400, "bad_request",
                           "the number %.*s%s cannot be kept: %s", (int)shown.len,
                           (const char *)shown.data, shown.len < number.len ? "..." : "", why);
}

/* A real that underflows to zero would lose its value without a word from jansson. */
static bool real_vanishes(struct bytes number, unsigned digits)
{
    char text[400];

    if (digits == 0 || number.len >= sizeof(text))
        return digits != 0;
    memcpy(text, number.data, number.len);
    text[number.len] = '\0';
    return fabs(strtod(text, NULL)) == 0.0;
}

static enum qk_err scan_number(struct scan *scan)
{
    struct bytes number = {scan->text.data + scan->at, 0};
    unsigned digits;
    bool is_real;

    while (scan->at < scan->text.len && is_number_byte(scan->text.data[scan->at])) {
        scan->at++;
        number.len++;
    }
    digits = count_digits(number, &is_real);
    if (!is_real)
        return QK_OK; /* jansson says when it does not fit 64 bits */
    if (digits > JSON_SIGNIFICANT_DIGITS_MAX)
        return number_problem(scan, number, "it has more than 17 significant digits");
    if (real_vanishes(number, digits))
        return number_problem(scan, number, "it is too small for a 64-bit float");
    return QK_OK;
}

static enum qk_err scan_open(struct scan *scan)
{
    scan->at++;
    scan->depth++;
    if (scan->depth > scan->depth_max)
        return doc_problem_set(scan->problem, 400, "bad_request",
                               "the JSON is nested deeper than %u levels", scan->depth_max);
    return QK_OK;
}

static enum qk_err scan_step(struct scan *scan)
{
    uint8_t byte = scan->text.data[scan->at];

    if (byte == '"') {
        scan->at = scan_string(scan->text, scan->at);
        return QK_OK;
    }
    if (byte == '-' || (byte >= '0' && byte <= '9'))
        return scan_number(scan);
    if (byte == '{' || byte == '[')
        return scan_open(scan);
    if ((byte == '}' || byte == ']') && scan->depth > 0)
        scan->depth--;
    if (byte == ',' || byte == ':')
        scan->values_n++;
    scan->at++;
    if (scan->values_n > JSON_VALUES_MAX)
        return doc_problem_set(scan->problem, 413, "too_large", "the JSON has more than %d values",
                               JSON_VALUES_MAX);
    return QK_OK;
}

static enum qk_err json_scan(struct bytes text, unsigned depth_max, struct doc_problem *problem)
{
    struct scan scan = {text, 0, 0, 0, depth_max, problem};
    enum qk_err err = QK_OK;

    while (err == QK_OK && scan.at < scan.text.len)
        err = scan_step(&scan);
    return err;
}

/* --- parsing --- */

#define INVALID_JSON "invalid UTF-8 JSON" /* CouchDB's words */

static enum qk_err parse_problem(const json_error_t *error, struct doc_problem *problem)
{
    enum json_error_code code = json_error_code(error);

    if (code == json_error_out_of_memory || json_block_refused)
        return QK_ERR_NOMEM;
    if (code == json_error_numeric_overflow)
        return doc_problem_set(problem, 400, "bad_request",
                               "the number at line %d, column %d cannot be kept: integers must "
                               "fit 64 bits, others a 64-bit float",
                               error->line, error->column);
    if (code == json_error_duplicate_key)
        return doc_problem_set(problem, 400, "bad_request",
                               "duplicate member name in a JSON object at line %d, column %d",
                               error->line, error->column);
    if (code == json_error_null_byte_in_key)
        return doc_problem_set(problem, 400, "bad_request",
                               "a member name with \\u0000 at line %d, column %d", error->line,
                               error->column);
    return doc_problem_set(problem, 400, "bad_request", INVALID_JSON);
}

enum qk_err json_parse(struct bytes text, unsigned depth_max, struct doc_problem *ret_problem,
                       json_t **ret_value)
{
    json_error_t error = {0}; /* jansson does not fill it where it has no memory for a value */
    enum qk_err err;
    json_t *value;

    assert(ret_problem != NULL && ret_value != NULL);
    assert(depth_max > 0 && depth_max <= JSON_WRITE_DEPTH_MAX);

    /* No JSON has a zero byte, but jansson 2.14 loses one that stands behind a number or a word. */
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return doc_problem_set(ret_problem, 400, "bad_request", INVALID_JSON);
    err = json_scan(text, depth_max, ret_problem);
    if (err != QK_OK)
        return err;
    json_block_refused = false;
    value = json_loadb(text.len == 0 ? "" : (const char *)text.data, text.len,
                       JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
    if (value == NULL)
        return parse_problem(&error, ret_problem);
    *ret_value = value;
    return QK_OK;
}

struct bytes json_bytes(const json_t *string)
{
    if (!json_is_string(string))
        return BYTES_NONE;
    return bytes_of(json_string_value(string), json_string_length(string));
}

/* --- UTF-8 --- */

static size_t utf8_sequence(const uint8_t *at, size_t left)
{
    uint32_t code;
    size_t len, i;

    if (at[0] < 0x80)
        return 1;
    len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || len > left)
        return 0;
    code = at[0] & (0xffu >> (len + 1));
    for (i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
        code = code << 6 | (at[i] & 0x3fu);
    }
    if ((len == 3 && code < 0x800) || (len == 4 && (code < 0x10000 || code > 0x10ffff)))
        return 0;
    return code >= 0xd800 && code <= 0xdfff ? 0 : len;
}

bool utf8_is_valid(struct bytes text)
{
    size_t at = 0;

    while (at < text.len) {
        size_t len = utf8_sequence(text.data + at, text.len - at);

        if (len == 0)
            return false;
        at += len;
    }
    return true;
}
