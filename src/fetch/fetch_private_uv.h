/* The inside of fetch: what its files share. Nobody else includes this. */
#ifndef FETCH_FETCH_PRIVATE_UV_H
#define FETCH_FETCH_PRIVATE_UV_H

#include <uv.h>

#include "fetch/fetch.h"
#include "fetch/library.h"

extern struct fetch_library fetch_curl; /* zeros until the first call */

struct fetch {
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    uv_timer_t waker; /* some call may go on */
    struct fetch_call *calls;
    unsigned calls_n;
    struct link_allow allow;
    char *ca_file;
    unsigned handles_n; /* of the loop's, not yet closed */
    bool closing;
};

struct fetch_call {
    struct fetch_call *next, *previous;
    struct fetch *fetch;
    CURL *easy;
    struct curl_slist *fields;
    struct buf request, reply; /* secret */
    fetch_cb cb;
    void *arg;
    struct flow *from, *into;
    bool flows; /* its reply goes into `into` */
    bool wake;  /* it was told to wait, and may go on */
    bool refused, too_big;
    char why[CURL_ERROR_SIZE];
};

/* --- fetch_call_uv.c --- */

/* QK_ERR_NOMEM. */
MUST_USE enum qk_err fetch_call_options(struct fetch_call *call,
                                        const struct fetch_request *request);
/* The flows know nothing of it any more. */
void fetch_call_let_go(struct fetch_call *call);
/* At the end of a reply that came whole: so does its flow. */
void fetch_call_flowed(struct fetch_call *call);
/* --- fetch_uv.c --- */

/* From the loop: calls with `wake` go on. */
void fetch_wake(struct fetch *fetch);

#endif
