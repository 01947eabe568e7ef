/* The versions that the conditions of one command have asked for. The documents of a bulk write
 * each name the same few records (their database, their data key, their writer), so that without
 * this every one of them is looked up in the file as often as there are documents. */
#ifndef STORE_SEEN_H
#define STORE_SEEN_H

#include "base/bytes.h"

#define SEEN_MAX 6 /* what a batch names, with the user and a key that is replaced */

struct seen {
    struct {
        struct bytes key; /* borrowed from the command */
        uint64_t version; /* 0: there is no such record */
    } items[SEEN_MAX];
    unsigned n, next; /* `next` makes room for one more */
};

bool seen_find(const struct seen *seen, struct bytes key, uint64_t *ret_version);
void seen_add(struct seen *seen, struct bytes key, uint64_t version);
/* `key` was written: what is known of it holds no longer. */
void seen_forget(struct seen *seen, struct bytes key);
/* Many were, under one prefix. */
void seen_forget_all(struct seen *seen);

#endif
