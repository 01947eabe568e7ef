/* libcurl, loaded by the first request to another server and kept from then on. With the libraries
 * that it stands on it takes more memory than the rest of an idle node, and most nodes never ask
 * anybody. What it is built against and what it loads is the same file name, so the same ABI. */
#ifndef FETCH_LIBRARY_H
#define FETCH_LIBRARY_H

#include <curl/curl.h>

#include "base/err.h"

#define FETCH_LIBRARY_CALLS(X)                                                                     \
    X(easy_cleanup)                                                                                \
    X(easy_getinfo)                                                                                \
    X(easy_init)                                                                                   \
    X(easy_pause)                                                                                  \
    X(easy_setopt)                                                                                 \
    X(easy_strerror)                                                                               \
    X(global_init_mem)                                                                             \
    X(multi_add_handle)                                                                            \
    X(multi_assign)                                                                                \
    X(multi_cleanup)                                                                               \
    X(multi_info_read)                                                                             \
    X(multi_init)                                                                                  \
    X(multi_remove_handle)                                                                         \
    X(multi_setopt)                                                                                \
    X(multi_socket_action)                                                                         \
    X(slist_append)                                                                                \
    X(slist_free_all)

struct fetch_library {
#define FETCH_LIBRARY_CALL(name) __typeof__(&curl_##name) name;
    FETCH_LIBRARY_CALLS(FETCH_LIBRARY_CALL)
#undef FETCH_LIBRARY_CALL
};

/* Fills `library`, which is zeros before the first time, with libcurl made ready for use; once it
 * is filled nothing is done. QK_ERR_UNSUPPORTED: it is not there, the log says why; QK_ERR_NOMEM.
 */
MUST_USE enum qk_err fetch_library_load(struct fetch_library *library);

#endif
