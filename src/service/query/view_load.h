/* A design document as it stands, for who may read it. */
#ifndef SERVICE_QUERY_VIEW_LOAD_H
#define SERVICE_QUERY_VIEW_LOAD_H

#include "doc/view.h"
#include "service/catalog.h"
#include "service/exchange.h"

/* Of the name behind `_design/`, after the read point and read_database. The caller frees with
 * view_design_free, unless views_open takes it over. QK_ERR_INVALID with the problem: there is none
 * (404), the principal may not decrypt it (403), it is wrong (400). */
MUST_USE enum qk_err view_load(struct service *service, struct exchange *exchange,
                               const struct catalog_database *database, struct bytes name,
                               struct doc_problem *ret_problem, struct view_design **ret_design);
/* The same of a language that this version cannot run is a 501. */
MUST_USE enum qk_err view_load_runnable(struct service *service, struct exchange *exchange,
                                        const struct catalog_database *database, struct bytes name,
                                        struct doc_problem *ret_problem,
                                        struct view_design **ret_design);

#endif
