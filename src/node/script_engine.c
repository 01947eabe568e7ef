#include "node/script_engine.h"

#include <assert.h>
#include <duktape.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* What a map sees: emit, log, sum, isArray, toJSON and require, as in CouchDB. A map's own changes
 * to the document are its own: each map gets the document anew. What one has emitted before it
 * failed does not count. */
static const char PRELUDE[] =
    "(function (global) {\n"
    "  var stringify = JSON.stringify, parse = JSON.parse, indirect = eval;\n"
    "  var rows = [], errors = [], current = 0, maps = [], design = {}, modules = {};\n"
    "  var push = Array.prototype.push;\n"
    "  function plain(v) { return v === undefined ? null : v; }\n"
    "  global.emit = function (key, value) { rows[rows.length] = [current, plain(key), "
    "plain(value)]; };\n"
    "  global.log = function () {};\n"
    "  global.isArray = Array.isArray;\n"
    "  global.toJSON = stringify;\n"
    "  global.sum = function (values) {\n"
    "    var total = 0, i;\n"
    "    for (i = 0; i < values.length; i++) total += values[i];\n"
    "    return total;\n"
    "  };\n"
    "  function resolve(name, from) {\n"
    "    var parts = name.charAt(0) === '.' ? from.concat(name.split('/')) : name.split('/');\n"
    "    var path = [], i;\n"
    "    for (i = 0; i < parts.length; i++) {\n"
    "      if (parts[i] === '..') path.pop();\n"
    "      else if (parts[i] !== '.' && parts[i] !== '') path.push(parts[i]);\n"
    "    }\n"
    "    return path;\n"
    "  }\n"
    "  function requireFrom(from) {\n"
    "    return function (name) {\n"
    "      var path = resolve(String(name), from), id = path.join('/'), source = design, i;\n"
    "      if (Object.prototype.hasOwnProperty.call(modules, id)) return modules[id].exports;\n"
    "      for (i = 0; i < path.length; i++) {\n"
    "        if (source === null || typeof source !== 'object') source = undefined;\n"
    "        source = source === undefined ? undefined : source[path[i]];\n"
    "      }\n"
    "      if (typeof source !== 'string') throw new Error('invalid_require_path: ' + id);\n"
    "      var module = modules[id] = {id: id, exports: {}};\n"
    "      indirect('(function (module, exports, require) {' + source + '\\n})')(\n"
    "        module, module.exports, requireFrom(path.slice(0, -1)));\n"
    "      return module.exports;\n"
    "    };\n"
    "  }\n"
    "  global.require = requireFrom([]);\n"
    "  function compile(source) {\n"
    "    try {\n"
    "      var made = indirect('(' + source.replace(/[;\\s]+$/, '') + '\\n)');\n"
    "      if (typeof made === 'function') return made;\n"
    "      throw new Error('the map is no function');\n"
    "    } catch (e) {\n"
    "      var reason = 'compilation_error: ' + e;\n"
    "      return function () { throw reason; };\n"
    "    }\n"
    "  }\n"
    "  return {\n"
    "    design: function (text) {\n"
    "      var given = parse(text), i;\n"
    "      design = {views: {lib: given.lib}};\n"
    "      for (i = 0; i < given.maps.length; i++) maps[i] = compile(given.maps[i]);\n"
    "    },\n"
    "    map: function (text) {\n"
    "      rows = []; errors = [];\n"
    "      for (current = 0; current < maps.length; current++) {\n"
    "        var mark = rows.length;\n"
    "        try { maps[current](parse(text)); }\n"
    "        catch (e) { rows.length = mark; push.call(errors, [current, '' + e]); }\n"
    "      }\n"
    "      return stringify([rows, errors]);\n"
    "    }\n"
    "  };\n"
    "})(this)\n";

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

enum qk_err script_engine_new(struct script_engine **ret_engine)
{
    struct script_engine *engine = calloc(1, sizeof(*engine));

    assert(ret_engine != NULL);

    if (engine == NULL)
        return QK_ERR_NOMEM;
    engine->context = duk_create_heap(memory_alloc, memory_realloc, memory_free, engine, fatal);
    if (engine->context == NULL || duk_peval_string(engine->context, PRELUDE) != 0 ||
        !duk_is_object(engine->context, -1)) {
        script_engine_free(engine);
        return QK_ERR_NOMEM;
    }
    *ret_engine = engine; /* the prelude's object stays on the stack, at 0 */
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

enum qk_err script_engine_map(struct script_engine *engine, struct bytes document, struct buf *out)
{
    enum qk_err err = QK_ERR_INVALID;
    const char *text;
    size_t len;

    if (call(engine, "map", document) && duk_is_string(engine->context, -1)) {
        text = duk_get_lstring(engine->context, -1, &len);
        buf_put(out, text, len);
        err = buf_error(out);
    }
    duk_pop(engine->context);
    return err;
}
