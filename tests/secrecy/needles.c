#include "needles.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/encode.h"

static uint32_t needle_hash(const uint8_t *data)
{
    uint32_t head;

    memcpy(&head, data, sizeof head);
    return (head * 2654435761u) >> 16;
}

void needles_init(struct needles *needles)
{
    memset(needles, 0, sizeof *needles);
    memset(needles->first, 0xff, sizeof needles->first);
}

static bool only_zeros(const uint8_t *data, size_t len)
{
    while (len > 0 && data[len - 1] == 0)
        len--;
    return len == 0;
}

void needles_add(struct needles *needles, const char *name, const void *data, size_t len, bool own)
{
    struct needle *needle = &needles->items[needles->n];
    uint32_t hash;
    int at;

    if (len < NEEDLE_BYTES_MIN || len > NEEDLE_BYTES_MAX || needles->n == NEEDLES_MAX ||
        only_zeros(data, len))
        return;
    hash = needle_hash(data);
    for (at = needles->first[hash]; at >= 0; at = needles->items[at].next) {
        if (needles->items[at].len == len && memcmp(needles->items[at].data, data, len) == 0)
            return;
    }
    snprintf(needle->name, sizeof needle->name, "%s", name);
    needle->data = malloc(len);
    if (needle->data == NULL)
        abort();
    memcpy(needle->data, data, len);
    needle->len = len;
    needle->own = own;
    needle->next = needles->first[hash];
    needles->first[hash] = (int)needles->n++;
    needles->used[hash] = true;
}

void needles_add_key(struct needles *needles, const char *name, const struct secret *key, bool own)
{
    struct buf text = BUF_SECRET_INIT(NEEDLE_BYTES_MAX);
    char hex[2 * 96 + 1], form[128];
    const uint8_t *raw;
    size_t len = key == NULL ? 0 : secret_len(key);

    if (len == 0 || len > 96)
        return;
    raw = secret_borrow(key);
    needles_add(needles, name, raw, len, own);
    hex_encode(raw, len, hex);
    snprintf(form, sizeof form, "%s (hex)", name);
    needles_add(needles, form, hex, 2 * len, own);
    base64_encode(bytes_of(raw, len - len % 3), &text);
    snprintf(form, sizeof form, "%s (base64)", name);
    needles_add(needles, form, text.data, text.len, own);
    secret_return(key);
    secret_wipe(hex, sizeof hex);
    buf_fini(&text);
    needles->keys_n++;
}

void needles_search(const struct needles *needles, const uint8_t *data, size_t len,
                    void (*cb)(void *arg, const struct needle *needle, size_t at), void *arg)
{
    size_t i;
    int at;

    for (i = 0; i + NEEDLE_BYTES_MIN <= len; i++) {
        uint32_t hash = needle_hash(data + i);

        if (!needles->used[hash])
            continue;
        for (at = needles->first[hash]; at >= 0; at = needles->items[at].next) {
            const struct needle *needle = &needles->items[at];

            if (needle->len <= len - i && memcmp(data + i, needle->data, needle->len) == 0)
                cb(arg, needle, i);
        }
    }
}

void needles_fini(struct needles *needles)
{
    size_t i;

    for (i = 0; i < needles->n; i++) {
        secret_wipe(needles->items[i].data, needles->items[i].len);
        free(needles->items[i].data);
    }
}
