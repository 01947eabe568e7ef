/* What the use cases share. `node` makes it at start and wires what comes from below. */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "service/clock.h"
#include "service/script_door.h"

struct uv_loop_s;
struct store;
struct consensus;
struct link;
struct keyring;
struct audit;
struct audit_use;
struct node_sec;
struct catalog_follower;
struct catalog;    /* databases and users, decrypted, kept while unsealed: service/catalog.h */
struct login;      /* checks passwords: service/login.h */
struct submitter;  /* writes in progress: service/submit.h */
struct reencrypt;  /* service/keys/reencrypt.h */
struct backups;    /* service/backup/backup.h */
struct feeds;      /* service/feeds/feeds.h */
struct unnamed;    /* service/documents/unnamed.h */
struct integrity;  /* service/integrity/integrity.h */
struct replicator; /* service/replication/replicator.h */
struct inner_hook;
struct db_events; /* service/feeds/db_events.h */
struct timer;
struct keys_waiter;
struct rotation;
struct task;       /* service/tasks.h */
struct view_group; /* service/query/views.h */
struct script_job; /* service/script_job.h */
struct designs;    /* service/designs.h */
struct cluster;    /* seal machine, dealing, members: service/cluster/cluster.h */

/* Those who wait for the keys of a new MK: service/keys_current.h. */
struct keys_gate {
    bool behind;
    struct timer *timer; /* the cluster's: its callback is keys_tick */
    struct keys_waiter *first, *last;
};

/* Of the data key whose period ends first, and of the one that has used most of it. keys_n 0: not
 * looked yet, or sealed. */
struct period_figures {
    uint64_t keys_n, rotations_n, left_s;
    double used;
};

/* Data keys whose period is over: service/period.h. */
struct service_period {
    struct rotation *rotations;    /* under way */
    uint64_t taken_n, taken_bytes; /* by the evaluation under way */
    uint8_t full_key[16];          /* and for which version it found no room */
    uint32_t full_version;
    uint64_t looked_ms, retry_ms;
    uint64_t rotations_n;                  /* since the start */
    size_t look_at;                        /* the next key to be looked at */
    struct period_figures looking, looked; /* the round under way, and the last whole one */
};

struct service {
    struct uv_loop_s *loop;
    struct store *store;             /* NULL until initialised or joined */
    struct consensus *consensus;     /* NULL until initialised or joined */
    struct link *link;               /* NULL until initialised or joined */
    struct node_sec *node_sec;       /* NULL until initialised or joined */
    struct keyring *keyring;         /* NULL while sealed */
    struct catalog *catalog;         /* NULL while sealed */
    struct catalog *catalog_opening; /* catalog.c's own: being read, not usable yet */
    const struct catalog_follower *catalog_follower; /* of the process's life; NULL: nobody */
    uint64_t catalog_generation;    /* rises with each change of the catalog, and each opening */
    struct login *login;            /* from login_new, for the process's life */
    struct submitter *submitter;    /* from submitter_new, for the process's life */
    struct reencrypt *reencrypt;    /* from reencrypt_new, for the process's life */
    struct backups *backups;        /* from backups_new, for the process's life */
    struct feeds *feeds;            /* from feeds_new, for the process's life */
    struct db_events *db_events;    /* db_events.c's own; NULL: nobody has asked */
    struct unnamed *unnamed;        /* from unnamed_new, for the process's life */
    uint64_t attachment_bytes_max;  /* a setting; 0: its default */
    struct integrity *integrity;    /* from integrity_new, for the process's life */
    struct replicator *replicator;  /* from replicator_new, for the process's life */
    const struct inner_hook *inner; /* service/inner.h; NULL: not yet, or no more */
    struct cluster *cluster;
    struct keys_gate keys;
    struct service_period period;
    struct service_clock clock; /* cluster time: service_time_s */
    struct audit *audit;
    struct audit_use *audit_use; /* service/audit_use.h; NULL: what people do has no lines */
    uint8_t cluster_id[CLUSTER_ID_BYTES];
    uint8_t origin_id[CLUSTER_ID_BYTES]; /* what envelopes bind, see struct system_cluster */
    uint8_t node_id[NODE_ID_BYTES];
    char node_name[NODE_NAME_BYTES_MAX + 1];
    char data_dir[512];
    char peer_address[ADDRESS_BYTES_MAX + 1];   /* advertised to members */
    char client_address[ADDRESS_BYTES_MAX + 1]; /* advertised to clients */
    uint64_t now_ms;                            /* loop time, monotonic */
    struct task *tasks;                         /* running; the newest first */
    struct view_group *view_groups;             /* the one used last first */
    size_t view_groups_n, view_bytes_max;       /* the latter a setting; 0: its default */
    struct script_door script_door;             /* of the process's life; zeros: no JavaScript */
    unsigned scripts_n;                         /* workers running */
    struct script_job *script_jobs;             /* script_job.c's own */
    struct designs *designs;                    /* designs.c's own */
    uint64_t designs_epoch;
    bool designs_watched;
    uint64_t tasks_began_n; /* since the start */
};

/* Documents may be served: unsealed, keyring and catalog open, and a second member has joined. */
bool service_is_open(const struct service *service);
/* It is open, but no majority of the voters is in contact: what is here can be read with
 * consistency=local, nothing can be written. */
bool service_is_read_only(const struct service *service);
/* Why not, for people: "waiting for 1 more node: n2 (last seen 12 s ago), n3 (never)". */
void service_closed_reason(const struct service *service, char *ret_text, unsigned long len);

#endif
