/* Every limit of the product (docs/design.md, Limits). Units last. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define CLUSTER_ID_BYTES 16
#define NODE_ID_BYTES 16
#define DATABASE_ID_BYTES 16
#define DEAL_ID_BYTES 16
#define BOOT_ID_BYTES 16

#define NODES_MAX 64
#define VOTERS_MAX 7
#define THRESHOLD_MAX 16
#define THRESHOLD_DEFAULT 2
#define NODE_NAME_BYTES_MAX 64
#define ADDRESS_BYTES_MAX 255

#define DOC_BYTES_MAX (16 * MIB)
/* New contents of one write, which is one command: 30 MiB cost a busy machine its leader, who had
 * nothing else to say for longer than an election timeout. */
#define ATTACHMENTS_WRITE_BYTES_MAX (16 * MIB)
/* One content, whole or in a body of parts; the setting `attachment_bytes_max` may say less. */
#define ATTACHMENT_BYTES_MAX (64 * GIB)
#define ATTACHMENT_BYTES_DEFAULT (4 * GIB)
#define DOC_ID_BYTES_MAX 480
#define JSON_DEPTH_MAX 64
#define DATABASE_NAME_BYTES_MAX 128
#define DATABASES_MAX 10000
#define USERS_MAX 100000

#define HTTP_HEADER_BYTES_MAX (32 * KIB)
#define HTTP_FIELDS_MAX 100
#define HTTP_BODY_BYTES_MAX (64 * MIB)
#define HTTP_URI_BYTES_MAX (8 * KIB)
#define HTTP_CONNECTIONS_MAX 10000
#define HTTP_BODIES_BYTES_MAX (512 * MIB) /* of all requests in progress */

#define LINK_MESSAGE_BYTES_MAX (16 * MIB)
#define LINK_HALF_OPEN_MAX 64
#define LINK_HANDSHAKE_MS_MAX 5000
#define NOISE_MESSAGE_BYTES_MAX 65535

#define RECORD_KEY_BYTES_MAX 496 /* database id ‖ document id; LMDB's own limit is 511 */
#define RECORD_VALUE_BYTES_MAX (DOC_BYTES_MAX + 64 * KIB)
#define BATCH_RECORDS_MAX 16384
#define COMMAND_BYTES_MAX (64 * MIB + 1 * MIB) /* one bulk request is one command */
#define PENDING_BYTES_MAX (64 * MIB)
#define JOIN_TOKENS_MAX 16

#endif
