#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"
#include "documents_fixture.h"
#include "service/replication/replicator_docs.h"

static struct documents documents;
static const struct replicator_owner OWNER = {.name = "ada", .user_id = {1, 2, 3}};

static void setup(void)
{
    documents_init(&documents);
}

static void teardown(void)
{
    documents_fini(&documents);
}

TestSuite(replicator, .init = setup, .fini = teardown);

static json_t *sealed(void)
{
    json_t *public =
        json_pack("{s:s, s:{s:s}}", "source", "http://h/db", "target", "url", "http://t/db");
    json_t *secret =
        json_pack("{s:{s:s, s:s}}", "source", "user", "u", "password", "plover-canary");

    cr_assert_eq(replicator_seal(&documents.service, bytes_str("doc"), &OWNER, secret, public),
                 QK_OK);
    json_decref(secret);
    return public;
}

static enum qk_err open_as(const char *id, const json_t *public, char ret_password[static 32])
{
    struct replicator_owner owner;
    json_t *secret = NULL;
    enum qk_err err = replicator_open(&documents.service, bytes_str(id), public, &owner, &secret);

    if (err == QK_OK) {
        cr_assert_str_eq(owner.name, "ada");
        cr_assert_eq(memcmp(owner.user_id, OWNER.user_id, USER_ID_BYTES), 0);
        snprintf(ret_password, 32, "%s",
                 json_string_value(json_object_get(json_object_get(secret, "source"), "password")));
    }
    json_decref(secret);
    return err;
}

Test(replicator, credentials_open_in_their_document_alone)
{
    json_t *public = sealed(), *other;
    char password[32] = "";

    cr_assert_null(strstr(json_string_value(json_object_get(public, "credentials")), "plover"));
    cr_assert_eq(open_as("doc", public, password), QK_OK);
    cr_assert_str_eq(password, "plover-canary");
    cr_assert_eq(open_as("doc2", public, password), QK_ERR_CORRUPT);
    other = json_deep_copy(public);
    cr_assert_eq(json_object_set_new(other, "source", json_string("http://evil/db")), 0);
    cr_assert_eq(open_as("doc", other, password), QK_ERR_CORRUPT);
    json_decref(other);
    other = json_deep_copy(public);
    cr_assert_eq(json_object_set_new(other, "target", json_string("http://evil/db")), 0);
    cr_assert_eq(open_as("doc", other, password), QK_ERR_CORRUPT);
    json_decref(other);
    cr_assert_eq(json_object_del(public, "credentials"), 0);
    cr_assert_eq(open_as("doc", public, password), QK_ERR_CORRUPT);
    json_decref(public);
}

Test(replicator, credentials_flipped_or_cut_anywhere_do_not_open)
{
    json_t *public = sealed();
    struct buf raw = BUF_INIT(64 * KIB), text = BUF_INIT(64 * KIB);
    char password[32];
    const char *given = json_string_value(json_object_get(public, "credentials"));

    cr_assert_eq(base64_decode(bytes_str(given), &raw), QK_OK);
    for (size_t i = 0; i < 2 * raw.len; i++) {
        size_t len = i < raw.len ? raw.len : i - raw.len;

        buf_reset(&text);
        if (i < raw.len)
            raw.data[i] ^= 1;
        base64_encode(bytes_slice(buf_bytes(&raw), 0, len), &text);
        if (i < raw.len)
            raw.data[i] ^= 1;
        cr_assert_eq(json_object_set_new(
                         public, "credentials",
                         json_stringn(text.len == 0 ? "" : (const char *)text.data, text.len)),
                     0);
        cr_assert_eq(open_as("doc", public, password), QK_ERR_CORRUPT, "%zu", i);
    }
    buf_fini(&raw);
    buf_fini(&text);
    json_decref(public);
}

Test(replicator, the_same_credentials_look_different_each_time)
{
    json_t *one = sealed(), *two = sealed();

    cr_assert(
        !json_equal(json_object_get(one, "credentials"), json_object_get(two, "credentials")));
    json_decref(one);
    json_decref(two);
}
