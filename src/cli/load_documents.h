/* Requests of a document store with CouchDB's interface, for the load generator. */
#ifndef CLI_LOAD_DOCUMENTS_H
#define CLI_LOAD_DOCUMENTS_H

#include "cli/load_http.h"

enum load_kind {
    LOAD_PUT,     /* new documents, one a request */
    LOAD_GET,     /* one of those there, linearizable */
    LOAD_LOCAL,   /* the same with consistency=local */
    LOAD_BULK,    /* _bulk_docs of `batch` new documents */
    LOAD_SCAN,    /* _all_docs with documents, `batch` rows a page */
    LOAD_CHANGES, /* _changes with documents, all of them */
    LOAD_FIND,    /* _find of one document by a field without an index, over `docs` documents */
    LOAD_MIX,     /* nine reads to a write */
    LOAD_KINDS_N
};

/* Names as on the command line, NULL behind the last. */
extern const char *const load_kind_names[LOAD_KINDS_N + 1];

struct load_documents {
    struct load_http http;
    enum load_kind kind;
    const char *database;
    struct bytes authorization;
    uint64_t docs;    /* documents that are there: keys 0 to docs - 1 */
    uint64_t next;    /* key of the next new one */
    uint64_t turn;    /* counts requests */
    uint64_t batch;   /* of BULK and SCAN */
    struct buf value; /* a document without its id: {"v":"..."} */
    struct buf path, body;
};

/* `size` bytes of JSON a document, at least 16. Fini in any case. */
MUST_USE enum qk_err load_documents_init(struct load_documents *documents, enum load_kind kind,
                                         const char *database, size_t size);
void load_documents_fini(struct load_documents *documents);

#endif
