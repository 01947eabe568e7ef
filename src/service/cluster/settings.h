/* Settings of the cluster as requests state them: settings_cmd.c and init.c. */
#ifndef SERVICE_CLUSTER_SETTINGS_H
#define SERVICE_CLUSTER_SETTINGS_H

#include "service/exchange.h"

struct cluster;
struct service;

/* Those that can be changed, by name, each as text; NULL: there are none yet, or no memory. */
json_t *settings_texts(const struct cluster *cluster);
/* Makes the settings what `wish` says of some of them, and answers: with `reply` when that is done
 * (taken over; NULL: all settings). On the leader. */
void settings_change(struct service *service, struct exchange *exchange, json_t *wish,
                     json_t *reply);

/* False: answered with 400. "majority" reads as 0. */
bool settings_quorum_read(struct exchange *exchange, const json_t *value, uint32_t *ret_quorum);
bool settings_threshold_read(struct exchange *exchange, const json_t *value, uint32_t *ret_t);

#endif
