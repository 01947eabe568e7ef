/* libquorumkeep: a Quorumkeep cluster from a C program.
 *
 *     struct quorumkeep *client;
 *     struct quorumkeep_text doc;
 *
 *     if (quorumkeep_new("https://n1:7600,https://n2:7600", &client) == QUORUMKEEP_OK &&
 *         quorumkeep_set_token(client, token) == QUORUMKEEP_OK &&
 *         quorumkeep_get(client, "people", "ada", NULL, &doc) == QUORUMKEEP_OK) {
 *         puts(doc.data);
 *         quorumkeep_text_free(&doc);
 *     }
 *     quorumkeep_free(client);
 *
 * Calls block. A handle serves one thread at a time; several threads have a handle each. JSON goes
 * in and out as text, UTF-8 and terminated by a zero byte, so that any JSON library fits.
 *
 * Nodes are asked in turn: one that cannot be reached, is sealed or knows no leader is passed over,
 * round after round until the patience is over (quorumkeep_set_patience). What was read without
 * effect is asked for again; a write whose reply was lost is never sent twice: the call returns
 * QUORUMKEEP_UNKNOWN_OUTCOME, and reading the document tells (its _rev makes trying again safe).
 *
 * `options` are a JSON object of a request's parameters by their names in the HTTP interface, e.g.
 * {"limit": 10, "include_docs": true}; NULL: none. */
#ifndef QUORUMKEEP_CLIENT_H
#define QUORUMKEEP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "quorumkeep/error.h"

