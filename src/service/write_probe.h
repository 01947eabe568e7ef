/* Would this write be made, as things stand? Asked before a long body is taken for it: who may not
 * write, or gives another revision than the document's, is told so before gigabytes have come. The
 * rules are those of the write itself (write_evaluate, into a command that nobody proposes), and
 * the answer no is a linearizable one; a yes decides nothing. */
#ifndef SERVICE_WRITE_PROBE_H
#define SERVICE_WRITE_PROBE_H

#include "service/write.h"

struct write_probe {
    struct service *service;
    struct write write;
    enum qk_err err;
    void (*done)(void *arg);
    void *arg;
};

/* `id`, `document` and `how->attachment` are borrowed until `done`, which fires once, maybe inside
 * this call. */
void write_probe_start(struct write_probe *probe, struct service *service,
                       struct exchange *exchange, struct bytes id, const struct document *document,
                       const struct write_how *how, void (*done)(void *arg), void *arg);
/* After `done`: the write would be made, or there is nothing left to be made. */
bool write_probe_is_yes(const struct write_probe *probe);
/* Answers a write that would not, and then calls `ended`, maybe inside this call. A streamed body
 * of moderate length is let come first: many clients look at the reply only when they have sent
 * all. */
void write_probe_refuse(struct write_probe *probe, void (*ended)(void *arg), void *arg);

#endif
