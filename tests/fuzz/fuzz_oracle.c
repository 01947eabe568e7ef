/* Our readers of JSON and MessagePack against others', who share no line with them: yajl and
 * msgpack-c. By the first byte: even JSON, odd MessagePack. What ours take, the other takes too,
 * and means the same; JSON that ours refuse as no JSON, yajl refuses too, but for what it is known
 * to be lenient about (seems_lenient). */
#include <errno.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

#include "doc/json.h"
#include "doc/msgpack.h"
#include "fuzz.h"

/* msgpack-c 4 keeps the containers that are open in an array of 32. */
#define ORACLE_DEPTH_MAX 31
#define BUILD_DEPTH_MAX (JSON_DEPTH_MAX + 2)

static const char *const seeds[] = {
    "{\"a\":[1,-2.5e3,true,false,null],\"b\":{\"\":\"\\u00e9\\ud83d\\ude00\\n\"}}",
    "[[],{},\"\",0,-0.0,1e-300,9223372036854775807,\"\xc3\xa9\"]",
    "  \"text\" \r\n\t",
    "{\"a\":1,\"a\":2}",
    "\x93\x01\xcb\x3f\xf0",
    "\x82\xa1"
    "a\xc0\xa1"
    "b\x92\xc2\xc3",
    "\xd9\x05hello",
    "\xca\x3f\x80",
};

bool fuzz_seed(unsigned number, struct buf *out)
{
    if (number >= sizeof seeds / sizeof *seeds)
        return false;
    buf_put_u8(out, number < 4 ? 0 : 1);
    buf_put_str(out, seeds[number]);
    return true;
}

/* --- a value from a stream of events --- */

struct build {
    json_t *open[BUILD_DEPTH_MAX];
    char *names[BUILD_DEPTH_MAX]; /* the member of that object which comes next; owned */
    size_t name_lens[BUILD_DEPTH_MAX];
    unsigned depth;
    json_t *root;
};

static int build_put(struct build *build, json_t *value)
{
    json_t *into = build->depth == 0 ? NULL : build->open[build->depth - 1];
    unsigned at = build->depth - 1;

    fuzz_require(value != NULL);
    if (into == NULL)
        build->root = value;
    else if (json_is_array(into))
        fuzz_require(json_array_append_new(into, value) == 0);
    else
        fuzz_require(
            json_object_setn_new_nocheck(into, build->names[at], build->name_lens[at], value) == 0);
    return 1;
}

static int build_open(struct build *build, json_t *container)
{
    if (build->depth == BUILD_DEPTH_MAX) { /* deeper than ours take */
        json_decref(container);
        return 0;
    }
    (void)build_put(build, container);
    build->names[build->depth] = NULL;
    build->open[build->depth++] = container;
    return 1;
}

static int build_close(void *arg)
{
    struct build *build = arg;

    free(build->names[--build->depth]);
    return 1;
}

static int on_null(void *arg)
{
    return build_put(arg, json_null());
}

static int on_boolean(void *arg, int value)
{
    return build_put(arg, json_boolean(value));
}

/* As the standard reads it: an integer if it has neither dot nor exponent. */
static int on_number(void *arg, const char *text, size_t len)
{
    char copy[512];
    bool is_real = memchr(text, '.', len) != NULL || memchr(text, 'e', len) != NULL ||
                   memchr(text, 'E', len) != NULL;

    if (len >= sizeof copy)
        return build_put(arg, json_null()); /* ours refuse it, or it has very many zeros */
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (is_real) {
        json_t *real = json_real(strtod(copy, NULL));

        return build_put(arg, real != NULL ? real : json_null()); /* infinite: ours refuse it */
    }
    return build_put(arg, json_integer(strtoll(copy, NULL, 10)));
}

static int on_string(void *arg, const unsigned char *text, size_t len)
{
    return build_put(arg, json_stringn_nocheck((const char *)text, len));
}

static int on_name(void *arg, const unsigned char *text, size_t len)
{
    struct build *build = arg;
    unsigned at = build->depth - 1;

    free(build->names[at]);
    build->names[at] = malloc(len + 1);
    fuzz_require(build->names[at] != NULL);
    memcpy(build->names[at], text, len);
    build->names[at][len] = '\0';
    build->name_lens[at] = len;
    return 1;
}

static int on_object(void *arg)
{
    return build_open(arg, json_object());
}

static int on_array(void *arg)
{
    return build_open(arg, json_array());
}

/* --- JSON --- */

/* In an array of one: behind a value that is whole, yajl takes no notice of a string that the
 * text's end cuts off. */
static json_t *only_of(json_t *array)
{
    json_t *value = json_array_size(array) == 1 ? json_incref(json_array_get(array, 0)) : NULL;

    json_decref(array);
    return value;
}

