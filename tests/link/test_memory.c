/* Keys of links are nowhere but in the arena: not on the stack, not on the heap. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "link/stream.h"
#include "secret/crypto.h"
#include "secret/secret.h"

#define MASK 0x5a
#define NEEDLE_BYTES 16 /* half a key is as telling, and parts may have been overwritten */
#define NEEDLES_MAX 8

/* What is searched is kept masked, so that the search does not find itself. */
static struct needle {
    const char *name;
    uint8_t masked[NEEDLE_BYTES];
} needles[NEEDLES_MAX];
static unsigned needles_n;
static const char *last_found = "nothing";

static void needle_add(const char *name, const struct secret *secret)
{
    struct needle *needle = &needles[needles_n++];
    const uint8_t *bytes = secret_borrow(secret);

    needle->name = name;
    for (unsigned i = 0; i < NEEDLE_BYTES; i++)
        needle->masked[i] = (uint8_t)(bytes[i] ^ MASK);
    secret_return(secret);
}

static bool needle_at(const struct needle *needle, const volatile uint8_t *at)
{
    for (unsigned i = 0; i < NEEDLE_BYTES; i++)
        if ((uint8_t)(at[i] ^ MASK) != needle->masked[i])
            return false;
    return true;
}

static unsigned search_range(uintptr_t from, uintptr_t to)
{
    unsigned found = 0;

    for (uintptr_t at = from; at + NEEDLE_BYTES <= to; at++)
        for (unsigned i = 0; i < needles_n; i++)
            if (needle_at(&needles[i], (const volatile uint8_t *)at)) {
                last_found = needles[i].name;
                found++;
            }
    return found;
}

/* Every mapping that can be read and written; the arena cannot, at rest. */
static unsigned search_memory(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    unsigned found = 0, mappings_n = 0;
    char line[512];

    cr_assert_not_null(maps);
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char flags[5];

        if (sscanf(line, "%lx-%lx %4s", &from, &to, flags) != 3 || flags[0] != 'r' ||
            flags[1] != 'w' || strstr(line, "[v") != NULL)
            continue;
        mappings_n++;
        found += search_range(from, to);
    }
    (void)fclose(maps);
    cr_assert_gt(mappings_n, 2);
    return found;
}

/* Volatile, or the compiler drops what nobody reads. */
static volatile uint8_t copy[NEEDLE_BYTES];

static struct handshake_self selves[2];
static struct link_stream streams[2];

static struct secret *identity_new(uint8_t *ret_pk)
{
    struct secret *identity;

    cr_assert_eq(x25519_keypair(&identity, ret_pk), QK_OK);
    return identity;
}

static void pump(unsigned from)
{
    struct buf out = BUF_INIT(MIB);
    enum link_stream_event event = STREAM_QUIET;
    size_t used;

    cr_assert_eq(link_stream_output(&streams[from], 1, MIB, &out), QK_OK);
    while (event != STREAM_HUNGRY) {
        cr_assert_eq(link_stream_feed(&streams[1 - from], 1, buf_bytes(&out), &used, &event),
                     QK_OK);
        buf_consume(&out, used);
    }
    buf_fini(&out);
}

Test(memory, keys_of_a_link_are_in_the_arena_only, .timeout = 60)
{
#if defined(__SANITIZE_ADDRESS__)
    cr_skip_test("the sanitizer's shadow is too large to search, and its stacks are not ours");
#endif
    struct secret *psk, *identities[2], *control;
    const uint8_t *bytes;

    cr_assert_eq(secret_arena_init(SECRET_ARENA_MLOCK, SECRET_ARENA_BYTES_DEFAULT), QK_OK);
    cr_assert_eq(secret_new_random(32, &psk), QK_OK);
    for (unsigned i = 0; i < 2; i++) {
        identities[i] = identity_new(selves[i].pk);
        selves[i].identity = identities[i];
        selves[i].psk = psk;
    }
    cr_assert_eq(link_stream_dial(&streams[0], &selves[0], FRAME_MEMBER, selves[1].pk, NULL),
                 QK_OK);
    link_stream_accept(&streams[1], &selves[1]);
    for (unsigned i = 0; i < 6; i++)
        pump(i % 2);
    cr_assert(streams[0].up && streams[1].up);
    cr_assert_eq(noise_cipher_rekey(&streams[0].session.receive), QK_OK);
    needle_add("psk", psk);
    needle_add("initiator's identity", identities[0]);
    needle_add("responder's identity", identities[1]);
    needle_add("session key", streams[0].session.send.key);
    needle_add("rekeyed session key", streams[0].session.receive.key);
    needle_add("chaining key", streams[1].handshake.noise.chaining_key);
    needle_add("ephemeral key", streams[1].handshake.noise.ephemeral);
    cr_assert_eq(search_memory(), 0, "%s", last_found);
    /* And the search is real: a key that was copied out is found. */
    needles_n = 0;
    cr_assert_eq(secret_new_random(32, &control), QK_OK);
    needle_add("control", control);
    bytes = secret_borrow(control);
    for (unsigned i = 0; i < NEEDLE_BYTES; i++)
        copy[i] = bytes[i];
    secret_return(control);
    cr_assert_geq(search_memory(), 1);
    secret_free(control);
    for (unsigned i = 0; i < 2; i++) {
        link_stream_fini(&streams[i]);
        secret_free(identities[i]);
    }
    secret_free(psk);
    cr_assert_eq(secret_stats().secrets_n, 0);
    secret_arena_fini();
}
