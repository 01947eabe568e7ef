/* Takes JSON apart as it comes, in memory for one element: hands out the elements of one array, or
 * of a sequence of values, as text. It looks at brackets and strings alone; whether an element is
 * JSON is for who parses it. Pure. */
#ifndef CLIENT_SPLIT_H
#define CLIENT_SPLIT_H

#include <stdbool.h>

#include "base/bytes.h"
#include "base/limits.h"

#define SPLIT_ELEMENT_BYTES_MAX (192 * MIB) /* a document with its attachments in base64 */
#define SPLIT_REST_BYTES_MAX (1 * MIB)
#define SPLIT_DEPTH_MAX 256
#define SPLIT_NAME_BYTES_MAX 64

/* An element; `json` is a text without blanks around it, gone when the callback returns. False: no
 * more are wanted. */
typedef bool (*split_element_cb)(void *arg, struct bytes json);

struct split {
    const char *name; /* of the array within an object; NULL: a sequence */
    split_element_cb on_element;
    void *arg;
    struct buf element; /* secret */
    struct buf rest;    /* secret; the object around the array, which is empty in it */
    unsigned depth;     /* of brackets that are open */
    unsigned array;     /* depth of the elements of the open array; 0: none is open */
    bool in_string, escaped;
    bool valued;       /* the element is whole: a comma or an end must follow */
    bool wanted;       /* the string read last is the array's name */
    bool keyed;        /* in a string at the object's own level */
    bool found, ended; /* the array was there; the text is whole */
    bool stopped;
    uint8_t key[SPLIT_NAME_BYTES_MAX];
    size_t key_len;
    enum qk_err err;
};

/* With `name`: of the object's member of that name, an array. NULL: of values one behind the other,
 * such as JSON lines, where each value that is an array is taken apart and any other is an element.
 * The caller frees with split_fini. */
void split_init(struct split *split, const char *name, split_element_cb on_element, void *arg);
void split_fini(struct split *split);
/* QK_ERR_INVALID: what came is not JSON (it stays so); QK_ERR_TOO_BIG, QK_ERR_NOMEM. After a
 * callback that wanted no more, bytes are passed over. */
MUST_USE enum qk_err split_feed(struct split *split, struct bytes bytes);
/* All has come. QK_ERR_INVALID if the text is no whole one: what came of the element that was not
 * ended, or did not fit, is in `element`. */
MUST_USE enum qk_err split_end(struct split *split);

#endif
