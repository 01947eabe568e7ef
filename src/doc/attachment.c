#include "doc/attachment.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/encode.h"

#define ENCODING_NONE 0
#define DIGEST_PREFIX "md5-"

/* --- the section --- */

static bool read_one(struct reader *in, struct attachment *ret_attachment)
{
    uint8_t encoding;

    ret_attachment->name = reader_blob(in, ATTACHMENT_NAME_BYTES_MAX);
    ret_attachment->content_type = reader_blob(in, ATTACHMENT_TYPE_BYTES_MAX);
    ret_attachment->length = reader_u64(in);
    ret_attachment->md5 = reader_bytes(in, ATTACHMENT_MD5_BYTES).data;
    encoding = reader_u8(in);
    ret_attachment->revpos = reader_u32(in);
    ret_attachment->id = reader_bytes(in, ATTACHMENT_ID_BYTES).data;
    ret_attachment->key = reader_bytes(in, ATTACHMENT_KEY_BYTES).data;
    return reader_error(in) == QK_OK && encoding == ENCODING_NONE && ret_attachment->name.len > 0;
}

enum qk_err attachments_open(struct bytes section, struct attachments *ret_list)
{
    struct attachments list = {.in = reader_of(section)}, all;
    struct attachment one;

    assert(ret_list != NULL);

    if (section.len == 0) {
        *ret_list = list;
        return QK_OK;
    }
    list.left = reader_u16(&list.in);
    if (list.left == 0 || list.left > ATTACHMENTS_MAX)
        return QK_ERR_CORRUPT;
    for (all = list; all.left > 0; all.left--) {
        if (!read_one(&all.in, &one))
            return QK_ERR_CORRUPT;
    }
    if (reader_end(&all.in) != QK_OK)
        return QK_ERR_CORRUPT;
    *ret_list = list;
    return QK_OK;
}

bool attachments_next(struct attachments *list, struct attachment *ret_attachment)
{
    if (list->left == 0)
        return false;
    list->left--;
    return read_one(&list->in, ret_attachment);
}

bool attachments_find(struct attachments list, struct bytes name, struct attachment *ret_attachment)
{
    struct attachment one;

    while (attachments_next(&list, &one)) {
        if (bytes_equal(one.name, name)) {
            *ret_attachment = one;
            return true;
        }
    }
    return false;
}

void attachments_put_head(unsigned n, struct buf *out)
{
    assert(n > 0 && n <= ATTACHMENTS_MAX);
    buf_put_u16(out, (uint16_t)n);
}

void attachment_put(const struct attachment *attachment, struct buf *out)
{
    assert(out->secret);
    assert(attachment->name.len > 0 && attachment->name.len <= ATTACHMENT_NAME_BYTES_MAX);
    assert(attachment->content_type.len <= ATTACHMENT_TYPE_BYTES_MAX);

    buf_put_blob(out, attachment->name);
    buf_put_blob(out, attachment->content_type);
    buf_put_u64(out, attachment->length);
    buf_put(out, attachment->md5, ATTACHMENT_MD5_BYTES);
    buf_put_u8(out, ENCODING_NONE);
    buf_put_u32(out, attachment->revpos);
    buf_put(out, attachment->id, ATTACHMENT_ID_BYTES);
    buf_put(out, attachment->key, ATTACHMENT_KEY_BYTES);
}

/* --- digests --- */

enum qk_err attachment_md5(struct bytes content, uint8_t ret_md5[static ATTACHMENT_MD5_BYTES])
{
    unsigned char md5[EVP_MAX_MD_SIZE];
    size_t len = 0;

    if (EVP_Q_digest(NULL, "MD5", NULL, content.data, content.len, md5, &len) != 1 ||
        len != ATTACHMENT_MD5_BYTES)
        return QK_ERR_UNSUPPORTED;
    memcpy(ret_md5, md5, ATTACHMENT_MD5_BYTES);
    return QK_OK;
}

struct attachment_digest *attachment_digest_begin(void)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    if (ctx != NULL && EVP_DigestInit_ex(ctx, EVP_md5(), NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    return (struct attachment_digest *)ctx;
}

enum qk_err attachment_digest_add(struct attachment_digest *digest, struct bytes piece)
{
    return EVP_DigestUpdate((EVP_MD_CTX *)digest, piece.data, piece.len) == 1 ? QK_OK
                                                                              : QK_ERR_NOMEM;
}

enum qk_err attachment_digest_end(struct attachment_digest *digest,
                                  uint8_t ret_md5[static ATTACHMENT_MD5_BYTES])
{
    unsigned char md5[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_DigestFinal_ex((EVP_MD_CTX *)digest, md5, &len) != 1 || len != ATTACHMENT_MD5_BYTES)
        return QK_ERR_NOMEM;
    memcpy(ret_md5, md5, ATTACHMENT_MD5_BYTES);
    return QK_OK;
}

void attachment_digest_free(struct attachment_digest *digest)
{
    EVP_MD_CTX_free((EVP_MD_CTX *)digest);
}

void attachment_digest_format(const uint8_t md5[static ATTACHMENT_MD5_BYTES],
                              char ret_text[static ATTACHMENT_DIGEST_TEXT_BYTES + 1])
{
    struct buf text = BUF_INIT(ATTACHMENT_DIGEST_TEXT_BYTES + 1);

    ret_text[0] = '\0';
    buf_put_str(&text, DIGEST_PREFIX);
    base64_encode(bytes_of(md5, ATTACHMENT_MD5_BYTES), &text);
    buf_put_u8(&text, 0);
    if (buf_error(&text) == QK_OK)
        memcpy(ret_text, text.data, text.len);
    buf_fini(&text);
}

enum qk_err attachment_digest_parse(struct bytes text, uint8_t ret_md5[static ATTACHMENT_MD5_BYTES])
{
    struct buf md5 = BUF_INIT(2 * ATTACHMENT_MD5_BYTES);
    enum qk_err err = QK_ERR_INVALID;

    if (text.len == ATTACHMENT_DIGEST_TEXT_BYTES &&
        bytes_starts_with(text, bytes_str(DIGEST_PREFIX)))
        err = base64_decode(bytes_slice(text, strlen(DIGEST_PREFIX), text.len), &md5);
    if (err == QK_OK && md5.len != ATTACHMENT_MD5_BYTES)
        err = QK_ERR_INVALID;
    if (err == QK_OK)
        memcpy(ret_md5, md5.data, ATTACHMENT_MD5_BYTES);
    buf_fini(&md5);
    return err;
}
