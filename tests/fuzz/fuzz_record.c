/* Stored records of documents, revisions, names. By the first byte: 0 a record as it is, 1 a header
 * under a right MAC and then envelopes, 2 a revision's text, 3 names, 4 a sealed plaintext. */
#include <string.h>

#include "base/key_uses.h"
#include "doc/document.h"
#include "doc/id.h"
#include "fuzz.h"
#include "secret/crypto.h"

#define MODES 5

static const uint8_t zeros[16];
static const struct doc_place place = {zeros, zeros, {(const uint8_t *)"doc", 3}, 1};

static void seed_record(struct buf *out, bool header_only)
{
    struct doc_leaf leaves[2];
    struct doc_record record = {leaves, 2};
    struct buf value = BUF_INIT(64 * KIB);
    struct bytes header, keys, rest;
    struct key_uses uses;
    struct reader reader;

    memset(leaves, 0, sizeof leaves);
    leaves[0].key_version = leaves[1].key_version = 1;
    leaves[1].sealed_at = 1;
    leaves[0].revision = (struct revision){2, {1}};
    leaves[0].path = bytes_of(zeros, 16);
    leaves[0].envelope = bytes_str("QKE1 first");
    leaves[1].revision = (struct revision){1, {2}};
    leaves[1].deleted = true;
    leaves[1].envelope = bytes_str("QKE1");
    fuzz_must(doc_record_encode(fuzz_key(1), &place, &record, &value));
    fuzz_must(key_uses_open(buf_bytes(&value), &uses, &rest));
    keys = bytes_slice(buf_bytes(&value), 0, value.len - rest.len);
    reader = reader_of(bytes_slice(rest, 1 + DOC_RECORD_MAC_BYTES, SIZE_MAX));
    header = reader_blob(&reader, 64 * KIB);
    if (header_only) {
        buf_put_bytes(out, keys);
        buf_put_u16(out, (uint16_t)header.len);
        buf_put_bytes(out, header);
        buf_put_bytes(out, reader_rest(&reader));
    } else {
        buf_put_bytes(out, buf_bytes(&value));
    }
    buf_fini(&value);
}

static void seed_plain(struct buf *out)
{
    struct buf section = BUF_SECRET_INIT(1 * KIB);
    const struct attachment one = {bytes_str("a"),
                                   bytes_str("text/plain"),
                                   3,
                                   zeros,
                                   1,
                                   zeros,
                                   (const uint8_t *)"0123456789abcdef0123456789abcdef"};

    attachments_put_head(1, &section);
    attachment_put(&one, &section);
    document_plain_put_with(buf_bytes(&section), bytes_str("{}"), out);
    buf_fini(&section);
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= MODES)
        return false;
    buf_put_u8(out, (uint8_t)number);
    if (number < 2)
        seed_record(out, number == 1);
    else if (number == 2)
        buf_put_str(out, "12-00112233445566778899aabbccddeeff");
    else if (number == 3)
        buf_put_str(out, "a_name+with-all/of$it(9)");
    else
        seed_plain(out);
    return true;
}

static void fuzz_record(struct bytes value)
{
    struct doc_record record;
    struct doc_leaf winner;
    unsigned leaves_n;

    if (doc_record_decode(fuzz_key(1), &place, value, &record) != QK_OK)
        return;
    fuzz_must(doc_record_decode_winner(fuzz_key(1), &place, value, &winner, &leaves_n));
    fuzz_require(leaves_n == record.leaves_n);
    fuzz_require(revision_equal(&winner.revision, &record.leaves[0].revision));
    for (unsigned i = 0; i < record.leaves_n; i++) {
        fuzz_touch(record.leaves[i].path);
        fuzz_touch(record.leaves[i].attachments);
        fuzz_touch(record.leaves[i].envelope);
        fuzz_require(doc_record_find(&record, &record.leaves[i].revision) != NULL);
    }
    doc_record_fini(&record);
}

/* A list of keys, len16, header, envelopes; see record.h for what the MAC covers. */
static void fuzz_authentic(struct bytes in)
{
    struct buf value = BUF_INIT(1 * MIB);
    uint8_t head[12], mac[HASH_BYTES];
    struct bytes keys, header, rest;
    struct key_uses uses;
    struct reader reader;

    if (key_uses_open(in, &uses, &rest) != QK_OK)
        return;
    keys = bytes_slice(in, 0, in.len - rest.len);
    reader = reader_of(rest);
    header = reader_bytes(&reader, reader_u16(&reader));
    if (reader_error(&reader) == QK_OK) {
        put_u32(head, (uint32_t)place.document_id.len);
        put_u64(head + 4, place.record_version);
        const struct bytes parts[] = {bytes_of(zeros, 16),
                                      bytes_of(zeros, 16),
                                      bytes_of(head, sizeof head),
                                      place.document_id,
                                      keys,
                                      header};
        fuzz_must(mac_compute(fuzz_key(1), "revision record", parts, 6, mac));
        buf_put_bytes(&value, keys);
        buf_put_u8(&value, DOC_RECORD_FORMAT);
        buf_put(&value, mac, DOC_RECORD_MAC_BYTES);
        buf_put_blob(&value, header);
        buf_put_bytes(&value, reader_rest(&reader));
        fuzz_record(buf_bytes(&value));
    }
    buf_fini(&value);
}

static void fuzz_revision(struct bytes in)
{
    struct revision revision, again;
    char text[REVISION_TEXT_BYTES_MAX + 1];

    if (revision_parse(in, &revision) != QK_OK)
        return;
    revision_format(&revision, text);
    fuzz_must(revision_parse(bytes_str(text), &again));
    fuzz_require(revision_equal(&revision, &again) && revision_compare(&revision, &again) == 0);
}

static void fuzz_parts(const struct document_parts *parts)
{
    struct attachments list;
    struct attachment one;
    unsigned n = 0;

    fuzz_touch(parts->body);
    fuzz_must(attachments_open(parts->attachments, &list));
    for (; attachments_next(&list, &one); n++) {
        fuzz_touch(one.name);
        fuzz_touch(one.content_type);
        fuzz_touch(bytes_of(one.key, ATTACHMENT_KEY_BYTES));
    }
    fuzz_require(n <= ATTACHMENTS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct bytes in = len == 0 ? BYTES_NONE : bytes_of(data + 1, len - 1);
    struct document_parts parts;
    struct doc_problem problem = {0};

    switch (len == 0 ? MODES : data[0] % MODES) {
    case 0:
        fuzz_record(in);
        break;
    case 1:
        fuzz_authentic(in);
        break;
    case 2:
        fuzz_revision(in);
        break;
    case 3:
        fuzz_require(doc_id_check(in, &problem) != QK_OK || utf8_is_valid(in));
        fuzz_require(database_name_check(in, &problem) != QK_OK || utf8_is_valid(in));
        break;
    case 4:
        if (document_plain_open(in, &parts) == QK_OK)
            fuzz_parts(&parts);
        break;
    default:
        break;
    }
    return 0;
}
