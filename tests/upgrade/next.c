/* Linked into tests/upgrade's quorumkeepd-next alone: the product's own objects, but this program
 * knows version 2 of the formats, whose one new thing is a kind of command. It writes documents
 * with that kind as soon as all members know it: what a next release would do.
 *
 * QUORUMKEEP_TEST_ASK_NOBODY in its environment makes it the faulty release that does not ask, nor
 * is kept from it: members of version 1 must then stop and say why. */
#include <stdatomic.h>
#include <stdlib.h>

#include "base/log.h"
#include "service/cluster/cluster.h"
#include "wire/command.h"
#include "wire/version.h"

#define NEXT_VERSION 2
#define NEXT_KIND 11

unsigned __wrap_wire_version(void);
unsigned __real_wire_kind_version(uint64_t kind);
unsigned __wrap_wire_kind_version(uint64_t kind);
void __real_wire_command_begin(struct wire_command *command, enum wire_kind kind);
void __wrap_wire_command_begin(struct wire_command *command, enum wire_kind kind);
enum qk_err __real_cluster_new(struct service *service, const struct cluster_ops *ops,
                               const struct cluster_settings *settings,
                               struct cluster **ret_cluster);
enum qk_err __wrap_cluster_new(struct service *service, const struct cluster_ops *ops,
                               const struct cluster_settings *settings,
                               struct cluster **ret_cluster);
unsigned __real_cluster_version(const struct cluster *cluster);
unsigned __wrap_cluster_version(const struct cluster *cluster);

static struct cluster *the_cluster;
static atomic_uint begun_n;

unsigned __wrap_wire_version(void)
{
    return NEXT_VERSION;
}

unsigned __wrap_wire_kind_version(uint64_t kind)
{
    return kind == NEXT_KIND ? NEXT_VERSION : __real_wire_kind_version(kind);
}

enum qk_err __wrap_cluster_new(struct service *service, const struct cluster_ops *ops,
                               const struct cluster_settings *settings,
                               struct cluster **ret_cluster)
{
    enum qk_err err = __real_cluster_new(service, ops, settings, ret_cluster);

    if (err == QK_OK)
        the_cluster = *ret_cluster;
    return err;
}

unsigned __wrap_cluster_version(const struct cluster *cluster)
{
    return getenv("QUORUMKEEP_TEST_ASK_NOBODY") != NULL ? NEXT_VERSION
                                                        : __real_cluster_version(cluster);
}

void __wrap_wire_command_begin(struct wire_command *command, enum wire_kind kind)
{
    const enum wire_kind next = (enum wire_kind)NEXT_KIND;
    bool ask_nobody = getenv("QUORUMKEEP_TEST_ASK_NOBODY") != NULL;

    if (kind == WIRE_WRITE && the_cluster != NULL &&
        (ask_nobody || cluster_knows(the_cluster, next))) {
        kind = next;
        if (atomic_fetch_add(&begun_n, 1) == 0)
            log_info("next", "the first command of the new kind");
    }
    __real_wire_command_begin(command, kind);
}
