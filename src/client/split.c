#include "client/split.h"

#include <assert.h>
#include <string.h>

void split_init(struct split *split, const char *name, split_element_cb on_element, void *arg)
{
    assert(name == NULL || strlen(name) < SPLIT_NAME_BYTES_MAX);
    assert(on_element != NULL);

    memset(split, 0, sizeof(*split));
    split->name = name;
    split->on_element = on_element;
    split->arg = arg;
    split->element = BUF_SECRET_INIT(SPLIT_ELEMENT_BYTES_MAX);
    split->rest = BUF_SECRET_INIT(SPLIT_REST_BYTES_MAX);
    split->found = name == NULL;
    split->ended = name == NULL;
}

void split_fini(struct split *split)
{
    buf_fini(&split->element);
    buf_fini(&split->rest);
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
}

/* Elements stand in the array, or at the outermost level of a sequence. */
static bool among_elements(const struct split *split)
{
    return split->array > 0 || split->name == NULL;
}

static void hand_out(struct split *split)
{
    struct bytes json = buf_bytes(&split->element);

    while (json.len > 0 && is_blank(json.data[json.len - 1]))
        json.len--;
    if (json.len > 0 && !split->on_element(split->arg, json))
        split->stopped = true;
    buf_reset(&split->element);
    split->valued = false;
}

static void keep(struct split *split, uint8_t byte)
{
    struct buf *to = among_elements(split) ? &split->element : &split->rest;

    buf_put_u8(to, byte);
    split->err = buf_error(to);
}

/* The key of a member of the object is compared as it stands; ours have nothing to escape. */
static void in_string(struct split *split, uint8_t byte)
{
    keep(split, byte);
    if (split->escaped) {
        split->escaped = false;
    } else if (byte == '\\') {
        split->escaped = true;
    } else if (byte == '"') {
        split->in_string = false;
        split->wanted = split->keyed && split->key_len == strlen(split->name) &&
                        memcmp(split->key, split->name, split->key_len) == 0;
        split->valued = among_elements(split) && split->depth == split->array;
        return;
    }
    if (split->keyed && split->key_len < sizeof(split->key))
        split->key[split->key_len++] = byte;
}

static void begin_string(struct split *split)
{
    if (split->name != NULL && split->depth == 0) {
        split->err = QK_ERR_INVALID; /* not an object, or something behind it */
        return;
    }
    split->in_string = true;
    split->keyed = split->name != NULL && split->array == 0 && split->depth == 1 && !split->found;
    split->key_len = 0;
    keep(split, '"');
}

static void open_bracket(struct split *split, uint8_t byte)
{
    bool taken_apart = byte == '[' && split->array == 0 &&
                       (split->name == NULL ? split->depth == 0 : split->wanted);

    if (split->ended && split->name != NULL)
        split->err = QK_ERR_INVALID; /* something behind the object */
    else if (split->depth == SPLIT_DEPTH_MAX)
        split->err = QK_ERR_INVALID;
    if (split->err != QK_OK)
        return;
    if (!taken_apart || split->name != NULL)
        keep(split, byte);
    split->depth++;
    split->ended = false;
    split->wanted = false;
    if (taken_apart) {
        split->array = split->depth;
        split->found = true;
    }
}

static void close_bracket(struct split *split, uint8_t byte)
{
    if (split->depth == 0 || (split->array == split->depth && byte != ']')) {
        split->err = QK_ERR_INVALID;
        return;
    }
    if (split->array == split->depth) {
        hand_out(split);
        split->array = 0;
        if (split->name != NULL)
            keep(split, byte);
    } else {
        keep(split, byte);
        split->valued = among_elements(split) && split->depth - 1 == split->array;
    }
    split->depth--;
    split->ended = split->depth == 0;
    if (split->name == NULL && split->depth == 0)
        hand_out(split);
}

/* Between the elements, and between the members of the object. */
static void plain(struct split *split, uint8_t byte)
{
    bool between = among_elements(split) && split->depth == split->array;

    if (is_blank(byte)) {
        if (split->element.len > 0 || !among_elements(split))
            keep(split, byte);
    } else if (between && byte == ',') {
        if (split->array == 0)
            split->err = QK_ERR_INVALID;
        else
            hand_out(split);
    } else if (!among_elements(split) && split->depth == 0) {
        split->err = QK_ERR_INVALID; /* not an object */
    } else {
        split->wanted = split->wanted && byte == ':';
        keep(split, byte);
    }
}

static void take(struct split *split, uint8_t byte)
{
    bool ends = byte == ',' || byte == ']' || byte == '}' || is_blank(byte);

    if (split->in_string) {
        in_string(split, byte);
        return;
    }
    if (split->valued && !ends) { /* two values with nothing between them */
        keep(split, byte);
        split->err = QK_ERR_INVALID;
        return;
    }
    switch (byte) {
    case '"':
        begin_string(split);
        break;
    case '{':
    case '[':
        open_bracket(split, byte);
        break;
    case '}':
    case ']':
        close_bracket(split, byte);
        break;
    default:
        plain(split, byte);
    }
}

enum qk_err split_feed(struct split *split, struct bytes bytes)
{
    for (size_t i = 0; i < bytes.len && !split->stopped; i++) {
        if (split->err != QK_OK && split->valued) {
            buf_put_u8(&split->element, bytes.data[i]); /* what did not fit, for the message */
            continue;
        }
        if (split->err != QK_OK)
            break;
        take(split, bytes.data[i]);
    }
    return split->err;
}

enum qk_err split_end(struct split *split)
{
    if (split->stopped)
        return QK_OK;
    if (split->err == QK_OK && split->name == NULL && split->depth == 0 && !split->in_string)
        hand_out(split);
    if (split->err == QK_OK && (!split->found || !split->ended || split->in_string))
        split->err = QK_ERR_INVALID;
    if (split->err == QK_OK)
        split->err = buf_error(&split->rest);
    return split->err;
}
