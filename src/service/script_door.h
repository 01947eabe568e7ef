/* Where workers for JavaScript come from: service/script.h. */
#ifndef SERVICE_SCRIPT_DOOR_H
#define SERVICE_SCRIPT_DOOR_H

#include "base/err.h"

struct script_door {
    enum qk_err (*connect)(void *arg, int *ret_fd); /* non-blocking, the caller's to close */
    void *arg;
};

#endif
