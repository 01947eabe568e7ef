#include "cli/load_histogram.h"

#include <assert.h>

#define SUB_N ((uint64_t)1 << LOAD_SUB_BITS)
#define VALUE_MAX (((uint64_t)1 << LOAD_VALUE_BITS) - 1)

/* Values below SUB_N have a bucket each; above, each power of two is cut into SUB_N buckets. */
static size_t bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < SUB_N)
        return (size_t)value;
    shift = 63U - (unsigned)__builtin_clzll(value) - LOAD_SUB_BITS;
    return (size_t)(((uint64_t)(shift + 1) << LOAD_SUB_BITS) + ((value >> shift) - SUB_N));
}

static uint64_t highest_of(size_t bucket)
{
    uint64_t at = bucket & (SUB_N - 1);
    unsigned power = (unsigned)(bucket >> LOAD_SUB_BITS);

    return power == 0 ? at : (((SUB_N + at + 1) << (power - 1)) - 1);
}

void load_histogram_add(struct load_histogram *histogram, uint64_t value)
{
    size_t bucket = bucket_of(value > VALUE_MAX ? VALUE_MAX : value);

    assert(bucket < LOAD_BUCKETS);
    histogram->counts[bucket]++;
    histogram->n++;
    histogram->sum += (double)value;
    if (value > histogram->max)
        histogram->max = value;
}

uint64_t load_histogram_at(const struct load_histogram *histogram, double share)
{
    uint64_t seen = 0;
    double wanted = share * (double)histogram->n;

    assert(share >= 0 && share <= 1);
    for (size_t i = 0; i < LOAD_BUCKETS && histogram->n > 0; i++) {
        seen += histogram->counts[i];
        if (histogram->counts[i] > 0 && (double)seen >= wanted)
            return highest_of(i) < histogram->max ? highest_of(i) : histogram->max;
    }
    return histogram->max;
}

double load_histogram_mean(const struct load_histogram *histogram)
{
    return histogram->n == 0 ? 0 : histogram->sum / (double)histogram->n;
}
