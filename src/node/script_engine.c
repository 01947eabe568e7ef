#include "node/script_engine.h"

#include <assert.h>
#include <duktape.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "node/script_prelude.h"

/* Each block remembers its size in front, so that the sum is known. */
struct block {
    union {
        size_t size;
        max_align_t align;
    } head;
};

struct script_engine {
    duk_context *context;
    size_t bytes;
};

/* --- memory --- */

static void *memory_resize(void *arg, void *old, size_t size)
{
    struct script_engine *engine = arg;
    struct block *block = old == NULL ? NULL : (struct block *)old - 1, *moved;
    size_t before = block == NULL ? 0 : block->head.size;

    if (size > SCRIPT_MEMORY_BYTES_MAX || engine->bytes - before > SCRIPT_MEMORY_BYTES_MAX - size)
        return NULL;
    moved = realloc(block, sizeof(*block) + size);
    if (moved == NULL)
        return NULL; /* `old` stays, and the engine's owner */
    engine->bytes += size - before;
    moved->head.size = size;
    return moved + 1;
}

static void memory_free(void *arg, void *old)
{
    struct script_engine *engine = arg;
    struct block *block = old == NULL ? NULL : (struct block *)old - 1;

    if (block != NULL)
        engine->bytes -= block->head.size;
    free(block);
}

static void *memory_alloc(void *arg, duk_size_t size)
{
    return size == 0 ? NULL : memory_resize(arg, NULL, size);
}

static void *memory_realloc(void *arg, void *old, duk_size_t size)
{
    if (size != 0)
        return memory_resize(arg, old, size);
    memory_free(arg, old);
    return NULL;
}

/* Outside of any protected call nothing can be said any more: the process ends, and whoever asked
 * sees that. */
__attribute__((noreturn)) static void fatal(void *arg, const char *what)
{
    (void)arg;
    (void)what;
    _exit(3);
}

/* --- the engine --- */

/* The prelude's object is left on the stack, at 0. */
static bool begin(duk_context *context)
{
    duk_push_string(context, SCRIPT_PRELUDE_TOOLS);
    duk_push_string(context, SCRIPT_PRELUDE_CALLS);
    duk_concat(context, 2);
    return duk_peval(context) == 0 && duk_is_object(context, -1);
}

enum qk_err script_engine_new(struct script_engine **ret_engine)
{
    struct script_engine *engine = calloc(1, sizeof(*engine));

    assert(ret_engine != NULL);

    if (engine == NULL)
        return QK_ERR_NOMEM;
    engine->context = duk_create_heap(memory_alloc, memory_realloc, memory_free, engine, fatal);
    if (engine->context == NULL || !begin(engine->context)) {
        script_engine_free(engine);
        return QK_ERR_NOMEM;
    }
    *ret_engine = engine;
    return QK_OK;
}

void script_engine_free(struct script_engine *engine)
{
    if (engine == NULL)
        return;
    if (engine->context != NULL)
        duk_destroy_heap(engine->context);
    free(engine);
}

struct call {
    const char *name;
    struct bytes text;
};

static duk_ret_t protected_call(duk_context *context, void *arg)
{
    const struct call *call = arg;

    duk_get_prop_string(context, 0, call->name);
    duk_push_lstring(context, (const char *)call->text.data, call->text.len);
    duk_call(context, 1);
    return 1;
}

/* Leaves the result, or the error, on the stack behind the prelude's object. */
static bool call(struct script_engine *engine, const char *name, struct bytes text)
{
    struct call what = {name, text};

    duk_dup(engine->context, 0);
    return duk_safe_call(engine->context, protected_call, &what, 1, 1) == DUK_EXEC_SUCCESS;
}

enum qk_err script_engine_design(struct script_engine *engine, struct bytes design)
{
    bool done = call(engine, "design", design);

    duk_pop(engine->context);
    return done ? QK_OK : QK_ERR_INVALID;
}

/* NULL: there is no such call. */
static const char *call_name(uint8_t what)
{
    switch (what) {
    case SCRIPT_MAP:
        return "map";
    case SCRIPT_REDUCE:
        return "reduce";
    case SCRIPT_FILTER:
        return "filter";
    case SCRIPT_VALIDATE:
        return "validate";
    default:
        return NULL;
    }
}

enum qk_err script_engine_call(struct script_engine *engine, uint8_t what, struct bytes given,
                               struct buf *out)
{
    const char *name = call_name(what), *text;
    enum qk_err err = QK_ERR_INVALID;
    size_t len;

    if (name == NULL)
        return QK_ERR_INVALID;
    if (call(engine, name, given) && duk_is_string(engine->context, -1)) {
        text = duk_get_lstring(engine->context, -1, &len);
        buf_put(out, text, len);
        err = buf_error(out);
    }
    duk_pop(engine->context);
    return err;
}
