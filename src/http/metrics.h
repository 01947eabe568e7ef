/* Counters of requests, and the text of /metrics (Prometheus exposition format 0.0.4). Pure. */
#ifndef HTTP_METRICS_H
#define HTTP_METRICS_H

#include "base/bytes.h"
#include "http/routes.h"

#define METRICS_BUCKETS_N 14

struct metrics_histogram {
    uint64_t buckets[METRICS_BUCKETS_N + 1]; /* the last: beyond all bounds */
    uint64_t sum_ns;
};

struct metrics {
    uint64_t replies[ROUTE_CLASSES_N][6]; /* by the first digit of the status */
    struct metrics_histogram latency[ROUTE_CLASSES_N];
    uint64_t connections_n; /* since the start */
    uint64_t refused_n;     /* over the limit of connections */
    uint64_t tls_failed_n;  /* handshakes or sessions that went wrong */
    uint64_t malformed_n;   /* requests that could not be parsed */
    uint64_t logins_n, login_failures_n;
    uint64_t forwarded_n, received_n, unknown_outcomes_n;
};

void metrics_count(struct metrics *metrics, enum route_class class, int status, uint64_t ns);
void metrics_write(const struct metrics *metrics, struct buf *out);
/* `# HELP`, `# TYPE` and one value without labels; for the hooks' gauges too. */
void metrics_write_one(struct buf *out, const char *name, const char *type, const char *help,
                       double value);

#endif
