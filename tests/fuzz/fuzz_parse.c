/* Requests cut differently must be the same requests: the input is parsed whole and in pieces, and
 * what came out is compared. The first byte is the size of the pieces. */
#include "fuzz.h"
#include "http/parse.h"

static const char *const seeds[] = {
    "PUT /db/doc?rev=1-a HTTP/1.1\r\nHost: h\r\nX:  a b \r\nContent-Length: 5\r\n\r\nhello",
    "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nfoo\r\n0\r\nT: "
    "x\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    "LIST /a HTTP/1.1\r\nHost: h\r\n\r\nGET /b HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "GET http://h/x HTTP/1.1\r\nHost: h\r\nAuthorization: Basic YTpi\r\nExpect: 100-continue\r\n"
    "Content-Length: 0\r\n\r\n",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_u8(out, (uint8_t)(number * 3));
    buf_put_str(out, seeds[number]);
    return true;
}

static void describe(const struct parse *parse, struct buf *out)
{
    struct bytes value = BYTES_NONE;

    buf_printf(out, "%d %d %d %d ", (int)parse->method, parse->list, parse->keep_alive,
               parse->chunked);
    buf_put_bytes(out, parse_target(parse));
    buf_printf(out, " %u %u", parse->fields_n, parse_field(parse, "host", &value));
    buf_put_bytes(out, value);
    buf_put_bytes(out, buf_bytes(&parse->body));
    buf_put_str(out, "\n");
}

static void run(struct bytes in, size_t step, struct buf *out)
{
    enum parse_event event = PARSE_MORE;
    struct parse parse;
    size_t taken;

    parse_init(&parse);
    for (size_t at = 0; at < in.len && event != PARSE_FAILED; at += taken) {
        event = parse_feed(&parse, bytes_slice(in, at, step), &taken);
        fuzz_require(taken > 0 || event != PARSE_MORE);
        if (event == PARSE_HEAD)
            event = parse_take_body(&parse, 256);
        if (event == PARSE_DONE) {
            describe(&parse, out);
            parse_next(&parse);
            event = PARSE_MORE;
        }
    }
    if (event == PARSE_FAILED)
        buf_printf(out, "failed");
    fuzz_must(buf_error(out));
    parse_fini(&parse);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf whole = BUF_INIT(16 * MIB), pieces = BUF_INIT(16 * MIB);

    if (len > 0) {
        run(bytes_of(data + 1, len - 1), SIZE_MAX, &whole);
        run(bytes_of(data + 1, len - 1), (size_t)data[0] + 1, &pieces);
        fuzz_require(bytes_equal(buf_bytes(&whole), buf_bytes(&pieces)));
    }
    buf_fini(&whole);
    buf_fini(&pieces);
    return 0;
}
