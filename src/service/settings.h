/* Settings of the cluster as requests state them: settings_cmd.c and init.c. */
#ifndef SERVICE_SETTINGS_H
#define SERVICE_SETTINGS_H

#include "service/exchange.h"

/* False: answered with 400. "majority" reads as 0. */
bool settings_quorum_read(struct exchange *exchange, const json_t *value, uint32_t *ret_quorum);
bool settings_threshold_read(struct exchange *exchange, const json_t *value, uint32_t *ret_t);

#endif
