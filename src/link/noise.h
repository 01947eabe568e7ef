/* The Noise handshake (Noise Protocol Framework, revision 34), suite 25519_ChaChaPoly_BLAKE2b,
 * driven by a table of tokens. Pure: bytes in, bytes out. Key bytes stay in secret/. */
#ifndef LINK_NOISE_H
#define LINK_NOISE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

struct secret;

#define NOISE_KEY_BYTES 32
#define NOISE_HASH_BYTES 64
#define NOISE_TAG_BYTES 16
#define NOISE_TOKENS_MAX 6
#define NOISE_MESSAGES_MAX 3

enum noise_token {
    NOISE_END = 0,
    NOISE_E,
    NOISE_S,
    NOISE_EE,
    NOISE_ES,
    NOISE_SE,
    NOISE_SS,
    NOISE_PSK
};

/* One row a message, initiator's first, tokens closed by NOISE_END. */
struct noise_pattern {
    const char *name;       /* the whole protocol name, which is hashed */
    bool initiator_s_known; /* pre-message "-> s" */
    bool responder_s_known; /* pre-message "<- s" */
    bool psk;               /* psk mode: every e is mixed into the key as well */
    unsigned messages_n;    /* 1: a one-way pattern */
    enum noise_token tokens[NOISE_MESSAGES_MAX][NOISE_TOKENS_MAX];
};

/* The two of the product: members, and a joiner with a token. */
extern const struct noise_pattern noise_ikpsk2;
extern const struct noise_pattern noise_xkpsk3;

struct noise_config {
    const struct noise_pattern *pattern; /* static storage */
    bool initiator;
    struct bytes prologue;           /* hashed by noise_init, not kept */
    const struct secret *static_key; /* borrowed for the life of the handshake; may be NULL */
    const uint8_t *static_pk;        /* its public half, copied; NULL without static_key */
    const uint8_t *remote_pk;        /* copied; NULL if the pattern transmits it or has none */
    const struct secret *psk;        /* borrowed likewise; NULL: none, or by noise_set_psk */
    struct secret *ephemeral;        /* for known answers; taken over. NULL: a random one */
};

struct noise {
    const struct noise_pattern *pattern;
    bool initiator;
    bool failed;        /* after any error nothing but noise_fini is allowed */
    unsigned message_n; /* done so far */
    uint8_t hash[NOISE_HASH_BYTES];
    struct secret *chaining_key, *key; /* owned; key NULL: not yet encrypting */
    uint64_t nonce;
    const struct secret *static_key, *psk;
    struct secret *ephemeral; /* owned */
    uint8_t static_pk[NOISE_KEY_BYTES];
    uint8_t remote_pk[NOISE_KEY_BYTES], remote_ephemeral[NOISE_KEY_BYTES];
    bool has_remote_pk;
};

/* Prepares the state. The caller ends it with noise_fini in any case. QK_ERR_NOMEM. */
MUST_USE enum qk_err noise_init(struct noise *noise, struct noise_config *config);
/* Frees what the state owns; a zeroed state is fine. */
void noise_fini(struct noise *noise);
/* Before the message that mixes the psk. Borrowed until noise_fini. */
void noise_set_psk(struct noise *noise, const struct secret *psk);

/* True while messages are left. */
bool noise_is_open(const struct noise *noise);
/* True if the next message is ours to write. */
bool noise_writes_next(const struct noise *noise);
/* Appends the next handshake message, carrying `payload`, to `out`. Must be our turn.
 * QK_ERR_TOO_BIG past 65,535 bytes; QK_ERR_INVALID without a psk that is due; QK_ERR_NOMEM. */
MUST_USE enum qk_err noise_write(struct noise *noise, struct bytes payload, struct buf *out);
/* Takes the peer's next message; its payload is appended to `payload` (a secret buffer). Must be
 * the peer's turn. Whatever is wrong with it is QK_ERR_CORRUPT: cut, altered, a low-order point. */
MUST_USE enum qk_err noise_read(struct noise *noise, struct bytes message, struct buf *payload);
/* The peer's static key, authenticated once the message that carries it was read; else NULL. */
const uint8_t *noise_remote_pk(const struct noise *noise);

/* After the last message: the two transport keys, which the caller frees. In a one-way pattern only
 * the initiator's is used. */
MUST_USE enum qk_err noise_split(struct noise *noise, struct secret **ret_from_initiator,
                                 struct secret **ret_from_responder);

/* One direction of transport: a key and a counter, which is the nonce and never repeats. */
struct noise_cipher {
    struct secret *key; /* owned */
    uint64_t nonce;
};

void noise_cipher_fini(struct noise_cipher *cipher);
/* Appends ciphertext and tag to `out`. QK_ERR_TOO_BIG for a message over 65,535 bytes;
 * QK_ERR_UNSUPPORTED once all 2^64 - 1 nonces are used. */
MUST_USE enum qk_err noise_cipher_seal(struct noise_cipher *cipher, struct bytes plain,
                                       struct buf *out);
/* Appends the plaintext to `out` (a secret buffer). QK_ERR_CORRUPT leaves the counter unchanged. */
MUST_USE enum qk_err noise_cipher_open(struct noise_cipher *cipher, struct bytes sealed,
                                       struct buf *out);
/* Rekey() of section 11.3: k = ENCRYPT(k, 2^64 - 1, "", 32 zeros); the counter goes on. */
MUST_USE enum qk_err noise_cipher_rekey(struct noise_cipher *cipher);

#endif
