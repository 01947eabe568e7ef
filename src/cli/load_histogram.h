/* Latencies in buckets whose width grows with the value (as HdrHistogram's): each is known to less
 * than one part in 128, whatever its size. Pure. */
#ifndef CLI_LOAD_HISTOGRAM_H
#define CLI_LOAD_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define LOAD_SUB_BITS 7
#define LOAD_VALUE_BITS 40 /* nanoseconds: 18 minutes; longer counts as that */
#define LOAD_BUCKETS ((size_t)(LOAD_VALUE_BITS - LOAD_SUB_BITS + 1) << LOAD_SUB_BITS)

struct load_histogram {
    uint64_t counts[LOAD_BUCKETS];
    uint64_t n, max;
    double sum;
};

void load_histogram_add(struct load_histogram *histogram, uint64_t value);
/* The value that `share` of all (0..1) do not exceed: the highest of its bucket, at most the
 * maximum. 0 of an empty one. */
uint64_t load_histogram_at(const struct load_histogram *histogram, double share);
double load_histogram_mean(const struct load_histogram *histogram);

#endif
