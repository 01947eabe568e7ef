#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "doc/msgpack.h"

static struct bytes of_hex(const char *hex, uint8_t *raw)
{
    size_t len = strlen(hex) / 2;

    cr_assert_eq(hex_decode(bytes_str(hex), raw, len), QK_OK, "%s", hex);
    return bytes_of(raw, len);
}

static enum qk_err read_hex(const char *hex, struct buf *out)
{
    struct doc_problem problem = {0};
    uint8_t raw[512];
    enum qk_err err = msgpack_to_json(of_hex(hex, raw), JSON_DEPTH_MAX, &problem, out);

    if (err == QK_ERR_INVALID)
        cr_assert_eq(problem.status, 400);
    return err;
}

static void reads_as(const char *hex, const char *json)
{
    struct buf out = BUF_SECRET_INIT(4096);

    cr_assert_eq(read_hex(hex, &out), QK_OK, "%s", hex);
    cr_assert(bytes_equal(buf_bytes(&out), bytes_str(json)), "%s: %.*s", hex, (int)out.len,
              (const char *)out.data);
    buf_fini(&out);
}

static void is_refused(const char *hex)
{
    struct buf out = BUF_SECRET_INIT(4096);

    cr_assert_eq(read_hex(hex, &out), QK_ERR_INVALID, "%s", hex);
    buf_fini(&out);
}

/* Bytes by the MessagePack specification, section "Formats". */
Test(msgpack, every_format_reads_as_the_json_of_its_value)
{
    reads_as("c0", "null");
    reads_as("c2", "false");
    reads_as("c3", "true");
    reads_as("00", "0");
    reads_as("7f", "127");
    reads_as("e0", "-32");
    reads_as("ff", "-1");
    reads_as("ccff", "255");
    reads_as("cdffff", "65535");
    reads_as("ceffffffff", "4294967295");
    reads_as("cf7fffffffffffffff", "9223372036854775807");
    reads_as("d080", "-128");
    reads_as("d18000", "-32768");
    reads_as("d280000000", "-2147483648");
    reads_as("d38000000000000000", "-9223372036854775808");
    reads_as("ca3fc00000", "1.5");
    reads_as("cb3ff0000000000000", "1.0");
    reads_as("cb3fb999999999999a", "0.1");
    reads_as("a0", "\"\"");
    reads_as("a26122", "\"a\\\"\"");
    reads_as("d903616263", "\"abc\"");
    reads_as("da0003616263", "\"abc\"");
    reads_as("db00000003616263", "\"abc\"");
    reads_as("90", "[]");
    reads_as("80", "{}");
    reads_as("93019002", "[1,[],2]");
    reads_as("dc000101", "[1]");
    reads_as("dd0000000101", "[1]");
    reads_as("82a16101a16281a16390", "{\"a\":1,\"b\":{\"c\":[]}}");
    reads_as("de0001a161c0", "{\"a\":null}");
    reads_as("df00000001a161c0", "{\"a\":null}");
}

Test(msgpack, what_json_does_not_have_is_refused)
{
    is_refused("");
    is_refused("c1");                 /* never used */
    is_refused("c403616263");         /* bin */
    is_refused("d40100");             /* fixext 1 */
    is_refused("c70101ff");           /* ext 8 */
    is_refused("cf8000000000000000"); /* past 64 bits signed */
    is_refused("ca7f800000");         /* infinity */
    is_refused("cb7ff8000000000000"); /* no number */
    is_refused("8101c0");             /* a name that is a number */
    is_refused("a1ff");               /* no UTF-8 */
    is_refused("c0c0");               /* two values */
    is_refused("9201");               /* one value too few */
    is_refused("ddffffffff01");       /* a head that lies */
    is_refused("dbffffffff61");
    is_refused("dfffffffffa161c0");
}

static const char LONG_HEX[] =
    "86a361626393c0c2c3a16ecb3fb999999999999aa173d9206161616161616161616161"
    "6161616161616161616161616161616161616161a16de0a16fd1fc18a170dc0002"
    "81a178ce0001000080";

