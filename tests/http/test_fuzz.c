/* The seeds of the fuzz target, whole, cut everywhere and with every byte changed. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define SEED(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
static const struct {
    const char *text;
    size_t len;
} SEEDS[] = {
    SEED("\x00GET / HTTP/1.1\r\nHost: h\r\n\r\nLIST /a?b=%20 HTTP/1.1\r\nHost: h\r\n\r\n"),
    SEED("\x10PUT /db/a%2Fb?rev=1-a HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
    SEED("\x08POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: "
         "chunked\r\n\r\n3;e\r\nabc\r\n0\r\nT: "
         "x\r\n\r\n"),
    SEED("\xfeGET / HTTP/1.0\r\nAuthorization: Basic YWRtaW46c2VjcmV0\r\n\r\n"),
    SEED("\x7e"
         "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"),
    SEED("\x02HEAD http://h/x/ HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: "
         "257\r\n\r\n"),
    SEED("\x01\x01\x07\x00\x00\x00\x00\x00\x00\x00\x05"),
    SEED("\x01\x01\x03\x00\x00\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x00\x00\x09"),
    SEED("\x01\x01\x05\x00\x00\x00\x00\x00\x00\x00\x05xyz"),
    SEED("\x01\x01\x04\x00\x00\x00\x00\x00\x00\x00\x05\x00\xc9\x00\x00\x00\x00\x00\x00\x00\x02"
         "\x00\x00\x00\x01t\x01\x00\x00\x00\x01n\x00\x00\x00\x01v"),
};

static void feed_changed(uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        uint8_t kept = data[i];

        for (unsigned change = 1; change < 256; change += 2) {
            data[i] = (uint8_t)(kept ^ change);
            LLVMFuzzerTestOneInput(data, len);
        }
        data[i] = kept;
    }
}

Test(fuzz, seeds_and_their_neighbours_are_survived, .timeout = 60)
{
    for (size_t seed = 0; seed < sizeof SEEDS / sizeof SEEDS[0]; seed++) {
        for (size_t len = 0; len <= SEEDS[seed].len; len++) {
            uint8_t *data = malloc(len + 1); /* so that a read past the end is seen */

            memcpy(data, SEEDS[seed].text, len);
            LLVMFuzzerTestOneInput(data, len);
            if (len == SEEDS[seed].len)
                feed_changed(data, len);
            free(data);
        }
    }
}
