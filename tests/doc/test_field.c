#include "doc/field.h"

#include <criterion/criterion.h>
#include <stdlib.h>

static struct field_path path_of(const char *text)
{
    struct field_path path;

    cr_assert_eq(field_path_parse(bytes_str(text), &path), QK_OK, "%s", text);
    return path;
}

static void names(const char *text, size_t names_n, const char *last)
{
    struct field_path path = path_of(text);

    cr_expect_eq(path.names_n, names_n, "%s", text);
    cr_expect(bytes_equal(path.names[path.names_n - 1], bytes_str(last)), "%s", text);
    cr_expect(bytes_equal(path.text, bytes_str(text)));
    field_path_fini(&path);
}

/* CouchDB's mango_util:parse_field_test, and more. */
Test(field, dots_separate_unless_escaped)
{
    names("ab", 1, "ab");
    names("a.b", 2, "b");
    names("a\\.b", 1, "a.b");
    names("a.b.c", 3, "c");
    names("a.b\\.c", 2, "b.c");
    names("a\\\\.b", 1, "a.b");
    names("a\\b", 1, "ab");
}

Test(field, an_empty_name_is_refused)
{
    static const char *const texts[] = {"", ".", "a.", ".a", "a..b", "\\", "a.\\"};
    struct field_path path;
    size_t i;

    for (i = 0; i < sizeof texts / sizeof texts[0]; i++)
        cr_expect_eq(field_path_parse(bytes_str(texts[i]), &path), QK_ERR_INVALID, "%s", texts[i]);
}

static enum field_found look(const char *text, const char *document, int *ret_integer)
{
    json_t *doc = json_loads(document, 0, NULL);
    struct field_path path = path_of(text);
    const json_t *value = NULL;
    enum field_found found = field_get(&path, doc, &value);

    *ret_integer = found == FIELD_FOUND ? (int)json_integer_value(value) : -1;
    field_path_fini(&path);
    json_decref(doc);
    return found;
}

Test(field, a_value_is_found_or_it_is_said_why_not)
{
    int integer;

    cr_expect_eq(look("a.b", "{\"a\":{\"b\":7}}", &integer), FIELD_FOUND);
    cr_expect_eq(integer, 7);
    cr_expect_eq(look("a.c", "{\"a\":{\"b\":7}}", &integer), FIELD_NOT_FOUND);
    cr_expect_eq(look("a.b.c", "{\"a\":{\"b\":7}}", &integer), FIELD_BAD_PATH);
    cr_expect_eq(look("a.1", "{\"a\":[3,4]}", &integer), FIELD_FOUND);
    cr_expect_eq(integer, 4);
    cr_expect_eq(look("a.+01", "{\"a\":[3,4]}", &integer), FIELD_FOUND);
    cr_expect_eq(look("a.-0", "{\"a\":[3,4]}", &integer), FIELD_FOUND);
    cr_expect_eq(look("a.-1", "{\"a\":[3,4]}", &integer), FIELD_BAD_PATH);
    cr_expect_eq(look("a.2", "{\"a\":[3,4]}", &integer), FIELD_BAD_PATH);
    cr_expect_eq(look("a.99999999999999999999999999", "{\"a\":[3]}", &integer), FIELD_BAD_PATH);
    cr_expect_eq(look("a.x", "{\"a\":[3,4]}", &integer), FIELD_BAD_PATH);
    cr_expect_eq(look("a.-", "{\"a\":[3,4]}", &integer), FIELD_BAD_PATH);
}

static void put(json_t *object, const char *text, int integer)
{
    struct field_path path = path_of(text);
    json_t *value = json_integer(integer);

    cr_assert_eq(field_set(&path, object, value), QK_OK);
    json_decref(value);
    field_path_fini(&path);
}

Test(field, a_value_is_put_with_the_objects_on_the_way)
{
    json_t *object = json_object();
    json_t *expected = json_loads("{\"a\":{\"b\":1,\"c\":{\"d\":2}},\"x\":3}", 0, NULL);

    put(object, "a.b", 1);
    put(object, "a.c.d", 2);
    put(object, "x", 3);
    put(object, "x.y", 4); /* x is no object */
    cr_expect(json_equal(object, expected));
    json_decref(object);
    json_decref(expected);
}
