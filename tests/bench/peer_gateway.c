#include <string.h>

#include "base/encode.h"
#include "peers.h"

uint64_t peer_gateway_build(struct load_http *http, struct buf *out)
{
    struct peer *peer = (struct peer *)http;
    const char *path = peer->reads ? "/v3/kv/range" : "/v3/kv/put";
    char key[LOAD_KEY_BYTES];

    peer_key(peer, key);
    buf_reset(&peer->body);
    buf_put_str(&peer->body, "{\"key\":\"");
    base64_encode(bytes_str(key), &peer->body);
    if (!peer->reads) {
        buf_put_str(&peer->body, "\",\"value\":\"");
        base64_encode(buf_bytes(&peer->value), &peer->body);
    }
    buf_put_str(&peer->body, "\"}");
    load_http_put(out, "POST", bytes_str(path), BYTES_NONE, buf_bytes(&peer->body));
    return 1;
}
