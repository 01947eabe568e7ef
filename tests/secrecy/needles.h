/* Many short byte strings, looked for at once in large amounts of bytes. */
#ifndef TESTS_SECRECY_NEEDLES_H
#define TESTS_SECRECY_NEEDLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "secret/secret.h"

#define NEEDLES_MAX 4096
#define NEEDLE_BYTES_MIN 8
#define NEEDLE_BYTES_MAX 1024

struct needle {
    char name[96];
    uint8_t *data;
    size_t len;
    bool own; /* of a node's own keys: its node.sec has them, and nothing else may */
    int next; /* of those that begin alike */
};

struct needles {
    struct needle items[NEEDLES_MAX];
    size_t n, keys_n;
    int first[1 << 16];
    bool used[1 << 16]; /* a table of its own, which stays in the cache */
};

void needles_init(struct needles *needles);
/* Bytes as they are. Shorter ones than NEEDLE_BYTES_MIN, zeros alone and those that are there
 * already are passed over. */
void needles_add(struct needles *needles, const char *name, const void *data, size_t len, bool own);
/* A key in the forms that it could be written in: raw, hex and base64. NULL is passed over. */
void needles_add_key(struct needles *needles, const char *name, const struct secret *key, bool own);
/* Calls `cb` for each place. */
void needles_search(const struct needles *needles, const uint8_t *data, size_t len,
                    void (*cb)(void *arg, const struct needle *needle, size_t at), void *arg);
void needles_fini(struct needles *needles);

#endif
