#include "doc/selector_work.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secret/secret.h"

#define SHOWN_BYTES_MAX 80
/* A name of a member is copied for each condition below it. */
#define PATHS_BYTES_MAX (8 * MIB)

/* --- problems --- */

bool selector_work_is(const struct work *work, const char *name)
{
    return bytes_equal(bytes_of(work->name, work->name_len), bytes_str(name));
}

enum qk_err selector_problem(struct parse *parse, const char *error, const char *text,
                             const char *op, const json_t *arg)
{
    struct buf shown = BUF_SECRET_INIT(DOC_BYTES_MAX);
    enum qk_err err;
    struct bytes cut;

    err = json_write(arg, &shown);
    cut = bytes_slice(buf_bytes(&shown), 0, SHOWN_BYTES_MAX);
    while (cut.len > 0 && !utf8_is_valid(cut))
        cut.len--;
    if (err == QK_OK || err == QK_ERR_TOO_BIG)
        err = doc_problem_set(parse->problem, 400, error, "%s%s%s%.*s", text, op,
                              op[0] == '\0' ? "" : ": ", (int)cut.len, (const char *)cut.data);
    buf_fini(&shown);
    return err;
}

enum qk_err selector_bad_arg(struct parse *parse, const char *op, const json_t *arg)
{
    return selector_problem(parse, "bad_arg", "Bad argument for operator ", op, arg);
}

enum qk_err selector_problem_op(struct parse *parse, const struct work *work, const char *error,
                                const char *text)
{
    struct bytes shown = bytes_slice(bytes_of(work->name, work->name_len), 0, SHOWN_BYTES_MAX);

    while (shown.len > 0 && !utf8_is_valid(shown))
        shown.len--;
    return doc_problem_set(parse->problem, 400, error, "%s%.*s", text, (int)shown.len,
                           (const char *)shown.data);
}

enum qk_err selector_too_large(struct parse *parse)
{
    return doc_problem_set(parse->problem, 400, "invalid_selector",
                           "The selector has too many conditions.");
}

/* --- nodes and work --- */

enum qk_err selector_node_new(struct parse *parse, struct selector_node **ret_node)
{
    struct selector *selector = parse->selector;
    struct selector_node *node;

    if (selector->nodes_n >= SELECTOR_NODES_MAX)
        return selector_too_large(parse);
    node = calloc(1, sizeof(*node));
    if (node == NULL)
        return QK_ERR_NOMEM;
    node->older = selector->newest;
    selector->newest = node;
    selector->nodes_n++;
    *ret_node = node;
    return QK_OK;
}

static void path_free(struct bytes *path)
{
    if (path->data != NULL)
        secret_wipe((uint8_t *)(uintptr_t)path->data, path->len);
    free((uint8_t *)(uintptr_t)path->data);
    *path = BYTES_NONE;
}

void selector_work_free(struct work *work)
{
    path_free(&work->path);
    free(work);
}

/* `name` NULL: a copy. */
static enum qk_err path_join(struct parse *parse, struct bytes path, const struct bytes *name,
                             struct bytes *ret_path)
{
    size_t dot = path.len == 0 || name == NULL ? 0 : 1;
    size_t len = path.len + dot + (name == NULL ? 0 : name->len);
    uint8_t *text;

    *ret_path = BYTES_NONE;
    if (len == 0)
        return QK_OK;
    parse->paths_bytes += len;
    if (parse->paths_bytes > PATHS_BYTES_MAX)
        return selector_too_large(parse);
    text = malloc(len);
    if (text == NULL)
        return QK_ERR_NOMEM;
    if (path.len > 0)
        memcpy(text, path.data, path.len);
    if (dot == 1)
        text[path.len] = '.';
    if (name != NULL && name->len > 0)
        memcpy(text + path.len + dot, name->data, name->len);
    *ret_path = bytes_of(text, len);
    return QK_OK;
}

enum qk_err selector_work_push(struct parse *parse, const struct work *from,
                               struct selector_node *node, json_t *cond, struct work **ret_work)
{
    struct work *work;
    enum qk_err err;

    if (from->depth >= SELECTOR_DEPTH_MAX - 4) /* one item makes four nodes in a line at most */
        return selector_too_large(parse);
    work = calloc(1, sizeof(*work));
    if (work == NULL)
        return QK_ERR_NOMEM;
    *work = *from;
    work->name = NULL;
    work->node = node;
    work->cond = cond;
    work->depth++;
    work->path = BYTES_NONE;
    err = path_join(parse, from->path, NULL, &work->path);
    if (err != QK_OK) {
        free(work);
        return err;
    }
    work->next = parse->work;
    parse->work = work;
    if (ret_work != NULL)
        *ret_work = work;
    return QK_OK;
}

enum qk_err selector_work_deepen(struct parse *parse, const struct work *work, struct work *below)
{
    const struct bytes name = bytes_of(work->name, work->name_len);
    struct bytes path;
    enum qk_err err = path_join(parse, work->path, &name, &path);

    if (err != QK_OK)
        return err;
    path_free(&below->path);
    below->path = path;
    return QK_OK;
}