Test(msgpack, cut_or_altered_bytes_are_refused_or_another_value)
{
    struct doc_problem problem = {0};
    uint8_t raw[512];
    struct bytes whole = of_hex(LONG_HEX, raw);

    for (size_t at = 0; at < whole.len; at++) {
        struct buf out = BUF_SECRET_INIT(4096);

        cr_assert_eq(msgpack_to_json(bytes_of(raw, at), JSON_DEPTH_MAX, &problem, &out),
                     QK_ERR_INVALID);
        buf_fini(&out);
        for (unsigned bit = 0; bit < 8; bit++) {
            struct buf json = BUF_SECRET_INIT(4096);
            json_t *value;

            raw[at] ^= (uint8_t)(1u << bit);
            if (msgpack_to_json(whole, JSON_DEPTH_MAX, &problem, &json) == QK_OK &&
                json_parse(buf_bytes(&json), JSON_DEPTH_MAX, &problem, &value) == QK_OK)
                json_decref(value);
            raw[at] ^= (uint8_t)(1u << bit);
            buf_fini(&json);
        }
    }
}

Test(msgpack, depth_and_size_are_bounded)
{
    struct doc_problem problem = {0};
    uint8_t nested[JSON_DEPTH_MAX + 1];
    struct buf out = BUF_SECRET_INIT(4096), small = BUF_SECRET_INIT(8);
    uint8_t raw[64];

    memset(nested, 0x91, sizeof nested);
    nested[JSON_DEPTH_MAX] = 0x01;
    cr_assert_eq(msgpack_to_json(bytes_of(nested, sizeof nested), JSON_DEPTH_MAX, &problem, &out),
                 QK_OK);
    cr_assert_eq(
        msgpack_to_json(bytes_of(nested, sizeof nested), JSON_DEPTH_MAX - 1, &problem, &out),
        QK_ERR_INVALID);
    cr_assert_eq(msgpack_to_json(of_hex("a9616161616161616161", raw), 1, &problem, &small),
                 QK_ERR_TOO_BIG);
    buf_fini(&out);
    buf_fini(&small);
}

/* --- from JSON --- */

static enum qk_err feed_in(struct msgpack_encoder *encoder, struct bytes json, size_t piece)
{
    enum qk_err err = QK_OK;

    for (size_t at = 0; err == QK_OK && at < json.len; at += piece)
        err = msgpack_encoder_feed(encoder, bytes_slice(json, at, piece));
    return err;
}

static void writes_as(const char *json, const char *hex)
{
    static const size_t pieces[] = {1, 2, 3, 7, 100000};
    uint8_t raw[512];
    struct bytes want = of_hex(hex, raw);

    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        struct msgpack_encoder encoder;

        msgpack_encoder_init(&encoder, 1 << 20);
        cr_assert_eq(feed_in(&encoder, bytes_str(json), pieces[i]), QK_OK, "%s", json);
        cr_assert_eq(msgpack_encoder_end(&encoder), QK_OK, "%s", json);
        cr_assert(bytes_equal(msgpack_encoder_whole(&encoder), want), "%s in %zu", json, pieces[i]);
        msgpack_encoder_fini(&encoder);
    }
}

Test(msgpack, json_is_written_in_the_shortest_format_in_whatever_pieces_it_comes)
{
    writes_as("null", "c0");
    writes_as(" true ", "c3");
    writes_as("false", "c2");
    writes_as("0", "00");
    writes_as("127", "7f");
    writes_as("128", "cc80");
    writes_as("65535", "cdffff");
    writes_as("65536", "ce00010000");
    writes_as("9223372036854775807", "cf7fffffffffffffff");
    writes_as("-1", "ff");
    writes_as("-33", "d0df");
    writes_as("-129", "d1ff7f");
    writes_as("-32769", "d2ffff7fff");
    writes_as("-9223372036854775808", "d38000000000000000");
    writes_as("1.5", "cb3ff8000000000000");
    writes_as("1.0", "cb3ff0000000000000");
    writes_as("-1e2", "cbc059000000000000");
    writes_as("\"\"", "a0");
    writes_as("\"a\\\"\\\\\\u00e9\\n\"", "a6"
                                         "61225cc3a90a");
    writes_as("\"0123456789012345678901234567890\"",
              "bf30313233343536373839303132333435363738393031323334353637383930");
    writes_as("\"01234567890123456789012345678901\"",
              "d9203031323334353637383930313233343536373839303132333435363738393031");
    writes_as("[]", "90");
    writes_as("{}", "80");
    writes_as("[1,[2,3],{}]", "9301920203"
                              "80");
    writes_as("{\"a\":1,\"b\":{\"c\":[null]}}\n", "82a16101a16281a16391c0");
    writes_as("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]",
              "dd000000100102030405060708090a0b0c0d0e0f10");
}

