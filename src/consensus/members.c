#include "consensus/members.h"

#include <assert.h>
#include <string.h>

#define ENTRY_FORMAT 1     /* libraft's ENCODING_FORMAT */
#define ENTRY_HEAD_BYTES 9 /* format u8, count u64 */

const struct consensus_member *members_get(const struct members *members, uint64_t id)
{
    assert(members->n <= CONSENSUS_MEMBERS_MAX);

    for (size_t i = 0; i < members->n; i++) {
        if (members->list[i].id == id)
            return &members->list[i];
    }
    return NULL;
}

size_t members_voters_n(const struct members *members)
{
    size_t n = 0;

    for (size_t i = 0; i < members->n; i++)
        n += members->list[i].voter ? 1 : 0;
    return n;
}

enum qk_err members_add(struct members *members, uint64_t id, struct bytes address, bool voter)
{
    struct consensus_member *member;

    if (id == 0 || address.len == 0 || memchr(address.data, 0, address.len) != NULL)
        return QK_ERR_INVALID;
    if (address.len > CONSENSUS_ADDRESS_BYTES_MAX)
        return QK_ERR_TOO_BIG;
    for (size_t i = 0; i < members->n; i++) {
        const struct consensus_member *other = &members->list[i];
        if (other->id == id || bytes_equal(bytes_str(other->address), address))
            return QK_ERR_EXISTS;
    }
    if (members->n == CONSENSUS_MEMBERS_MAX)
        return QK_ERR_TOO_BIG;
    member = &members->list[members->n++];
    memset(member, 0, sizeof(*member));
    member->id = id;
    member->voter = voter;
    memcpy(member->address, address.data, address.len);
    return QK_OK;
}

bool members_remove(struct members *members, uint64_t id)
{
    for (size_t i = 0; i < members->n; i++) {
        if (members->list[i].id != id)
            continue;
        memmove(&members->list[i], &members->list[i + 1],
                (members->n - i - 1) * sizeof(members->list[0]));
        members->n--;
        return true;
    }
    return false;
}

bool members_set_voter(struct members *members, uint64_t id, bool voter)
{
    for (size_t i = 0; i < members->n; i++) {
        if (members->list[i].id == id) {
            members->list[i].voter = voter;
            return true;
        }
    }
    return false;
}

static void put_u64_little(struct buf *out, uint64_t value)
{
    uint8_t raw[8];

    for (unsigned i = 0; i < 8; i++)
        raw[i] = (uint8_t)(value >> (8 * i));
    buf_put(out, raw, sizeof(raw));
}

static uint64_t reader_u64_little(struct reader *reader)
{
    struct bytes raw = reader_bytes(reader, 8);
    uint64_t value = 0;

    for (size_t i = 0; i < raw.len; i++)
        value |= (uint64_t)raw.data[i] << (8 * i);
    return value;
}

void members_encode_entry(const struct members *members, struct buf *out)
{
    size_t start = out->len;

    buf_put_u8(out, ENTRY_FORMAT);
    put_u64_little(out, members->n);
    for (size_t i = 0; i < members->n; i++) {
        put_u64_little(out, members->list[i].id);
        buf_put(out, members->list[i].address, strlen(members->list[i].address) + 1);
        buf_put_u8(out, members->list[i].voter ? RAFT_VOTER : RAFT_STANDBY);
    }
    /* The core's decoder walks in words of eight. */
    while (buf_error(out) == QK_OK && (out->len - start) % 8 != 0)
        buf_put_u8(out, 0);
}

/* One member of an entry's payload. */
static enum qk_err decode_entry_member(struct reader *reader, struct members *members)
{
    uint64_t id = reader_u64_little(reader);
    struct bytes rest = {reader->in.data + reader->at, reader->in.len - reader->at};
    const uint8_t *end = rest.len == 0 ? NULL : memchr(rest.data, 0, rest.len);
    struct bytes address;
    uint8_t role;

    if (end == NULL)
        return QK_ERR_INVALID;
    address = reader_bytes(reader, (size_t)(end - rest.data));
    (void)reader_u8(reader);
    role = reader_u8(reader);
    if (reader_error(reader) != QK_OK || (role != RAFT_VOTER && role != RAFT_STANDBY))
        return QK_ERR_INVALID;
    return members_add(members, id, address, role == RAFT_VOTER);
}

enum qk_err members_decode_entry(struct bytes payload, struct members *ret_members)
{
    struct reader reader = reader_of(payload);
    struct members members = {0};
    uint64_t n;

    if (payload.len < ENTRY_HEAD_BYTES || payload.len % 8 != 0 ||
        reader_u8(&reader) != ENTRY_FORMAT)
        return QK_ERR_INVALID;
    n = reader_u64_little(&reader);
    if (n == 0 || n > CONSENSUS_MEMBERS_MAX)
        return QK_ERR_INVALID;
    for (uint64_t i = 0; i < n; i++) {
        if (decode_entry_member(&reader, &members) != QK_OK)
            return QK_ERR_INVALID;
    }
    payload = reader_rest(&reader);
    if (payload.len >= 8)
        return QK_ERR_INVALID;
    for (size_t i = 0; i < payload.len; i++) {
        if (payload.data[i] != 0)
            return QK_ERR_INVALID;
    }
    *ret_members = members;
    return QK_OK;
}

void members_encode(const struct members *members, struct buf *out)
{
    buf_put_u16(out, (uint16_t)members->n);
    for (size_t i = 0; i < members->n; i++) {
        const struct consensus_member *member = &members->list[i];
        buf_put_u64(out, member->id);
        buf_put_u8(out, member->voter ? 1 : 0);
        buf_put_u8(out, (uint8_t)strlen(member->address));
        buf_put_str(out, member->address);
    }
}

void members_decode(struct reader *reader, struct members *ret_members)
{
    uint16_t n = reader_u16(reader);

    memset(ret_members, 0, sizeof(*ret_members));
    if (n > CONSENSUS_MEMBERS_MAX)
        reader->failed = QK_ERR_INVALID;
    for (uint16_t i = 0; i < n && reader_error(reader) == QK_OK; i++) {
        uint64_t id = reader_u64(reader);
        uint8_t voter = reader_u8(reader);
        struct bytes address = reader_bytes(reader, reader_u8(reader));
        if (reader_error(reader) != QK_OK)
            break;
        if (voter > 1 || members_add(ret_members, id, address, voter == 1) != QK_OK)
            reader->failed = QK_ERR_INVALID;
    }
}

void members_of_raft(const struct raft_configuration *configuration, struct members *ret_members)
{
    memset(ret_members, 0, sizeof(*ret_members));
    for (unsigned i = 0; i < configuration->n; i++) {
        const struct raft_server *server = &configuration->servers[i];
        /* Every configuration that the core holds came through a check of ours. */
        enum qk_err err = members_add(ret_members, server->id, bytes_str(server->address),
                                      server->role == RAFT_VOTER);
        assert(err == QK_OK);
    }
}

enum qk_err members_to_raft(const struct members *members,
                            struct raft_configuration *ret_configuration)
{
    raft_configuration_init(ret_configuration);
    for (size_t i = 0; i < members->n; i++) {
        const struct consensus_member *member = &members->list[i];
        if (raft_configuration_add(ret_configuration, member->id, member->address,
                                   member->voter ? RAFT_VOTER : RAFT_STANDBY) != 0) {
            raft_configuration_close(ret_configuration);
            return QK_ERR_NOMEM;
        }
    }
    return QK_OK;
}