#ifdef __cplusplus
extern "C" {
#endif

#define QUORUMKEEP_REV_BYTES 64 /* "12-0123456789abcdef0123456789abcdef" with its end */
#define QUORUMKEEP_ID_BYTES 512 /* a document's id with its end */

struct quorumkeep; /* a handle */

/* What a call gives back: the caller frees it with quorumkeep_text_free, which also wipes it. */
struct quorumkeep_text {
    char *data; /* terminated */
    size_t len;
};
void quorumkeep_text_free(struct quorumkeep_text *text);

/* Given one row, document or change at a time, as JSON. Not 0: no more are wanted, and the call
 * returns QUORUMKEEP_STOPPED. `json` is gone when the callback returns. */
typedef int (*quorumkeep_row_cb)(void *arg, const char *json, size_t len);

/* `addresses` are up to 64 of "HOST:PORT", "https://HOST:PORT", "unix:PATH", with commas between.
 * Nothing is sent yet. The caller frees with quorumkeep_free, which takes NULL. */
enum quorumkeep_error quorumkeep_new(const char *addresses, struct quorumkeep **ret_client);
void quorumkeep_free(struct quorumkeep *client);

/* Who asks: a login token, or name and password. The later call counts. */
enum quorumkeep_error quorumkeep_set_token(struct quorumkeep *client, const char *token);
enum quorumkeep_error quorumkeep_set_user(struct quorumkeep *client, const char *user,
                                          const char *password);
/* For https: PEM files of trusted issuers (NULL: the system's), of an own certificate (NULL: none)
 * and of its key (NULL: in the same file). */
enum quorumkeep_error quorumkeep_set_tls(struct quorumkeep *client, const char *ca,
                                         const char *cert, const char *cert_key);
/* Permits to send tokens, passwords and documents without TLS to what is not this machine. */
void quorumkeep_allow_clear(struct quorumkeep *client, bool allow);
/* How long a node may be silent (60,000 ms at first). */
void quorumkeep_set_timeout(struct quorumkeep *client, unsigned timeout_ms);
/* How long to go round the nodes (10,000 ms at first); 0: once. */
void quorumkeep_set_patience(struct quorumkeep *client, unsigned patience_ms);

/* A few words for people; never NULL, not to be freed. */
const char *quorumkeep_error_text(enum quorumkeep_error error);
/* Of the last call: what went wrong, in a sentence ("" if nothing did), and the HTTP status of the
 * last reply (0: none came). Valid until the next call. */
const char *quorumkeep_message(const struct quorumkeep *client);
int quorumkeep_status(const struct quorumkeep *client);
/* The address of the node that answered last; "" at first. */
const char *quorumkeep_node(const struct quorumkeep *client);

enum quorumkeep_error quorumkeep_db_create(struct quorumkeep *client, const char *db,
                                           const char *options);
enum quorumkeep_error quorumkeep_db_drop(struct quorumkeep *client, const char *db);
enum quorumkeep_error quorumkeep_db_info(struct quorumkeep *client, const char *db,
                                         struct quorumkeep_text *ret_info);

/* `id` NULL: the node makes one. `rev` NULL: as "_rev" in the document says, else it is new.
 * `ret_id` and `ret_rev` may be NULL. QUORUMKEEP_CONFLICT. */
enum quorumkeep_error quorumkeep_put(struct quorumkeep *client, const char *db, const char *id,
                                     const char *rev, const char *document,
                                     char ret_id[QUORUMKEEP_ID_BYTES],
                                     char ret_rev[QUORUMKEEP_REV_BYTES]);
enum quorumkeep_error quorumkeep_get(struct quorumkeep *client, const char *db, const char *id,
                                     const char *options, struct quorumkeep_text *ret_document);
enum quorumkeep_error quorumkeep_delete(struct quorumkeep *client, const char *db, const char *id,
                                        const char *rev, char ret_rev[QUORUMKEEP_REV_BYTES]);
/* `documents` is a JSON array of documents, or the whole body of a _bulk_docs. Each stands for
 * itself: QUORUMKEEP_OK says that all were looked at, `result` (NULL: nobody) is given
 * {"ok", "id", "rev"} or {"id", "error", "reason"} for each, in their order. */
enum quorumkeep_error quorumkeep_bulk(struct quorumkeep *client, const char *db,
                                      const char *documents, quorumkeep_row_cb result, void *arg);

/* `query` is the body of a _find: {"selector": {...}, "limit": 100}. `ret_bookmark` (may be NULL)
 * is where a next query goes on. */
enum quorumkeep_error quorumkeep_find(struct quorumkeep *client, const char *db, const char *query,
                                      quorumkeep_row_cb document, void *arg,
                                      struct quorumkeep_text *ret_bookmark);
/* The rows of _all_docs, and of a view. Streamed: a list of any length takes little memory. */
enum quorumkeep_error quorumkeep_list(struct quorumkeep *client, const char *db,
                                      const char *options, quorumkeep_row_cb row, void *arg);
enum quorumkeep_error quorumkeep_view(struct quorumkeep *client, const char *db, const char *design,
                                      const char *view, const char *options, quorumkeep_row_cb row,
                                      void *arg);

/* The changes of a database since a sequence (NULL: all; "now"). With `follow` the call goes on
 * with what comes, at another node where one is lost, until `change` returns not 0 or no node could
 * be reached for as long as the patience. In `options`, "selector" and "doc_ids" filter. `ret_seq`
 * (may be NULL) is where to go on, on errors too (then NULL if nothing was seen). */
enum quorumkeep_error quorumkeep_changes(struct quorumkeep *client, const char *db,
                                         const char *since, bool follow, const char *options,
                                         quorumkeep_row_cb change, void *arg,
                                         struct quorumkeep_text *ret_seq);

/* The content of an attachment on its way to a node: `give` fills `room` bytes at most and returns
 * how many; 0: that was all; below 0: it gives up, and the call returns QUORUMKEEP_STOPPED. It is
 * asked for nothing before a node says that it takes the content. */
#define QUORUMKEEP_LENGTH_UNKNOWN UINT64_MAX
struct quorumkeep_content {
    const char *type; /* NULL: application/octet-stream */
    uint64_t length;  /* of all that is given; or QUORUMKEEP_LENGTH_UNKNOWN */
    ptrdiff_t (*give)(void *arg, void *out, size_t room);
    void *arg;
};
/* Some of a content that comes. Not 0: no more is wanted, and the call returns QUORUMKEEP_STOPPED.
 */
typedef int (*quorumkeep_bytes_cb)(void *arg, const void *bytes, size_t len);

/* Contents of up to 4 GiB each, in little memory on both sides. `rev` is the document's, NULL: it
 * is new, or has none. Whatever is not QUORUMKEEP_OK or _UNKNOWN_OUTCOME left the document as it
 * was; once some was given no other node is asked: put again from the beginning. */
enum quorumkeep_error quorumkeep_attachment_put(struct quorumkeep *client, const char *db,
                                                const char *id, const char *name, const char *rev,
                                                const struct quorumkeep_content *content,
                                                char ret_rev[QUORUMKEEP_REV_BYTES]);
/* QUORUMKEEP_CUT: it ended before its end, after `take` had some of it. */
enum quorumkeep_error quorumkeep_attachment_get(struct quorumkeep *client, const char *db,
                                                const char *id, const char *name,
                                                const char *options, quorumkeep_bytes_cb take,
                                                void *arg);

/* Anything else of the HTTP interface: `path` is encoded already, `body` is JSON or NULL,
 * `ret_reply` may be NULL. A GET or HEAD is asked again at another node, nothing else. */
enum quorumkeep_error quorumkeep_request(struct quorumkeep *client, const char *method,
                                         const char *path, const char *body,
                                         struct quorumkeep_text *ret_reply);

#ifdef __cplusplus
}
#endif

#endif