/* The value, or NULL. */
static json_t *yajl_read(struct bytes text)
{
    static const yajl_callbacks callbacks = {on_null,     on_boolean, NULL,       NULL,
                                             on_number,   on_string,  on_object,  on_name,
                                             build_close, on_array,   build_close};
    static const unsigned char brackets[] = "[]";
    struct build build = {.depth = 0};
    yajl_handle handle = yajl_alloc(&callbacks, NULL, &build);
    bool takes = yajl_parse(handle, brackets, 1) == yajl_status_ok &&
                 yajl_parse(handle, text.data, text.len) == yajl_status_ok &&
                 yajl_parse(handle, brackets + 1, 1) == yajl_status_ok && build.depth == 0 &&
                 yajl_parse(handle, brackets + 1, 1) == yajl_status_error;

    yajl_free(handle);
    while (build.depth > 0)
        (void)build_close(&build);
    if (takes)
        return only_of(build.root);
    json_decref(build.root);
    return NULL;
}

/* yajl looks only at the form of UTF-8 sequences (overlong ones and surrogates pass), puts a mark
 * in the place of half a surrogate pair, and takes \v and \f for blanks. */
static bool seems_lenient(struct bytes text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] >= 0x80 || text.data[i] == '\v' || text.data[i] == '\f' ||
            (text.len - i > 2 && memcmp(text.data + i, "\\u", 2) == 0 &&
             (text.data[i + 2] | 0x20) == 'd'))
            return true;
    return false;
}

static void fuzz_json(struct bytes text)
{
    struct doc_problem problem = {0};
    json_t *ours = NULL, *theirs = yajl_read(text);

    if (json_parse(text, JSON_DEPTH_MAX, &problem, &ours) == QK_OK)
        fuzz_require(theirs != NULL && json_equal(ours, theirs));
    else if (strcmp(problem.reason, "invalid UTF-8 JSON") == 0)
        fuzz_require(theirs == NULL || seems_lenient(text));
    json_decref(ours);
    json_decref(theirs);
}

/* --- MessagePack --- */

static json_t *value_of(const msgpack_object *object, unsigned depth);

static json_t *map_of(const msgpack_object_map *map, unsigned depth)
{
    json_t *value = json_object();

    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *name = &map->ptr[i].key;

        fuzz_require(name->type == MSGPACK_OBJECT_STR);
        fuzz_require(json_object_setn_new_nocheck(
                         value, name->via.str.size == 0 ? "" : name->via.str.ptr,
                         name->via.str.size, value_of(&map->ptr[i].val, depth + 1)) == 0);
    }
    return value;
}

/* Depth is bounded by ORACLE_DEPTH_MAX. */
static json_t *value_of(const msgpack_object *object, unsigned depth)
{
    json_t *array;

    fuzz_require(depth <= ORACLE_DEPTH_MAX + 1);
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        return json_null();
    case MSGPACK_OBJECT_BOOLEAN:
        return json_boolean(object->via.boolean);
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        return json_integer(object->via.i64);
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        return json_real(object->via.f64);
    case MSGPACK_OBJECT_STR:
        return json_stringn_nocheck(object->via.str.size == 0 ? "" : object->via.str.ptr,
                                    object->via.str.size);
    case MSGPACK_OBJECT_ARRAY:
        array = json_array();
        for (uint32_t i = 0; i < object->via.array.size; i++)
            fuzz_require(
                json_array_append_new(array, value_of(&object->via.array.ptr[i], depth + 1)) == 0);
        return array;
    case MSGPACK_OBJECT_MAP:
        return map_of(&object->via.map, depth);
    case MSGPACK_OBJECT_BIN:
    case MSGPACK_OBJECT_EXT:
        break;
    }
    fuzz_require(false); /* ours refuse what is left */
    return NULL;
}

static void fuzz_msgpack(struct bytes in)
{
    struct buf text = BUF_SECRET_INIT(4 * MIB);
    struct doc_problem problem = {0};
    msgpack_unpacked unpacked;
    json_t *ours, *theirs;
    size_t at = 0;

    if (msgpack_to_json(in, ORACLE_DEPTH_MAX, &problem, &text) == QK_OK) {
        msgpack_unpacked_init(&unpacked);
        fuzz_require(msgpack_unpack_next(&unpacked, (const char *)in.data, in.len, &at) ==
                         MSGPACK_UNPACK_SUCCESS &&
                     at == in.len);
        /* Where a name comes twice, which of the values counts is nobody's rule. */
        ours = json_loadb((const char *)text.data, text.len,
                          JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
        if (ours != NULL) {
            theirs = value_of(&unpacked.data, 0);
            fuzz_require(json_equal(ours, theirs));
            json_decref(theirs);
        }
        json_decref(ours);
        msgpack_unpacked_destroy(&unpacked);
    }
    buf_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len == 0)
        return 0;
    if (data[0] % 2 == 0)
        fuzz_json(bytes_of(data + 1, len - 1));
    else
        fuzz_msgpack(bytes_of(data + 1, len - 1));
    return 0;
}
