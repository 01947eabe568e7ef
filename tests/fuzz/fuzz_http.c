/* What a client or a peer may send to the interface: the first byte chooses.
 *   even: a client's connection, cut into pieces of that many bytes (1 to 128)
 *   odd:  a message of LINK_FORWARD
 * Built as a libFuzzer target with -Dfuzz=true (clang); tests/http/test_fuzz.c feeds it seeds. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "http/auth.h"
#include "http/forward_codec.h"
#include "http/parse.h"
#include "http/target.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void meet_head(struct parse *parse)
{
    struct buf decoded = BUF_SECRET_INIT(HTTP_URI_BYTES_MAX), text = BUF_SECRET_INIT(4096);
    struct request request = {.method = parse->method};
    struct bytes value = BYTES_NONE, name, password;
    const char *reason = NULL;

    if (target_parse(parse_target(parse), &decoded, &request, &reason) != QK_OK) {
        assert(reason != NULL);
    } else {
        for (unsigned i = 0; i < request.segments_n; i++)
            assert(request.segments[i].len > 0);
    }
    if (parse_field(parse, "authorization", &value) > 0 &&
        auth_parse_basic(value, &text, &name, &password) == QK_OK)
        assert(name.len > 0 && name.len <= USER_NAME_BYTES_MAX);
    buf_fini(&decoded);
    buf_fini(&text);
}

static enum parse_event meet(struct parse *parse, enum parse_event event)
{
    if (event == PARSE_HEAD) {
        meet_head(parse);
        event = parse_take_body(parse, 256);
    }
    if (event == PARSE_DONE) {
        assert(parse->body.len <= 256);
        parse_next(parse);
        event = PARSE_MORE;
    }
    return event;
}

static void run_connection(struct bytes in, size_t step)
{
    enum parse_event event = PARSE_MORE;
    struct parse parse;
    size_t at = 0, taken;

    parse_init(&parse);
    while (at < in.len && event != PARSE_FAILED) {
        event = parse_feed(&parse, bytes_slice(in, at, step), &taken);
        assert(taken > 0 || event != PARSE_MORE);
        at += taken;
        event = meet(&parse, event);
    }
    assert(event != PARSE_FAILED || parse.failure.status >= 400);
    parse_fini(&parse);
}

static void run_message(struct bytes in)
{
    struct buf again = BUF_INIT(1 * MIB);
    struct forward_message message;

    if (forward_decode(in, &message) == QK_OK) {
        forward_encode(&message, &again);
        assert(bytes_equal(in, buf_bytes(&again)));
    }
    buf_fini(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] % 2 == 0)
        run_connection(bytes_of(data + 1, len - 1), (size_t)data[0] / 2 + 1);
    else
        run_message(bytes_of(data + 1, len - 1));
    return 0;
}
