/* What is asked of views. Segments: /{db}/_design/{name}/_view/{view}[/queries]. */
#ifndef SERVICE_QUERY_VIEW_HANDLERS_H
#define SERVICE_QUERY_VIEW_HANDLERS_H

#include "service/exchange.h"
#include "service/service.h"

void handle_view(struct service *service, struct exchange *exchange);         /* GET, HEAD, POST */
void handle_view_queries(struct service *service, struct exchange *exchange); /* POST */
void handle_design_info(struct service *service, struct exchange *exchange);  /* GET .../_info */
/* POST /{db}/_view_cleanup and /{db}/_compact/{name} */
void handle_view_cleanup(struct service *service, struct exchange *exchange);
/* POST /{db}/_temp_view: 410, as in CouchDB 3 */
void handle_temp_view(struct service *service, struct exchange *exchange);
void handle_view_compact(struct service *service, struct exchange *exchange);

#endif
