/* Lines of the audit log. By the first byte: 0 a line as it is, 1 a line under a right hash, 2 a
 * value from outside, which must stay one string on one line for our reader and for jansson, 3 a
 * file. */
#include <jansson.h>
#include <sodium.h>
#include <string.h>
#include <sys/mman.h>
#include <stdio.h>
#include <unistd.h>

#include "base/encode.h"
#include "fuzz.h"
#include "audit/audit_line.h"
#include "audit/audit_read.h"
#include "audit/audit_verify.h"

#define MODES 4
#define WHEN "2026-01-02T03:04:05.678Z"

static const uint8_t start[AUDIT_HASH_BYTES];

static void line_of(struct bytes value, struct buf *out, uint8_t *ret_hash)
{
    const struct audit_field fields[] = {{"node", value}, {"reason", bytes_slice(value, 3, 40)}};

    fuzz_must(audit_line_build(1, WHEN, "release", fields, 2, start, out, ret_hash));
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    uint8_t hash[AUDIT_HASH_BYTES];
    struct buf line = BUF_INIT(AUDIT_LINE_BYTES_MAX);

    if (number >= MODES)
        return false;
    buf_put_u8(out, (uint8_t)number);
    line_of(bytes_str("n1\"\\\n\xff"), &line, hash);
    if (number == 2)
        buf_put_str(out, "x\",\"hash\":\"00\"}\n{\"seq\":2");
    else if (number == 3)
        buf_put_bytes(out, buf_bytes(&line));
    else /* without the newline, and in 1 without what the hash adds */
        buf_put(out, line.data, line.len - (number == 0 ? 1 : 1 + 2 + 64 + 9));
    buf_fini(&line);
    return true;
}

static void fuzz_hashed(struct bytes in)
{
    struct buf line = BUF_INIT(64 * KIB);
    struct audit_line parsed;
    uint8_t hash[AUDIT_HASH_BYTES];
    char text[2 * AUDIT_HASH_BYTES + 1];

    crypto_generichash(hash, sizeof hash, in.data, in.len, NULL, 0);
    hex_encode(hash, sizeof hash, text);
    buf_put_bytes(&line, in);
    buf_printf(&line, ",\"hash\":\"%s\"}", text);
    if (buf_error(&line) == QK_OK && audit_line_parse(buf_bytes(&line), &parsed) == QK_OK)
        fuzz_require(parsed.seq > 0 && memcmp(parsed.hash, hash, sizeof hash) == 0);
    buf_fini(&line);
}

static void fuzz_value(struct bytes in)
{
    struct buf line = BUF_INIT(AUDIT_LINE_BYTES_MAX);
    struct audit_line parsed;
    uint8_t hash[AUDIT_HASH_BYTES];
    json_t *object;

    line_of(in, &line, hash);
    fuzz_require(line.data[line.len - 1] == '\n');
    fuzz_require(memchr(line.data, '\n', line.len - 1) == NULL);
    fuzz_must(audit_line_parse(bytes_of(line.data, line.len - 1), &parsed));
    object = json_loadb((const char *)line.data, line.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL,
                        NULL);
    fuzz_require(json_object_size(object) == 7);
    json_decref(object);
    buf_fini(&line);
}

/* What is read is never more than what stands there, and whole lines. */
static void fuzz_read(const char *path)
{
    static const struct audit_query queries[] = {
        {.limit = 3}, {.limit = 3, .oldest = true, .since = 1}, {.limit = 9, .events = "release"}};

    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        struct buf out = BUF_INIT(4 * AUDIT_LINE_BYTES_MAX);
        uint64_t last = 0;
        enum qk_err err = audit_read(path, &queries[i], &out, &last);

        fuzz_require(err == QK_OK || err == QK_ERR_TOO_BIG);
        fuzz_require(out.len == 0 || out.data[out.len - 1] == '\n');
        fuzz_require(last >= queries[i].since);
        buf_fini(&out);
    }
}

static void fuzz_file(struct bytes in)
{
    static int fd = -1;
    static char path[64];
    struct audit_check check;

    if (fd < 0) {
        fd = memfd_create("audit", MFD_CLOEXEC);
        fuzz_require(fd >= 0);
        (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    }
    fuzz_require(ftruncate(fd, 0) == 0 && pwrite(fd, in.data, in.len, 0) == (ssize_t)in.len);
    fuzz_must(audit_verify(path, NULL, NULL, &check));
    fuzz_require((check.bad_line == 0) == (check.bad_reason == NULL));
    fuzz_read(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);
    struct audit_line parsed;

    if (len == 0)
        return 0;
    switch (data[0] % MODES) {
    case 0:
        fuzz_any(audit_line_parse(in, &parsed));
        break;
    case 1:
        fuzz_hashed(in);
        break;
    case 2:
        fuzz_value(in);
        break;
    default:
        fuzz_file(in);
        break;
    }
    return 0;
}
