#include "http/metrics.h"

static const char *const CLASS_NAMES[ROUTE_CLASSES_N] = {
    [ROUTE_CLASS_STATUS] = "status",     [ROUTE_CLASS_ADMIN] = "admin",
    [ROUTE_CLASS_DATABASE] = "database", [ROUTE_CLASS_READ] = "read",
    [ROUTE_CLASS_WRITE] = "write",       [ROUTE_CLASS_LIST] = "list",
    [ROUTE_CLASS_LOGIN] = "login",       [ROUTE_CLASS_OTHER] = "other",
};

/* Microseconds, so that no rounding decides; texts as Prometheus shows them. */
static const struct {
    uint64_t us;
    const char *text;
} BOUNDS[METRICS_BUCKETS_N] = {
    {500, "0.0005"},  {1000, "0.001"},  {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},
    {25000, "0.025"}, {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
    {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
};

void metrics_count(struct metrics *metrics, enum route_class class, int status, uint64_t ns)
{
    struct metrics_histogram *latency = &metrics->latency[class];
    unsigned i = 0;

    if (status < 100 || status > 599)
        return;
    metrics->replies[class][status / 100]++;
    while (i < METRICS_BUCKETS_N && ns > BOUNDS[i].us * 1000)
        i++;
    latency->buckets[i]++;
    latency->sum_ns += ns;
}

static void write_head(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

void metrics_write_one(struct buf *out, const char *name, const char *type, const char *help,
                       double value)
{
    write_head(out, name, type, help);
    buf_printf(out, "%s %.17g\n", name, value);
}

static void write_replies(const struct metrics *metrics, struct buf *out)
{
    write_head(out, "quorumkeep_http_requests_total", "counter",
               "Requests answered, by class of route and of status.");
    for (unsigned class = 0; class < ROUTE_CLASSES_N; class ++) {
        for (unsigned digit = 1; digit < 6; digit++) {
            if (metrics->replies[class][digit] > 0)
                buf_printf(
                    out, "quorumkeep_http_requests_total{class=\"%s\",status=\"%uxx\"} %llu\n",
                    CLASS_NAMES[class], digit, (unsigned long long)metrics->replies[class][digit]);
        }
    }
}

static void write_histogram(const char *class, const struct metrics_histogram *latency,
                            struct buf *out)
{
    static const char NAME[] = "quorumkeep_http_request_seconds";
    unsigned long long sum = 0;

    for (unsigned i = 0; i < METRICS_BUCKETS_N; i++) {
        sum += latency->buckets[i];
        buf_printf(out, "%s_bucket{class=\"%s\",le=\"%s\"} %llu\n", NAME, class, BOUNDS[i].text,
                   sum);
    }
    sum += latency->buckets[METRICS_BUCKETS_N];
    buf_printf(out, "%s_bucket{class=\"%s\",le=\"+Inf\"} %llu\n", NAME, class, sum);
    buf_printf(out, "%s_sum{class=\"%s\"} %.9f\n", NAME, class, (double)latency->sum_ns / 1e9);
    buf_printf(out, "%s_count{class=\"%s\"} %llu\n", NAME, class, sum);
}

static void write_latencies(const struct metrics *metrics, struct buf *out)
{
    write_head(out, "quorumkeep_http_request_seconds", "histogram",
               "From a complete request to the end of its reply.");
    for (unsigned class = 0; class < ROUTE_CLASSES_N; class ++)
        write_histogram(CLASS_NAMES[class], &metrics->latency[class], out);
}

void metrics_write(const struct metrics *metrics, struct buf *out)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } counters[] = {
        {"quorumkeep_http_connections_total", "Connections accepted.", metrics->connections_n},
        {"quorumkeep_http_connections_refused_total", "Connections over the limit.",
         metrics->refused_n},
        {"quorumkeep_http_tls_failed_total", "TLS handshakes and sessions that went wrong.",
         metrics->tls_failed_n},
        {"quorumkeep_http_malformed_total", "Requests that could not be parsed.",
         metrics->malformed_n},
        {"quorumkeep_http_logins_total", "Passwords checked.", metrics->logins_n},
        {"quorumkeep_http_login_failures_total", "Passwords checked and found wrong.",
         metrics->login_failures_n},
        {"quorumkeep_http_forwarded_total", "Requests sent to the leader.", metrics->forwarded_n},
        {"quorumkeep_http_received_total", "Requests that came from a peer.", metrics->received_n},
        {"quorumkeep_http_unknown_outcomes_total",
         "Forwarded requests whose leader was lost before it answered.",
         metrics->unknown_outcomes_n},
    };

    write_replies(metrics, out);
    write_latencies(metrics, out);
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        metrics_write_one(out, counters[i].name, "counter", counters[i].help,
                          (double)counters[i].value);
}
