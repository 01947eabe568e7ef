/* Short texts that a client, an operator or another server gives. By the first byte: 0 the Range
 * field (the next byte is the content's length), 1 Accept, 2 a sequence, 3 one that is sealed, 4 an
 * attachment's digest, 5 a list of networks, 6 a node's address, 7 the name of a member inside a
 * document. What is taken is within its bounds, and reads the same when it is written again. */
#include <stdlib.h>
#include <string.h>

#include "client/target.h"
#include "doc/attachment.h"
#include "doc/field.h"
#include "fuzz.h"
#include "link/allow.h"
#include "service/documents/range.h"
#include "service/seq.h"

#define MODES 8

static const uint8_t database[DATABASE_ID_BYTES] = {1, 2, 3};

static const char *const seeds[MODES] = {
    "@bytes=1-5, 7-, -3",           "text/html;q=0.5, application/json;q=0, multipart/*, */*",
    "\"12-0102030000000000\"",      "0-",
    "md5-1B2M2Y8AsgTpgAmY7PhCfg==", "10.0.0.0/8, 192.168.1.7, fd00::/8",
    "https://[::1]:5984/",          "a.b\\.c.0",
};

static const struct secret *seq_key(void)
{
    static struct secret *key;

    if (key == NULL)
        fuzz_must(seq_key_derive(fuzz_key(7), database, &key));
    return key;
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    char text[SEQ_TEXT_BYTES_MAX + 1];

    if (number >= MODES)
        return false;
    buf_put_u8(out, (uint8_t)number);
    if (number == 3) {
        fuzz_must(seq_format_sealed(seq_key(), database, 77, text));
        buf_put_str(out, text);
    } else {
        buf_put_str(out, seeds[number]);
    }
    return true;
}

static void fuzz_range(struct bytes in)
{
    struct ranges ranges = {.n = 0};
    uint64_t length = in.len == 0 ? 0 : in.data[0];

    if (ranges_parse(bytes_slice(in, 1, in.len), length, &ranges) != QK_OK)
        return;
    fuzz_require(ranges.n <= RANGES_MAX);
    for (unsigned i = 0; i < ranges.n; i++)
        fuzz_require(ranges.items[i].from < ranges.items[i].to && ranges.items[i].to <= length);
}

static void fuzz_accept(struct bytes in)
{
    bool json = accept_takes(in, "application/json"), mixed = accept_takes(in, "multipart/mixed");

    fuzz_require(in.len > 0 || (json && mixed));
}

static void fuzz_seq(struct bytes in)
{
    char text[SEQ_TEXT_BYTES_MAX + 1];
    uint64_t seq, again;

    if (seq_parse(database, in, &seq) != QK_OK)
        return;
    seq_format(database, seq, text);
    fuzz_must(seq_parse(database, bytes_str(text), &again));
    fuzz_require(seq == again);
}

/* Nobody makes up a sequence: what is no text of ours is 0 or refused. */
static void fuzz_sealed_seq(struct bytes in)
{
    uint64_t seq;

    if (seq_parse_sealed(seq_key(), database, in, &seq) == QK_OK)
        fuzz_require(seq == 0 || seq == 77);
}

static void fuzz_digest(struct bytes in)
{
    char text[ATTACHMENT_DIGEST_TEXT_BYTES + 1];
    uint8_t md5[ATTACHMENT_MD5_BYTES];

    if (attachment_digest_parse(in, md5) != QK_OK)
        return;
    attachment_digest_format(md5, text);
    fuzz_require(bytes_equal(bytes_str(text), in));
}

static void fuzz_allow(const char *text)
{
    struct buf message = BUF_INIT(64 * KIB);
    struct link_allow allow;

    if (link_allow_parse(text, &allow, &message) == QK_OK) {
        fuzz_require(allow.n <= LINK_ALLOW_MAX);
        for (unsigned i = 0; i < allow.n; i++)
            fuzz_require(allow.list[i].bits <= 128 &&
                         link_allow_has(&allow, allow.list[i].address));
    } else {
        fuzz_require(message.len > 0);
    }
    buf_fini(&message);
}

static void fuzz_target(const char *text)
{
    struct buf message = BUF_INIT(64 * KIB);
    struct client_target target, again;

    if (client_target_parse(text, &target, &message) == QK_OK) {
        fuzz_require(target.local || (target.host[0] != '\0' && target.port[0] != '\0'));
        fuzz_require(!target.local || strlen(target.path) < sizeof target.path);
        fuzz_must(client_target_parse(target.text, &again, &message));
        fuzz_require(strcmp(again.host, target.host) == 0 && again.tls == target.tls);
    } else {
        fuzz_require(message.len > 0);
    }
    buf_fini(&message);
}

static void fuzz_path(struct bytes in)
{
    struct field_path path;
    const json_t *found = NULL;
    json_t *object;

    if (field_path_parse(in, &path) != QK_OK)
        return;
    object = json_object();
    fuzz_require(path.names_n > 0);
    if (utf8_is_valid(in)) {
        fuzz_must(field_set(&path, object, json_true()));
        fuzz_require(field_get(&path, object, &found) == FIELD_FOUND && json_is_true(found));
    }
    json_decref(object);
    field_path_fini(&path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);
    char *text = calloc(1, in.len + 1);

    fuzz_require(text != NULL);
    if (in.len > 0)
        memcpy(text, in.data, in.len);
    switch (len == 0 ? MODES : data[0] % MODES) {
    case 0:
        fuzz_range(in);
        break;
    case 1:
        fuzz_accept(in);
        break;
    case 2:
        fuzz_seq(in);
        break;
    case 3:
        fuzz_sealed_seq(in);
        break;
    case 4:
        fuzz_digest(in);
        break;
    case 5:
        fuzz_allow(text);
        break;
    case 6:
        fuzz_target(text);
        break;
    case 7:
        fuzz_path(in);
        break;
    default:
        break;
    }
    free(text);
    return 0;
}