/* A feed: each line a value, and an empty line a sign of life. */
Test(msgpack, lines_are_values_and_an_empty_line_is_nil)
{
    writes_as("{\"seq\":1}\n\n{\"seq\":2}\n\n\n", "81a373657101"
                                                  "c0"
                                                  "81a373657102"
                                                  "c0c0");
}

static void does_not_write(const char *json)
{
    struct msgpack_encoder encoder;
    enum qk_err err;

    msgpack_encoder_init(&encoder, 1 << 20);
    err = msgpack_encoder_feed(&encoder, bytes_str(json));
    if (err == QK_OK)
        err = msgpack_encoder_end(&encoder);
    cr_assert_eq(err, QK_ERR_INVALID, "%s", json);
    msgpack_encoder_fini(&encoder);
}

/* A list that breaks off must not become a shorter one. */
Test(msgpack, text_that_is_no_json_is_refused)
{
    does_not_write("{\"rows\":[{\"id\":1}\n{\"error\":\"sealed\"}\n");
    does_not_write("{\"rows\":[\n{\"error\":\"sealed\"}\n");
    does_not_write("{");
    does_not_write("[1,");
    does_not_write("[1 2]");
    does_not_write("{\"a\" 1}");
    does_not_write("{a:1}");
    does_not_write("[1}");
    does_not_write("]");
    does_not_write("nul");
    does_not_write("\"open");
    does_not_write("\"\\x\"");
    does_not_write("1-");
    does_not_write(",");
}

Test(msgpack, encoder_is_bounded_in_depth_and_size)
{
    struct msgpack_encoder encoder;
    char nested[JSON_WRITE_DEPTH_MAX + 1];

    memset(nested, '[', sizeof nested);
    msgpack_encoder_init(&encoder, 1 << 20);
    cr_assert_eq(msgpack_encoder_feed(&encoder, bytes_of((uint8_t *)nested, sizeof nested - 1)),
                 QK_OK);
    cr_assert_eq(msgpack_encoder_feed(&encoder, bytes_str("[")), QK_ERR_TOO_BIG);
    msgpack_encoder_fini(&encoder);
    msgpack_encoder_init(&encoder, 16);
    cr_assert_eq(msgpack_encoder_feed(&encoder, bytes_str("\"0123456789abcdefg\"")),
                 QK_ERR_TOO_BIG);
    msgpack_encoder_fini(&encoder);
}

Test(msgpack, what_was_taken_is_dropped)
{
    struct msgpack_encoder encoder;

    msgpack_encoder_init(&encoder, 1 << 20);
    cr_assert_eq(msgpack_encoder_feed(&encoder, bytes_str("[1]\n")), QK_OK);
    cr_assert_eq(msgpack_encoder_whole(&encoder).len, 2);
    msgpack_encoder_drop(&encoder);
    cr_assert_eq(msgpack_encoder_feed(&encoder, bytes_str("[2]\n[")), QK_OK);
    cr_assert_eq(msgpack_encoder_whole(&encoder).len, 2);
    cr_assert_eq(msgpack_encoder_whole(&encoder).data[1], 2);
    msgpack_encoder_fini(&encoder);
}

/* Whatever JSON can say comes back. */
Test(msgpack, json_comes_back_through_msgpack)
{
    static const char text[] =
        "{\"a\":[1,-2,3.25,1e300,true,false,null,\"\\u0000\\ud83d\\ude00\"],\"\":{\"x\":[[[]],{}]},"
        "\"big\":9223372036854775807,\"small\":-9223372036854775808}";
    struct buf out = BUF_SECRET_INIT(4096);
    struct doc_problem problem = {0};
    struct msgpack_encoder encoder;
    json_t *before, *after;

    msgpack_encoder_init(&encoder, 1 << 20);
    cr_assert_eq(msgpack_encoder_feed(&encoder, bytes_str(text)), QK_OK);
    cr_assert_eq(msgpack_to_json(msgpack_encoder_whole(&encoder), JSON_DEPTH_MAX, &problem, &out),
                 QK_OK);
    cr_assert_eq(json_parse(bytes_str(text), JSON_DEPTH_MAX, &problem, &before), QK_OK);
    cr_assert_eq(json_parse(buf_bytes(&out), JSON_DEPTH_MAX, &problem, &after), QK_OK);
    cr_assert(json_equal(before, after));
    json_decref(before);
    json_decref(after);
    buf_fini(&out);
    msgpack_encoder_fini(&encoder);
}
