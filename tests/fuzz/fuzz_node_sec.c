/* node.sec. The first byte's low bit: 0 the rest is the file as it is, 1 the rest is a payload that
 * is sealed into both halves first (its sequence numbers and where the save was cut in bytes 2 to
 * 5), so that the fuzzer is not stopped by checksums. What loads must load again and be the same.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzz.h"
#include "seal/node_sec_half.h"

/* In memory: the file is opened by its name on each call. */
static const char *path_of(void)
{
    static char path[64];

    if (path[0] == '\0') {
        (void)snprintf(path, sizeof path, "/dev/shm/qk-fuzz-node-sec-%ld", (long)getpid());
        (void)unlink(path);
    }
    return path;
}

static void remove_file(void)
{
    (void)unlink(path_of());
}

static int file_of(void)
{
    static int fd = -1;

    if (fd < 0) {
        fd = open(path_of(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        fuzz_require(fd >= 0);
        (void)atexit(remove_file);
    }
    return fd;
}

bool fuzz_seed(unsigned number, struct buf *out)
{
    const uint8_t id[NODE_ID_BYTES] = {1};
    uint8_t payload[HALF_PAYLOAD_BYTES], image[NODE_SEC_FILE_BYTES];
    struct node_sec *node;
    uint64_t gen;
    int fd;

    if (number >= 6)
        return false;
    remove_file();
    fuzz_must(node_sec_create(path_of(), id, id, 3, 4, fuzz_key(1), fuzz_key(2), &node));
    for (unsigned i = 0; i < number && i < NODE_SEC_GENERATIONS_MAX; i++)
        fuzz_must(node_sec_add_generation(node, &gen));
    node_sec_free(node);
    fd = open(path_of(), O_RDONLY | O_CLOEXEC);
    fuzz_require(fd >= 0 && read(fd, image, sizeof image) == (ssize_t)sizeof image);
    (void)close(fd);
    remove_file();
    half_payload(image, payload);
    buf_put_u8(out, number == 0 ? 0 : 1);
    if (number == 0)
        buf_put(out, image, sizeof image);
    else {
        buf_put_u32(out, 0x01010000u | number); /* sequences, sectors of A and B that were cut */
        buf_put(out, payload, 60 + 64 + 1 + (size_t)number * 72);
    }
    return true;
}

static void make_image(struct bytes in, uint8_t *image)
{
    uint8_t payload[HALF_PAYLOAD_BYTES] = {0}, old[NODE_SEC_HALF_BYTES];
    struct reader reader = reader_of(in);
    uint64_t sequence[2] = {reader_u8(&reader), reader_u8(&reader)};
    size_t cut[2] = {reader_u8(&reader) % 9u, reader_u8(&reader) % 9u};
    struct bytes rest = reader_rest(&reader);

    if (rest.len > 0)
        memcpy(payload, rest.data, rest.len < sizeof payload ? rest.len : sizeof payload);
    for (size_t h = 0; h < 2; h++) {
        uint8_t *half = image + h * NODE_SEC_HALF_BYTES;

        half_encode("AB"[h], sequence[h], payload, half);
        half_encode("AB"[h], sequence[h] + 1, payload, old);
        memcpy(half, old, cut[h] * HALF_SECTOR_BYTES);
    }
}

static void load(void)
{
    struct node_sec *node, *again;
    struct node_sec_fault fault;

    if (node_sec_load(path_of(), &node, &fault) != QK_OK) {
        fuzz_require(fault.what != NULL && fault.what[0] != '\0');
        return;
    }
    fuzz_must(node_sec_load(path_of(), &again, &fault));
    fuzz_require(again->sequence == node->sequence && again->gens_n == node->gens_n);
    fuzz_require(again->gen_last == node->gen_last);
    fuzz_require(secret_equal(again->identity, node->identity));
    node_sec_free(node);
    node_sec_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static uint8_t image[NODE_SEC_FILE_BYTES];

    if (len == 0)
        return 0;
    memset(image, 0, sizeof image);
    if (data[0] % 2 == 1)
        make_image(bytes_of(data + 1, len - 1), image);
    else
        memcpy(image, data + 1, len - 1 < sizeof image ? len - 1 : sizeof image);
    fuzz_require(pwrite(file_of(), image, sizeof image, 0) == (ssize_t)sizeof image);
    load();
    return 0;
}
