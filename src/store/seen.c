#include "store/seen.h"

static unsigned place_of(const struct seen *seen, struct bytes key)
{
    unsigned at = 0;

    while (at < seen->n && !bytes_equal(seen->items[at].key, key))
        at++;
    return at;
}

bool seen_find(const struct seen *seen, struct bytes key, uint64_t *ret_version)
{
    unsigned at = place_of(seen, key);

    if (at == seen->n)
        return false;
    *ret_version = seen->items[at].version;
    return true;
}

void seen_add(struct seen *seen, struct bytes key, uint64_t version)
{
    unsigned at = seen->n < SEEN_MAX ? seen->n++ : seen->next++ % SEEN_MAX;

    seen->items[at].key = key;
    seen->items[at].version = version;
}

void seen_forget(struct seen *seen, struct bytes key)
{
    unsigned at = place_of(seen, key);

    if (at < seen->n)
        seen->items[at] = seen->items[--seen->n];
}

void seen_forget_all(struct seen *seen)
{
    seen->n = 0;
}
