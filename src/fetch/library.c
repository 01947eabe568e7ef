#include "fetch/library.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "secret/secret.h"

#define LIBRARY_FILE "libcurl.so.4"

static const struct {
    const char *name;
    size_t at; /* in struct fetch_library */
} CALLS[] = {
#define FETCH_LIBRARY_CALL(name) {"curl_" #name, offsetof(struct fetch_library, name)},
    FETCH_LIBRARY_CALLS(FETCH_LIBRARY_CALL)
#undef FETCH_LIBRARY_CALL
};

/* What passes through it holds credentials and bodies: its memory is wiped when it is freed. */
static void wiping_free(void *memory)
{
    if (memory != NULL)
        secret_wipe(memory, malloc_usable_size(memory));
    free(memory);
}

static void *wiping_realloc(void *memory, size_t len)
{
    size_t had = memory == NULL ? 0 : malloc_usable_size(memory);
    void *more = malloc(len == 0 ? 1 : len);

    if (more == NULL)
        return NULL;
    if (memory != NULL)
        memcpy(more, memory, had < len ? had : len);
    wiping_free(memory);
    return more;
}

static bool library_find(struct fetch_library *ret_library)
{
    void *file = dlopen(LIBRARY_FILE, RTLD_NOW | RTLD_LOCAL);

    for (size_t i = 0; file != NULL && i < sizeof CALLS / sizeof CALLS[0]; i++) {
        void *call = dlsym(file, CALLS[i].name);

        if (call == NULL)
            return false;
        memcpy((uint8_t *)ret_library + CALLS[i].at, &call, sizeof call);
    }
    return file != NULL;
}

enum qk_err fetch_library_load(struct fetch_library *library)
{
    struct fetch_library found;

    if (library->easy_init != NULL)
        return QK_OK;
    if (!library_find(&found)) {
        log_error("fetch", "no request to another server can be made: %s", dlerror());
        return QK_ERR_UNSUPPORTED;
    }
    if (found.global_init_mem(CURL_GLOBAL_DEFAULT, malloc, wiping_free, wiping_realloc, strdup,
                              calloc) != CURLE_OK)
        return QK_ERR_NOMEM;
    *library = found;
    return QK_OK;
}
