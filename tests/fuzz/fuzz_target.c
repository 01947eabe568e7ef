/* Request targets: the views stay inside their buffers, and segments that are escaped byte by byte
 * come out of a second reading as they were. */
#include <string.h>

#include "fuzz.h"
#include "http/target.h"

static const char *const seeds[] = {
    "/db/doc?rev=1-a&key_id=x", "http://host:1/db/_all_docs?startkey=%22a%22",
    "/a%2Fb/%C3%A9/..",         "/_session?x=1+2&y=%zz&&=&",
    "/db/_local/x//",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_str(out, seeds[number]);
    return true;
}

static void escape(struct bytes text, struct buf *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < text.len; i++) {
        const char code[] = {'%', digits[text.data[i] >> 4], digits[text.data[i] & 15]};

        buf_put(out, code, sizeof code);
    }
}

/* The same request, every byte of it as %xx. */
static void write_again(const struct request *request, struct buf *out)
{
    buf_put_str(out, "/");
    for (unsigned i = 0; i < request->segments_n; i++) {
        if (i > 0)
            buf_put_str(out, "/");
        escape(request->segments[i], out);
    }
    for (unsigned i = 0; i < request->params_n; i++) {
        buf_put_str(out, i == 0 ? "?" : "&");
        escape(request->params[i].name, out);
        buf_put_str(out, "=");
        escape(request->params[i].value, out);
    }
}

static void compare(const struct request *a, const struct request *b)
{
    fuzz_require(a->segments_n == b->segments_n && a->params_n == b->params_n);
    for (unsigned i = 0; i < a->segments_n; i++)
        fuzz_require(bytes_equal(a->segments[i], b->segments[i]));
    for (unsigned i = 0; i < a->params_n; i++) {
        fuzz_require(bytes_equal(a->params[i].name, b->params[i].name));
        fuzz_require(bytes_equal(a->params[i].value, b->params[i].value));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct request request, again;
    struct buf decoded = BUF_INIT(1 * MIB), text = BUF_INIT(1 * MIB), second = BUF_INIT(1 * MIB);
    const char *reason = NULL;

    memset(&request, 0, sizeof request);
    memset(&again, 0, sizeof again);
    if (target_parse(bytes_of(data, len), &decoded, &request, &reason) == QK_OK) {
        write_again(&request, &text);
        fuzz_must(target_parse(buf_bytes(&text), &second, &again, &reason));
        compare(&request, &again);
    } else {
        fuzz_require(reason != NULL && reason[0] != '\0');
    }
    buf_fini(&decoded);
    buf_fini(&text);
    buf_fini(&second);
    return 0;
}
