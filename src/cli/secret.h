/* What the files of `quorumkeep secret` share. */
#ifndef CLI_SECRET_H
#define CLI_SECRET_H

#include "cli/cli.h"

/* A request about the path in the first argument, under /v1/secret/`verb`/. Takes over `body`. */
MUST_USE enum cli_exit secret_request(struct cli *cli, const char *method, const char *verb,
                                      json_t *body, json_t **ret_reply);
/* "NAME=VALUE" taken apart; false if there is no name. The caller frees `ret_name`. */
bool secret_pair(const char *arg, char **ret_name, const char **ret_value);

#endif
