/* Messages between members about sealing, dealing and joining (wire/peer): what decodes must encode
 * again, and the encoding must be a fixed point. */
#include <string.h>

#include "fuzz.h"
#include "wire/peer.h"

static const uint8_t fixed[PEER_SHARE_BYTES] = {1, 2, 3};

static void fill(struct peer_message *message)
{
    const struct bytes key = bytes_of(fixed, PEER_KEY_BYTES);

    switch (message->kind) {
    case PEER_RELEASE:
        message->as.release.key = key;
        break;
    case PEER_SHARE:
        message->as.share.share = bytes_of(fixed, PEER_SHARE_BYTES);
        break;
    case PEER_RECORD:
        message->as.record.record = bytes_str("QKDL");
        break;
    case PEER_PART:
        message->as.part.d = message->as.part.p = key;
        break;
    case PEER_JOIN_REQUEST:
    case PEER_JOIN_FORWARD:
        message->as.join_request.name = bytes_str("n1");
        if (message->kind == PEER_JOIN_FORWARD) {
            memset(&message->as, 0, sizeof message->as);
            message->as.join_forward.join.name = bytes_str("n1");
        }
        break;
    case PEER_JOIN_ACCEPT:
        message->as.join_accept.psk = key;
        message->as.join_accept.members_n = 2;
        message->as.join_accept.members[0].peer_address = bytes_str("127.0.0.1:7701");
        message->as.join_accept.members[1].peer_address = bytes_str("[::1]:7702");
        break;
    case PEER_JOIN_REFUSE:
        message->as.join_refuse.reason = bytes_str("the token has expired");
        break;
    case PEER_MEMBERS:
        message->as.members.members_n = 1;
        message->as.members.members[0].peer_address = bytes_str("127.0.0.1:7701");
        break;
    case PEER_HELLO:
    case PEER_WANT:
    case PEER_DENY:
    case PEER_RECORD_WANT:
    case PEER_COLLECT:
    case PEER_CHECK:
    case PEER_ACK:
    case PEER_SEAL_ALL:
    case PEER_SEALED:
    case PEER_SUMS_WANT:
        break;
    case PEER_SUMS:
        message->as.sums.sums = key;
        break;
    case PEER_ROWS_WANT:
        message->as.rows_want.from = bytes_str("name");
        break;
    case PEER_ROWS:
        message->as.rows.next = bytes_str("name");
        message->as.rows.rows = key;
        break;
    }
}

/* A kind whose zeroed fields do not encode gives an empty seed. */
bool fuzz_seed(unsigned number, struct buf *out)
{
    struct peer_message message;
    struct buf text = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);

    if (number >= PEER_LAST)
        return false;
    memset(&message, 0, sizeof message);
    message.kind = (enum peer_kind)(number + 1);
    fill(&message);
    if (peer_encode(&message, &text) == QK_OK)
        buf_put_bytes(out, buf_bytes(&text));
    buf_fini(&text);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf first = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);
    struct buf second = BUF_SECRET_INIT(PEER_MESSAGE_BYTES_MAX);
    static struct peer_message message, again;

    if (peer_decode(bytes_of(data, len), &message) != QK_OK)
        return 0;
    fuzz_must(peer_encode(&message, &first));
    fuzz_must(peer_decode(buf_bytes(&first), &again));
    fuzz_must(peer_encode(&again, &second));
    fuzz_require(again.kind == message.kind);
    fuzz_require(bytes_equal(buf_bytes(&first), buf_bytes(&second)));
    buf_fini(&first);
    buf_fini(&second);
    return 0;
}
